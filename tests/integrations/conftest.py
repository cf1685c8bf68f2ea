"""Servers that count bytes, and a proxy in front of them, for the ready sessions of each library."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from pinwarden.testing import LocalServer
from pinwarden.testing.plugin import enforce_pins, local_server, throwaway_authority, throwaway_pins  # noqa: F401


class TlsProxy:
    """
    An HTTPS proxy on loopback that answers CONNECT and relays to one server, whatever the name.

    Its certificate is for localhost, from a CA of its own; ``asked`` is what clients said to it inside TLS.
    """

    def __init__(self, server: LocalServer) -> None:
        self._target = ("127.0.0.1", server.port)
        self._identity = LocalServer()  # for its CA and its key alone
        self.pin, self.ca_file, self.context = self._identity.pin, self._identity.ca_file, self._identity.context
        self.asked = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop, and wait for the connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()
        self._identity.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(plain,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, suppress(OSError), self._identity._context.wrap_socket(plain, server_side=True) as line:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = line.recv(1)
                if not piece:
                    return
                head += piece
                self.asked += piece
            with socket.create_connection(self._target) as onward:
                line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                relay(line, onward)


def relay(one: Any, other: socket.socket) -> None:
    """Carry bytes both ways until one side has ended."""
    while True:
        ready = [one] if one.pending() else select.select([one, other], [], [], 10)[0]
        for source in ready:
            piece = source.recv(65536)
            if not piece:
                return
            (other if source is one else one).sendall(piece)


@pytest.fixture(autouse=True)
def _no_proxies_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "curl_ca_bundle",
        "requests_ca_bundle",
        "ssl_cert_file",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy(local_server: LocalServer) -> Iterator[TlsProxy]:  # noqa: F811 - that is how a fixture is asked for
    made = TlsProxy(local_server)
    yield made
    made.close()
