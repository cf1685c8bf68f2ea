"""``docs/audit.md``, carried out command by command by an auditor in front of a real server."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinwarden.cli import pinwarden
from tests.audit.conftest import Desk
from tests.docs.pages import REPOSITORY

PAGE = (REPOSITORY / "docs/audit.md").read_text("utf-8")
BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.strip() for block in BLOCKS for line in block.splitlines()]


def test_every_command_of_the_page_does_what_it_says(
    lite_desk: Desk, monkeypatch: pytest.MonkeyPatch, program: Callable[[str], Path]
) -> None:
    curl = program("curl")
    monkeypatch.chdir(lite_desk.folder)
    lite_desk.office.checkpoint()
    told: dict[str, str] = {}
    for line in COMMANDS:
        words = shlex.split(line.replace("https://pins.example.com", lite_desk.url))
        if words[0] == "curl":
            subprocess.run([str(curl), *words[1:]], check=True)
            continue
        done = CliRunner().invoke(pinwarden, words[1:], env=lite_desk.variables())
        assert done.exit_code == 0, (line, done.output)
        told[line] = done.stdout
    assert (lite_desk.folder / "checkpoint-1.json").read_bytes() == lite_desk.office.site.tree.path_of(
        "/v1/audit/checkpoint"
    ).read_bytes()
    assert [line for line in told if "verify" in line and "checkpoints  1 verified" not in told[line]] == []
    done = CliRunner().invoke(
        pinwarden, ["audit", "verify", "audit.jsonl", "--root", "root.json"], env=lite_desk.variables()
    )
    assert done.exit_code == 0, done.output
    assert len(told) == 4
