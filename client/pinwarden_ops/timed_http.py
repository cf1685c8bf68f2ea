"""
One server's HTTP under one deadline for each request, from the name of its host to the last byte of its answer.

It may import ``http.client`` and, of layer 0, the address, the answer, the deadline and the context of its own
requests. It judges no answer, follows no redirect, and sends nothing twice.
"""

import selectors
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import socket
from ssl import SSLContext
from threading import Thread
from typing import NamedTuple

from pinwarden.address import Address
from pinwarden.answer import BoundedResponse
from pinwarden.deadline import Deadline, Targets, connect_first, find_targets
from pinwarden.fetch import own_context

RECORD = 16 * 1024  # bytes of a TLS record, which is what one call sends at most


class NotSent(Exception):
    """There is no connection, and the server was sent nothing of the request; the cause says why."""


class Exchanged(NamedTuple):
    """An answer; *body* has at most one byte more than was asked for."""

    status: int
    etag: str | None
    body: bytes


class TimedHTTP:
    """
    Asks one server, over one connection that is kept.

    Proxies named in the environment are not used.

    Args:
        ca_file: PEM file with the CAs that may certify the server; default: the system's.
    """

    def __init__(self, address: Address, *, ca_file: Path | None) -> None:
        self._address, self._ca_file = address, ca_file
        self._context: SSLContext | None = None
        self._connection = HTTPConnection(address.host, address.port)
        weakref.finalize(self, self._connection.close)

    def exchange(
        self, method: str, path: str, *, headers: Mapping[str, str], content: bytes | None, seconds: float, limit: int
    ) -> Exchanged:
        """
        Send one request and return its answer, of its body *limit* bytes and one more at most.

        Raises:
            NotSent: from a TimeoutError, or another OSError. ConfigError: the CAs cannot be read.
            TimeoutError: *seconds* were over. OSError, HTTPException: no whole answer came.
        """
        deadline = Deadline(seconds)
        line = self._connect(deadline)
        try:
            self._send(line, deadline, method, path, headers, content)
            return self._receive(limit)
        except BaseException:
            self._connection.close()  # what is left of the answer would be taken for the next one
            raise

    def _send(
        self,
        line: socket,
        deadline: Deadline,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None,
    ) -> None:
        self._connection.response_class = partial(BoundedResponse, deadline=deadline)  # type: ignore[assignment]
        line.settimeout(deadline.check())
        if content is None:
            self._connection.request(method, path, headers=dict(headers))
        else:
            counted = {**headers, "Content-Length": str(len(content))}
            self._connection.request(method, path, _pieces(content, line, deadline), counted)

    def _receive(self, limit: int) -> Exchanged:
        response = self._connection.getresponse()
        body = response.read(limit + 1)
        if response.length and len(body) <= limit:
            raise ConnectionResetError(f"the answer ended early, after {len(body)} bytes")
        if not response.isclosed() or response.will_close or response.status < 200:
            self._connection.close()
            response.close()
        return Exchanged(response.status, response.headers.get("ETag"), body)

    def _connect(self, deadline: Deadline) -> socket:
        kept = self._connection.sock
        if kept is not None and not _says_something(kept):
            return kept
        self._connection.close()
        if self._address.secure and self._context is None:
            self._context = own_context(str(self._ca_file) if self._ca_file else None)
        try:
            self._connection.sock = line = self._opened(deadline)
        except (OSError, ValueError) as error:
            raise NotSent from error
        return line

    def _opened(self, deadline: Deadline) -> socket:
        line = connect_first(_resolved(self._address, deadline), deadline)
        try:
            if self._context is not None:
                return self._context.wrap_socket(line, server_hostname=self._address.host.rstrip("."))
        except BaseException:
            line.close()
            raise
        return line


def _resolved(address: Address, deadline: Deadline) -> Targets:
    """Return where to connect to. A resolver knows no deadline: a thread waits for it, and we wait for the thread."""
    answers: SimpleQueue[Targets | OSError | ValueError] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(find_targets(address.host, address.port))
        except (OSError, ValueError) as error:
            answers.put(error)

    Thread(target=ask, name="pinwarden-resolver", daemon=True).start()
    try:
        found = answers.get(timeout=deadline.check())
    except Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(found, OSError | ValueError):
        raise found
    return found


def _pieces(content: bytes, line: socket, deadline: Deadline) -> Iterator[bytes]:
    # Over TLS the time of a socket begins anew with each record: a server that reads slowly would have it many times.
    for start in range(0, len(content), RECORD):
        line.settimeout(deadline.check())
        yield content[start : start + RECORD]


def _says_something(line: socket) -> bool:
    """Tell whether a kept connection has ended, or speaks unasked: nothing may be sent over it."""
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ)
        return bool(selector.select(0))
