"""
One update, from the network into the trust state and the cache (spec section 4, V10, C1 to C5).

It may import ``trust``, ``fetch``, ``cache``, ``keeping``, ``split_view`` and errors. It never decides what is trusted,
only what is fetched, kept, told and survivable.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from pinwarden.bundle import Bundle
from pinwarden.cache import Cache
from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.errors import CacheError, EquivocationError, FetchError, UntrustedError
from pinwarden.events import Events
from pinwarden.keeping import Health, Testimony
from pinwarden.split_view import SplitView, find_split_views, is_vouched_for
from pinwarden.trust import (
    KeptDocuments,
    TrustState,
    absorb,
    advance_bundle,
    advance_root,
    is_recognised,
)

MAX_ROOT_WALK = 256
NOT_FOUND = 404


class Fetched(Protocol):
    """A 200 answer."""

    @property
    def body(self) -> bytes: ...
    @property
    def etag(self) -> str | None: ...


class Source(Protocol):
    """Where bundles come from; ``fetch.Fetcher`` over HTTP."""

    def bundle(
        self, name: str, root_version: int, *, held: tuple[int, int] | None, etag: str | None
    ) -> Fetched | None: ...
    def root(self, version: int) -> bytes | None: ...


class Updater:
    """
    Brings a trust state up to date.

    Args:
        source: where bundles come from.
        cache: where accepted documents are kept.
        adopt: called with each newer state at once, before anything else may fail.
        health, testimony: tell what happens to the cache, and of split views; default: to the log alone.
    """

    def __init__(
        self,
        source: Source,
        cache: Cache,
        *,
        adopt: Callable[[TrustState], object],
        health: Health | None = None,
        testimony: Testimony | None = None,
    ) -> None:
        self._source = source
        self._cache = cache
        self._adopt = adopt
        self._etag: tuple[str, TrustState] | None = None
        self.health = health or Health(cache, Events())
        self.testimony = testimony or Testimony(cache, Events())

    def update(self, state: TrustState, now: datetime) -> TrustState:
        """
        Fetch once and return the state that trusts what is newer.

        Raises:
            UntrustedError: refused; newer roots that came with it are adopted and kept, nothing else (spec V10).
            FetchError: no usable answer.
        """
        try:
            fetched = self._ask(state)
        except FetchError as error:
            if error.status != NOT_FOUND:
                raise
            reached = self._walk_roots(state)
            if reached is state:
                raise
            state, fetched = reached, self._ask(reached)
        if fetched is None:  # 304: changes no state and extends nothing
            return state
        try:
            newer = advance_bundle(state, Bundle.parse(fetched.body), now=now)
        except UntrustedError as error:
            if error.state is not None and error.state.root.version > state.root.version:
                self._keep(error.state)
            if isinstance(error, EquivocationError):
                told = self.testimony.give("equivocation", SplitView.of(error))
                error.hint = f"{error.hint or ''} {told}".lstrip()
            raise
        kept = self._keep(newer)
        self._etag = (fetched.etag, newer) if fetched.etag and kept is newer else None
        return kept

    def _ask(self, state: TrustState) -> Fetched | None:
        held = state.adopted_pinset.tag if state.adopted_pinset else None
        # An ETag goes out only with the exact state that it was given for.
        etag = self._etag[0] if self._etag and self._etag[1] is state else None
        return self._source.bundle(state.name, state.root.version, held=held, etag=etag)

    def _walk_roots(self, state: TrustState) -> TrustState:
        """Climb ``/v1/roots/`` one at a time, each persisted, until there is no next one (spec V4)."""
        for _ in range(MAX_ROOT_WALK):
            data = self._source.root(state.root.version + 1)
            if data is None:
                break
            state = self._keep(advance_root(state, data))
        return state

    def _keep(self, state: TrustState) -> TrustState:
        """Adopt, then persist; return the state, raised by what other processes had kept already (spec C3, C5)."""
        views: tuple[SplitView, ...] = ()
        self._adopt(state)

        def merge(found: KeptDocuments) -> KeptDocuments:
            nonlocal state, views
            state, kept, views = merge_kept(state, found)
            return kept

        before = state
        try:
            self._cache.update(merge)
        except CacheError as error:
            self.health.note_failure(error)
        else:
            self.health.note_success()
        if state is not before:
            self._adopt(state)
        for view in views:
            self.testimony.give("split-view", view)
        return state


def merge_kept(state: TrustState, found: KeptDocuments) -> tuple[TrustState, KeptDocuments, tuple[SplitView, ...]]:
    """
    Return *state* raised by what a cache holds, what the cache shall hold then, and the split views between the two.

    Of two contents of one version neither displaces the other, unless the newest root of both no longer vouches for the
    one that is there (spec C3, C6).
    """
    views = tuple(find_split_views(state, found))
    raised = absorb(state, found)
    kept = _with_strangers(raised, found)
    if any(is_vouched_for(raised, view.shown) for view in views):
        kept = KeptDocuments(kept.roots, found.timestamps, found.pinsets)
    return raised, kept, views


def _with_strangers(state: TrustState, found: KeptDocuments) -> KeptDocuments:
    """
    Return what *state* keeps, and what it cannot judge but another client of the same cache may need (spec C3).

    Applications embed different roots. Without the older ones a client with an older root could not follow the chain;
    and one whose chain does not reach the newer ones yet must not throw away what only they vouch for.
    """
    kept = state.kept()
    roots = {root.version: envelope for root, envelope in zip(state.chain, state.root_envelopes, strict=True)}
    strangers = {version: envelope for version, envelope in _versions(state, found) if version not in roots}
    every = tuple(envelope for _, envelope in sorted({**strangers, **roots}.items()))
    if max(strangers, default=0) < state.root.version:
        return KeptDocuments(every, kept.timestamps, kept.pinsets)
    timestamps = (envelope for envelope in found.timestamps if not is_recognised(state, envelope))
    pinsets = (envelope for envelope in found.pinsets if not is_recognised(state, envelope))
    return KeptDocuments(every, (*kept.timestamps, *timestamps), (*kept.pinsets, *pinsets))


def _versions(state: TrustState, found: KeptDocuments) -> Iterator[tuple[int, Envelope]]:
    known = {envelope.payload for envelope in state.root_envelopes}
    for envelope in found.roots:
        if envelope.payload in known:
            continue
        try:
            root = Root.parse(envelope.payload)
        except UntrustedError:
            continue
        if root.authority == state.authority:
            yield root.version, envelope
