"""
One client of a fleet, in a process of its own: takes commands line by line, and says what it trusts when that changes.

Started by tests; the commands are ``refresh`` and ``close``.
"""

import sys
import threading
from pathlib import Path

from pinwarden import PinClient, PinwardenError
from pinwarden.cache_redis import cache, limits


def main(url: str, root: str, redis_url: str, lease_seconds: str) -> None:
    """Run until standard input ends."""
    cache.LEASE_SECONDS = float(lease_seconds)
    limits.CONNECT_SECONDS = limits.ANSWER_SECONDS = 20.0  # the machine may be busy, and time is not what is tested
    limits.CALL_SECONDS = 60.0
    client = PinClient(url, pinset="app", root=Path(root).read_bytes(), cache=redis_url, poll_seconds=3600)
    client.start()
    ended = threading.Event()

    def tell() -> None:
        told: object = ()
        while not ended.wait(0.01):
            status = client.status()
            now = (status.version, status.last_refresh is not None)
            if now != told:
                told = now
                print(status.version or 0, "refreshed" if status.last_refresh else "started", flush=True)

    threading.Thread(target=tell, daemon=True).start()
    for line in sys.stdin:
        if line == "refresh\n":
            try:
                client.refresh()
            except PinwardenError as error:
                print(error, flush=True)
    client.close()
    ended.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
