"""
Real TLS servers on loopback that keep every byte: as it came over the wire, and as it came out of TLS.

Bytes are the judge of every test here, so nothing is thrown away, and ``finish()`` waits until each client has hung up.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

PIECE = 65536
PATIENCE_SECONDS = 10.0


class Line:
    """A TCP connection that records what it receives."""

    def __init__(self, line: socket.socket, record: bytearray) -> None:
        self._line = line
        self._record = record
        self.sendall = line.sendall

    def recv(self) -> bytes:
        """Return the next bytes, or none at the end."""
        piece = self._line.recv(PIECE)
        self._record += piece
        return piece


class TlsLine:
    """The server's end of TLS over a line; may be read by one thread and written by another."""

    def __init__(self, line: Any, context: ssl.SSLContext, record: bytearray) -> None:
        self._line, self._record = line, record
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._lock = threading.Lock()
        self._pump(self.tls.do_handshake)

    def recv(self) -> bytes:
        """Return the next application bytes, or none after close_notify or at the end."""
        try:
            piece: bytes = self._pump(lambda: self.tls.read(PIECE))
        except ssl.SSLZeroReturnError:
            return b""
        self._record += piece
        return piece

    def sendall(self, payload: bytes) -> None:
        """Send *payload*."""
        self._pump(lambda: self.tls.write(payload))

    def say_farewell(self) -> None:
        """End TLS as its standard asks for, and wait until the client has done the same."""
        self._pump(self.tls.unwrap)

    def _pump(self, step: Callable[[], Any]) -> Any:
        while True:
            with self._lock:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    pass
                finally:
                    if self._outgoing.pending:
                        self._line.sendall(self._outgoing.read())
            piece = self._line.recv()
            with self._lock:
                self._incoming.write(piece) if piece else self._incoming.write_eof()


Dialogue = Callable[[Any], None]


class Peer:
    """
    A server with one dialogue.

    Args:
        context: its TLS context, or None for a server without TLS.
        dialogue: what it says once TLS is up.
        prelude: what it says before, in plaintext (STARTTLS); it returns when TLS shall begin.

    Attributes:
        wire: what arrived before and below TLS.
        received: what arrived inside TLS: the application bytes.
        connections, handshakes: how many there were.
        sessions_reused: how many of the handshakes resumed a session.
        failures: what ended connections early.
    """

    def __init__(self, context: ssl.SSLContext | None, dialogue: Dialogue, prelude: Dialogue | None = None) -> None:
        self.context, self._dialogue, self._prelude = context, dialogue, prelude
        self.wire, self.received = bytearray(), bytearray()
        self.connections = self.handshakes = self.sessions_reused = 0
        self.failures: list[Exception] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._last = socket.socket()
        self._last.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def finish(self) -> bytes:
        """Wait until every client has hung up, and return all application bytes that ever arrived."""
        self._stop()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "a client left its connection open"
        return bytes(self.received)

    def _stop(self) -> None:
        if self._acceptor.is_alive():
            # Closing a listener does not wake accept(); a connection does, and stands behind all that came before it.
            self._last.connect(self.address)
            self._acceptor.join(PATIENCE_SECONDS)
        self._last.close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            line, origin = self._listener.accept()
            if origin == self._last.getsockname():
                line.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        with raw:
            line = Line(raw, self.wire)
            try:
                if self._prelude:
                    self._prelude(line)
                self._dialogue(self._secure(line) if self.context else line)
                raw.shutdown(socket.SHUT_WR)
            except OSError as failure:
                self.failures.append(failure)
            try:
                while line.recv():  # whatever a client still says after TLS failed is what hole 2 is about
                    pass
            except OSError as failure:
                self.failures.append(failure)

    def _secure(self, line: Line) -> TlsLine:
        stream = TlsLine(line, self.context, self.received)
        self.handshakes += 1
        self.sessions_reused += bool(stream.tls.session_reused)
        return stream


def echo(stream: Any) -> None:
    """Send back whatever comes."""
    while piece := stream.recv():
        stream.sendall(piece)
