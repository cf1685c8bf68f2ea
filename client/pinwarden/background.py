"""
The background refresh: when to ask the pin server again (spec section 4).

It may import ``errors`` and the standard library. It never ends because a refresh failed, and never asks more often
than its backoff allows.
"""

import logging
import threading
import time
from collections.abc import Callable

from pinwarden.errors import FetchError, PinwardenError

log = logging.getLogger("pinwarden")

JITTER = 0.2
MAX_BACKOFF_SECONDS = 3600.0
MIN_POKE_SECONDS = 10.0


class BackgroundRefresh:
    """
    Calls *refresh* in a thread of its own: at once, then every *interval_seconds* with 20 % jitter.

    A failure doubles the wait up to an hour; a server's Retry-After is honoured up to an hour. After a fork the child
    has no thread until :meth:`reset_after_fork`.

    Args:
        refresh: one refresh; PinwardenError is survived and logged, anything else too, with its traceback.
        interval_seconds: mean wait after a success.
    """

    def __init__(self, refresh: Callable[[], object], *, interval_seconds: float = 300.0) -> None:
        self._refresh = refresh
        self._interval = interval_seconds
        self._wake = threading.Event()
        self._closed = True
        self._thread: threading.Thread | None = None
        self._last_run: float | None = None
        self._lock = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Tell whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        with self._lock:
            if self.is_running:
                return
            self._closed = False
            self._wake = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._wake,), name="pinwarden-refresh", daemon=True)
            self._thread.start()

    def poke(self) -> None:
        """Ask for a refresh soon; ignored within 10 seconds of the last one."""
        if self._last_run is None or time.monotonic() - self._last_run >= MIN_POKE_SECONDS:
            self._wake.set()

    def close(self) -> None:
        """Stop the thread; a refresh that is under way is waited for up to a second."""
        thread = self.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end, and return it, or None when there is none."""
        with self._lock:
            self._closed = True
            self._wake.set()
            thread, self._thread = self._thread, None
            return thread

    def _run(self, wake: threading.Event) -> None:
        failures = 0
        while not self._closed and wake is self._wake:
            failure = self._run_once()
            failures = failures + 1 if failure else 0
            wake.wait(self.wait_seconds(failures, failure))
            if not self._closed:
                wake.clear()

    def _run_once(self) -> Exception | None:
        self._last_run = time.monotonic()
        try:
            self._refresh()
        except PinwardenError as error:
            log.warning("refresh failed: %s", error)
            return error
        except Exception as error:
            log.exception("refresh failed for a reason that it should not fail for")
            return error
        return None

    def wait_seconds(self, failures: int, failure: Exception | None) -> float:
        """Return how long to wait after *failures* failures in a row, the last of which was *failure*."""
        import random

        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads load, protects nothing
        doubled = self._interval * float(2 ** min(failures, 16))
        wait = min(doubled, max(MAX_BACKOFF_SECONDS, self._interval)) * jitter
        asked = failure.retry_after if isinstance(failure, FetchError) else None
        return max(wait, min(asked, MAX_BACKOFF_SECONDS)) if asked else wait

    def reset_after_fork(self) -> None:
        """In the child: start a thread of its own where the parent had one, which uses the child's locks at once."""
        self._lock = threading.Lock()
        running, self._thread = self._thread is not None and not self._closed, None
        if running:
            self.start()
