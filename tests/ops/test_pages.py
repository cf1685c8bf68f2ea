"""The two pages for operators, command by command, against a real server, and every example that --help prints."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import click.testing
import pytest

from pinwarden.cli import pinwarden
from pinwarden.strict_json import format_time
from pinwarden_ops.settings import TABLE
from pinwarden_server.cli import server
from tests.changes.conftest import Town, found_town
from tests.docs.pages import blocks
from tests.ops.conftest import Workshop
from tests.server.http.conftest import Running

PASSWORD = "correct horse battery"
DOCS = Path(__file__).parents[2] / "docs"
OPERATORS, GIT = DOCS / "cli-ops.md", DOCS / "git-driven.md"
GROUPS = ("change", "completion", "context", "login", "logout", "session", "set", "token")


def lines(page: Path) -> list[tuple[str, int]]:
    """Return every command of *page* with the exit code that it promises, in order."""
    every = [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]
    return [(line, int((re.findall(r"# exit code (\d+)", line) or ["0"])[0])) for line in every]


def without_comment(line: str) -> str:
    return line.partition("   #")[0].strip()


def examples(command: click.Command, path: str) -> Iterator[str]:
    """Yield the examples of *command* and of all below it."""
    yield from re.findall(r"^  (.*pinwarden .+)$", command.epilog or "", re.MULTILINE)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from examples(child, f"{path} {name}")


def group(name: str) -> click.Command:
    found = pinwarden.get_command(click.Context(pinwarden), name)
    assert found is not None
    return found


class Follower:
    """Someone who does what a page says, in a folder of their own."""

    def __init__(self, shop: Workshop, town: Town) -> None:
        self.shop, self.town, self.variables = shop, town, {"CHANGE": "", "ID": ""}

    def follow(self, page: Path, **variables: str | None) -> None:
        """Run every command of *page*; each must end as it says."""
        for line, code in lines(page):
            got, told = self.run(line, variables)
            assert got == code, f"{line}\n{told}"

    def run(self, line: str, variables: dict[str, str | None]) -> tuple[int, str]:
        spoken = re.sub(r"https?://(127\.0\.0\.1:8750|pins\.example\.com:8443)", self.shop.url, without_comment(line))
        if not re.match(r"(pinwarden [^<>]*|python -m .*)$", spoken):
            spoken = spoken.replace("pinwarden ", f"{shlex.quote(str(Path(sys.executable).with_name('pinwarden')))} ")
            return self._in_shell(spoken, variables)
        words = [self._filled(word) for word in shlex.split(spoken, comments=True)]
        if words[0] == "python":
            return self._in_shell(shlex.join([sys.executable, *words[1:]]), variables)
        done = self.shop(*words[1:], typed=self._typed(words), **variables)
        return done.exit_code, done.output

    def _typed(self, words: list[str]) -> str:
        if words[1:3] == ["change", "sign"]:
            return "1.1\n"
        return f"{PASSWORD if '--account' in words else self.shop.link()}\n" if words[1] == "login" else ""

    def _in_shell(self, spoken: str, variables: dict[str, str | None]) -> tuple[int, str]:
        given = {**self.shop.variables(), **variables}
        environ = {"PATH": "/usr/bin:/bin", **{name: value for name, value in given.items() if value is not None}}
        done = subprocess.run(["bash", "-c", spoken], capture_output=True, text=True, env=environ, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def _filled(self, word: str) -> str:
        if word == "$CHANGE":
            found = json.loads(self.shop("change", "list", "--name", "payments", "--json").stdout)["changes"]
            return str(found[0]["id"])
        if word in ("$APPROVAL", "$REVIEW"):
            state = "waiting" if word == "$APPROVAL" else "review"
            found = json.loads(self.shop("change", "list", "--name", "checkout", "--state", state, "--json").stdout)
            return str(found["changes"][0]["id"])
        if word == "$TONIGHT":
            return format_time(datetime.now(UTC).replace(microsecond=0) + timedelta(hours=8))
        if word == "$LINK":
            return self.shop.link().split("_")[1]
        if word == "$SESSION":
            found = json.loads(self.shop("session", "list", "--json").stdout)["sessions"]
            return str(found[0]["id"])
        return Path("deploy.token").read_text().split("_")[1] if word == "$ID" else word


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Follower]:
    town = found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    running = Running(town.installation)
    monkeypatch.chdir(tmp_path)
    try:
        yield Follower(Workshop(running.url, tmp_path, town.installation.admin_token, running), town)
    finally:
        running.stop()


def test_the_page_for_operators_can_be_followed(follower: Follower) -> None:
    shop = follower.shop
    shop.publish("shop", "live", "spare", host="shop.example.com")
    shop.publish("shop", "next", "spare", base="1.1", host="shop.example.com")
    (draft,) = blocks(OPERATORS, "json")
    for name in ("shop", "carts", "payments"):
        Path(f"{name}.json").write_text(draft)
    Path("root.json").write_bytes(follower.town.root_json)
    for person in follower.town.people:
        shutil.copy(person.key_file, f"{person.name}.key")
        shutil.copy(person.passphrase_file, f"{person.name}.pass")
    Path("link.txt").write_text(shop.link())
    account = ("account", "add", "breaker", "--role", "admin", "--password-file", shop.private("password", PASSWORD))
    config = str(shop.running.installation.config)
    assert click.testing.CliRunner().invoke(server, ["--config", config, *account]).exit_code == 0
    for name in ("staging", "production"):
        shutil.copy(shop.token_file, f"{name}.token")
    contexts_alone: dict[str, Any] = {"PINWARDEN_OPS_URL": None, "PINWARDEN_OPS_TOKEN_FILE": None}
    own = {"PINWARDEN_OPS_ROOT": "root.json", "PINWARDEN_OPS_STATE_DIR": "seen"}
    # "$CHANGE" and the token lists ask under the settings of the page as well.
    shop.token_file = Path("staging.token").absolute()
    follower.follow(OPERATORS, **contexts_alone, **own)
    assert shop.versions("shop") == ["1.4", "1.3", "1.2", "1.1"]
    assert (shop.versions("carts"), shop.versions("payments")) == (["1.1"], ["1.1"])
    assert shop.versions("checkout") == ["1.4", "1.3", "1.1"]
    assert Path("deploy.token").stat().st_mode & 0o777 == 0o600
    assert Path("man1/pinwarden-set-apply.1").exists()


def test_the_page_for_git_driven_teams_can_be_followed(follower: Follower) -> None:
    Path("pinsets").mkdir()
    (file,) = blocks(GIT, "toml")
    Path("pinsets/shop.toml").write_text(file)
    Path("hotfix.json").write_text(json.dumps(Running.draft("hotfix", "spare", host="shop.example.com")))
    follower.follow(GIT)
    history = json.loads(follower.shop("set", "history", "shop", "--json").stdout)["versions"]
    assert [row["reason"] for row in history] == [
        "apply: commit 91ab04c",
        "the old key was stolen",
        "apply: commit 3f2c1d0",
    ]


def test_the_refusal_that_the_page_shows_is_the_one_that_is_printed(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.folder)
    (file,) = blocks(GIT, "toml")
    shop.write("pinsets/shop.toml", file.replace("host = ", 'modus = "report"\nhost = '))
    (shown,) = re.findall(r"(?m)^(error: pinsets.*\nhint: .*\n)", GIT.read_text("utf-8"))
    assert shop("set", "apply", "-f", "pinsets").stderr == shown


@pytest.mark.parametrize("name", GROUPS)
def test_every_example_of_help_is_a_command_of_the_page(name: str) -> None:
    told = [without_comment(line) for line, _ in lines(OPERATORS)]
    taught = [without_comment(line) for line in examples(group(name), name)]
    assert taught
    assert [line for line in taught if line not in told] == []


@pytest.mark.parametrize("name", GROUPS)
def test_every_command_teaches_by_example(name: str) -> None:
    def silent(command: click.Command, path: str) -> Iterator[str]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for word in command.list_commands(context):
                child = command.get_command(context, word)
                assert child is not None
                yield from silent(child, f"{path} {word}")
        elif "\b\nExamples:\n" not in (command.epilog or ""):
            yield path

    assert list(silent(group(name), name)) == []


def test_every_setting_is_in_the_table() -> None:
    told = set(re.findall(r"(?m)^\| `(PINWARDEN_OPS_\w+)`", OPERATORS.read_text("utf-8")))
    rows = {TABLE.variable(row.name) for row in TABLE if not row.name.endswith("url_file")}
    assert told == {*rows, TABLE.config_variable}
