"""docs/history.md against the command: its findings, its limits, its sample, and units that systemd understands."""

import re
from collections.abc import Callable
from pathlib import Path
from subprocess import run

from pinwarden.cache import MAX_EVIDENCE
from pinwarden.history import SEGMENT_ENTRIES
from pinwarden_ops.cli_audit import WAIT_SECONDS
from pinwarden_ops.history_compare import Kind
from pinwarden_ops.history_fetch import HISTORY_SECONDS
from pinwarden_ops.history_view import MAX_SEGMENTS
from pinwarden_ops.history_words import MEANS
from pinwarden_ops.memory_files import MAX_EVIDENCE as MAX_FINDINGS
from tests.history.conftest import Post, show_history
from tests.history.test_served import seed
from tests.history.test_two_stories import tell_another_story
from tests.rotation.line import Line
from tests.rotation.stage import House

PAGE = (Path(__file__).parents[2] / "docs/history.md").read_text("utf-8")


def block(language: str, start: str) -> str:
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if text.startswith(start)]
    return str(found)


def test_every_kind_of_finding_is_explained_in_the_words_of_the_command() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(str(kind), *MEANS[kind]) for kind in Kind]


def test_the_limits_are_those_of_the_code() -> None:
    assert f"{MAX_SEGMENTS * SEGMENT_ENTRIES:,} versions; a history that claims more is refused." in PAGE
    assert f"the whole history {HISTORY_SECONDS:g}." in PAGE
    assert f"for `--wait` seconds ({WAIT_SECONDS})" in PAGE
    assert f"The same finding is written once, {MAX_FINDINGS} are kept." in PAGE
    assert (re.findall(r"eight at most", PAGE)[0], 8) == ("eight at most", MAX_EVIDENCE)


def test_a_full_segment_is_as_large_as_the_page_says(house: House) -> None:
    seed(house, 99)
    assert house.node is not None
    entries = house.node.site.store.reader.history("payments", after=0)
    show_history(house.line, house, entries)
    size = len(house.line.answers["/v1/history/payments"] or b"")
    assert f"about {size / 1000:.0f} KB at most" in PAGE


def test_the_sample_is_what_the_command_says(house: House, post: Post, mirror: Line) -> None:
    house.publish(word="next")
    tell_another_story(house, mirror)
    done = post.audit("--compare", mirror.url)
    assert done.exit_code == 1
    real = {"pins.example.com": post.url, "origin.example.com": mirror.url}
    sample = re.sub(r"https://([a-z.]+)", lambda found: real[found[1]], block("text", "error: "))
    wanted = sample.replace("/var/lib/pinwarden-audit", str(post.state)).splitlines()
    told = done.stderr.splitlines()
    first = told.index(wanted[0])
    for line, shown in zip(wanted, told[first : first + len(wanted)], strict=True):
        assert re.fullmatch(".*".join(map(re.escape, line.split("…"))), shown)


def test_systemd_understands_the_units(program: Callable[[str], Path], tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    service = block("ini", "# /etc/systemd/system/pinwarden-audit.service")
    command = Path("/usr/bin/env")  # systemd looks whether the program is there
    (tmp_path / "pinwarden-audit.service").write_text(service.replace("/usr/local/bin/pinwarden", str(command)))
    (tmp_path / "pinwarden-audit.timer").write_text(block("ini", "# /etc/systemd/system/pinwarden-audit.timer"))
    for unit in ("service", "timer"):
        done = run([analyze, "verify", tmp_path / f"pinwarden-audit.{unit}"], capture_output=True, text=True)
        ours = [line for line in done.stderr.splitlines() if "pinwarden-audit" in line]
        assert (done.returncode, ours) == (0, [])


def test_every_command_line_of_the_page_is_one_that_the_command_takes() -> None:
    from pinwarden_ops.cli_audit import history

    lines = [line for line in PAGE.splitlines() if "pinwarden audit history https" in line]
    assert len(lines) == 6
    for line in lines:
        words = line.partition("audit history ")[2].partition(" > ")[0].rstrip("`").split()
        with history.make_context("history", words) as context:
            assert context.params["url"] == "https://pins.example.com"
