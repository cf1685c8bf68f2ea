"""
The life of one client: its folder, its clock, its server, and the promises that hold whatever it is sent.

It may import drivers, repository and simulator. What a client trusts is seen by ``check`` alone: each pin set of the
repository pins a key of its own.
"""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path

from tests.conformance.certificates import chain
from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE, Driver, Outcome
from tests.conformance.repository import HOST, START, Repository, spell, to_bytes
from tests.conformance.simulator import Simulator

Attack = Callable[[Repository], object]


class Life:
    """
    One client and its server.

    Attributes:
        now: the client's clock.
        asked: the paths that were requested so far.
    """

    def __init__(self, driver: Driver, simulator: Simulator, folder: Path) -> None:
        self._driver, self._simulator, self._folder = driver, simulator, folder
        self._state_dir = folder / "client"
        self._checked = 0
        self.now = START
        self.said = ""

    @property
    def repository(self) -> Repository:
        """What the server answers for."""
        return self._simulator.repository

    @property
    def asked(self) -> list[str]:
        """The paths that were requested so far."""
        return list(self._simulator.requests)

    def run(self, *arguments: str) -> int:
        """Run one command with the client's folder and clock; return the exit code."""
        outcome: Outcome = self._driver.run(["--state-dir", str(self._state_dir), "--now", spell(self.now), *arguments])
        self.said = outcome.said
        if "Traceback (most recent call last)" in outcome.said:
            raise AssertionError(f"the client broke down, which is no refusal:\n{outcome.said}")
        return outcome.code

    def init(self, root: bytes | None = None, pinset: str = "app") -> int:
        """Found the client on *root*; default: root version 1."""
        file = self._folder / "root.json"
        file.write_bytes(to_bytes(self.repository.roots[1]) if root is None else root)
        return self.run("init", str(file), "--url", self._simulator.url, "--pinset", pinset)

    def start(self) -> None:
        """Found the client and let it accept what is published."""
        self.expect(ACCEPTED, self.init(), "init with a good root")
        self.accepts()

    def refresh(self) -> int:
        """Let the client fetch once."""
        return self.run("refresh")

    def check(self, *labels: str, host: str = HOST) -> int:
        """Let the client judge a chain of the labels' keys, leaf first."""
        file = self._folder / "chain.pem"
        file.write_bytes(chain(*labels))
        return self.run("check", host, "--chain", str(file))

    def pass_time(self, **units: float) -> None:
        """Move the clocks of the client and of the signers."""
        self.now += timedelta(**units)
        self.repository.now = self.now

    def set_clock(self, now: datetime) -> None:
        """Move the clock of the client alone."""
        self.now = now

    def expect(self, code: int, got: int, what: str) -> None:
        """Fail with what the client said unless it ended with *code*."""
        if code != got:
            raise AssertionError(f"{what}: expected exit code {code}, got {got}. The client said:\n{self.said}")

    def expects(self, code: int) -> None:
        """Prove that a refresh ends with *code*."""
        self.expect(code, self.refresh(), "refresh")

    def accepts(self) -> None:
        """Prove that a refresh is accepted and its pins are in force."""
        self.expect(ACCEPTED, self.refresh(), "refresh from an honest server")
        self.trusts(self.repository.label)

    def trusts(self, label: str) -> None:
        """Prove that the pin set in force is the one that pins *label*."""
        self.expect(ACCEPTED, self.check(label), f"check of {label!r}, which the pin set in force pins")

    def trusts_nothing(self) -> None:
        """Prove that no pin set is in force."""
        self.expect(UNAVAILABLE, self.check("any"), "check while no pin set is in force")

    def refuses(self, attack: Attack, code: int = REFUSED, *, mend: Attack | None = None) -> None:
        """
        Prove that an attack is refused, moves nothing, and does not stand in the way of what is good.

        Args:
            attack: changes the repository.
            code: REFUSED, or UNAVAILABLE where there is no answer to judge.
            mend: makes the attacked repository good again; default: it becomes what it was before the attack.
        """
        honest, before = deepcopy(self.repository), self.check(self.repository.label)
        attack(self.repository)
        self.expect(code, self.refresh(), "refresh under attack")
        self.expect(before, self.check(honest.label), "check after the refused refresh, which must change nothing")
        if mend is None:
            self.repository.become(honest)
        else:
            mend(self.repository)
        self._checked += 1
        self.repository.publish(f"good again {self._checked}")
        self.accepts()
