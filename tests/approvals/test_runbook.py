"""The page about approvals, command by command, against a real server: every exit code is the one it says."""

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pinwarden.strict_json import format_time
from pinwarden_server.auth import RIGHTS, Right
from pinwarden_server.installation import init_development
from tests.docs.pages import blocks
from tests.server.http.conftest import Running

PAGE = Path(__file__).parents[2] / "docs/approvals.md"
ALONE = "one person alone can publish a new pin set; docs/approvals.md says how to change that"
PINWARDEN = str(Path(sys.executable).with_name("pinwarden"))


def commands() -> list[tuple[list[str], int]]:
    """Return the words of every command of the page with the exit code that it promises, in order."""
    lines = [line for block in blocks(PAGE, "sh") for line in block.splitlines() if line.startswith("pinwarden ")]
    return [
        (shlex.split(line, comments=True), int((re.findall(r"# exit code (\d)", line) or ["0"])[0])) for line in lines
    ]


def test_the_page_can_be_followed_from_the_first_token_to_a_lower_number(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    running = Running(init_development(tmp_path / "server", bind="127.0.0.1:0", label="test", now=now))
    try:
        exported = dict(re.findall(r"(?m)^export (PINWARDEN_OPS_\w+)=(\S+)", PAGE.read_text("utf-8")))
        assert sorted(exported) == ["PINWARDEN_OPS_ROOT", "PINWARDEN_OPS_URL"]
        (tmp_path / "root.json").write_text(
            json.dumps(json.loads(running.ask("GET", "/admin/v1/roots/1").data)["envelope"])
        )
        for name, words in {"payments": ("live",), "next": ("next",), "again": ("again",)}.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(Running.draft(*words, "spare")))
        token = tmp_path / "root.token"
        token.touch(mode=0o600)
        token.write_text(running.admin)
        environ = {
            **os.environ,
            **exported,
            "PINWARDEN_OPS_URL": running.url,
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        tonight = format_time((now + timedelta(hours=8)).replace(microsecond=0))
        every = commands()
        assert sorted(code for _, code in every if code) == [1, 1, 5, 5, 5, 5, 5]
        for words, code in every:
            spoken = [PINWARDEN, *(tonight if word == "$TONIGHT" else word for word in words[1:])]
            done = subprocess.run(spoken, capture_output=True, text=True, env=environ, cwd=tmp_path, timeout=60)
            assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        said = [json.loads(line)["event"] for line in running.log.splitlines() if "approvals_required_default" in line]
        assert said == [f"approvals_required_default is 0: {ALONE}"]
        assert "pin set payments was published without its approvals by token:" in running.log
        shown = json.loads(running.ask("GET", "/admin/v1/pinsets/payments").data)
        assert (shown["approvals_required"], shown["open_reviews"], shown["forced"]) == (1, [], [])
    finally:
        running.stop()


def test_the_rights_that_the_page_names_are_those_of_the_roles() -> None:
    breaks = [role.value for role, rights in RIGHTS.items() if Right.BREAK_GLASS in rights]
    assert breaks == ["operator", "admin"]
    assert "an operator or an administrator breaks the glass" in " ".join(PAGE.read_text("utf-8").split())
