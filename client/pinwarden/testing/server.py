"""
An HTTPS server on loopback with a certificate of its own, which keeps every application byte that reaches it.

It may import the standard library and ``certificates``. It judges nothing: it is the other
end, and what it received is the proof.
"""

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Self

_NAMES = ("localhost", "127.0.0.1")
_PATIENCE_SECONDS = 10.0


class LocalServer:
    """
    HTTPS for ``localhost`` and 127.0.0.1, from a CA that only :meth:`context` and *ca_file* know.

    Use it as a context manager, or call :meth:`close`.

    Args:
        pages: what it answers by path, 404 for the rest; a test may change it at any time.
        names: more host names or addresses for the certificate.

    Attributes:
        url: ``https://localhost:PORT``.
        pin: the 32-byte pin of the key that it presents now.
        ca_pin: that of the CA.
        ca_file: PEM file with the CA, for ``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE`` or ``verify=``.
        connections: how many were opened so far, refused ones included.
    """

    def __init__(self, pages: Mapping[str, bytes] | None = None, *, names: Iterable[str] = ()) -> None:
        from pinwarden.testing.certificates import PrivateCA  # brings an X.509 library, which clients do without

        self.pages: Mapping[str, bytes] = {"/": b"hello"} if pages is None else pages
        self._names = (*_NAMES, *names)
        self._ca = PrivateCA()
        self.ca_pin: bytes = self._ca.pin
        self._folder = tempfile.TemporaryDirectory(prefix="pinwarden-testing-")
        self.ca_file: Path = Path(self._folder.name, "ca.pem")
        self.ca_file.write_bytes(self._ca.pem)
        self._received = bytearray()
        self.connections = 0
        self.pin: bytes = self.rekey()
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self.url: str = f"https://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def rekey(self) -> bytes:
        """Present a new key from the same CA on connections that come from now on, and return its pin."""
        identity = self._ca.issue(*self._names)
        # An unread ticket turns a client's close into a reset, which may overtake what it sent.
        identity.context.num_tickets = 0
        self._context, self.pin = identity.context, identity.pin
        return self.pin

    def context(self) -> ssl.SSLContext:
        """Return an ordinary client context that trusts this server's CA; pins are not part of it."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def received(self) -> bytes:
        """Close, wait until every connection has ended, and return all application bytes that ever arrived."""
        self.close()
        return bytes(self._received)

    def close(self) -> None:
        """Stop, end the connections that clients left open, and give the port back; may be called twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(_PATIENCE_SECONDS)
            self._server.end_connections()
            self._server.server_close()  # waits for the threads of the connections
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for such threads only

    def __init__(self, owner: LocalServer) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Connection)

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """Accept; the handshake is left to the thread of the connection, which may wait for a slow client."""
        plain, address = self.socket.accept()
        self.owner.connections += 1
        line = self.owner._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(line)
        return line, address

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection; it has ended."""
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Hang up wherever a client has not."""
        with self._lock:
            for line in self._open:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: that a client hangs up in the handshake is what pins are for."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile = _Recorded(self.rfile, self.server.owner._received)  # type: ignore[assignment]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        page = self.server.owner.pages.get(self.path)
        body = page or b""
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives
        """Keep the output of tests readable."""


class _Recorded:
    """A stream that notes what is read from it."""

    def __init__(self, stream: BufferedIOBase, record: bytearray) -> None:
        self._stream, self._record = stream, record

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        self._record += line
        return line

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        self._record += piece
        return piece

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return self._stream.closed
