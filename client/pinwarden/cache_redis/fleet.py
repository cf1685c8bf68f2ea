"""
One client among those that share its cache: who fetches, and how the others get to know (spec C4 to C6).

It may import ``cache``, ``hints``, ``keeping``, ``split_view``, ``trust``, ``update`` and errors. It adopts nothing
itself, and no handshake waits for it: what Redis says reaches the client by the same gate as a cache at its start.
"""

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TypeVar

from pinwarden.cache import MemoryCache
from pinwarden.cache_redis.cache import RedisCache
from pinwarden.cache_redis.head import Head
from pinwarden.cache_redis.hints import Hints
from pinwarden.errors import CacheError
from pinwarden.events import Events
from pinwarden.keeping import Health, Testimony
from pinwarden.split_view import find_split_views
from pinwarden.trust import KeptDocuments, TrustState
from pinwarden.update import merge_kept

log = logging.getLogger("pinwarden")

Result = TypeVar("Result")


class Fleet:
    """
    Shares what a client trusts, and brings it what others have.

    Attributes:
        near: where the client keeps what it accepts; :meth:`share` carries that to the shared cache.
        hints: the thread that hears of updates.

    Args:
        cache: the shared cache.
        trust: returns what the client trusts.
        take: adopts documents that others kept, and tells whether that was news with which the client is fresh.
        health, testimony: tell what happens to the cache, and of split views found there; default: to the log alone.
    """

    def __init__(
        self,
        cache: RedisCache,
        *,
        trust: Callable[[], TrustState],
        take: Callable[[KeptDocuments], bool],
        health: Health | None = None,
        testimony: Testimony | None = None,
    ) -> None:
        self.near = MemoryCache()
        self.health = health or Health(cache, Events())
        self.testimony = testimony or Testimony(cache, Events())
        self._cache = cache
        self._trust = trust
        self._take = take
        # Weakly, or the thread of a client that everyone has forgotten would run for ever.
        self.hints = Hints(cache, held=_weakly(self._held), look=_weakly(self.look))
        self._news = threading.Event()
        self._was_spared = False
        self._sharing = threading.Lock()

    def turn(self, refresh: Callable[[], object]) -> None:
        """
        Do what is due in the background: *refresh*, unless another client just did and this one has its update.

        Only a newer document with good signatures spares a client its own question, and never twice in a row: an evil
        Redis can delay it, but not keep it from the pin server.
        """
        self.hints.ensure_running()
        if not self._was_spared and not self._news.is_set():
            self._news.wait(self._seconds_to_wait())
        if not self.hints.is_wanted:
            return
        self._was_spared = self._news.is_set() and not self._was_spared
        self._news.clear()
        if not self._was_spared:
            refresh()

    def _seconds_to_wait(self) -> float:
        try:
            return self._cache.seconds_to_wait()
        except CacheError as error:
            log.debug("nobody can tell whose turn it is to fetch: %s", error)
            return 0.0

    def look(self) -> bool:
        """Look into the shared cache; tell whether it had news."""
        return self._consider(self._cache.load())

    def share(self) -> None:
        """Write what the client trusts to the shared cache, and take what stands there and is newer."""
        state, there = self._trust(), KeptDocuments()

        def merge(found: KeptDocuments) -> KeptDocuments:
            nonlocal there
            there = found
            return merge_kept(state, found)[1]

        try:
            self._cache.update(merge)
        except CacheError as error:
            self.health.note_failure(error)
        else:
            self.health.note_success()
        self._consider(there)

    def share_soon(self) -> None:
        """As :meth:`share`, in a thread: for a handshake, which is not delayed by a cache."""
        if self._sharing.acquire(blocking=False):
            try:
                threading.Thread(target=self._share_and_release, name="pinwarden-share", daemon=True).start()
            except RuntimeError as error:  # too many threads, or the process is ending
                self._sharing.release()
                log.warning("what is in force was not kept for the next start: %s", error)

    def _share_and_release(self) -> None:
        try:
            self.share()
        finally:
            self._sharing.release()

    def open(self) -> None:
        """Allow turns, and listening with the first of them."""
        self._news.clear()
        self.hints.open()

    def close(self) -> None:
        """Stop listening, and the turn that waits for others; the next ones do nothing."""
        self.hints.close()
        self._news.set()

    def reset_after_fork(self) -> None:
        """In the child: nothing waits, and no lock is held by a thread that is not there."""
        self._news, self._sharing = threading.Event(), threading.Lock()
        self.hints.reset_after_fork()

    def _held(self) -> Head:
        state = self._trust()
        pinset, timestamp = state.floor_pinset, state.floor_timestamp
        return Head(pinset.tag if pinset else (0, 0), timestamp.tag if timestamp else (0, 0), state.root.version)

    def _consider(self, found: KeptDocuments) -> bool:
        for view in find_split_views(self._trust(), found):
            self.testimony.give("split-view", view)
        taken = self._take(found)
        if taken:
            self._news.set()
        return taken


def _weakly(method: Callable[[], Result]) -> Callable[[], Result | None]:
    reference = weakref.WeakMethod(method)

    def call() -> Result | None:
        alive = reference()
        return None if alive is None else alive()

    return call
