"""A pin server over real HTTP on loopback, whose answers a test chooses, for a client under an injected clock."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pinwarden import PinClient
from pinwarden.testing import ThrowawayAuthority


@dataclass
class Answer:
    """What one path gives."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class PinServer:
    """Serves *answers* by path, 404 for the rest, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                answer = outer.answers.get(self.path, Answer(b"{}", 404))
                etag = answer.headers.get("ETag")
                if etag and self.headers.get("If-None-Match") == etag:
                    answer = Answer(b"", 304)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [path for path, _ in self.requests]

    def serve(self, authority: ThrowawayAuthority, *, etag: str | None = None) -> None:
        """Serve what *authority* published, for every root, as the real server does."""
        newest = len(authority.roots)
        self.answers = {f"/v1/roots/{n}": Answer(root.to_bytes()) for n, root in enumerate(authority.roots, 1)}
        for root in range(max(1, newest - 8), newest + 1):
            headers = {"ETag": etag} if etag else {}
            path = f"/v1/bundles/{authority.name}/{root}"
            self.answers[path] = Answer(authority.bundle(root=root).to_bytes(), headers=headers)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[PinServer]:
    """A pin server that knows nothing yet."""
    pin_server = PinServer()
    yield pin_server
    pin_server.close()


@pytest.fixture
def authority() -> ThrowawayAuthority:
    """An authority with a published pin set: api.example.com, pins 1 and backup 2."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        made = ThrowawayAuthority()
    made.publish({"api.example.com": [b"1" * 32, b"2" * 32]})
    return made


class TestClock:
    """A clock that a test moves."""

    __test__ = False

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        """Move the clock."""
        self.now += timedelta(**span)


@pytest.fixture
def clock(authority: ThrowawayAuthority) -> TestClock:
    """A clock that starts when the authority issued its documents."""
    return TestClock(authority.now)


@pytest.fixture
def make_client(server: PinServer, authority: ThrowawayAuthority, clock: TestClock, tmp_path: Path) -> Any:
    """Return a function that makes clients of the server with a disk cache; every one is closed afterwards."""
    clients: list[PinClient] = []

    def make(**changes: Any) -> PinClient:
        arguments = {"pinset": "app", "root": authority.root_json, "cache": tmp_path / "cache", "clock": clock}
        client = PinClient(changes.pop("url", server.url), **{**arguments, **changes})
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
