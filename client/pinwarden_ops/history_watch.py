"""
One audit of a history: look, compare, look again at what caches may explain, keep evidence, remember.

It may import this package and layer 0. What this machine remembers moves only when nothing was found.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pinwarden.envelope import Envelope
from pinwarden.errors import FetchError
from pinwarden_ops.history_compare import LATE, Finding, judge
from pinwarden_ops.history_evidence import Collector
from pinwarden_ops.history_fetch import NOT_FOUND, Vantage
from pinwarden_ops.history_memory import Memory
from pinwarden_ops.history_refusals import denied, refusals
from pinwarden_ops.history_view import View

PAUSE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Report:
    """
    What an audit found.

    Attributes:
        view: what was seen; None when the history was refused or denied.
        before: what this machine had seen; None the first time.
        findings: what is wrong, each as :meth:`Collector.collect` tells it.
    """

    view: View | None
    before: View | None
    findings: tuple[dict[str, Any], ...]


@dataclass
class Look:
    """One round: what was seen here and elsewhere, and what is wrong with it."""

    view: View | None = None
    others: list[View] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    offered: list[Envelope] = field(default_factory=list)
    failure: FetchError | None = None


@dataclass(frozen=True)
class Watch:
    """
    What an audit works with.

    Attributes:
        vantage: the place that is watched.  memory: what this machine keeps of it.
        saved: what others saved.  mirrors: other places, looked at now.
        wait_seconds: how long differences that caches may explain are looked at again.
    """

    vantage: Vantage
    memory: Memory
    clock: Callable[[], datetime]
    saved: tuple[View, ...] = ()
    mirrors: tuple[Vantage, ...] = ()
    wait_seconds: float = 0.0
    sleep: Callable[[float], object] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def run(self) -> Report:
        """
        Look, compare, keep evidence, remember.

        Raises:
            FetchError: a place gave no usable answer, and nothing was found elsewhere. ConfigError, CacheError: the
                memory cannot be used; it is as it was.
        """
        before = self.memory.load()
        end = self.monotonic() + self.wait_seconds
        while True:
            look = self._look(before)
            left = end - self.monotonic()
            if left <= 0 or not look.findings or not all(found.kind in LATE for found in look.findings):
                break
            self.sleep(min(PAUSE_SECONDS, left))
        if look.failure is not None and not look.findings:
            raise look.failure
        views = (before, *look.others, *self.saved)
        documents = (*look.offered, *(view.served.pinset for view in views if view and view.served))
        collector = Collector(self.vantage.state, documents, (self.vantage, *self.mirrors))
        findings = tuple(collector.collect(found, self.memory, self.clock()) for found in look.findings)
        if not findings and look.view is not None:
            self.memory.keep(look.view)
        return Report(look.view, before, findings)

    def _look(self, before: View | None) -> Look:
        now, look = self.clock(), Look()
        try:
            sighting = self.vantage.look(before, now)
        except FetchError as error:
            if error.status != NOT_FOUND or before is None:
                raise
            look.findings.append(denied(self.vantage.source, before, error))
            return look
        look.view = sighting.view
        look.offered += sighting.offered
        look.findings += refusals(self.vantage.source, sighting)
        for mirror in self.mirrors:
            self._look_elsewhere(mirror, look, now)
        if look.view is not None:
            look.findings += judge(look.view, before=before, mirrors=look.others, saved=self.saved)
        return look

    @staticmethod
    def _look_elsewhere(mirror: Vantage, look: Look, now: datetime) -> None:
        try:
            sighting = mirror.look(look.view, now)
        except FetchError as error:
            look.failure = error  # what is wrong here is told all the same
            return
        look.findings += refusals(mirror.source, sighting)
        look.offered += sighting.offered
        if sighting.view is not None:
            look.others.append(sighting.view)
