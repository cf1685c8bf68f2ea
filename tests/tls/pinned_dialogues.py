"""
What the servers say: just enough of each protocol for its client library to believe them.

A dialogue gets one connection, from which it reads and to which it writes, and returns when the client has left.
"""

import socket
import threading
from collections.abc import Mapping
from typing import Any

from pinned_peers import PATIENCE_SECONDS, PIECE


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

    def over_tls(self, stream: Any) -> None:
        """Speak over TLS from the first line on."""
        stream.sendall(self._greeting.encode() + b"\r\n")
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
