"""
Renewal: what is in force is signed again in time, the end of the audit log is signed, and what was scheduled is
published, by one worker of all.

It may import ``publishing``, ``checkpoints`` and the store. It takes the same careful path as a publication, and one
name's failure never keeps another from being renewed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread

from pinwarden import failpoints
from pinwarden.errors import PinwardenError
from pinwarden_server.chain_walk import ChainWalk
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.errors import AuditBroken, SignerUnavailable
from pinwarden_server.publishing import renew_pinset, renew_timestamp
from pinwarden_server.schedule import publish_due
from pinwarden_server.site import Site
from pinwarden_server.store.logins import forget_logins

log = logging.getLogger("pinwarden.server")

LEASE = "renewal"
ATTEMPTS_ARE_KEPT = timedelta(hours=24)
# Seconds of work. Rows that were there before the first checkpoint may be millions, and renewals do not wait for them.
AUDIT_ROWS_IN_ONE_ROUND = 100_000
failpoints.register("renew.leased")


@dataclass(frozen=True, slots=True)
class Round:
    """
    What one look around did.

    Attributes:
        renewed, failed: names; those that failed with the sentence that says why.
        checkpoint: how many audit rows a checkpoint covers that was signed now, or None.
        unsigned: why the end of the audit log could not be signed, else empty.
        blocked: changes that were due and not published, by number, with the sentence that says why.
    """

    renewed: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    leased: bool = True
    checkpoint: int | None = None
    unsigned: str = ""
    blocked: dict[int, str] = field(default_factory=dict)


class Renewer:
    """
    Looks for what is due, every *interval_seconds*, while it holds the lease.

    Args:
        holder: names this worker among all; unique, for instance host name and process id.
        clock: returns the present, aware.

    Attributes:
        last_success: when a round last ended without a failure, or None.
    """

    def __init__(
        self, site: Site, *, holder: str, clock: Callable[[], datetime], interval_seconds: float = 60.0
    ) -> None:
        self._site = site
        self._holder = holder
        self._clock = clock
        self._interval = interval_seconds
        self._stop = Event()
        self._walk = ChainWalk(rows_at_once=AUDIT_ROWS_IN_ONE_ROUND, is_stopping=self._stop.is_set)
        self._thread: Thread | None = None
        self.last_success: datetime | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin in a thread of its own; call after the fork, threads do not survive it."""
        if self.is_running:
            return
        self._stop.clear()
        self._thread = Thread(target=self._run, name="pinwarden-renewal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the renewal or the few audit rows under way, and give the lease back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._site.store.writer.release_lease(LEASE, self._holder)
        except PinwardenError as error:
            log.info("the renewal lease ends by itself: %s", error)

    def tick(self) -> Round:
        """
        Renew what is due now, when this worker has the lease.

        Raises:
            StoreUnavailable: nothing could be looked up; what is published is served on.
        """
        now = self._clock()
        until = now + timedelta(seconds=3 * self._interval)
        if not self._site.store.writer.take_lease(LEASE, self._holder, now=now, until=until):
            return Round(leased=False)
        failpoints.hit("renew.leased")
        # Before renewals: what waits for its time replaces what is in force, and need not be renewed again.
        blocked = self._publish_due(now)
        renewed, failed = self._renew_due(now)
        with self._site.store.writer.transaction() as transaction:
            transaction.forget_attempts(now - ATTEMPTS_ARE_KEPT)
            forget_logins(transaction, now)
        if not failed:
            self.last_success = now
        checkpoint, unsigned = self._sign_audit_log(now)
        return Round(tuple(renewed), failed, True, checkpoint, unsigned, blocked)

    def _publish_due(self, now: datetime) -> dict[int, str]:
        try:
            return publish_due(self._site, now, is_stopping=self._stop.is_set)
        except PinwardenError:
            raise
        except Exception:
            log.exception("scheduled changes could not be published")  # which must not end renewals
            return {}

    def _renew_due(self, now: datetime) -> tuple[list[str], dict[str, str]]:
        timestamps, pinsets = self._site.store.reader.due(now)
        renewed: list[str] = []
        failed: dict[str, str] = {}
        for name in pinsets:
            if self._stop.is_set():
                return renewed, failed
            # A renewed pin set brings a timestamp along; keys that are offline leave at least the timestamp to renew.
            if self._attempt(lambda name=name: renew_pinset(self._site, name, now), name, failed):  # type: ignore[misc]
                renewed.append(name)
        for name in timestamps:
            if self._stop.is_set():
                return renewed, failed
            if name not in renewed and self._attempt(
                lambda name=name: renew_timestamp(self._site, name, now),  # type: ignore[misc]
                name,
                failed,
            ):
                renewed.append(name)
        return renewed, failed

    def _sign_audit_log(self, now: datetime) -> tuple[int | None, str]:
        """Sign a checkpoint when one is due; last, because pins wait for nothing that only watches."""
        if self._stop.is_set():
            return None, ""
        try:
            made = make_checkpoint(self._site, now, self._walk)
        except PinwardenError as error:
            log.log(
                logging.CRITICAL if isinstance(error, AuditBroken) else logging.WARNING,
                "the end of the audit log was not signed: %s",
                error,
            )
            return None, str(error)
        return (made.size if made else None), ""

    def _attempt(self, renew: Callable[[], object], name: str, failed: dict[str, str]) -> bool:
        try:
            return renew() is not None
        except SignerUnavailable as error:
            failed[name] = str(error)
            log.warning("pin set %s was not renewed: %s", name, error)
        except PinwardenError as error:
            failed[name] = str(error)
            log.error("pin set %s was not renewed: %s", name, error)
        return False

    def _run(self) -> None:
        while True:
            try:
                self.tick()
            except PinwardenError as error:
                log.error("renewal found no store: %s", error)
            except Exception:
                log.exception("renewal failed")  # the next round may do better; without this thread nothing would
            if self._stop.wait(self._interval):
                return
