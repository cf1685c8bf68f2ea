"""
What every Cache must do, as tests that anybody can run against a cache of his own.

It may import pytest, the Cache protocol, the rules and this package. A suite here knows one handle on a cache and no
implementation: whatever it asks for is part of the protocol's promise.
"""

# ruff: noqa: S101 - these are tests

import threading
import warnings
from collections.abc import Callable

import pytest

from pinwarden.bundle import Bundle
from pinwarden.cache import INSTALLATION_BYTES, Cache
from pinwarden.testing.authority import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.testing.pins import ThrowawayPins
from pinwarden.trust import KeptDocuments, State, absorb, begin

__all__ = ["CacheContract"]

_HOST = "api.example.com"
_WRITERS, _ROUNDS = 4, 4
_AUTHORITY, _NAME = "contract", "app"

# What a client makes of a cache: the versions of the root, the timestamp and the pin set that it trusts at a start.
Found = tuple[int, int | None, int | None]
NOTHING: Found = (1, None, None)


class CacheContract:
    """
    The contract of :class:`pinwarden.cache.Cache`; derive a class whose name begins with ``Test``.

    The class must have a fixture ``open_cache``: a function that returns a handle on one cache, empty at the first
    call in each test. Every later call gives another handle on the same cache, as another process would have.

    Documents are real ones, and each test looks at them as a client does at its start: a cache that sorts what it
    keeps, or drops what is superseded, keeps its promise.
    """

    @pytest.fixture
    def open_cache(self) -> Callable[[], Cache]:
        """Return a function that opens the cache under test."""
        raise NotImplementedError(f"{type(self).__name__} lacks a fixture open_cache")

    @pytest.fixture
    def authority(self) -> ThrowawayAuthority:
        """Who signs what is kept."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InsecureForProductionWarning)
            return ThrowawayAuthority(_NAME, seed=_AUTHORITY)

    def test_it_is_a_cache_and_says_where_it_keeps_things(self, open_cache: Callable[[], Cache]) -> None:
        cache = open_cache()
        assert isinstance(cache, Cache)
        assert isinstance(cache.describe, str)
        assert cache.describe != ""

    def test_an_empty_cache_loads_nothing(self, open_cache: Callable[[], Cache]) -> None:
        assert open_cache().load() == KeptDocuments()

    def test_what_was_kept_is_loaded_through_any_handle(
        self, open_cache: Callable[[], Cache], authority: ThrowawayAuthority
    ) -> None:
        writer, before = open_cache(), open_cache()
        for version in (1, 2):
            authority.rotate_root()
            _keep(writer, authority, _publish(authority))
            expected = (version + 1, version, version)
            assert [_start(each, authority) for each in (writer, before, open_cache())] == [expected] * 3

    def test_a_merge_sees_what_another_handle_kept_meanwhile(
        self, open_cache: Callable[[], Cache], authority: ThrowawayAuthority
    ) -> None:
        first, second = open_cache(), open_cache()
        assert _start(first, authority) == _start(second, authority) == NOTHING
        _keep(first, authority, _publish(authority))
        seen: list[KeptDocuments] = []

        def look(found: KeptDocuments) -> KeptDocuments:
            seen.append(found)
            return found

        second.update(look)
        assert [_found(one, authority) for one in seen] == [(1, 1, 1)]

    def test_a_merge_that_fails_leaves_everything_as_it_was(
        self, open_cache: Callable[[], Cache], authority: ThrowawayAuthority
    ) -> None:
        cache = open_cache()
        _keep(cache, authority, _publish(authority))

        def fail(found: KeptDocuments) -> KeptDocuments:
            raise LookupError("a merge that fails")

        with pytest.raises(LookupError, match="a merge that fails"):
            cache.update(fail)
        assert _start(open_cache(), authority) == (1, 1, 1)
        _keep(cache, authority, _publish(authority))  # and its lock is free
        assert _start(open_cache(), authority) == (1, 2, 2)

    def test_what_is_older_takes_nothing_away(
        self, open_cache: Callable[[], Cache], authority: ThrowawayAuthority
    ) -> None:
        bundles = [_publish(authority) for _ in range(4)]
        kept = []
        for at in (2, 0, 3, 1):
            _keep(open_cache(), authority, bundles[at])
            kept.append(_start(open_cache(), authority))
        assert kept == [(1, 3, 3), (1, 3, 3), (1, 4, 4), (1, 4, 4)]

    def test_writers_at_the_same_time_lose_nothing(
        self, open_cache: Callable[[], Cache], authority: ThrowawayAuthority
    ) -> None:
        rounds = [[_publish(authority) for _ in range(_WRITERS)] for _ in range(_ROUNDS)]
        together, lost = threading.Barrier(_WRITERS, timeout=30), list[object]()

        def write(writer: int) -> None:
            try:
                cache = open_cache()
                for number, bundles in enumerate(rounds):
                    together.wait()
                    # Another one each time has the newest: a cache that believes whoever comes last loses it in some.
                    _keep(cache, authority, bundles[(writer + number) % _WRITERS])
                    together.wait()
                    newest = _WRITERS * (number + 1)
                    if (found := _start(cache, authority)) != (1, newest, newest):
                        lost.append(found)
                    together.wait()
            except Exception as error:  # noqa: BLE001 - a thread has nobody else to tell
                together.abort()
                lost.append(error)

        threads = [threading.Thread(target=write, args=(each,)) for each in range(_WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert lost == []

    def test_the_installation_id_stays_the_same(self, open_cache: Callable[[], Cache]) -> None:
        first = open_cache().installation_id()
        assert (type(first), len(first)) == (bytes, INSTALLATION_BYTES)
        assert [open_cache().installation_id() for _ in range(3)] == [first] * 3

    def test_a_client_starts_from_it_without_any_server(
        self, open_cache: Callable[[], Cache], authority: ThrowawayAuthority
    ) -> None:
        ThrowawayPins({_HOST: [b"1" * 32, b"2" * 32]}, authority=authority, cache=open_cache()).close()
        authority.current = None  # from here on there is nobody to ask
        client = ThrowawayPins(authority=authority, cache=open_cache())
        status = client.status()
        client.close()
        assert (status.state, status.epoch, status.version, status.persist_failed) == (State.FRESH, 1, 1, 0)


def _publish(authority: ThrowawayAuthority) -> Bundle:
    return authority.publish({_HOST: [b"1" * 32, b"2" * 32]})


def _keep(cache: Cache, authority: ThrowawayAuthority, bundle: Bundle) -> None:
    """Keep *bundle* as a refresh does: merged with what is kept, the highest of each."""
    new = KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))
    beginning = begin(authority.root_json, name=_NAME)
    cache.update(lambda found: absorb(absorb(beginning, found), new).kept())


def _start(cache: Cache, authority: ThrowawayAuthority) -> Found:
    return _found(cache.load(), authority)


def _found(kept: KeptDocuments, authority: ThrowawayAuthority) -> Found:
    state = absorb(begin(authority.root_json, name=_NAME), kept)
    timestamp, pinset = state.adopted_timestamp, state.adopted_pinset
    return state.root.version, timestamp.tag[1] if timestamp else None, pinset.tag[1] if pinset else None
