"""
Pin servers on loopback for clients under an injected clock: one that speaks HTTP and one that a test drives by bytes.

Both listen on real sockets. Neither judges anything.
"""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

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
        self.ports: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.ports.append(self.client_address[1])
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

    def join(self) -> None:
        """Wait until every connection has ended; the client must have closed them."""
        for thread in self._connections():
            thread.join()

    def _connections(self) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]

    def close(self) -> None:
        """Stop listening; connections that clients closed end before the next test counts what is open."""
        self._server.shutdown()
        self._server.server_close()
        for thread in self._connections():
            thread.join(0.5)


class Line:
    """One connection of a RawServer, driven by a test's script."""

    def __init__(self, stream: socket.socket, heads: list[bytes]) -> None:
        self._stream = stream
        self._heads = heads

    def head(self) -> bytes:
        """Read one request; b"" when the client hung up instead."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = self._stream.recv(1)
            if not piece:
                return b""
            head += piece
        self._heads.append(head)
        return head

    def send(self, content: bytes) -> None:
        """Send *content* whole."""
        self._stream.sendall(content)

    def wait_for_end(self) -> None:
        """Wait until the client hangs up."""
        with suppress(OSError):
            while self._stream.recv(65536):
                pass

    def close(self) -> None:
        """Hang up without a TLS farewell."""
        self._stream.close()

    def unwrap(self) -> None:
        """Hang up with one."""
        self._stream.settimeout(0.1)
        with suppress(OSError):
            self._stream.unwrap()
        self._stream.close()


class RawServer:
    """
    Plays one script per connection, the last one again for all that follow, and keeps the request heads.

    Args:
        context: speaks TLS by it; a failed handshake ends the connection without its script.
        host: the address to listen on.
    """

    def __init__(
        self, *scripts: Callable[[Line], object], context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._scripts = scripts
        self._context = context
        self._socket = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._socket.getsockname()[1]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The address of the server, by its IPv4 address."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}"

    def _listen(self) -> None:
        while True:
            stream, _ = self._socket.accept()
            if self._stop.is_set():
                stream.close()
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._threads.append(threading.Thread(target=self._play, args=(script, stream)))
            self._threads[-1].start()

    def _play(self, script: Callable[[Line], object], stream: socket.socket) -> None:
        stream.settimeout(10)
        with stream, suppress(OSError):  # the client may hang up at any time
            if self._context:
                with self._context.wrap_socket(stream, server_side=True) as secure:
                    script(Line(secure, self.heads))
            else:
                script(Line(stream, self.heads))

    def join_connections(self) -> None:
        """Wait until every connection so far has ended."""
        for thread in self._threads[1:]:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop listening; wait for the connections, which the client must have closed."""
        self._stop.set()
        socket.create_connection(self._socket.getsockname()[:2]).close()
        self._threads[0].join()
        self.join_connections()
        self._socket.close()


@contextmanager
def nothing_left_open() -> Iterator[None]:
    """Prove that the block leaves neither a thread nor a file descriptor behind."""
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    yield
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread not in threads:
            thread.join(5)  # a cancelled timer needs a moment to notice
    assert set(threading.enumerate()) - threads == set()
    assert set(os.listdir("/proc/self/fd")) - descriptors == set()


@pytest.fixture
def nothing_left() -> Any:
    """The context manager that proves that its block left nothing open."""
    return nothing_left_open


@pytest.fixture
def raw_server() -> type[RawServer]:
    """The class, to be used as a context manager."""
    return RawServer


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
