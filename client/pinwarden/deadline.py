"""
The time for one exchange, however many addresses and steps it takes.

It may import the standard library's sockets and clocks. It never judges what it reads, and never gives more time than
it was made with.
"""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from io import RawIOBase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Targets = Sequence[tuple[int, int, int, str, Any]]


class Deadline:
    """Gives every step of an exchange what is left of the time for all of them."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def check(self) -> float:
        """Return the seconds that are left; TimeoutError when none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this request is over")
        return left


class TimedReader(RawIOBase):
    """
    Reads from a socket until the deadline, however steadily single bytes drip in.

    A timeout of the socket alone would begin anew with each byte. Connecting, handshakes and sending need no such care:
    for each of them Python keeps one timeout over all its steps.
    """

    def __init__(self, line: socket.socket, deadline: Deadline) -> None:
        self._line = line
        self._stream = line.makefile("rb", buffering=0)  # keeps the socket open when http.client lets go of it
        self._deadline = deadline

    def readable(self) -> bool:
        """Tell io.BufferedReader that this can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        """Read what has come, or wait for it; TimeoutError when the time is over."""
        self._line.settimeout(self._deadline.check())
        return self._stream.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self._stream.close()
        super().close()


def open_socket(host: str, port: int, deadline: Deadline) -> socket.socket:
    """
    Connect to the first address of the host that answers, each within its share of the time that is left.

    Resolving the name takes what the resolver takes.
    """
    return connect_first(find_targets(host, port), deadline)


def connect_first(targets: Targets, deadline: Deadline) -> socket.socket:
    """Connect to the first of *targets* that answers, each within its share of the time that is left."""
    failure: OSError | None = None
    for tried, (family, kind, protocol, _, target) in enumerate(targets):
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(deadline.check() / (len(targets) - tried))
            line.connect(target)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.settimeout(deadline.check())
        except OSError as error:
            line.close()
            failure = error
        else:
            return line
    raise failure or OSError("the name has no address")


def find_targets(host: str, port: int) -> Targets:
    """Return the addresses of a host, as getaddrinfo() does; digits are never resolved."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            # The C library takes a lock even for these; a child forked while another thread holds it waits for ever.
            return [(family, socket.SOCK_STREAM, 0, "", (host, port))]
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
