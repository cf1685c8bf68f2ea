"""
Reports on their way out: one connection of their own, normal certificate checks, no pins (spec section 8, E10).

It may import ``fetch``'s context and parts, ``answer``, ``deadline`` and errors. It follows no redirect, sends nothing
over plain http, and gives one batch ten seconds in all.
"""

import ssl
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from pinwarden.answer import PIECE, BoundedResponse, printable
from pinwarden.deadline import Deadline, open_socket
from pinwarden.fetch import parse_retry_after

# What a server says when it would take the same report later.
_LATER = (408, 425, 429)


class Target(NamedTuple):
    """Where reports go: the parts of ``report_to``."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Target":
        """Parse an address that the gate of pin sets let through; ValueError when no connection could be made to it."""
        parts = urlsplit(url)
        if parts.scheme.lower() != "https" or not parts.hostname or parts.port == 0:
            raise ValueError("it is no https address of a host")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.hostname, parts.port or 443, path)

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        return f"https://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Delivery(NamedTuple):
    """
    How far a batch came.

    Attributes:
        taken: how many reports, from the first on, need no further attempt.
        refused: how many of these the server will never take.
        failure: why the rest was not sent, or None when nothing is left.
        retry_after: seconds that the server asked to wait, or None.
    """

    taken: int
    refused: int
    failure: str | None
    retry_after: float | None = None


def deliver(target: Target, bodies: Sequence[bytes], context: ssl.SSLContext, *, seconds: float) -> Delivery:
    """Post each of *bodies* over one connection, or more where the server ends it; never raises for what they do."""
    taken = refused = 0
    connection = HTTPConnection(target.host, target.port)
    try:
        deadline = Deadline(seconds)
        with closing(connection):
            for body in bodies:
                if connection.sock is None:
                    _connect(connection, context, deadline)
                status, retry_after = _post(connection, target, body, deadline)
                if status >= 500 or status in _LATER:
                    return Delivery(taken, refused, f"it answered {status}", retry_after)
                taken += 1
                refused += not 200 <= status < 300
    except (OSError, HTTPException, UnicodeError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
        return Delivery(taken, refused, printable(reason))
    return Delivery(taken, refused, None)


def _connect(connection: HTTPConnection, context: ssl.SSLContext, deadline: Deadline) -> None:
    line = open_socket(connection.host, connection.port, deadline)
    try:
        connection.sock = context.wrap_socket(line, server_hostname=connection.host)
    except BaseException:
        line.close()
        raise
    connection.response_class = partial(BoundedResponse, deadline=deadline)  # type: ignore[assignment]
    connection.auto_open = 0  # it would open a plain one


def _post(connection: HTTPConnection, target: Target, body: bytes, deadline: Deadline) -> tuple[int, float | None]:
    connection.sock.settimeout(deadline.check())
    headers = {"Content-Type": "application/json", "User-Agent": "pinwarden-python", "Accept-Encoding": "identity"}
    connection.request("POST", target.path, body=body, headers=headers)
    response = connection.getresponse()
    try:
        left = PIECE
        while left > 0 and (piece := response.read1(left)):
            left -= len(piece)
        if left <= 0 or response.will_close:
            connection.close()
        return response.status, parse_retry_after(response.headers.get("Retry-After"))
    finally:
        with suppress(OSError):
            response.close()
