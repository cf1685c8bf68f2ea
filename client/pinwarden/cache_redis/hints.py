"""
The thread that hears what other clients wrote.

It may import ``cache``, ``head``, ``link`` and errors. What it hears is a hint from whoever may publish: it is read up
to a limit, makes the client look into the cache at a limited rate, and is believed in nothing.
"""

import logging
import random
import threading
from collections.abc import Callable

from pinwarden.cache_redis.cache import RedisCache
from pinwarden.cache_redis.head import Head
from pinwarden.cache_redis.link import Link
from pinwarden.errors import CacheError

log = logging.getLogger("pinwarden")

# A silence of this length is broken by a question, to learn whether the other side still lives.
QUIET_SECONDS = 60.0
# Between two looks; doubled by each that finds nothing, so that false hints cost next to nothing.
MIN_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 60.0


class Hints:
    """
    Hears hints in a thread of its own, and looks when one promises more than is held.

    The thread holds nothing of the client but what it is given here. After a fork the child has no thread until
    :meth:`ensure_running`.

    Attributes:
        is_wanted: whether the thread may run; between :meth:`open` and :meth:`stop`.

    Args:
        cache: where to listen.
        held: returns what the client holds, or None when there is no client any more.
        look: looks into the cache, and tells whether that brought something newer.
    """

    def __init__(self, cache: RedisCache, *, held: Callable[[], Head | None], look: Callable[[], bool | None]) -> None:
        self._cache = cache
        self._held = held
        self._ask_to_look = look
        self.is_wanted = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._link: Link | None = None
        self._pause = MIN_PAUSE_SECONDS
        self._failures = 0

    @property
    def is_running(self) -> bool:
        """Tell whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def open(self) -> None:
        """Allow the thread to run."""
        self.is_wanted = True

    def ensure_running(self) -> None:
        """Start the thread, if it is wanted and does not run."""
        with self._lock:
            if self.is_running or not self.is_wanted:
                return
            self._stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(self._stop,), name="pinwarden-hints", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # too many threads, or the process is ending: the pin server is asked anyhow
                log.warning("no hints of updates: %s", error)
            else:
                self._thread = thread

    def stop(self) -> threading.Thread | None:
        """Ask the thread to end, and return it, or None when there is none."""
        with self._lock:
            self.is_wanted = False
            self._stop.set()
            if (link := self._link) is not None:
                link.abort()
            thread, self._thread = self._thread, None
            return thread

    def close(self) -> None:
        """Stop the thread; it is waited for up to a second."""
        thread = self.stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def reset_after_fork(self) -> None:
        """In the child: let go of the parent's connection and thread."""
        self._lock, self._stop, self._thread = threading.Lock(), threading.Event(), None
        link, self._link = self._link, None
        if link is not None:
            link.let_go()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set() and self._held() is not None:
            try:
                with self._cache.listen() as link:
                    self._attend(link, stop)
            except CacheError as error:
                if stop.is_set():
                    return
                self._failures += 1
                log.log(logging.WARNING if self._failures == 1 else logging.DEBUG, "no hints of updates: %s", error)
            finally:
                self._link = None
            wait = min(MIN_PAUSE_SECONDS * 2 ** min(self._failures, 16), MAX_PAUSE_SECONDS)
            stop.wait(wait * random.uniform(0.5, 1))  # noqa: S311 - spreads load, protects nothing

    def _attend(self, link: Link, stop: threading.Event) -> None:
        """Look once, because something may have been told before, and whenever something more is promised."""
        with self._lock:
            self._link = link
        self._look()
        while not stop.wait(self._pause):
            heard = link.hear(QUIET_SECONDS)
            held = self._held()
            if stop.is_set() or held is None:
                return
            if not heard:
                link.subscribe(self._cache.channel)
                self._failures, self._pause = 0, MIN_PAUSE_SECONDS
            elif any(head.promises_more_than(held) for head in map(Head.parse, heard) if head):
                self._look()

    def _look(self) -> None:
        found = self._ask_to_look()
        self._pause = MIN_PAUSE_SECONDS if found else min(2 * self._pause, MAX_PAUSE_SECONDS)
        if found:
            self._failures = 0
