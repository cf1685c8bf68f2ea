"""
Reports of failed pins, from a handshake to their way out (spec section 8).

It may import ``findings``, ``delivery``, ``fetch``'s context, ``events`` and ``elapsed``. A handshake only puts a
finding into a short queue: it never waits for a connection, and never fails because of a report.
"""

import logging
import ssl
import threading
from collections import deque
from contextlib import suppress
from itertools import groupby, islice
from operator import attrgetter

from pinwarden import elapsed
from pinwarden.delivery import Delivery, Target, deliver
from pinwarden.events import Events
from pinwarden.fetch import own_context
from pinwarden.findings import Finding

log = logging.getLogger("pinwarden")

REPEAT_SECONDS = 3600.0
MAX_KEYS = 1024
MAX_WAITING = 100
BATCH = 20
BATCH_SECONDS = 2.0
DELIVERY_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 60.0
MAX_PAUSE_SECONDS = 3600.0
MAX_ATTEMPTS = 3


class Reporter:
    """
    Sends findings in batches, by a thread that begins with the first of them.

    At most one per host, outcome and hour is sent; at most 100 wait. When the server is away, a batch is tried three
    times, with pauses from a minute to an hour, and then dropped.

    Attributes:
        sent: reports that were taken. dropped: those that were given up, or found no room; repetitions within the hour
            do not count.

    Args:
        events: is told when delivery begins to fail, and of what is dropped.
        instance: the random number of this process, or None to send none.
        ca_file: PEM file with CAs that may certify the receiver, besides the system's.
        certificates: send them, with the names in them, and not their keys alone.
    """

    def __init__(
        self, events: Events, *, instance: str | None, ca_file: str | None = None, certificates: bool = False
    ) -> None:
        from pinwarden import __version__

        self.sent = 0
        self.dropped = 0
        self._events = events
        self._sdk = f"pinwarden-python/{__version__}"
        self._instance = instance
        self._ca_file = ca_file
        self._certificates = certificates
        self._context: ssl.SSLContext | None = None
        self._begin()

    def _begin(self) -> None:
        self._queue: deque[Finding] = deque()
        self._last: dict[tuple[str, str], float] = {}
        self._lock = threading.RLock()  # a signal handler may connect while its own thread is in here
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._hurry = False
        self._attempts = 0
        self._due = 0.0
        self._drop_reason: str | None = None

    def note(self, finding: Finding) -> None:
        """Queue *finding*, unless its like was queued within the hour; returns at once and never raises."""
        now = elapsed.seconds()
        with self._lock:
            last = self._last.get(finding.key)
            if self._stopped or (last is not None and now - last < REPEAT_SECONDS):
                return
            if len(self._queue) >= MAX_WAITING or not self._remember(finding.key, now):
                self._count_dropped(1, f"more than {MAX_WAITING} wait, or {MAX_KEYS} were sent within the hour")
                return
            if not self._queue and self._attempts == 0:
                self._due = now + BATCH_SECONDS
            self._queue.append(finding if self._certificates else finding.without_certificates())
            self._start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Have what waits sent now, once; return whether all of it was taken within *seconds*."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                self._hurry = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: not self._hurry, seconds)
            return not self._queue

    def stop(self) -> None:
        """Ask the thread to end; what waits is lost."""
        with self._lock:
            self._stopped = True
            self._changed.notify_all()

    def reset_after_fork(self, instance: str | None) -> None:
        """In the child: the parent sends what it has found; the child is another *instance* with nothing to send."""
        self._instance = instance
        self._begin()

    def _remember(self, key: tuple[str, str], now: float) -> bool:
        """Note the time of *key*; False when a thousand others were reported within the hour."""
        if len(self._last) >= MAX_KEYS and key not in self._last:
            self._last = {known: then for known, then in self._last.items() if now - then < REPEAT_SECONDS}
            if len(self._last) >= MAX_KEYS:
                return False
        self._last[key] = now
        return True

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="pinwarden-reports", daemon=True)
        with suppress(RuntimeError):  # too many threads, or the process is ending: the next finding tries again
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while batch := self._next_batch():
            result = self._send(batch)
            with self._lock:
                self._settle(len(batch), result)
            self._tell(result)

    def _next_batch(self) -> list[Finding]:
        """Wait until findings are due, and return the first that go to one address; none when the thread shall end."""
        with self._lock:
            while not self._stopped:
                left = self._due - elapsed.seconds()
                if self._queue and (self._hurry or left <= 0):
                    _, alike = next(groupby(self._queue, attrgetter("report_to")))
                    return list(islice(alike, BATCH))
                if not self._queue:
                    self._hurry = False
                    self._changed.notify_all()
                self._changed.wait(left if self._queue else None)
            return []

    def _send(self, batch: list[Finding]) -> Delivery:
        try:
            target = Target.of(batch[0].report_to)
            bodies = [finding.spell(sdk=self._sdk, instance=self._instance) for finding in batch]
            self._context = self._context or _context(self._ca_file)
            return deliver(target, bodies, self._context, seconds=DELIVERY_SECONDS)
        except ValueError as error:
            return Delivery(len(batch), len(batch), f"report_to cannot be used: {error}")
        except Exception:  # a defect must not end the thread
            log.exception("reports could not be sent for a reason that should not be")
            return Delivery(len(batch), len(batch), "a defect; the log has it")

    def _settle(self, count: int, result: Delivery) -> None:
        """Count what was taken, and decide about the rest. The lock is held."""
        gone, now = result.taken, elapsed.seconds()
        self.sent += result.taken - result.refused
        self._count_dropped(result.refused, result.failure or "the server does not take them")
        if gone == count:
            self._attempts, self._due = 0, now
        else:
            self._hurry = False
            self._attempts += 1
            pause = min(FIRST_PAUSE_SECONDS * float(2 ** (self._attempts - 1)), MAX_PAUSE_SECONDS)
            self._due = now + max(pause, result.retry_after or 0.0)
            if self._attempts == MAX_ATTEMPTS:
                self._count_dropped(count - gone, result.failure or "")
                self._attempts, gone = 0, count
        for _ in range(gone):
            self._queue.popleft()
        self._changed.notify_all()

    def _count_dropped(self, count: int, reason: str) -> None:
        if count:
            self.dropped += count
            self._drop_reason = reason

    def _tell(self, result: Delivery) -> None:
        """Tell, without the lock, that delivery has begun to fail, and what was dropped since the last time."""
        if result.failure and self._attempts == 1:
            message = "reports could not be sent: %s; %d wait"
            waiting = len(self._queue)
            self._events.tell(
                "reports.failed", message, result.failure, waiting, reason=result.failure, waiting=waiting
            )
        reason, self._drop_reason = self._drop_reason, None
        if reason:
            message = "reports were dropped (%s); %d so far"
            self._events.tell("reports.dropped", message, reason, self.dropped, reason=reason, dropped=self.dropped)


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = own_context(None)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
