"""What the pages say about files, commands and figures is so."""

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from pinwarden import failpoints
from tests.docs.pages import REPOSITORY, blocks, pages, tracked

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|[`$ ])pinwarden ((?:--[a-z-]+ \S+ )*[a-z][a-z-]*(?: [a-z][a-z-]*)?)", re.MULTILINE)
# Spelt in pieces, because this file is searched too.
NEVER_COMMITTED = re.compile(r"py" r"pi\.org|python" r"hosted|npm" r"js\.|/wo" r"rk/(main|shared|wt)|/ro" r"ot/\.")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page):
    targets = {target for target in LINK.findall(page.read_text("utf-8")) if "://" not in target}
    broken = [target for target in targets if not _leads_somewhere(page, target)]
    assert broken == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_make_command_exists(page):
    known = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = page.read_text("utf-8")
    named = set(re.findall(r"`make ([a-z]+)", text))
    for block in blocks(page, "sh"):
        named.update(re.findall(r"^make ([a-z]+)", block, re.MULTILINE))
    assert named - known == set()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_pinwarden_command_exists(page):
    code = "\n".join([*blocks(page, "sh"), *re.findall(r"`([^`\n]+)`", page.read_text("utf-8"))])
    missing = sorted({words for words in COMMAND.findall(code) if not _is_command(words)})
    assert missing == []


def test_the_readme_counts_the_points_where_processes_are_killed():
    for path in tracked("client/*.py", "server/*.py"):
        if "failpoints.register(" in path.read_text("utf-8"):
            import_module(".".join(path.relative_to(REPOSITORY).with_suffix("").parts[1:]))
    text = (REPOSITORY / "README.md").read_text("utf-8")
    assert re.findall(r"at (\d+) named points", text) == [str(len(failpoints.NAMES))]


def test_no_file_names_a_registry_or_a_path_of_the_machine_that_made_it():
    found = [
        str(path.relative_to(REPOSITORY))
        for path in tracked()
        if path.suffix not in (".png", ".der") and NEVER_COMMITTED.search(path.read_text("utf-8", errors="replace"))
    ]
    assert found == []


def _leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not anchor or anchor in _anchors(file)


def _anchors(page: Path) -> set[str]:
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def _is_command(words: str) -> bool:
    from pinwarden.cli import pinwarden

    names = [word for word in words.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
    context = click.Context(pinwarden)
    command: click.Command | None = pinwarden
    for name in names:
        if not isinstance(command, click.Group):
            return True  # the next word is an argument
        command = command.get_command(context, name)
        if command is None:
            return False
    return True
