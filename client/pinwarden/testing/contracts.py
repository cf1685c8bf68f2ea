"""
What every Cache must do, as tests that anybody can run against a cache of his own.

It may import pytest, the Cache protocol and this package. A suite here knows one handle on a cache and no
implementation: whatever it asks for is part of the protocol's promise.
"""

# ruff: noqa: S101 - these are tests

import threading
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest

from pinwarden.cache import INSTALLATION_BYTES, Cache
from pinwarden.envelope import Envelope
from pinwarden.testing.authority import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.testing.pins import ThrowawayPins
from pinwarden.trust import KeptDocuments, State

__all__ = ["CacheContract"]

_WRITERS, _ROUNDS = 4, 5


class CacheContract:
    """
    The contract of :class:`pinwarden.cache.Cache`; derive a class whose name begins with ``Test``.

    The class must have a fixture ``open_cache``: a function that returns a handle on one cache, empty at the first
    call in each test. Every later call gives another handle on the same cache, as another process would have.
    """

    @pytest.fixture
    def open_cache(self) -> Callable[[], Cache]:
        """Return a function that opens the cache under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks a fixture open_cache")

    @pytest.fixture
    def documents(self) -> tuple[KeptDocuments, KeptDocuments]:
        """Two states of what is kept, the older one first."""
        authority = _authority()
        older = authority.publish({"api.example.com": [b"1" * 32, b"2" * 32]})
        authority.rotate_root()
        newer = authority.publish({"api.example.com": [b"3" * 32, b"2" * 32]})
        return (
            KeptDocuments((), (older.timestamp,), (older.pinset,)),
            KeptDocuments(newer.roots, (newer.timestamp,), (newer.pinset,)),
        )

    def test_it_is_a_cache_and_says_where_it_keeps_things(self, open_cache: Callable[[], Cache]) -> None:
        cache = open_cache()
        assert isinstance(cache, Cache)
        assert isinstance(cache.describe, str)
        assert cache.describe != ""

    def test_an_empty_cache_loads_nothing(self, open_cache: Callable[[], Cache]) -> None:
        assert open_cache().load() == KeptDocuments()

    def test_what_was_kept_is_loaded_through_any_handle(
        self, open_cache: Callable[[], Cache], documents: tuple[KeptDocuments, KeptDocuments]
    ) -> None:
        writer, before = open_cache(), open_cache()
        for kept in documents:
            writer.update(lambda found, kept=kept: kept)  # type: ignore[misc]
            assert [writer.load(), before.load(), open_cache().load()] == [kept] * 3

    def test_a_merge_sees_what_another_handle_kept_meanwhile(
        self, open_cache: Callable[[], Cache], documents: tuple[KeptDocuments, KeptDocuments]
    ) -> None:
        older, newer = documents
        first, second = open_cache(), open_cache()
        assert first.load() == second.load() == KeptDocuments()
        first.update(lambda found: older)
        seen = []
        second.update(lambda found: seen.append(found) or newer)  # type: ignore[func-returns-value]
        assert seen == [older]

    def test_a_merge_that_fails_leaves_everything_as_it_was(
        self, open_cache: Callable[[], Cache], documents: tuple[KeptDocuments, KeptDocuments]
    ) -> None:
        older, newer = documents
        cache = open_cache()
        cache.update(lambda found: older)

        def fail(found: KeptDocuments) -> KeptDocuments:
            raise LookupError("a merge that fails")

        with pytest.raises(LookupError, match="a merge that fails"):
            cache.update(fail)
        assert open_cache().load() == older
        cache.update(lambda found: newer)  # and its lock is free
        assert open_cache().load() == newer

    def test_writers_at_the_same_time_lose_nothing(
        self, open_cache: Callable[[], Cache], documents: tuple[KeptDocuments, KeptDocuments]
    ) -> None:
        template = documents[1].timestamps[0]
        envelopes = [replace(template, payload=b"%d" % number) for number in range(_WRITERS * _ROUNDS)]
        ready, failures = threading.Barrier(_WRITERS), list[Exception]()

        def write(mine: list[Envelope]) -> None:
            try:
                cache = open_cache()
                ready.wait(10)
                for envelope in mine:
                    cache.update(lambda found, add=envelope: replace(found, timestamps=(*found.timestamps, add)))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
                failures.append(error)

        threads = [threading.Thread(target=write, args=(envelopes[each::_WRITERS],)) for each in range(_WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []
        assert sorted(int(one.payload) for one in open_cache().load().timestamps) == list(range(_WRITERS * _ROUNDS))

    def test_the_installation_id_stays_the_same(self, open_cache: Callable[[], Cache]) -> None:
        first = open_cache().installation_id()
        assert (type(first), len(first)) == (bytes, INSTALLATION_BYTES)
        assert [open_cache().installation_id() for _ in range(3)] == [first] * 3

    def test_a_client_starts_from_it_without_any_server(self, open_cache: Callable[[], Cache]) -> None:
        authority = _authority()
        ThrowawayPins({"api.example.com": [b"1" * 32, b"2" * 32]}, authority=authority, cache=open_cache())
        authority.current = None  # from here on there is nobody to ask
        status = ThrowawayPins(authority=authority, cache=open_cache()).status()
        assert (status.state, status.epoch, status.version, status.persist_failed) == (State.FRESH, 1, 1, 0)


def _authority() -> ThrowawayAuthority:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureForProductionWarning)
        return ThrowawayAuthority()
