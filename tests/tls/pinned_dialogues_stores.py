"""
What the servers of stores and queues say: just enough of each protocol for its client library to believe them.

A dialogue gets one connection, as in ``pinned_dialogues``; the formats of MongoDB and AMQP are written by their own
client libraries.
"""

import struct
from collections.abc import Iterator
from typing import Any


def redis(stream: Any) -> None:
    """Answer GET with ``hello``, and everything that a client says before it with OK."""
    for command in _redis_commands(stream):
        if command[0] == b"HELLO":
            stream.sendall(b"%3\r\n+server\r\n+redis\r\n+version\r\n+7.4.0\r\n+proto\r\n:3\r\n")
        else:
            stream.sendall(b"$5\r\nhello\r\n" if command[0] == b"GET" else b"+OK\r\n")


def _redis_commands(stream: Any) -> Iterator[list[bytes]]:
    """Yield each command, an array of strings: ``*2 $3 GET $3 key``, every word on a line of its own."""
    pending: list[bytes] = []
    rest = b""
    while piece := stream.recv():
        *lines, rest = (rest + piece).split(b"\r\n")
        pending += lines
        while pending and len(pending) > 2 * (count := int(pending[0][1:])):
            yield pending[2 : 2 * count + 1 : 2]
            del pending[: 2 * count + 1]


def mongo(stream: Any) -> None:
    """Be a server of one's own: say so to ``hello``, and be fine to everything else."""
    import bson

    about = {
        "helloOk": True,
        "isWritablePrimary": True,
        "maxBsonObjectSize": 16 << 20,
        "maxMessageSizeBytes": 48 << 20,
        "maxWriteBatchSize": 1000,
        "minWireVersion": 0,
        "maxWireVersion": 21,
        "greeting": "hello",
        "ok": 1.0,
    }
    reads = _Exactly(stream)
    while head := reads.take(16):
        length, request, _, code = struct.unpack("<iiii", head)
        reads.take(length - 16)
        document = bson.encode(about)
        if code == 2004:  # OP_QUERY, as old clients begin; answered by OP_REPLY
            reply, body = 1, struct.pack("<iqii", 8, 0, 0, 1) + document
        else:  # OP_MSG
            reply, body = 2013, struct.pack("<IB", 0, 0) + document
        stream.sendall(struct.pack("<iiii", 16 + len(body), 1, request, reply) + body)


def amqp(stream: Any) -> None:
    """Open a connection of AMQP 0-9-1, tell a greeting among the properties, and close it again."""
    from pika import frame, spec

    def say(method: Any) -> None:
        stream.sendall(frame.Method(0, method).marshal())

    pending = b""
    while piece := stream.recv():
        pending += piece
        while True:
            used, got = frame.decode_frame(pending)
            if got is None:
                break
            pending = pending[used:]
            if isinstance(got, frame.ProtocolHeader):
                say(spec.Connection.Start(server_properties={"product": "hello"}, mechanisms="PLAIN", locales="en_US"))
            elif isinstance(got.method, spec.Connection.StartOk):
                say(spec.Connection.Tune(channel_max=8, frame_max=131072, heartbeat=0))
            elif isinstance(got.method, spec.Connection.Open):
                say(spec.Connection.OpenOk())
            elif isinstance(got.method, spec.Connection.Close):
                say(spec.Connection.CloseOk())
                return


class _Exactly:
    """Reads so many bytes at a time; none once the connection has ended."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._pending = stream, b""

    def take(self, size: int) -> bytes:
        while len(self._pending) < size:
            piece = self._stream.recv()
            if not piece:
                return b""
            self._pending += piece
        taken, self._pending = self._pending[:size], self._pending[size:]
        return taken
