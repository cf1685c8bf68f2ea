"""
One HTTP answer within bounds: at most 64 KiB of head, and a body counted before and after decompression (spec P1).

It may import ``http.client``, ``deadline`` and errors. It never judges a status or a content, and lets nothing that a
server sent into a message unless it is short and printable.
"""

import zlib
from http.client import HTTPException, HTTPResponse
from io import BufferedReader
from socket import socket
from typing import Any, cast

from pinwarden.deadline import Deadline, TimedReader
from pinwarden.errors import FetchError, MalformedError

MAX_HEAD_BYTES = 64 * 1024
PINS_STAY = "The pins already trusted stay in force."
PIECE = 64 * 1024
_GZIP = 31


class BoundedResponse(HTTPResponse):
    """
    A response that ends with a deadline, and whose whole head is bounded.

    http.client alone would wait anew for each byte, and hold 100 headers of 64 KiB, several times.
    """

    def __init__(self, line: socket, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(line, *arguments, **options)
        self.fp.close()
        self.fp = BufferedReader(TimedReader(line, deadline))

    def begin(self) -> None:
        """Read the head; HTTPException when it is too long or none."""
        stream = self.fp
        self.fp = cast("BufferedReader", _Head(stream))
        super().begin()
        self.fp = stream


class _Head:
    """Counts the lines of a head; everything else is the stream's business."""

    def __init__(self, stream: BufferedReader) -> None:
        self._stream = stream
        self._left = MAX_HEAD_BYTES

    def readline(self, limit: int = -1) -> bytes:
        line = self._stream.readline(limit)
        is_first = self._left == MAX_HEAD_BYTES
        if not line.endswith(b"\n") and len(line) < limit and not (is_first and not line):
            # http.client would take this for the end of the headers; of no answer at all it tells itself.
            raise ConnectionResetError("the answer ended in its head")
        self._left -= len(line)
        if self._left < 0:
            raise HTTPException(f"more than {MAX_HEAD_BYTES} bytes of headers")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def read_body(response: HTTPResponse, limit: int) -> bytes:
    """Read to the end, counting before and after decompression (spec P1)."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise FetchError(
            "the answer has a content encoding that was not asked for",
            expected="gzip or none",
            got=printable(encoding),
            holds=PINS_STAY,
            status=200,
        )
    inflater = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body, received = bytearray(), 0
    while piece := response.read1(PIECE):
        received += len(piece)
        body += _inflate(inflater, piece, limit + 1 - len(body)) if inflater else piece
        if len(body) > limit or received > limit + PIECE:  # gzip adds a little to what it cannot compress
            raise MalformedError("the answer is too large", expected=f"at most {limit} bytes", got="more", step="P1")
    if response.length or (inflater and not inflater.eof):
        raise ConnectionResetError(f"the answer ended early, after {received} bytes")
    response.close()  # read1() does not notice the end, and the connection would not take another request
    return bytes(body)


def _inflate(inflater: "zlib._Decompress", piece: bytes, room: int) -> bytes:
    try:
        inflated = inflater.decompress(piece, room)
    except zlib.error as error:
        raise FetchError(f"the answer is not gzip: {error}", holds=PINS_STAY, status=200) from None
    if inflater.unused_data:  # zlib would go on collecting it
        raise FetchError("the answer goes on after its gzip stream", holds=PINS_STAY, status=200)
    return inflated


def printable(text: str) -> str:
    """Return what a hostile server may put into a log: one short line without control characters."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:200])
    return shown if len(text) <= 200 else f"{shown}..."
