"""A server that answers as it likes: no command crashes, prints it raw, or takes it for done."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Api, Shell

TIMES = {"issued": "2026-06-01T12:00:00Z", "expires": "2026-07-01T12:00:00Z", "published_at": "2026-06-01T12:00:00Z"}
HOST = {
    "host": "api.example.com",
    "pins": [{"sha256": Running.pin("live"), "kind": "leaf"}],
    "backups": [{"sha256": Running.pin("spare"), "kind": "leaf"}],
}
VERSION: dict[str, Any] = {
    "name": "payments",
    "version": "1.1",
    **TIMES,
    "actor": "token:0123456789abcdef",
    "reason": "",
    "forced": [],
    "content": {"hosts": [HOST], "on_stale": "enforce"},
}
ROOTS = {"roots": [{"authority": "acme-0123456789abcdef"}]}
EVIL = "\x1b[2J\x1b]0;owned\x07\r\nhint: run this\u202e\x9b31m" + "x" * 3000

READS: tuple[tuple[str, ...], ...] = (
    ("set", "list"),
    ("set", "show", "payments"),
    ("set", "show", "payments", "--json"),
    ("set", "show", "payments", "--version", "1"),
    ("set", "history", "payments"),
    ("set", "diff", "payments", "1", "2"),
    ("set", "preview", "payments", "FILE"),
    ("set", "apply", "-f", "FOLDER", "--plan"),
    ("token", "list"),
    ("change", "wait", "7"),
)
WRITES: tuple[tuple[str, ...], ...] = (
    ("set", "put", "payments", "FILE", "--replaces", "1.1"),
    ("set", "rollback", "payments", "--to", "1", "--replaces", "1.2"),
    ("set", "apply", "-f", "FOLDER"),
    ("token", "create", "TOKEN", "--role", "reader", "--names", "*", "--days", "1"),
    ("token", "revoke", "0123456789abcdef"),
)
# A list inside a list, or a text where an object should be: each is JSON, and none is an answer.
SHAPES: dict[str, Any] = {
    "nothing": {},
    "lists of nonsense": {
        each: [1, None, "x", [], {}] for each in ("pinsets", "versions", "tokens", "changes", "roots")
    },
    "no lists": {each: {"a": 1} for each in ("pinsets", "versions", "tokens", "changes", "roots", "violations")},
    "a version of numbers": {**ROOTS, **dict.fromkeys(VERSION, 7), "publishable": 1, "violations": []},
    "a version of nothing": {**ROOTS, **dict.fromkeys(VERSION), "publishable": None},
    "another pin set": {**ROOTS, **VERSION, "name": "orders", "versions": [{**VERSION, "name": "orders"}]},
    "a version that is none": {**ROOTS, **VERSION, "version": "1.1/../x", "versions": [{**VERSION, "version": "x"}]},
}


@pytest.fixture
def run(hostile: "Shell") -> Any:
    """Run words in which FILE, FOLDER and TOKEN stand for places."""
    file = hostile.write("pinsets/payments.json", Running.draft("live", "spare"))
    places = {"FILE": file, "FOLDER": str(hostile.folder / "pinsets"), "TOKEN": str(hostile.folder / "new.token")}
    return lambda words: hostile(*(places.get(word, word) for word in words))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("words", [*READS, *WRITES], ids=" ".join)
def test_an_answer_of_the_wrong_shape_is_a_refusal_in_one_line(run: Any, api: "Api", words: Any, shape: str) -> None:
    api.body = json.dumps(SHAPES[shape]).encode()
    done = run(words)
    assert type(done.exception) in (SystemExit, type(None)), done.exception
    assert done.exit_code in (1, 3, 4), done.output
    assert done.stderr.count("error: ") >= 1


@pytest.mark.parametrize("words", [READS[1], READS[3], READS[5], READS[6]], ids=" ".join)
def test_a_content_that_no_client_takes_is_not_shown(run: Any, api: "Api", words: Any) -> None:
    content = {"hosts": [{**HOST, "host": "*"}], "on_stale": "enforce"}
    api.body = json.dumps({**VERSION, "content": content, "publishable": True, "violations": []}).encode()
    done = run(words)
    assert (done.exit_code, done.stdout, "pinset.hosts[0].host" in done.stderr) == (1, "", True), done.output


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b"[]", b"", b"{" * 100_000, b'{"pinsets": [' + b"1," * 5_000_000]
)
@pytest.mark.parametrize("words", [READS[0], WRITES[0], WRITES[3]], ids=" ".join)
def test_a_page_or_a_flood_is_not_taken_for_an_answer(run: Any, api: "Api", words: Any, body: bytes) -> None:
    api.body = body
    done = run(words)
    assert type(done.exception) in (SystemExit, type(None)), done.exception
    assert done.exit_code in (1, 3), done.output
    assert len(done.output) < 3000


@pytest.mark.parametrize("status", [200, 409, 412, 422, 500])
@pytest.mark.parametrize("words", [*READS, *WRITES], ids=" ".join)
def test_no_escape_sequence_and_no_line_of_its_own_reaches_the_terminal(
    run: Any, api: "Api", words: Any, status: int
) -> None:
    version = {**VERSION, "actor": EVIL, "reason": EVIL, "forced": [EVIL]}
    violation = dict.fromkeys(("code", "pointer", "message", "hint"), EVIL)
    token = {**dict.fromkeys(("id", "role", "created_by", "expires_at", "label"), EVIL), "names": [EVIL]}
    api.status = status
    api.body = json.dumps(
        {
            **version,
            "pinsets": [dict.fromkeys(("name", "version", "expires", "published_at", "actor"), EVIL)],
            "versions": [version],
            "tokens": [{**token, "last_used_at": EVIL, "revoked_at": None}],
            "roots": [{"authority": EVIL}],
            "current": "1.2",
            "publishable": False,
            "violations": [violation] * 60,
            "warnings": [violation] * 60,
            "detail": EVIL,
            "revoked_at": EVIL,
            "state": "rejected",
            "blast_radius": {
                "unexpired_versions": [EVIL],
                "held_until": EVIL,
                "hosts_without_common_pin": {EVIL: [EVIL]},
            },
        }
    ).encode()
    done = run(words)
    assert type(done.exception) in (SystemExit, type(None)), done.exception
    shown = done.stdout + done.stderr
    assert "no answer of this API" not in shown  # it was read, and not refused for its size
    assert [bad for bad in ("\x1b", "\x07", "\r", "\u202e", "\x9b", "\nhint: run this") if bad in shown] == []
    assert "--json" in words or len(shown) < 1_000_000  # programs get the answer as it came


def test_a_history_that_does_not_go_back_in_time_ends(hostile: "Shell", api: "Api") -> None:
    api.body = json.dumps({"versions": [VERSION] * 100}).encode()
    done = hostile("set", "history", "payments", "--limit", "10000")
    assert (done.exit_code, "does not go back in time" in done.stderr, len(api.requests)) == (1, True, 2)


def test_a_conflict_whose_details_are_withheld_is_still_a_conflict(hostile: "Shell", api: "Api") -> None:
    api.status, api.body = 412, json.dumps({"detail": "No.", "current": "1.9"}).encode()
    file = hostile.write("a.json", Running.draft("live", "spare"))
    done = hostile("set", "preview", "payments", file)
    assert done.exit_code == 4
    api.body = json.dumps({"detail": "No.", "current": "../../tokens"}).encode()
    hostile("set", "put", "payments", file, "--replaces", "1.1")
    assert [path for _, path, *_ in api.requests if "tokens" in path] == []
