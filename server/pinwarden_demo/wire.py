"""
The way between a client and a service: one loopback address whose far end can be exchanged.

It may import ``socket`` and peers. It moves whole connections and touches no byte, as a hijacked route would.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pinwarden_demo.names import LOOPBACK
from pinwarden_demo.peers import Peer


class Wire:
    """
    Listens on a free loopback port and hands every connection to whoever is at its end.

    Attributes:
        port: the same, whoever is at the end.
    """

    def __init__(self, end: Peer, *, port: int = 0) -> None:
        self._end = end
        self._listener = socket.create_server((LOOPBACK, port), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="demo-wire", daemon=True).start()

    @contextmanager
    def leading_to(self, other: Peer) -> Iterator[Peer]:
        """Put *other* at the end of the wire until the block ends."""
        before, self._end = self._end, other
        try:
            yield other
        finally:
            self._end = before

    def connected(self) -> socket.socket:
        """Return a new connection to whoever is at the end."""
        return socket.create_connection((LOOPBACK, self.port))

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(), where the platform allows it
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._end.take(line)
