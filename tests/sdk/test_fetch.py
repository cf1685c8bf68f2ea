"""
A hostile pin server over real sockets: whatever it answers is a typed error and changes nothing.

The client here is a Fetcher under a short deadline, an Updater and a disk cache that hold version 1.
"""

import gzip
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pinwarden import FetchError, MalformedError, PinwardenError
from pinwarden.cache import DiskCache
from pinwarden.fetch import Fetcher
from pinwarden.trust import TrustState, begin
from pinwarden.update import Updater

DEADLINE = 0.25
MEBIBYTE = 1024 * 1024
PIECE = b"x" * 65536
PINS_STAY = "The pins already trusted stay in force."


@dataclass
class Holder:
    """A client that holds version 1, in memory and on disk."""

    state: TrustState
    folder: Path

    def update(self, url: str, **options: Any) -> TrustState:
        """Ask the server at *url* once, and hang up."""
        adopted: list[TrustState] = []
        fetcher = Fetcher(url, **options)
        try:
            cache = DiskCache(self.folder, self.state.authority, self.state.name)
            return Updater(fetcher, cache, adopt=adopted.append).update(self.state, self.state.chain[0].issued)
        except PinwardenError:
            assert adopted == []
            raise
        finally:
            fetcher.close()

    def files(self) -> dict[str, bytes]:
        """Return the content of the cache folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


@pytest.fixture
def holder(authority: Any, tmp_path: Path) -> Holder:
    """A client that has fetched version 1."""
    cache = DiskCache(tmp_path / "cache", authority.authority, authority.name)
    fresh = begin(authority.root_json, name=authority.name)
    bundle = authority.bundle()

    class Source:
        def bundle(self, *_: object, **__: object) -> Any:
            return type("Answer", (), {"body": bundle.to_bytes(), "etag": None})

    state = Updater(Source(), cache, adopt=lambda _: None).update(fresh, authority.now)
    return Holder(state, tmp_path / "cache")


def answer(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = -1, then: str = "close"
) -> Callable[[Any], None]:
    """Return a script that answers one request; *length* -1 tells the truth, None tells nothing; then close or wait."""
    lines = [f"HTTP/1.1 {status}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body, then=then)


def raw(content: bytes, *, then: str = "close") -> Callable[[Any], None]:
    """Return a script that answers one request with exactly *content*."""

    def script(line: Any) -> None:
        line.head()
        line.send(content)
        if then == "wait":
            line.wait_for_end()

    return script


def drip(head: bytes, piece: bytes) -> Callable[[Any], None]:
    """Return a script that sends *piece* every few milliseconds until the client has had enough, or this test."""

    def script(line: Any) -> None:
        line.head()
        line.send(head)
        for _ in range(1000):
            line.send(piece)
            time.sleep(0.01)
        raise AssertionError("the client listens on after its deadline")

    return script


def flood(head: bytes, piece: bytes = PIECE) -> Callable[[Any], None]:
    """Return a script that sends without end, as fast as the client takes it."""

    def script(line: Any) -> None:
        line.head()
        line.send(head)
        while True:
            line.send(piece)

    return script


def silent(line: Any) -> None:
    """Take the request and never answer."""
    line.head()
    line.wait_for_end()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ZIPPED = OK + b"Content-Encoding: gzip\r\n"
LATE = f"no complete answer within {DEADLINE:g} s"
HTML = b"<!doctype html><title>Log in to this network</title>"

# name: (what the server does, error, words of its message, FetchError.status)
HOSTILE: dict[str, tuple[Callable[[Any], None], type[PinwardenError], str, int | None]] = {
    "never answers": (silent, FetchError, LATE, None),
    "drips its status line": (drip(b"HTTP/1.1 200", b" "), FetchError, LATE, None),
    "drips its headers": (drip(OK, b"X: y\r\n"), FetchError, LATE, None),
    "drips a body of known length": (drip(OK + b"Content-Length: 9999\r\n\r\n", b" "), FetchError, LATE, None),
    "drips a body of unknown length": (drip(OK + b"\r\n", b" "), FetchError, LATE, None),
    "drips chunks": (drip(CHUNKED, b"1\r\nx\r\n"), FetchError, LATE, None),
    "drips a gzip header": (drip(ZIPPED + b"\r\n\x1f\x8b\x08\x08" + bytes(6), b"n"), FetchError, LATE, None),
    "drips the body of a 404": (drip(b"HTTP/1.1 404 No\r\nContent-Length: 999\r\n\r\n", b" "), FetchError, "404", 404),
    "never ends its body": (flood(OK + b"\r\n"), MalformedError, "too large", None),
    "never ends its chunks": (flood(CHUNKED, b"10000\r\n" + PIECE + b"\r\n"), MalformedError, "too large", None),
    "hides its megabytes behind gzip": (
        answer(gzip.compress(bytes(64 * MEBIBYTE)), "Content-Encoding: gzip"),
        MalformedError,
        "too large",
        None,
    ),
    "goes on after its gzip stream": (
        flood(ZIPPED + b"\r\n" + gzip.compress(b"{}")),
        FetchError,
        "goes on after its gzip stream",
        200,
    ),
    "never ends its gzip header": (
        flood(ZIPPED + b"\r\n\x1f\x8b\x08\x08" + bytes(6)),
        MalformedError,
        "too large",
        None,
    ),
    "truncates its gzip stream": (
        answer(gzip.compress(os.urandom(999))[:-9], "Content-Encoding: gzip"),
        FetchError,
        "ended early",
        None,
    ),
    "lies about gzip": (answer(b"{}", "Content-Encoding: gzip"), FetchError, "the answer is not gzip", 200),
    "sends raw deflate as gzip": (
        answer(zlib.compress(b"{}"), "Content-Encoding: gzip"),
        FetchError,
        "the answer is not gzip",
        200,
    ),
    "encodes with what was not asked for": (
        answer(b"{}", "Content-Encoding: br\x1b[31m"),
        FetchError,
        "not asked for: expected gzip or none, got br?[31m.",
        200,
    ),
    "promises more than it sends": (answer(b"{}", length=999), FetchError, "ended early, after 2 bytes", None),
    "promises less than it sends": (answer(b'{"roots": []}', length=5), MalformedError, "not JSON", None),
    "promises a negative length": (answer(b"{}", length=-9), MalformedError, "roots of the bundle", None),
    "sends a chunk size that is none": (raw(CHUNKED + b"zz\r\n{}\r\n"), FetchError, "not HTTP (IncompleteRead", None),
    "sends a negative chunk size": (raw(CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n"), FetchError, "not HTTP", None),
    "cuts a chunk": (raw(CHUNKED + b"ff\r\n{}"), FetchError, "not HTTP", None),
    "hangs up at once": (lambda line: line.close(), FetchError, "cannot be asked", None),
    "hangs up in its status line": (raw(b"HTTP/1.1 200 O"), FetchError, "the answer ended in its head", None),
    "hangs up in the head": (raw(OK + b"Content-"), FetchError, "the answer ended in its head", None),
    "hangs up between headers": (raw(OK + b"X: y\r\n"), FetchError, "the answer ended in its head", None),
    "hangs up in the body": (raw(OK + b"Content-Length: 99\r\n\r\n{"), FetchError, "ended early, after 1 bytes", None),
    "speaks HTTP/0.9": (raw(b"{}\n"), FetchError, "not HTTP ({}?)", None),
    "speaks HTTP/9": (raw(b"HTTP/9.9 200 OK\r\n\r\n"), FetchError, "not HTTP (HTTP/9.9)", None),
    "speaks SSH": (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), FetchError, "not HTTP (SSH-2.0", None),
    "fills the log with its status line": (raw(b"\x1b[2J" * 16000 + b"\r\n"), FetchError, "not HTTP", None),
    "fills the log with its reason": (answer(status=f"500 {'a' * 60000}"), FetchError, "500 Internal", 500),
    "colours the log with its reason": (answer(status="500 \x1b[31mred"), FetchError, "500 Internal", 500),
    "sends endless headers": (flood(OK, b"X: y\r\n" * 1000), FetchError, "not HTTP (got more than 100 headers)", None),
    "sends one endless header": (flood(OK + b"X: "), FetchError, "not HTTP (more than 65536 bytes of headers)", None),
    "answers 100 for ever": (
        flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        FetchError,
        "not HTTP (more than 65536 bytes of headers)",
        None,
    ),
    "answers early hints": (
        raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}"),
        FetchError,
        "expected 200, got 103 Early Hints",
        103,
    ),
    "answers 200 without a body": (answer(), MalformedError, "not JSON", None),
    "answers 204": (answer(status="204 No Content"), FetchError, "got 204 No Content", 204),
    "answers 206": (answer(b"{", status="206 Partial Content"), FetchError, "got 206 Partial Content", 206),
    "answers 304 to no question": (
        answer(status="304 Not Modified", length=None, then="wait"),
        FetchError,
        "expected 200, because nothing was asked to be compared, got 304 Not Modified. " + PINS_STAY,
        304,
    ),
    "answers 404": (answer(b"{}", status="404 Not Found"), FetchError, "does not know this pin set", 404),
    "answers 410": (answer(b"{}", status="410 Gone"), FetchError, "got 410 Gone", 410),
    "answers 429": (answer(b"{}", status="429 Slow down"), FetchError, "got 429 Too Many Requests", 429),
    "answers 500": (answer(b"{}", status="500 Oh"), FetchError, "got 500 Internal Server Error", 500),
    "answers 503": (answer(b"{}", status="503 No"), FetchError, "got 503 Service Unavailable", 503),
    "answers 599 with an endless page": (flood(b"HTTP/1.1 599 Proxy\r\n\r\n"), FetchError, "got 599.", 599),
    "is a captive portal": (
        answer(HTML, "Content-Type: text/html; charset=utf-8"),
        FetchError,
        "answered with a web page: expected a bundle, got text/html. "
        + PINS_STAY
        + " A captive portal or a proxy may stand in the way.",
        200,
    ),
    "is a captive portal without a type": (answer(HTML), MalformedError, "bundle is not JSON", None),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_answer_is_a_typed_error_and_changes_nothing_when_the_server(
    case: str, holder: Holder, raw_server: Any, nothing_left: Any
) -> None:
    script, error, words, status = HOSTILE[case]
    before = holder.files()
    deadline = DEADLINE if words == LATE else 1.0 if case == "drips the body of a 404" else 10.0
    with nothing_left(), raw_server(script) as server, pytest.raises(error) as failed:
        holder.update(server.url, deadline_seconds=deadline)
    message = str(failed.value)
    assert words in message
    assert getattr(failed.value, "status", None) == status
    assert "stay" in message  # what still holds
    assert len(message) < 600
    assert message.isprintable()
    assert holder.files() == before


BULKY = {
    "gzip bomb": HOSTILE["hides its megabytes behind gzip"][0],
    "bytes after gzip": HOSTILE["goes on after its gzip stream"][0],
    "endless body": HOSTILE["never ends its body"][0],
    "endless page with a refusal": HOSTILE["answers 599 with an endless page"][0],
    "headers as large as http.client takes": raw(
        OK + b"X: " + b"y" * 65000 + b"\r\n" + (b"X: " + b"y" * 65000 + b"\r\n") * 98
    ),
}


@pytest.mark.parametrize("case", BULKY)
def test_no_answer_costs_more_than_eight_mebibytes(case: str, holder: Holder, raw_server: Any) -> None:
    tracemalloc.start()
    try:
        with raw_server(BULKY[case]) as server, pytest.raises(PinwardenError):
            holder.update(server.url, deadline_seconds=10.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEBIBYTE
