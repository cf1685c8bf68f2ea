"""
One client of the soaked fleet, in a process of its own, which holds every step of its own against the oracle.

It does what applications do: refresh, look, share, start anew from what Redis has. It never judges a time; it says how
long its longest step took, and ends with the first promise that was broken.
"""

import json
import logging
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pinwarden import PinClient, PinMismatchError, State

if TYPE_CHECKING:
    from pinwarden.cache_redis.fleet import Fleet

HOST = "api.example.com"
STEPS = ("look", "share", "refresh", "restart")
WEIGHTS = (40, 30, 20, 10)


class Member:
    """
    A client, and the floor that it must never go below.

    Attributes:
        done: how often it did each step. unkept: how many writes to Redis failed. longest: seconds of one step.
        served: the version that the pin server has at least, as told before each turn.
    """

    def __init__(self, url: str, folder: Path, redis_url: str, seed: int) -> None:
        self._url, self._redis_url = url, redis_url
        self._root = (folder / "root.json").read_bytes()
        self._good, self._wrong = ([(folder / name).read_bytes()] for name in ("good.der", "wrong.der"))
        self._dice = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.unkept = 0
        self.longest = 0.0
        self.served = 0
        self._floor = 0
        self._client = self._started()

    def turn(self, steps: int, served: int) -> None:
        """Do *steps* of what an application does, and hold each against the oracle."""
        self.served = served
        for _ in range(steps):
            (step,) = self._dice.choices(STEPS, WEIGHTS)
            began = time.monotonic()
            getattr(self, step)()
            self.longest = max(self.longest, time.monotonic() - began)
            self.done[step] += 1
            self.judge(step)

    def look(self) -> None:
        self._fleet.look()

    def share(self) -> None:
        self._fleet.share()

    def refresh(self) -> None:
        """Ask the pin server, which is good: whatever hints and Redis say, what it serves must be taken."""
        version = self._client.refresh().version
        if version is None or version < self.served:
            broken(f"the pin server has version {self.served}, and a refresh ended with {version}")

    def restart(self) -> None:
        """Be another client, which has nothing but what Redis has until it asks."""
        self.close()
        self._client, self._floor = self._started(), 0
        self.refresh()

    def judge(self, step: str) -> None:
        """Hold what the client trusts and enforces by now against what it may never lose."""
        status = self._client.status()
        if status.state is not State.FRESH or status.version is None or status.version < self._floor:
            broken(f"after {step}: {status.state.name} with version {status.version}, had {self._floor}")
        self._floor = status.version
        if not self._lets_in(self._good):
            broken(f"after {step}: the key that every version pins is refused")
        if self._lets_in(self._wrong):
            broken(f"after {step}: a wrong key is let in")

    def _lets_in(self, chain: list[bytes]) -> bool:
        try:
            self._client.check(HOST, chain)
        except PinMismatchError:
            return False
        return True

    @property
    def version(self) -> int:
        """The version that the client trusts."""
        return self._floor

    def close(self) -> None:
        """End the client and its threads."""
        self.unkept += self._client.status().persist_failed
        self._client.close()

    @property
    def _fleet(self) -> "Fleet":
        fleet = self._client._refresher.fleet
        assert fleet is not None
        return fleet

    def _started(self) -> PinClient:
        client = PinClient(self._url, pinset="app", root=self._root, cache=self._redis_url, poll_seconds=3600)
        return client.start()


def broken(promise: str) -> NoReturn:
    """End this process: a promise was broken."""
    tell(broken=promise)
    raise SystemExit(1)


def tell(**values: object) -> None:
    """Say one line to the conductor."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def main(url: str, folder: str, redis_url: str, seed: str) -> None:
    """Take turns until standard input ends."""
    logging.getLogger("pinwarden").setLevel(logging.CRITICAL)  # every fault is a warning, and thousands are meant
    member = Member(url, Path(folder), redis_url, int(seed))
    member.refresh()
    member.judge("the first refresh")
    tell(version=member.version)
    for line in sys.stdin:
        order = json.loads(line)
        member.turn(order["steps"], order["served"])
        tell(version=member.version)
    member.close()
    tell(
        done=dict(member.done),
        unkept=member.unkept,
        longest=member.longest,
        kilobytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
