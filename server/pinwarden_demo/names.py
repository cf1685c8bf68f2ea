"""
Names without DNS: inside this process every name below ``.test`` is this machine.

It may import ``socket`` alone. Names of other zones resolve as ever, and the block that began it ends it.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ZONE = ".demo.test"  # RFC 6761 keeps .test for this
LOOPBACK = "127.0.0.1"


@contextmanager
def names_on_loopback() -> Iterator[None]:
    """Resolve every name of the zone to loopback, for whatever library asks, until the block ends."""
    original: Any = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("ascii") if isinstance(host, bytes) else host
        return original(LOOPBACK if isinstance(name, str) and name.endswith(ZONE) else host, *args, **kwargs)

    socket.getaddrinfo = resolve
    try:
        yield
    finally:
        socket.getaddrinfo = original
