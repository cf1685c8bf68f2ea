"""
One client of a fleet, in a process of its own: says which version it trusts when that changes, and when a turn is over.

Started by tests; the one command that it takes is ``refresh``, and it ends with its standard input.
"""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pinwarden import PinClient
from pinwarden.cache_redis import cache, limits
from pinwarden.cache_redis.fleet import Fleet

_speaking = threading.Lock()


def say(line: str) -> None:
    """Tell the test."""
    with _speaking:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


class TellingFleet(Fleet):
    """Says when a turn is over."""

    def turn(self, refresh: Callable[[], object]) -> None:
        super().turn(refresh)
        say("turn is over")


def main(url: str, root: str, redis_url: str, lease_seconds: str) -> None:
    """Run until standard input ends."""
    cache.LEASE_SECONDS = float(lease_seconds)
    limits.CONNECT_SECONDS = limits.ANSWER_SECONDS = 20.0  # the machine may be busy, and time is not what is tested
    limits.CALL_SECONDS = 60.0
    client = PinClient(url, pinset="app", root=Path(root).read_bytes(), cache=redis_url, poll_seconds=3600)
    assert client._refresher.fleet is not None
    client._refresher.fleet.__class__ = TellingFleet
    client.start()
    ended = threading.Event()

    def tell() -> None:
        told = None
        while not ended.wait(0.01):
            if (version := client.status().version) != told:
                told = version
                say(f"trusts {version}")

    threading.Thread(target=tell, daemon=True).start()
    for line in sys.stdin:
        assert line == "refresh\n"
        client.refresh()
    client.close()
    ended.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
