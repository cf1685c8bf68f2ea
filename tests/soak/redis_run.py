"""
The soak of the cache in Redis: several processes with one client each, and a Redis that has one fault after the other.

It may import what the tests of the cache start. Members hold every step against the oracle; what this room adds is the
end: once the faults are over, everybody has the newest version, and a start without a pin server has it as well.
"""

import json
import random
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pinwarden import PinClient
from pinwarden.bundle import Bundle
from pinwarden.testing import ThrowawayAuthority
from pinwarden.testing.certificates import PrivateCA
from tests.sdk.conftest import PinServer
from tests.soak.redis_house import Faults, House
from tests.soak.redis_member import HOST
from tests.waiting import until

STEPS_IN_A_TURN = 10


class Broken(Exception):
    """A member says that a promise was broken."""


@dataclass
class Figures:
    """What was done in a run that broke nothing."""

    members: int
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    unkept: int = 0
    longest_seconds: float = 0.0
    most_kilobytes: int = 0

    def lines(self) -> list[str]:
        """Return the figures as lines for people."""

        def told(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {number}" for name, number in sorted(counter.items())) or "none"

        return [
            f"{self.steps.total()} operations of {self.members} processes: {told(self.steps)}",
            f"{self.faults.total()} faults: {told(self.faults)}; not possible at their time: {told(self.missed)}",
            f"{self.versions} versions; {self.unkept} writes to Redis failed",
            f"longest operation {self.longest_seconds:.2f} s; largest process {self.most_kilobytes // 1024} MiB",
            "no promise was broken",
        ]


class _Process:
    """A member, as seen from here."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.soak.redis_member", *map(str, arguments)]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def ask(self, steps: int, served: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"steps": steps, "served": served}) + "\n")

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline() or '{"broken": "a member died"}')
        if "broken" in told:
            raise Broken(told["broken"])
        return dict(told)

    def end(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        told = self.hear()
        self._process.wait()
        return told

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def run(binary: Path, *, operations: int, members: int, seed: int = 4) -> Figures:
    """
    Do about *operations* in *members* processes, a fault in each turn, and return what was done.

    Raises:
        Broken: a promise was.
    """
    with tempfile.TemporaryDirectory(prefix="pinwarden-soak-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the authority is none for production
        stage = _Stage(Path(name), binary, random.Random(seed))
        try:
            return stage.play(operations, members)
        finally:
            stage.close()


class _Stage:
    """The authority, its pin server, the Redis and the processes."""

    def __init__(self, folder: Path, binary: Path, dice: random.Random) -> None:
        self._folder, self._dice = folder, dice
        now = datetime.now(UTC).replace(microsecond=0)
        self._authority = ThrowawayAuthority(now=now)
        foreign = ThrowawayAuthority(now=now, seed="of somebody else")
        good, wrong = PrivateCA(), PrivateCA()
        self._pin = good.pin
        for file, content in (
            ("root.json", self._authority.root_json),
            ("good.der", good.certificate),
            ("wrong.der", wrong.certificate),
        ):
            (folder / file).write_bytes(content)
        self._server, self._house = PinServer(), House(binary, folder)
        bundles = [foreign.publish({HOST: [good.pin, b"2" * 32]}), *(self._publish() for _ in range(4))]
        self._authority.rotate_root()
        self._publish()
        prefix = f"pinwarden:1:{{{self._authority.authority}/{self._authority.name}}}:"
        self._faults = Faults(self._house, prefix, bundles, dice)
        self._processes: list[_Process] = []

    def play(self, operations: int, members: int) -> Figures:
        arguments = self._server.url, self._folder, self._house.url
        self._processes += [_Process(*arguments, self._dice.randrange(2**32)) for _ in range(members)]
        self._hear()
        for _ in range(-(-operations // (members * STEPS_IN_A_TURN))):
            for process in self._processes:
                process.ask(STEPS_IN_A_TURN, self._authority.pinset_version)
            self._faults.next()
            if self._dice.random() < 0.5:
                self._publish()
            self._hear()
            self._server.requests.clear()
            self._server.ports.clear()
        return self._ended(members)

    def _ended(self, members: int) -> Figures:
        figures = Figures(members, faults=self._faults.done, missed=self._faults.missed)
        figures.versions = self._authority.pinset_version
        for told in [process.end() for process in self._processes]:
            figures.steps += Counter(told["done"])
            figures.unkept += told["unkept"]
            figures.longest_seconds = max(figures.longest_seconds, told["longest"])
            figures.most_kilobytes = max(figures.most_kilobytes, told["kilobytes"])
        self._check_end()
        return figures

    def _check_end(self) -> None:
        """Let one client refresh, and one start that reaches no pin server: both must have the newest version."""
        newest = self._authority.pinset_version

        def version(url: str, *, asks: bool) -> int | None:
            root = self._authority.root_json
            with PinClient(url, pinset="app", root=root, cache=self._house.url) as client:
                return (client.refresh() if asks else client.status()).version

        def is_kept() -> bool:
            # A failover that was going on may still lose a write, so each round writes again.
            if version(self._server.url, asks=True) != newest:
                raise Broken(f"after the faults a client does not get version {newest}")
            return version("http://127.0.0.1:1", asks=False) == newest

        until(is_kept)

    def _hear(self) -> None:
        for process in self._processes:
            process.hear()

    def _publish(self) -> Bundle:
        bundle = self._authority.publish({HOST: [self._pin, self._dice.randbytes(32)]})
        self._server.serve(self._authority)
        return bundle

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        self._house.close()
        self._server.close()
