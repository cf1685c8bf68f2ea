"""``pinwarden login`` and ``logout``: where a secret may come from, where it may go, and what is never overwritten."""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinwarden_ops import session_files
from tests.ops.conftest import TOKEN

if TYPE_CHECKING:
    from conftest import Api, Shell, Workshop

CODE = f"pwl_0123456789abcdef_{'c' * 43}"
SESSION = f"pws_0123456789abcdef_{'t' * 43}"
ALONE = {"PINWARDEN_OPS_URL": None, "PINWARDEN_OPS_TOKEN_FILE": None}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a session shall be written."""
    return tmp_path / "session.token"


@pytest.fixture
def answered(api: "Api") -> None:
    """Let the hostile server answer as a real one does."""
    begun = {"id": "0123456789abcdef", "owner": "alice", "way": "link", "role": "editor", "names": ["pay*"]}
    times = {"authenticated_at": "2026-06-01T12:00:00Z", "expires_at": "2026-06-01T20:00:00Z", "revoked_at": None}
    api.status, api.body = 201, json.dumps({**begun, **times, "token": SESSION}).encode()


def test_a_link_becomes_a_private_session_that_works_until_logout(shop: "Workshop", file: Path) -> None:
    link = shop.link(owner="alice", role="reader")
    done = shop("login", "--token-file", str(file), typed=f"{link}\n")
    assert (done.exit_code, done.stdout, file.stat().st_mode & 0o777) == (0, "", 0o600), done.output
    assert "logged in as alice: reader of * until 20" in done.stderr
    secret = file.read_text().strip()
    assert [part in done.output for part in (link, link.split("#")[1], secret)] == [False] * 3
    with_session = ("--token-file", str(file))
    assert shop("set", "list", *with_session).exit_code == 0
    assert shop("logout", *with_session).exit_code == 0
    assert not file.exists()
    other = shop.private("kept.token", secret)
    assert shop("set", "list", "--token-file", other).exit_code == 1
    gone = shop("logout", "--token-file", other)
    assert (gone.exit_code, "had ended already" in gone.stderr, Path(other).exists()) == (0, True, False)


def test_a_new_context_is_made_of_the_link_alone(shop: "Workshop") -> None:
    done = shop("login", "--new-context", "mine", typed=f"{shop.link()}\n", **ALONE)
    assert done.exit_code == 0, done.output
    folder = shop.folder / "config/pinwarden"
    kept = tomllib.loads((folder / "contexts.toml").read_text())
    assert kept == {"mine": {"url": shop.url, "token_file": str(folder / "mine.token")}}
    assert (folder / "mine.token").stat().st_mode & 0o777 == 0o600
    assert shop("set", "list", "--context", "mine", **ALONE).exit_code == 0
    again = shop("login", "--context", "mine", "-", typed=shop.link(), **ALONE)
    assert (again.exit_code, tomllib.loads((folder / "contexts.toml").read_text())) == (0, kept), again.output
    taken = shop("login", "--new-context", "mine", typed="not even asked for\n", **ALONE)
    assert (taken.exit_code, "exists already" in taken.stderr) == (2, True)


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("name", ["../mine", "a b", "", "-"])
def test_an_impossible_context_is_refused_before_a_link_is_asked_for(hostile: "Shell", api: "Api", name: str) -> None:
    before = sorted(hostile.folder.rglob("*"))
    done = hostile("login", "--new-context", name, typed=f"{CODE}\n", **ALONE)
    assert (done.exit_code, "One-time link" in done.output, api.requests) == (2, False, [])
    assert sorted(hostile.folder.rglob("*")) == before


def test_a_link_that_was_redeemed_leaves_the_session_before_as_it_was(shop: "Workshop", file: Path) -> None:
    link = shop.link()
    assert shop("login", "--token-file", str(file), typed=f"{link}\n").exit_code == 0
    before = file.read_bytes()
    again = shop("login", "--token-file", str(file), typed=f"{link}\n")
    assert (again.exit_code, "no link that can be redeemed" in again.stderr, file.read_bytes()) == (1, True, before)
    assert sorted(path.name for path in file.parent.glob(".*.part")) == []


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("words", [(CODE,), (f"https://pins.example.com/#{CODE}",), ("--account", "a", "password!")])
def test_nothing_secret_is_taken_from_the_command_line_or_repeated(
    hostile: "Shell", api: "Api", file: Path, words: tuple[str, ...]
) -> None:
    done = hostile("login", *words, "--token-file", str(file), typed="x\n")
    assert (done.exit_code, words[-1] in done.output, api.requests, file.exists()) == (2, False, [], False)


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("typed", [f"https://pins.example.com/#{CODE}", f"http://127.0.0.1:1/#{CODE}"])
def test_a_link_never_goes_to_another_server_than_its_own(hostile: "Shell", api: "Api", file: Path, typed: str) -> None:
    done = hostile("login", "--token-file", str(file), typed=f"{typed}\n")
    assert (done.exit_code, "the link is for another server" in done.stderr, api.requests) == (2, True, [])
    assert (CODE in done.output, file.exists()) == (False, False)


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize(
    ("words", "typed", "body"),
    [
        ((), f"{CODE}\n", {"link": CODE}),
        (("-",), f"  {CODE}\r\n", {"link": CODE}),
        (("--account", "breaker"), "correct horse \n", {"account": "breaker", "password": "correct horse "}),
        (("--account", "breaker", "-"), "correct horse \n", {"account": "breaker", "password": "correct horse "}),
        (("--oidc", "-"), "eyJ.eyJ.x\n", {"oidc_token": "eyJ.eyJ.x"}),
    ],
)
def test_a_login_sends_its_secret_in_the_body_and_no_token(
    hostile: "Shell", api: "Api", file: Path, words: tuple[str, ...], typed: str, body: dict[str, str]
) -> None:
    done = hostile("login", *words, "--token-file", str(file), typed=typed)
    assert (done.exit_code, file.read_text()) == (0, f"{SESSION}\n"), done.output
    ((method, path, headers, content),) = api.requests
    assert (method, path, json.loads(content)) == ("POST", "/admin/v1/logins", body)
    assert "Authorization" not in headers
    assert [secret in done.output for secret in body.values() if secret != "breaker"] == [False]


@pytest.mark.usefixtures("answered")
def test_a_token_that_is_no_sessions_is_never_overwritten_nor_deleted(hostile: "Shell", api: "Api") -> None:
    before = hostile.token_file.read_text()
    for words in (("login",), ("logout",)):
        done = hostile(*words, typed=f"{CODE}\n")
        assert (done.exit_code, TOKEN in done.output) == (2, False)
        assert "something else than a session" in done.stderr
    assert (hostile.token_file.read_text(), api.requests) == (before, [])


@pytest.mark.usefixtures("answered")
def test_nothing_is_sent_when_the_session_has_no_place(hostile: "Shell", api: "Api", tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    for place in (tmp_path / "dangling", tmp_path / "file/session.token", tmp_path):
        assert hostile("login", "--token-file", str(place), typed=f"{CODE}\n").exit_code == 2
    assert api.requests == []


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("token", ["", TOKEN, f"{SESSION}\n", "\x1b[2J", CODE])
def test_an_answer_without_a_session_is_none(hostile: "Shell", api: "Api", file: Path, token: str) -> None:
    api.body = json.dumps({**json.loads(api.body), "token": token}).encode()
    done = hostile("login", "--token-file", str(file), typed=f"{CODE}\n")
    assert (done.exit_code, "holds no session" in done.stderr, file.exists()) == (1, True, False), done.output


@pytest.mark.usefixtures("answered")
def test_a_full_disk_says_so_and_leaves_no_part_of_a_file(
    hostile: "Shell", file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(session_files.os, "fsync", fails)
    done = hostile("login", "--token-file", str(file), typed=f"{CODE}\n")
    assert (done.exit_code, "No space left on device" in done.stderr) == (1, True)
    assert [path.name for path in file.parent.iterdir() if "session" in path.name] == []


@pytest.mark.parametrize("typed", ["", "\n", f"{CODE}\n{CODE}\n", "x" * 20000])
def test_stdin_has_one_line(hostile: "Shell", api: "Api", file: Path, typed: str) -> None:
    assert hostile("login", "-", "--token-file", str(file), typed=typed).exit_code == 2
    assert api.requests == []


def test_a_server_that_wants_a_wait_is_unavailable_and_the_session_stays(
    hostile: "Shell", api: "Api", file: Path
) -> None:
    api.status, api.body = 429, json.dumps({"detail": "too many wrong attempts"}).encode()
    Path(hostile.private(file.name, SESSION))
    for words in (("login",), ("logout",)):
        assert hostile(*words, "--token-file", str(file), typed=f"{CODE}\n").exit_code == 3
    assert file.read_text() == SESSION


def test_an_old_session_is_told_to_log_in_again(shop: "Workshop", hostile: "Shell", api: "Api") -> None:
    api.status = 401
    detail = "this needs a recent login: expected a login at most 900 seconds ago. Run `pinwarden login` again."
    api.body = json.dumps({"type": "urn:pinwarden:problem:step-up-needed", "detail": detail}).encode()
    done = hostile("set", "list", "--token-file", hostile.private("s.token", SESSION))
    assert (done.exit_code, "`pinwarden login` again" in done.stderr) == (1, True)
