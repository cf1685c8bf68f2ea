"""The runbook of the root ceremony, carried out line by line: each person in a folder of their own, and one stick."""

import re
import shlex
import subprocess
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinwarden.cli import pinwarden
from pinwarden.trust import advance_root, begin
from pinwarden_keys import cli
from pinwarden_keys.cli_root import root
from pinwarden_keys.keyfile import Kdf, write_key_file
from pinwarden_keys.root_draft_lint import ALLOWED_CODES
from tests.docs.pages import REPOSITORY, blocks

PAGE = REPOSITORY / "docs/ceremony.md"
STICK = "/media/stick"
STEP = re.compile(r"^```(sh|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PASSPHRASE = "correct horse battery staple"
ROOTS = 5


class Runbook:
    """Carries out the page's blocks; a person's first line says who that is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stick = folder, folder / "stick"
        self.stick.mkdir()
        self.told: list[str] = []

    def write_plan(self, text: str) -> None:
        """Put the plan on the stick, with the lines that `keys show` printed in place of the example's keys."""

        def line(found: re.Match[str]) -> str:
            shown = (self.stick / f"{found[1]}.public").read_text()
            return re.search(r"^plan +(.*)$", shown, re.MULTILINE)[1]

        plan = re.sub(r'^([a-z0-9-]+) = "[A-Za-z0-9+/]{43}="$', line, text, flags=re.MULTILINE)
        (self.stick / "plan.toml").write_text(plan)

    def carry_out(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the commands of one block in the folder of the person whom its first line names."""
        first, *lines = text.replace(STICK, str(self.stick)).splitlines()
        person = self.folder / first.removeprefix("# ")
        person.mkdir(exist_ok=True)
        monkeypatch.chdir(person)
        for line in lines:
            if line.startswith("pinwarden "):
                self.run(line)
            else:
                subprocess.run(["bash", "-euc", line], check=True, timeout=10)

    def run(self, line: str) -> None:
        """Run one command, answering its questions; what goes behind ``>`` is written there."""
        command, _, target = line.partition(" > ")
        words = [match for word in shlex.split(command)[1:] for match in self.expanded(word)]
        version = re.search(r"root\.(\d+)\.draft", command)
        answers = f"{version[1]}\n{PASSPHRASE}\n" if words[1] == "sign" else f"{PASSPHRASE}\n{PASSPHRASE}\n"
        result = CliRunner().invoke(pinwarden, words, input=answers)
        assert result.exit_code == 0, f"{line}\n{result.output}"
        self.told.append(result.stdout)
        if target:
            Path(target).write_text(result.stdout)

    @staticmethod
    def expanded(word: str) -> list[str]:
        """Return the files that a pattern names, as a shell would."""
        folder, _, pattern = word.rpartition("/")
        found = sorted(Path(folder or ".").glob(pattern)) if "*" in pattern else []
        return [str(path) for path in found] or [word]


@pytest.fixture
def runbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runbook:
    """Return a runbook whose key files cost little work, with the keys of a server on the stick."""
    fast = partial(write_key_file, kdf=Kdf(ops=1, mem_bytes=8 * 1024))
    monkeypatch.setattr(cli, "write_key_file", fast)
    book = Runbook(tmp_path)
    for name in ("server", "release"):
        book.carry_out(
            f"# server\npinwarden keys new {name}.key --label {name}\n"
            f"pinwarden keys show {name}.key > {STICK}/{name}.public",
            monkeypatch,
        )
    return book


def test_the_runbook_works_from_the_first_line_to_the_last(runbook: Runbook, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = STEP.findall(PAGE.read_text("utf-8"))
    assert [kind for kind, _ in steps].count("sh") == len(blocks(PAGE, "sh"))
    for kind, text in steps:
        if kind == "toml":
            runbook.write_plan(text)
        else:
            runbook.carry_out(text, monkeypatch)
    roots = [(runbook.stick / f"root.{version}.json").read_bytes() for version in range(1, ROOTS + 1)]
    state = begin(roots[0], name="app")
    for envelope in roots[1:]:
        state = advance_root(state, envelope)
    assert (state.root.version, state.root.timestamp.epoch, state.root.grant_for("app").epoch) == (ROOTS, 1, 2)
    assert runbook.told[-1].splitlines()[-1].endswith(f"follows root {ROOTS - 1}")


def test_every_block_of_commands_says_who_runs_it() -> None:
    people = {text.splitlines()[0] for text in blocks(PAGE, "sh")}
    assert people == {"# alice", "# bob", "# carol", "# dave", "# server"}


def test_the_page_lists_every_finding_and_whether_it_may_be_accepted() -> None:
    rows = re.findall(r"^\| (ROOT\d{3}) \| .* \| (yes|no) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    sources = (REPOSITORY / f"keys/pinwarden_keys/{name}.py" for name in ("root_lint", "root_draft_lint"))
    source = "".join(path.read_text("utf-8") for path in sources)
    codes = sorted(set(re.findall(r"ROOT\d{3}", source)))
    assert rows == [(code, "yes" if code in ALLOWED_CODES else "no") for code in codes]


@pytest.mark.parametrize("name", ["draft", "show", "sign", "assemble", "verify", "rehearse"])
def test_the_page_lists_every_option_of_a_command(name: str) -> None:
    rows = re.findall(r"^\| `([a-z]+)[^`]*` \| .* \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    listed = set(re.findall(r"`(--[a-z-]+)`", dict(rows)[name]))
    assert listed == {
        option for parameter in root.commands[name].params for option in parameter.opts if option[:2] == "--"
    }
