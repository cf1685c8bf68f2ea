"""
Whoever may write to a Redis, doing one thing after the other to it that no honest client would do.

It may import redis-py and the spelling of what is kept. It judges nothing.
"""

import random
import signal
from collections.abc import Callable
from typing import Any

from pinwarden.bundle import Bundle
from pinwarden.cache import spell_kept
from pinwarden.trust import KeptDocuments

TYPES: tuple[Callable[[Any, str], object], ...] = (
    lambda client, key: client.rpush(key, "x"),
    lambda client, key: client.sadd(key, "x"),
    lambda client, key: client.hset(key, "x", "y"),
    lambda client, key: client.zadd(key, {"x": 1}),
    lambda client, key: client.xadd(key, {"x": 1}),
)


class Saboteur:
    """
    Does one thing after the other to a Redis, as whoever may write there can.

    Args:
        server: its ``client()`` gives a client for what is done, ``send_signal()`` reaches the process.
        prefix: in front of the keys of one pin set.
        bundles: genuine ones to be replayed, older ones or those of others.
    """

    def __init__(self, server: Any, prefix: str, bundles: list[Bundle], dice: random.Random) -> None:
        self.keys = [prefix + what for what in ("newest", "root:2", "root:3", "lease")]
        self.channel = prefix + "news"
        self._server = server
        self._bundles = bundles
        self._dice = dice
        self._stopped = False

    def act(self) -> None:
        """Do anything but what an honest client would do."""
        if self._stopped:
            self._server.send_signal(signal.SIGCONT)
            self._stopped = False
            return
        self._dice.choice((self.flush, self.retype, self.garble, self.lie, self.replay, self.shout, self.swap))()

    def stop(self) -> None:
        """Let every answer fail until the next act."""
        self._server.send_signal(signal.SIGSTOP)
        self._stopped = True

    def flush(self) -> None:
        with self._server.client() as client:
            client.flushall()

    def retype(self) -> None:
        with self._server.client() as client:
            key = self._dice.choice(self.keys)
            client.delete(key)
            self._dice.choice(TYPES)(client, key)

    def garble(self) -> None:
        with self._server.client() as client:
            client.set(self._dice.choice(self.keys), self._dice.randbytes(self._dice.choice((0, 1, 100, 100_000))))

    def lie(self) -> None:
        line = b"pinwarden-1 %d.%d %d.%d %d\n" % tuple(self._dice.choice((0, 1, 9, 2**53)) for _ in range(5))
        with self._server.client() as client:
            found = client.get(self.keys[0]) if client.type(self.keys[0]) == b"string" else b""
            client.set(self.keys[0], line + found.partition(b"\n")[2])

    def replay(self) -> None:
        old = self._dice.choice(self._bundles)
        kept = KeptDocuments((), (old.timestamp,), (self._dice.choice(self._bundles).pinset,))
        with self._server.client() as client:
            client.set(self.keys[0], b"pinwarden-1 1.1 1.1 1\n" + spell_kept(kept))

    def shout(self) -> None:
        with self._server.client() as client:
            for _ in range(20):
                client.publish(self.channel, self._dice.choice((b"x" * 9000, b"pinwarden-1 9.9 9.9 9", b"")))

    def swap(self) -> None:
        with self._server.client() as client:
            one, other = self._dice.sample(self.keys, 2)
            if client.exists(one) and client.exists(other):
                client.rename(one, other)
