"""
The time for one exchange, however many addresses and steps it takes.

It may import the standard library's sockets and clocks. It never reads or writes a byte, and never gives more time than
it was made with.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Self


class Deadline:
    """Cuts a connection when the time for the whole exchange is over, however steadily single bytes drip in."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self.passed = False

    def __enter__(self) -> Self:
        try:
            self._timer.start()
        except RuntimeError as error:  # the process has too many threads, or is ending
            raise OSError(f"nothing can watch the time ({error})") from error
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()
        self._watch(None)

    def check(self) -> float:
        """Return the seconds that are left; TimeoutError when none are."""
        left = self._end - time.monotonic()
        if self.passed or left <= 0:
            self.passed = True
            raise TimeoutError("the time for this request is over")
        return left

    def watch(self, line: socket.socket) -> None:
        """Cut *line* when the time is over; a duplicate descriptor survives its being wrapped in TLS."""
        # Not dup(), which SSLSocket forbids because a copy could not speak TLS; this one is only ever shut down.
        self._watch(socket.socket(line.family, line.type, line.proto, fileno=os.dup(line.fileno())))
        self.check()

    def _watch(self, line: socket.socket | None) -> None:
        with self._lock:  # or the timer might cut whatever took over the number of a descriptor just closed
            watched, self._line = self._line, line
            if watched is not None:
                watched.close()

    def _cut(self) -> None:
        with self._lock:
            self.passed = True
            if self._line is not None:
                with suppress(OSError):  # closed by the server already
                    self._line.shutdown(socket.SHUT_RDWR)


def open_socket(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address of the host that answers, each within its share of the time that is left."""
    failure: OSError | None = None
    targets = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
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
