"""docs/monitoring.md: its check exits as its comment says, its Python runs, and its tables are those of the command."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.strict_json import format_time
from pinwarden.testing import pinned

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
HOSTS = {"api.example.com": [b"1" * 32, b"2" * 32]}


@pytest.fixture
def check(tmp_path: Path, command: Any, authority: Any) -> Any:
    """Return a function that runs the page's script at a time, with the real command on its path."""
    script = tmp_path / "check_pinwarden"
    script.write_text(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0])
    folder = tmp_path / "bin"
    folder.mkdir()

    def run(later: timedelta, *options: str, **environ: str) -> tuple[int, str]:
        real = f'"{Path(sys.executable).parent}/pinwarden"'
        moment = f"--state-dir {tmp_path}/client --now {format_time(authority.now + later)}" if not options else ""
        (folder / "pinwarden").write_text(f'#!/bin/sh\nexec {real} {moment} "$@"\n')
        (folder / "pinwarden").chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        words = {"env": {**os.environ, **environ, "PATH": path}, "capture_output": True, "text": True, "timeout": 30}
        ended = subprocess.run(["sh", str(script)], **words)
        assert ended.stderr == ""
        return ended.returncode, ended.stdout

    told = command("--state-dir", tmp_path / "client", "init", tmp_path / "root.json", "--pinset", "app")
    assert told.exit_code == 0
    return run


def test_the_check_of_the_page_exits_with_the_level_that_its_comment_names(
    check: Any, command: Any, publish: Any, tmp_path: Path
) -> None:
    publish(HOSTS)
    assert check(timedelta(0)) == (2, "PINS empty\n")
    assert command("--state-dir", tmp_path / "client", "refresh").exit_code == 0
    assert check(timedelta(0)) == (0, "PINS fresh\n")
    assert check(timedelta(days=4)) == (1, "PINS stale\n")
    assert check(timedelta(days=31)) == (2, "PINS expired\n")


def test_the_check_of_the_page_shows_what_it_does_not_understand(check: Any) -> None:
    code, told = check(timedelta(0), "no settings")
    assert (code, told.splitlines()[0]) == (3, "PINS unknown")
    assert "error: url, pinset and root are not set." in told


def test_the_table_of_the_page_is_that_of_the_command() -> None:
    rows = re.findall(r"^\| (\d) \| (\w*) ?\|", PAGE, re.MULTILINE)
    assert rows == [("0", "fresh"), ("1", "stale"), ("1", "expired"), ("2", ""), ("3", "empty")]
    cli = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    listed = [(state, code) for code, state in rows if state]
    assert re.findall(r"^  \| (\w+) \| (\d)", cli, re.MULTILINE) == listed


def test_the_health_of_the_page_is_ready_with_pins_and_not_without(throwaway_pins: Any) -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0], names)
    assert not names["health"](throwaway_pins)["ready"]
    throwaway_pins.publish(HOSTS)
    label = f"{throwaway_pins.authority.authority}/app 1.1"
    assert names["health"](throwaway_pins) | {"not pinned": ()} == {
        "ready": True,
        "pins": label,
        "refused": 0,
        "not pinned": (),
    }


def test_the_roll_out_of_the_page_is_printed_in_its_words(command: Any, publish: Any) -> None:
    pins = (b"1" * 32, b"2" * 32)
    publish([pinned("api.example.com", *pins, enforce_percent=25), pinned("mail.example.com", *pins, mode="report")])
    command("refresh")
    lines = [line for line in command("status").stdout.splitlines() if line.startswith("roll-out")]
    expected = [line for line in PAGE.splitlines() if line.startswith("roll-out")]
    assert [line.replace("enforced here", "reported here") for line in lines] == expected


def test_a_share_that_grows_keeps_those_that_enforced_already(throwaway_pins: Any) -> None:
    """Monitoring says so: an installation does not go back to reporting because the share grew."""
    before: set[str] = set()
    for share in (5, 25, 50, 100):
        hosts = [pinned(f"h{each}.example.com", b"1" * 32, b"2" * 32, enforce_percent=share) for each in range(60)]
        rollout = throwaway_pins.publish(hosts).rollout
        staged = {one.host for one in rollout}
        enforced = {one.host for one in rollout if one.enforced_here} | {host.host for host in hosts} - staged
        assert before <= enforced
        before = enforced
    assert len(before) == 60
