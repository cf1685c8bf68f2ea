"""
Who speaks TLS at the far end of a connection: real services, and the interceptor that stands in their place.

It may import ``ssl``, ``socket`` and certificates. Each peer counts every application byte that it reads after its
handshake; nothing here knows of pins.
"""

import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pinwarden.strict_json import encode_base64
from pinwarden.testing.certificates import Identity
from pinwarden_demo.errors import CannotMeasure

PATIENCE_SECONDS = 10.0
_MOST_BYTES = 64 * 1024


class Peer:
    """
    Answers one HTTP request per TLS connection, each in a thread of its own.

    Attributes:
        identity: what it presents to the next connection.
        connections, bytes_read: how many were taken, and the application bytes read from all of them.
        served: requests answered, by the base64 pin of the key that was presented.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.connections = 0
        self.bytes_read = 0
        self.served: Counter[str] = Counter()
        self._open = 0
        self._quiet = threading.Condition()

    def take(self, line: socket.socket) -> None:
        """Serve the accepted connection *line*; returns at once."""
        with self._quiet:
            self.connections += 1
            self._open += 1
        threading.Thread(target=self._serve, args=(line, self.identity), name="demo-peer", daemon=True).start()

    @contextmanager
    def presenting(self, identity: Identity) -> Iterator[None]:
        """Present *identity* until the block ends."""
        before, self.identity = self.identity, identity
        try:
            yield
        finally:
            self.identity = before

    def settle(self) -> None:
        """Return when every connection has ended, so that the counters are final."""
        with self._quiet:
            if not self._quiet.wait_for(lambda: self._open == 0, PATIENCE_SECONDS):
                raise CannotMeasure(f"{self._open} connections did not end within {PATIENCE_SECONDS:g} s")

    def answer(self, request: bytes) -> bytes:
        """Return the whole answer to *request*."""
        raise NotImplementedError

    def _serve(self, line: socket.socket, identity: Identity) -> None:
        try:
            line.settimeout(PATIENCE_SECONDS)
            with identity.context.wrap_socket(line, server_side=True) as secured:
                request = self._read(secured)
                if request:
                    secured.sendall(self.answer(request))
                    with self._quiet:
                        self.served[encode_base64(identity.pin)] += 1
        except OSError:
            return  # a client that refuses this peer hangs up, which is what the counters are to show
        finally:
            line.close()
            with self._quiet:
                self._open -= 1
                self._quiet.notify_all()

    def _read(self, secured: ssl.SSLSocket) -> bytes:
        """Read to the end of the request's head, counting; GET has no body."""
        request = b""
        while b"\r\n\r\n" not in request and len(request) < _MOST_BYTES:
            piece = secured.recv(4096)
            if not piece:
                return b""
            with self._quiet:
                self.bytes_read += len(piece)
            request += piece
        return request


class Service(Peer):
    """A real HTTPS service: it greets, and names the host it was asked for."""

    def answer(self, request: bytes) -> bytes:
        """Return 200 with a line of text."""
        host = re.search(rb"^Host: *([A-Za-z0-9.-]+)", request, re.MULTILINE | re.IGNORECASE)
        body = b"hello from %s\n" % (host[1] if host else b"nobody")
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


class Interceptor(Peer):
    """
    A man in the middle: its own certificate, from a CA that the client trusts, towards the client; the real service
    behind it. A client that lets it through sees the true answer and nothing unusual.

    Args:
        identity: its certificate for the service's name.
        name, service: whom it plays, and to whom it passes on what it read.
        trust: a client context that trusts the service's CA.
    """

    def __init__(self, identity: Identity, name: str, service: Service, trust: ssl.SSLContext) -> None:
        super().__init__(identity)
        self._name = name
        self._service = service
        self._trust = trust

    def answer(self, request: bytes) -> bytes:
        """Pass *request* on over TLS of its own, and return the service's answer unchanged."""
        near, far = socket.socketpair()
        near.settimeout(PATIENCE_SECONDS)
        self._service.take(far)
        with self._trust.wrap_socket(near, server_hostname=self._name) as upstream:
            upstream.sendall(request)
            return b"".join(iter(lambda: upstream.recv(65536), b""))
