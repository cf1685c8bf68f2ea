"""A hostile pin server, and real SDK clients that ask it: what they trust afterwards is all that counts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pinwarden import PinClient
from pinwarden.errors import PinwardenError


class HostileServer:
    """Answers GET by path with whatever the attacker put there."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.answers.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def hostile_server() -> Iterator[HostileServer]:
    server = HostileServer()
    try:
        yield server
    finally:
        server.close()


def ask(url: str, root: bytes, cache: Path, *, now: datetime, name: str = "payments") -> tuple[bytes | None, str]:
    """
    Let a real client refresh once.

    Returns:
        the payload of the pin set that it trusts afterwards (None: nothing), and what it said to the answer.
    """
    client = PinClient(url, pinset=name, root=root, cache=cache, telemetry=False, clock=lambda: now)
    try:
        client.refresh()
        said = "accepted"
    except PinwardenError as error:
        said = type(error).__name__
    finally:
        client.close()
    held = client._guard.snapshot.trust
    # Only what is in force: a pin set that no root vouches for any more protects nobody.
    return (held.adopted_pinset.envelope.payload if held.pinset and held.adopted_pinset else None), said
