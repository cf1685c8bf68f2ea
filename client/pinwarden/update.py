"""
One update, from the network into the trust state and the cache (spec section 4, V10, C1 to C5).

It may import ``trust``, ``fetch``, ``cache`` and errors. It never decides what is trusted, only what is fetched, kept
and survivable.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

from pinwarden.bundle import Bundle
from pinwarden.cache import Cache
from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.errors import CacheError, FetchError, UntrustedError
from pinwarden.trust import (
    KeptDocuments,
    TrustState,
    absorb,
    advance_bundle,
    advance_root,
    is_recognised,
)

log = logging.getLogger("pinwarden")
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
    """

    def __init__(self, source: Source, cache: Cache, *, adopt: Callable[[TrustState], object]) -> None:
        self._source = source
        self._cache = cache
        self._adopt = adopt
        self._etag: tuple[str, TrustState] | None = None
        self.persist_failed = 0

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
        self._adopt(state)

        def merge(found: KeptDocuments) -> KeptDocuments:
            nonlocal state
            state = absorb(state, found)
            return with_strangers(state, found)

        before = state
        try:
            self._cache.update(merge)
        except CacheError as error:
            self.persist_failed += 1
            log.warning("update is in force but could not be kept for the next start: %s", error)
        if state is not before:
            self._adopt(state)
        return state


def with_strangers(state: TrustState, found: KeptDocuments) -> KeptDocuments:
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
