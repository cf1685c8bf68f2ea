"""
When one client refreshes, who waits for it, and what is remembered of it (spec section 4, E11).

It may import ``update``, ``servers``, ``background``, ``events``, ``trust`` and the guard's times. It never judges an
answer or a connection, and only one refresh runs at a time.
"""

import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pinwarden import elapsed
from pinwarden.background import BackgroundRefresh
from pinwarden.errors import FetchError, PinwardenError
from pinwarden.events import Events
from pinwarden.guard import SECOND_LOOK_SECONDS, ClientGuard
from pinwarden.tidings import tell_change, tell_failure, tell_success
from pinwarden.trust import KeptDocuments, State, TrustState, absorb
from pinwarden.update import Updater

if TYPE_CHECKING:
    from pinwarden.cache_redis.fleet import Fleet
    from pinwarden.servers import PinServers

log = logging.getLogger("pinwarden")

# A refresh ends within its deadlines. Whoever waits longer for another's may be what that one waits for: a log handler
# that ships records over a judged connection.
REFRESH_WAIT_SECONDS = 30.0
_ROWS = (State.EMPTY, State.EXPIRED, State.STALE, State.FRESH)


class Refresher:
    """
    Keeps the pins of one guard fresh: at once, in passing, or in the background.

    Attributes:
        guard: whose pins these are; given after construction, because the guard asks for refreshes itself.
        fleet: shares the pins with other clients of one cache; None without such a cache.
        background: the thread's business.
        last_refresh: when a refresh last succeeded, or None. last_error: what refused or failed the last one, or None.
        failures: how many failed in a row.

    Args:
        updater: fetches, judges and keeps.
        servers: whom *updater* asks.
        events: is told how each refresh went.
        clock: the present, for judging documents.
        poll_seconds: mean time between refreshes.
        adopt: called with what other clients had, and is newer.
    """

    guard: ClientGuard
    fleet: "Fleet | None" = None

    def __init__(
        self,
        updater: Updater,
        servers: "PinServers",
        events: Events,
        clock: Callable[[], datetime],
        *,
        poll_seconds: float,
        adopt: Callable[[TrustState], object],
    ) -> None:
        self.updater = updater
        self.servers = servers
        self.last_refresh: datetime | None = None
        self.last_error: str | None = None
        self.failures = 0
        # Weakly, or the thread of a client that everyone has forgotten would run for ever.
        self.background = BackgroundRefresh(_weakly(self._refresh_in_turn), interval_seconds=poll_seconds)
        self._events = events
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._adopt = adopt
        self._lock = threading.Lock()
        self._errand = threading.Lock()
        self._refreshing: int | None = None
        self._last_attempt: float | None = None
        self._state: State | None = None
        self._keeps_connections = True

    def refresh(self) -> None:
        """Refresh once for a caller who gets the error; raises as ``PinClient.refresh`` does."""
        self._refresh_and_share(log_failure_at=logging.DEBUG)

    def refresh_unasked(self) -> None:
        """Refresh once for nobody in particular: a failure is raised, and logged as a warning besides."""
        self._refresh_and_share(log_failure_at=logging.WARNING)

    def refresh_for_handshake(self) -> None:
        """As :meth:`refresh_unasked`, while a handshake waits: what is accepted goes to the fleet after it."""
        try:
            self._refresh(log_failure_at=logging.WARNING)
        finally:
            if self.fleet:
                self.fleet.share_soon()

    def _refresh_in_turn(self) -> None:
        """Refresh in the background, where one client of a fleet may do it for the others."""
        if self.fleet:
            self.fleet.turn(self.refresh_unasked)
        else:
            self.refresh_unasked()

    def _refresh_and_share(self, *, log_failure_at: int) -> None:
        try:
            self._refresh(log_failure_at=log_failure_at)
        finally:
            if self.fleet:
                self.fleet.share()

    def take(self, found: KeptDocuments) -> bool:
        """
        Adopt what other clients kept, if it is newer and puts this one no row down in the state table (spec C1).

        Whoever can write to a shared cache could otherwise show a document that was good once, and whose end lets
        ordinary CA checks decide. Return whether the pins of it are fresh.
        """
        with self._events.later():
            if not self._acquire():
                return False
            try:
                before, now = self.guard.snapshot.trust, self._clock()
                newer = absorb(before, found)
                then, after = before.state_at(now), newer.state_at(now)
                if newer is before or _ROWS.index(after) < _ROWS.index(then):
                    return False
                self._adopt(newer)
                self._tell_change(before, now)
            finally:
                self._lock.release()
        return after is State.FRESH

    def refresh_if_due(self) -> None:
        """Keep the pins of a client fresh that nobody called start() on; the guard asks when the time has come."""
        self.guard.due = elapsed.seconds() + self._poll_seconds
        self.resume()
        if self.background.is_running:
            self.background.poke_if_late()
        else:
            self.refresh_soon()

    def refresh_soon(self) -> None:
        """Have one refresh made by another thread, and return at once."""
        self.resume()
        if self.background.is_running:
            self.background.poke()
        elif self._is_older_than(SECOND_LOOK_SECONDS) and self._errand.acquire(blocking=False):
            try:
                threading.Thread(target=self._run_errand, name="pinwarden-refresh", daemon=True).start()
            except RuntimeError as error:  # too many threads, or the process is ending: no reason to fail a handshake
                self._errand.release()
                log.warning("no refresh in passing: %s", error)

    def resume(self) -> None:
        """In a forked child: start the background refresh that stayed in the parent, now that the child is in use."""
        is_lost = self.background.is_lost
        try:
            self.background.resume()
        except RuntimeError as error:  # too many threads, or the process is ending
            log.warning("no refresh in the background: %s", error)
        if is_lost and self.fleet:
            self.fleet.hints.ensure_running()  # its own turn to fetch may be minutes away

    def start(self) -> None:
        """Refresh in the background from now on."""
        if self.fleet:
            self.fleet.open()
        self.background.start()

    def close(self) -> None:
        """Stop the background refresh and close idle connections to the pin server."""
        if self.fleet:
            self.fleet.close()  # first, for the background refresh may be waiting for others
        self.background.close()
        self._close_connections(wait_seconds=1.0)

    def let_go(self) -> None:
        """Close idle connections at the end of the process, keep none from now on, and wait for nothing."""
        self._keeps_connections = False
        self._close_connections(wait_seconds=0.0)

    def _close_connections(self, *, wait_seconds: float) -> None:
        if self._lock.acquire(timeout=wait_seconds):  # a refresh under way closes its connection by its deadline
            try:
                self.servers.close()
            finally:
                self._lock.release()

    def reset_after_fork(self, instance: str | None) -> None:
        """In the child, another *instance*: a lock that another thread held at the fork would never be released."""
        self._lock, self._errand, self._refreshing = threading.Lock(), threading.Lock(), None
        self.servers.reset_after_fork(instance)
        if self.fleet:
            self.fleet.reset_after_fork()
        self.background.reset_after_fork()
        if self.background.is_lost:
            self.guard.due = 0.0  # the child's first handshake resumes it

    def _refresh(self, *, log_failure_at: int) -> None:
        # What happens is told at the end, without the lock: a listener may connect, and be judged, itself.
        with self._events.later():
            if not self._acquire():
                error = FetchError(
                    "another refresh is still under way",
                    holds="The pins already trusted stay in force.",
                    hint="A log handler that opens TLS connections may be waiting for its own record.",
                )
                tell_failure(self._events, error, self.failures, level=log_failure_at)
                raise error
            self._refreshing = threading.get_ident()
            self.resume()
            before, now = self.guard.snapshot.trust, self._clock()
            try:
                self._refresh_once(now, log_failure_at)
            finally:
                self._tell_change(before, now)
                if not self._keeps_connections:
                    self.servers.close()
                self._refreshing = None
                self._lock.release()

    def _acquire(self) -> bool:
        """Take the lock of refreshes; False when one does not end, or is under way in this very thread."""
        return self._refreshing != threading.get_ident() and self._lock.acquire(timeout=REFRESH_WAIT_SECONDS)

    def _refresh_once(self, now: datetime, log_failure_at: int) -> None:
        self._last_attempt = elapsed.seconds()
        self.guard.due = self._last_attempt + self._poll_seconds

        def attempt() -> bool:
            return self.updater.update(self.guard.snapshot.trust, now).state_at(now) is State.FRESH

        try:
            self.servers.update(attempt)
        except Exception as error:
            self._plan(error)
            tell_failure(self._events, error, self.failures, level=log_failure_at)
            raise
        self.last_refresh = self._clock()
        self._plan(None)
        tell_success(self._events, self.guard.snapshot.trust, now, self.servers.served_by)

    def _plan(self, failure: Exception | None) -> None:
        """Remember how a refresh went, and when a handshake may ask for the next one."""
        # Only its text: the error itself would keep what was refused, and where it came from, in memory.
        self.last_error = None if failure is None else str(failure) or type(failure).__name__
        self.failures = 0 if failure is None else self.failures + 1
        self.guard.due = elapsed.seconds() + self.background.wait_seconds(self.failures, failure)

    def _tell_change(self, before: TrustState, now: datetime) -> None:
        after = self.guard.snapshot.trust
        then, self._state = self._state or before.state_at(now), after.state_at(now)
        tell_change(self._events, before, after, then=then, now=self._state)

    def _run_errand(self) -> None:
        try:
            with suppress(PinwardenError):  # told of already
                self.refresh_unasked()
        finally:
            self._errand.release()

    def _is_older_than(self, seconds: float) -> bool:
        return self._last_attempt is None or elapsed.seconds() - self._last_attempt >= seconds


def _weakly(method: Callable[[], object]) -> Callable[[], object]:
    reference = weakref.WeakMethod(method)

    def call() -> None:
        if (alive := reference()) is not None:
            alive()

    return call
