"""
The socket under a connection to Redis, and redis-py's protocol on it.

It may import redis-py's connection, ``limits``, ``deadline`` and the standard library. A step that takes too long, or
brings too much, ends with an error, however the bytes arrive.
"""

import os
import socket
import ssl
from contextlib import suppress
from typing import Any, Self

from redis._parsers import _RESP2Parser
from redis.connection import Connection

from pinwarden.cache_redis import limits
from pinwarden.cache_redis.address import Endpoint
from pinwarden.deadline import Deadline, open_socket


class Line:
    """The socket as redis-py sees it: it ends every step when the time or the bytes for it are used up."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, call: Deadline) -> None:
        self.endpoint = endpoint
        self.call: Deadline | None = call
        self._context = context
        self._socket: socket.socket | None = None
        self._shut = False

    def open(self) -> Self:
        deadline = self._deadline_after(limits.CONNECT_SECONDS)
        raw = open_socket(*self.endpoint, deadline)
        try:
            if self._context is not None:
                raw = self._context.wrap_socket(raw, server_hostname=self.endpoint[0])
            self._socket = raw
            if self._shut:
                raise ConnectionAbortedError("the client is closing")
        except BaseException:
            raw.close()
            raise
        self.allow(limits.ANSWER_SECONDS, limits.SMALL_ANSWER_BYTES)  # for the login
        return self

    def allow(self, seconds: float, limit: int) -> None:
        """Begin a step."""
        self._deadline = self._deadline_after(seconds)
        self._left = limit

    def _deadline_after(self, seconds: float) -> Deadline:
        return Deadline(min(seconds, self.call.check()) if self.call else seconds)

    def shut(self) -> None:
        self._shut = True
        if self._socket is not None:
            with suppress(OSError):
                # Not the method of an SSLSocket, which would take away the object that the other thread reads from.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def let_go(self) -> None:
        line, self._socket = self._socket, None
        if line is not None and (descriptor := line.detach()) >= 0:
            os.close(descriptor)

    def _armed(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionAbortedError("the connection is closed")
        self._socket.settimeout(self._deadline.check())
        return self._socket

    def recv(self, size: int) -> bytes:
        piece = self._armed().recv(size)
        self._left -= len(piece)
        if self._left < 0:
            raise TooMuchError
        return piece

    def sendall(self, content: bytes) -> None:
        self._armed().sendall(content)

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: the deadline of the step decides."""

    def shutdown(self, how: int) -> None:
        if self._socket is not None:
            socket.socket.shutdown(self._socket, how)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class LineConnection(Connection):
    """redis-py's protocol and login, on a line of ours."""

    def __init__(self, line: Line, **arguments: Any) -> None:
        self._line = line
        # Not hiredis, even where it is installed: it makes room for as many elements as a list claims to have.
        super().__init__(parser_class=_RESP2Parser, **arguments)  # type: ignore[no-untyped-call]
        # Redis need not know who we are, nor give a right for it; older releases have the first two, newer the third.
        self.lib_name = self.lib_version = self.driver_info = None

    def _connect(self) -> Line:
        return self._line.open()


class TooMuchError(Exception):
    """More bytes came than the step allows."""
