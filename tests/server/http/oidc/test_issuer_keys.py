"""The keys of an issuer: where they may come from, how often it is asked, and how long they count without it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pinwarden_server import oidc_keys
from pinwarden_server.errors import IssuerUnavailable
from pinwarden_server.oidc_keys import IssuerKeys
from tests.server.http.oidc.conftest import DISCOVERY, Reply

if TYPE_CHECKING:
    from tests.server.http.oidc.conftest import Gate, Issuer

HOUR, DAY = 3600.0, 24 * 3600.0
BOTH = [DISCOVERY, "/jwks"]


class Seconds:
    """A clock that tests push."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def keys(issuer: "Issuer", ca_file: Path, seconds: Seconds) -> IssuerKeys:
    return IssuerKeys(issuer.url, ca_file=ca_file, clock=seconds)


def has(keys: IssuerKeys, kid: str) -> bool | None:
    """Tell whether the issuer has the key; None when that cannot be said."""
    try:
        return keys.find(kid) is not None
    except IssuerUnavailable:
        return None


def test_keys_are_fetched_once_an_hour(keys: IssuerKeys, issuer: "Issuer", seconds: Seconds) -> None:
    assert [has(keys, kid) for kid in ("rsa", "ec", "ed", "rsa")] == [True] * 4
    assert issuer.asked == BOTH
    seconds.now = HOUR - 1
    assert (has(keys, "rsa"), issuer.asked) == (True, BOTH)
    seconds.now = HOUR
    assert (has(keys, "rsa"), issuer.asked) == (True, BOTH * 2)


def test_a_new_key_is_found_at_once_and_unknown_names_ask_once_a_minute(
    keys: IssuerKeys, issuer: "Issuer", seconds: Seconds
) -> None:
    assert has(keys, "rsa")
    seconds.now = 61
    issuer.keys["new"] = issuer.keys["ec"].__class__.generate_key("P-256", {"kid": "new"})
    assert (has(keys, "new"), issuer.asked) == (True, BOTH * 2)
    assert ([has(keys, f"unknown-{number}") for number in range(50)], issuer.asked) == ([False] * 50, BOTH * 2)
    seconds.now = 121
    assert ([has(keys, f"unknown-{number}") for number in range(50)], issuer.asked) == ([False] * 50, BOTH * 3)


def test_a_key_that_the_issuer_dropped_counts_no_more(keys: IssuerKeys, issuer: "Issuer", seconds: Seconds) -> None:
    assert has(keys, "rsa")
    del issuer.keys["rsa"]
    seconds.now = HOUR
    assert (has(keys, "rsa"), has(keys, "ec")) == (False, True)


def test_keys_go_on_counting_for_a_day_while_the_issuer_is_away(
    keys: IssuerKeys, issuer: "Issuer", seconds: Seconds
) -> None:
    assert has(keys, "rsa")
    issuer.replies[DISCOVERY] = Reply(b"", 503)
    for hour in range(1, 24):
        seconds.now = hour * HOUR
        assert has(keys, "rsa")
    assert issuer.asked == BOTH + [DISCOVERY] * 23
    seconds.now = DAY
    assert (has(keys, "rsa"), has(keys, "unknown")) == (None, None)
    del issuer.replies[DISCOVERY]
    seconds.now = DAY + 60
    assert has(keys, "rsa")


def test_an_issuer_that_was_never_reached_is_asked_once_a_minute(
    keys: IssuerKeys, issuer: "Issuer", seconds: Seconds
) -> None:
    issuer.replies[DISCOVERY] = Reply(b"", 500)
    assert ([has(keys, "rsa") for _ in range(20)], issuer.asked) == ([None] * 20, [DISCOVERY])
    seconds.now = 60
    assert ([has(keys, "rsa") for _ in range(20)], issuer.asked) == ([None] * 20, [DISCOVERY] * 2)


def discovery(served: "Issuer", **changes: Any) -> Reply:
    return Reply(json.dumps({"issuer": served.url, "jwks_uri": f"{served.url}/jwks", **changes}).encode())


HOSTILE = {
    "the discovery document of another": lambda issuer: {DISCOVERY: discovery(issuer, issuer="https://evil.example")},
    "an issuer with a slash more": lambda issuer: {DISCOVERY: discovery(issuer, issuer=f"{issuer.url}/")},
    "no issuer": lambda issuer: {DISCOVERY: discovery(issuer, issuer=None)},
    "keys over http": lambda issuer: {
        DISCOVERY: discovery(issuer, jwks_uri=issuer.url.replace("https", "http") + "/jwks")
    },
    "keys in a file": lambda issuer: {DISCOVERY: discovery(issuer, jwks_uri="file:///etc/passwd")},
    "no keys": lambda issuer: {DISCOVERY: discovery(issuer, jwks_uri=None)},
    "a redirect": lambda issuer: {DISCOVERY: Reply(b"", 302, {"Location": f"{issuer.url}/elsewhere"})},
    "a redirect to the keys": lambda issuer: {"/jwks": Reply(b"", 307, {"Location": f"{issuer.url}/elsewhere"})},
    "a page": lambda issuer: {DISCOVERY: Reply(b"<html>")},
    "a member twice": lambda issuer: {DISCOVERY: Reply(discovery(issuer).body[:-1] + b', "issuer": "x"}')},
    "an endless document": lambda issuer: {DISCOVERY: Reply(discovery(issuer).body + b" " * 300_000)},
    "endless keys": lambda issuer: {"/jwks": Reply(issuer.honest("/jwks").body + b" " * 300_000)},
    "too many keys": lambda issuer: {"/jwks": Reply(issuer.jwks(*[issuer.keys["ed"]] * 101))},
    "keys that are no list": lambda issuer: {"/jwks": Reply(b'{"keys": {"rsa": {}}}')},
    "a list of keys": lambda issuer: {"/jwks": Reply(b"[]")},
    "half of an answer": lambda issuer: {"/jwks": Reply(b'{"keys"', 200, {"Content-Length": "9999"})},
    "an error with keys": lambda issuer: {"/jwks": Reply(issuer.honest("/jwks").body, 500)},
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_answer_that_is_not_an_issuers_brings_no_keys_and_takes_none_away(
    keys: IssuerKeys, issuer: "Issuer", seconds: Seconds, hostile: str
) -> None:
    issuer.replies = HOSTILE[hostile](issuer)
    assert has(keys, "rsa") is None
    issuer.replies = {}
    seconds.now = 60
    assert has(keys, "rsa")
    issuer.replies = HOSTILE[hostile](issuer)
    seconds.now = 2 * HOUR
    assert has(keys, "rsa")
    assert "/elsewhere" not in issuer.asked


def test_keys_over_plain_http_are_not_even_asked_for(keys: IssuerKeys, issuer: "Issuer") -> None:
    class Plain(BaseHTTPRequestHandler):
        asked: ClassVar[list[str]] = []

        def do_GET(self) -> None:
            self.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(issuer.honest("/jwks").body)

        def log_message(self, *arguments: Any) -> None:
            """Keep test output readable."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as plain:
        threading.Thread(target=plain.serve_forever, args=(0.01,), daemon=True).start()
        issuer.replies[DISCOVERY] = discovery(issuer, jwks_uri=f"http://127.0.0.1:{plain.server_address[1]}/jwks")
        assert (has(keys, "rsa"), Plain.asked) == (None, [])
        plain.shutdown()


def test_an_answer_that_drips_in_is_given_up(
    keys: IssuerKeys, issuer: "Issuer", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_keys, "TIMEOUT_SECONDS", 0.2)
    issuer.replies[DISCOVERY] = Reply(discovery(issuer).body, pause=0.05, chunks=100)
    assert has(keys, "rsa") is None


def test_an_issuer_whose_certificate_nobody_vouches_for_is_not_believed(issuer: "Issuer", ca_file: Path) -> None:
    assert has(IssuerKeys(issuer.url), "rsa") is None
    by_address = issuer.url.replace("localhost", "127.0.0.1")
    assert has(IssuerKeys(by_address, ca_file=ca_file), "rsa") is None
    assert issuer.asked == []


def test_a_login_whose_issuer_is_away_may_be_repeated(gate: "Gate") -> None:
    gate.issuer.replies[DISCOVERY] = Reply(b"", 503)
    before = gate.service.stored()
    answer = gate.log_in(gate.good())
    gate.service.problem(answer, 503, "issuer-unavailable")
    assert (answer.headers["Retry-After"], gate.service.stored()) == ("5", before)


def test_proxies_of_the_environment_do_not_stand_between(keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert has(keys, "rsa")
