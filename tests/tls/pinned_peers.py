"""
Real TLS servers on loopback that keep every byte: as it came over the wire, and as it came out of TLS.

They speak just enough of each protocol for its client library to believe them. Bytes are the judge of every test here,
so nothing is thrown away, and ``finish()`` waits until each client has hung up.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
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


class Http:
    """HTTP/1.1 with keep-alive: answers GET requests by *pages*, 404 for the rest, and remembers the paths."""

    def __init__(self, pages: Mapping[str, bytes] | None = None) -> None:
        self.pages = {"/": b"hello"} if pages is None else pages
        self.paths: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, stream: Any) -> None:
        pending = b""
        while piece := stream.recv():
            pending += piece
            while b"\r\n\r\n" in pending:
                head, _, pending = pending.partition(b"\r\n\r\n")
                path = head.split(b" ")[1].decode()
                self.paths.append(path)
                self.gate.wait(PATIENCE_SECONDS)
                body = self.pages.get(path)
                status = b"404 Not Found" if body is None else b"200 OK"
                stream.sendall(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body or b""), body or b""))


def http2(stream: Any) -> None:
    """Answer every HTTP/2 request with 200 and ``hello``."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import RequestReceived

    protocol = H2Connection(H2Configuration(client_side=False))
    protocol.initiate_connection()
    stream.sendall(protocol.data_to_send())
    while piece := stream.recv():
        for event in protocol.receive_data(piece):
            if isinstance(event, RequestReceived):
                protocol.send_headers(event.stream_id, [(":status", "200")])
                protocol.send_data(event.stream_id, b"hello", end_stream=True)
        if outgoing := protocol.data_to_send():
            stream.sendall(outgoing)


def websocket(stream: Any) -> None:
    """Accept the upgrade and send each message back."""
    from websockets.frames import Frame, Opcode
    from websockets.http11 import Request
    from websockets.server import ServerProtocol

    protocol = ServerProtocol()
    while piece := stream.recv():
        protocol.receive_data(piece)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                protocol.send_text(event.data)
        for outgoing in protocol.data_to_send():
            if outgoing:
                stream.sendall(outgoing)
        if protocol.close_expected():
            return


class Proxy:
    """Answers CONNECT and then relays, whatever the name, to the one address it knows."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target

    def __call__(self, stream: Any) -> None:
        pending = b""
        while b"\r\n\r\n" not in pending:
            piece = stream.recv()
            if not piece:
                return
            pending += piece
        with socket.create_connection(self._target) as onward:
            stream.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._back, args=(onward, stream), daemon=True)
            back.start()
            try:
                while piece := stream.recv():
                    onward.sendall(piece)
            finally:
                onward.shutdown(socket.SHUT_WR)
                back.join(PATIENCE_SECONDS)

    @staticmethod
    def _back(onward: socket.socket, stream: Any) -> None:
        try:
            while piece := onward.recv(PIECE):
                stream.sendall(piece)
        except OSError:
            return  # one side has hung up; the other learns it from its own end


class Lines:
    """
    A protocol of lines (SMTP, IMAP, POP3, FTP): a greeting, and an answer by verb.

    Args:
        greeting: the first line.
        answers: reply by verb; ``{tag}`` is the first word of an IMAP command.
        upgrade: the verb after whose answer TLS begins.
        tagged: the verb is the second word.
    """

    def __init__(self, greeting: str, answers: Mapping[str, str], upgrade: str, *, tagged: bool = False) -> None:
        self._greeting, self._answers, self._upgrade, self._tagged = greeting, answers, upgrade, tagged

    def prelude(self, line: Any) -> None:
        """Speak plaintext until the client asks for TLS."""
        line.sendall(self._greeting.encode() + b"\r\n")
        self._speak(line, until=self._upgrade)

    def __call__(self, stream: Any) -> None:
        self._speak(stream, until=None)

    def _speak(self, line: Any, *, until: str | None) -> None:
        pending = b""
        while piece := line.recv():
            pending += piece
            while b"\r\n" in pending:
                command, _, pending = pending.partition(b"\r\n")
                words = command.decode().split()
                verb = words[1 if self._tagged else 0].upper()
                line.sendall(self._answers[verb].format(tag=words[0]).encode() + b"\r\n")
                if verb == until:
                    return


SMTP = Lines(
    "220 ready",
    {"EHLO": "250-here\r\n250 STARTTLS", "STARTTLS": "220 go", "NOOP": "250 hello", "QUIT": "221 bye"},
    "STARTTLS",
)
IMAP = Lines(
    "* OK ready",
    {
        "CAPABILITY": "* CAPABILITY IMAP4rev1 STARTTLS\r\n{tag} OK done",
        "STARTTLS": "{tag} OK go",
        "NOOP": "{tag} OK hello",
        "LOGOUT": "* BYE\r\n{tag} OK done",
    },
    "STARTTLS",
    tagged=True,
)
POP3 = Lines(
    "+OK ready", {"CAPA": "+OK\r\nSTLS\r\n.", "STLS": "+OK go", "NOOP": "+OK hello", "QUIT": "+OK bye"}, "STLS"
)
FTP = Lines(
    "220 ready",
    {"AUTH": "234 go", "USER": "331 go on", "PASS": "230 in", "NOOP": "200 hello", "QUIT": "221 bye"},
    "AUTH",
)
