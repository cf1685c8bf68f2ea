"""
The background refresh: when to ask the pin server again (spec section 4).

It may import ``errors``, ``elapsed`` and the standard library. It never ends because a refresh failed, and never asks
more often than its backoff allows.
"""

import logging
import threading
from collections.abc import Callable

from pinwarden import elapsed
from pinwarden.errors import FetchError, PinwardenError

log = logging.getLogger("pinwarden")

JITTER = 0.2
MAX_BACKOFF_SECONDS = 3600.0
MIN_POKE_SECONDS = 10.0
# No longer than this is waited at a stretch: the kernel's own timers stand still while a machine sleeps.
MAX_STRETCH_SECONDS = 10.0


class BackgroundRefresh:
    """
    Calls *refresh* in a thread of its own: at once, then every *interval_seconds* with 20 % jitter.

    A failure doubles the wait up to an hour; a server's Retry-After is honoured up to an hour. A machine that slept
    over the next refresh makes it when it wakes, once. After a fork the child has no thread until :meth:`resume`.

    Attributes:
        is_lost: whether this is a forked child whose parent had a thread, and nothing has resumed it yet.

    Args:
        refresh: one refresh; PinwardenError is survived, and told of by *refresh* itself; anything else is logged.
        interval_seconds: mean wait after a success.
    """

    def __init__(self, refresh: Callable[[], object], *, interval_seconds: float = 300.0) -> None:
        self._refresh = refresh
        self._interval = interval_seconds
        self._wake = threading.Event()
        self._closed = True
        self._thread: threading.Thread | None = None
        self._last_run: float | None = None
        self._due = 0.0
        self._failures: int | None = None  # in a row; None before the first refresh has ended
        self.is_lost = False
        self._lock = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Tell whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        self._start(first_wait=0.0)

    def _start(self, *, first_wait: float) -> None:
        with self._lock:
            if self.is_running:
                return
            self._closed = self.is_lost = False
            self._wake = threading.Event()
            self._failures = None
            self._due = elapsed.seconds() + first_wait
            self._thread = threading.Thread(target=self._run, args=(self._wake,), name="pinwarden-refresh", daemon=True)
            self._thread.start()

    def resume(self) -> None:
        """
        In a forked child that is in use: start the thread that stayed in the parent, if there was one.

        Children of one parent then refresh at times of their own within the interval, not all at once.

        Raises:
            RuntimeError: this process can start no thread now.
        """
        if self.is_lost:
            self._start(first_wait=_random(0.0, self._interval) if self._failures == 0 else 0.0)

    def poke(self) -> None:
        """Ask for a refresh soon; ignored within 10 seconds of the last one."""
        if self._last_run is None or elapsed.seconds() - self._last_run >= MIN_POKE_SECONDS:
            self._wake.set()

    def poke_if_late(self) -> None:
        """Ask for the refresh that is due, when the machine slept over it and the thread has not noticed yet."""
        if elapsed.seconds() >= self._due:
            self.poke()

    def close(self) -> None:
        """Stop the thread; a refresh that is under way is waited for up to a second."""
        thread = self.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end, and return it, or None when there is none."""
        with self._lock:
            self._closed, self.is_lost = True, False
            self._wake.set()
            thread, self._thread = self._thread, None
            return thread

    def _run(self, wake: threading.Event) -> None:
        self._wait(wake)
        while not self._closed and wake is self._wake:
            failure = self._run_once()
            if wake is not self._wake:
                return  # closed and started again meanwhile: the next one is another thread's business
            self._failures = (self._failures or 0) + 1 if failure else 0
            self._due = elapsed.seconds() + self.wait_seconds(self._failures, failure)
            self._wait(wake)

    def _wait(self, wake: threading.Event) -> None:
        """Wait until the next refresh is due, or somebody asks for it or for the end."""
        while (left := self._due - elapsed.seconds()) > 0:
            if wake.wait(min(left, MAX_STRETCH_SECONDS)):
                break
        if not self._closed:
            wake.clear()

    def _run_once(self) -> Exception | None:
        self._last_run = elapsed.seconds()
        try:
            self._refresh()
        except PinwardenError as error:
            return error
        except Exception as error:
            log.exception("refresh failed for a reason that it should not fail for")
            return error
        return None

    def wait_seconds(self, failures: int, failure: Exception | None) -> float:
        """Return how long to wait after *failures* failures in a row, the last of which was *failure*."""
        jitter = _random(1 - JITTER, 1 + JITTER)
        doubled = self._interval * float(2 ** min(failures, 16))
        wait = min(doubled, max(MAX_BACKOFF_SECONDS, self._interval)) * jitter
        asked = failure.retry_after if isinstance(failure, FetchError) else None
        return max(wait, min(asked, MAX_BACKOFF_SECONDS)) if asked else wait

    def reset_after_fork(self) -> None:
        """In the child: there is no thread any more; :meth:`resume` starts one when the child needs it."""
        self._lock = threading.Lock()
        # Not at once: most children never open a connection, and each would ask the server in the same moment.
        self.is_lost = self.is_lost or (self._thread is not None and not self._closed)
        self._thread = None


def _random(low: float, high: float) -> float:
    import random

    return random.uniform(low, high)  # noqa: S311 - spreads load, protects nothing
