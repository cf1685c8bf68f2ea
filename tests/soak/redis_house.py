"""
A Redis with a replica and a sentinel, all real, and everything that can go wrong with them while clients use them.

It may import redis-py and what the tests of the cache start. A fault is over before the next one begins, so that no
client is kept from Redis for ever.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from pinwarden.bundle import Bundle
from tests.sdk.redis.conftest import RedisServer
from tests.sdk.redis.saboteur import Saboteur
from tests.waiting import until

SERVICE = "pins"
FILLERS, FILLER_BYTES = 64, 32_768
FAILOVER_SECONDS = 5.0
SLOW_SECONDS = 0.4  # longer than a client waits for an answer
_DOWN_AFTER = f"sentinel down-after-milliseconds {SERVICE} 500\nsentinel failover-timeout {SERVICE} 2000\n"


class House:
    """
    Two servers of which one is the master, and the sentinel that says which.

    Attributes:
        url: as clients are given it.
    """

    def __init__(self, binary: Path, folder: Path) -> None:
        with ExitStack() as started:

            def start(*options: str) -> RedisServer:
                # By default, a replica that begins anew is let wait for others that might, for five seconds.
                server = RedisServer(binary, folder, *options, "--repl-diskless-sync-delay", "0")
                started.callback(server.stop)
                return server

            first, second = self._servers = [start(), start()]
            with second.client() as other:
                # Not on its command line: whichever is the master later comes back as one when it is started again.
                other.replicaof("127.0.0.1", first.port)
            config = folder / "sentinel.conf"
            config.write_text(f"sentinel monitor {SERVICE} 127.0.0.1 {first.port} 1\n{_DOWN_AFTER}")
            self._sentinel = start(str(config), "--sentinel")
            self.url = f"redis+sentinel://127.0.0.1:{self._sentinel.port}/{SERVICE}"
            until(self.has_replica)
            self._started = started.pop_all()

    @property
    def master(self) -> RedisServer:
        """The one that the sentinel names at the moment."""
        with self._sentinel.client() as asked:
            _, port = asked.sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self._servers if server.port == int(port))

    def client(self) -> "redis.Redis[bytes]":
        """Return a client of the master."""
        return self.master.client()

    def send_signal(self, number: int) -> None:
        """Send a signal to the master."""
        self.master.send_signal(number)

    def has_replica(self) -> bool:
        """Tell whether there is one that could become the master."""
        with self._sentinel.client() as asked:
            rows = asked.sentinel_slaves(SERVICE)
            return any(row["flags"] == "slave" and row["master-link-status"] == "ok" for row in rows)

    def promote(self) -> None:
        """
        Let the sentinel make a master of the replica, and wait until it has, or has given up.

        Raises:
            redis.RedisError: it knows of no replica that could be one at the moment.
        """
        before, end = self.master.port, time.monotonic() + FAILOVER_SECONDS
        with self._sentinel.client() as asked:
            asked.execute_command("SENTINEL", "FAILOVER", SERVICE)
        while self.master.port == before:
            if time.monotonic() > end:
                raise redis.RedisError("the failover did not come about")
            time.sleep(0.05)

    def restart(self) -> None:
        """Kill the master, and start it again with nothing in it."""
        server = self.master
        server.stop()
        server.start()

    def close(self) -> None:
        """Kill all of them."""
        self._started.close()


class Faults:
    """
    One kind of fault after the other, each as often as any.

    Attributes:
        done: how often each was done. missed: how often Redis was not there to be harmed.
    """

    def __init__(self, house: House, prefix: str, bundles: list[Bundle], dice: random.Random) -> None:
        self._house, self._dice = house, dice
        self.saboteur = Saboteur(house, prefix, bundles, dice)
        self.done: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        told = self.saboteur
        self._kinds: dict[str, Callable[[], object]] = {
            "promote": house.promote,
            "flush": told.flush,
            "evict": self._evict,
            "retype": told.retype,
            "restart": house.restart,
            "garble": told.garble,
            "lie": told.lie,
            "stop": self._stop,
            "replay": told.replay,
            "shout": told.shout,
            "swap": told.swap,
            "fill": self._fill,
            "pause": self._pause,
        }
        self._order = self._forever()

    def next(self) -> None:
        """Do the next one."""
        name = next(self._order)
        try:
            self._kinds[name]()
        except redis.RedisError:  # the master that was named is not there yet, or not any more
            self.missed[name] += 1
        else:
            self.done[name] += 1

    def _forever(self) -> Iterator[str]:
        while True:
            yield from self._kinds

    def _evict(self) -> None:
        with self._house.client() as client:
            used = int(client.info("memory")["used_memory"])
            with _limited(client, "allkeys-random", used + 8 * FILLER_BYTES):
                # More than fits in: whatever clients keep is thrown out at random.
                for number in range(FILLERS):
                    client.set(f"filler:{number}", b"x" * FILLER_BYTES)

    def _fill(self) -> None:
        with self._house.client() as client, _limited(client, "noeviction", 1):
            time.sleep(SLOW_SECONDS)

    def _stop(self) -> None:
        master = self._house.master
        master.send_signal(signal.SIGSTOP)
        time.sleep(SLOW_SECONDS)
        master.send_signal(signal.SIGCONT)

    def _pause(self) -> None:
        with self._house.client() as client:
            client.client_pause(int(SLOW_SECONDS * 1000))
        time.sleep(SLOW_SECONDS)


@contextmanager
def _limited(client: Any, policy: str, most: int) -> Iterator[None]:
    client.config_set("maxmemory-policy", policy)
    client.config_set("maxmemory", most)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)
        client.delete(*[f"filler:{number}" for number in range(FILLERS)])
