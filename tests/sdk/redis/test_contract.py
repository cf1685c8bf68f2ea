"""What every cache promises, wherever it keeps documents: one suite for memory, disk and Redis."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinwarden import PinClient
from pinwarden.cache import Cache, DiskCache, MemoryCache
from pinwarden.cache_redis import RedisCache, parse_address
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import KeptDocuments, TrustState, absorb, begin
from pinwarden.update import Updater

HOST = "api.example.com"
Open = Callable[..., Cache]


@pytest.fixture(params=["memory", "disk", "redis"])
def open_one(request: pytest.FixtureRequest, tmp_path: Path, authority: Any, patient: None) -> Iterator[Open]:
    """Return a function that opens the same cache again; of another name, with *name*."""
    made: dict[str, Cache] = {}

    def open_it(name: str = "app") -> Cache:
        if request.param == "disk":
            return DiskCache(tmp_path, authority.authority, name)
        if request.param == "redis":
            address = parse_address(request.getfixturevalue("real").url)
            return RedisCache(address, authority=authority.authority, name=name)
        return made.setdefault(name, MemoryCache())

    return open_it


@pytest.fixture
def keep(open_one: Open, authority: Any) -> Callable[..., TrustState]:
    """Return a function that writes a bundle as a refresh does, and says what a start makes of the cache then."""
    empty = begin(authority.root_json, name="app")

    def write(bundle: Any) -> TrustState:
        kept = KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))
        open_one().update(lambda found: absorb(absorb(empty, found), kept).kept())
        return absorb(empty, open_one().load())

    return write


def test_it_is_a_cache_and_says_where(open_one: Open) -> None:
    cache = open_one()
    assert isinstance(cache, Cache)
    assert cache.describe


def test_nothing_is_kept_at_first(open_one: Open) -> None:
    assert open_one().load() == KeptDocuments()


def test_what_was_kept_is_found_again_roots_first(keep: Any, open_one: Open, authority: ThrowawayAuthority) -> None:
    authority.rotate_root()
    state = keep(authority.publish({HOST: [b"3" * 32, b"2" * 32]}))
    assert (state.root.version, state.pinset.version, state.timestamp.version) == (2, 2, 2)


def test_the_highest_of_each_kind_stays_in_whatever_order_they_come(keep: Any, authority: ThrowawayAuthority) -> None:
    bundles = [authority.publish({HOST: [bytes([n]) * 32, b"2" * 32]}) for n in range(3, 7)]
    found = [keep(bundles[at]).pinset.version for at in (2, 0, 3, 1)]
    assert found == [4, 4, 5, 5]


def test_a_merge_sees_what_is_kept_and_its_result_is_what_is_kept(open_one: Open, authority: Any) -> None:
    bundle = authority.bundle()
    kept = KeptDocuments((), (bundle.timestamp,), (bundle.pinset,))
    seen = []

    def merge(found: KeptDocuments) -> KeptDocuments:
        seen.append((found.timestamps, found.pinsets))
        return kept

    open_one().update(merge)
    open_one().update(merge)
    assert seen == [((), ()), (kept.timestamps, kept.pinsets)]
    assert open_one().load() == kept


def test_a_merge_that_fails_changes_nothing(keep: Any, open_one: Open, authority: Any) -> None:
    keep(authority.bundle())
    before = open_one().load()

    def merge(found: KeptDocuments) -> KeptDocuments:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_one().update(merge)
    assert open_one().load() == before


def test_names_are_kept_apart(keep: Any, open_one: Open, authority: Any) -> None:
    keep(authority.bundle())
    assert open_one("other").load() == KeptDocuments()
    open_one("other").update(lambda found: KeptDocuments((), (authority.bundle().timestamp,)))
    assert len(open_one().load().pinsets) == 1


def test_the_installation_id_is_sixteen_bytes_and_stays(open_one: Open) -> None:
    cache = open_one()
    assert len(cache.installation_id()) == 16
    assert cache.installation_id() == cache.installation_id()


def test_an_update_goes_through_it_and_the_next_client_starts_with_it(
    open_one: Open, server: Any, authority: Any, clock: Any
) -> None:
    server.serve(authority)
    arguments = {"pinset": "app", "root": authority.root_json, "clock": clock}
    with_it = PinClient(server.url, cache=open_one(), **arguments)
    assert with_it.refresh().version == 1
    with_it.close()
    assert PinClient("http://localhost:1", cache=open_one(), **arguments).status().version == 1


def test_what_another_client_of_it_kept_raises_the_state_of_an_update(
    open_one: Open, keep: Any, authority: Any
) -> None:
    class Source:
        def bundle(self, name: str, root: int, **_: Any) -> Any:
            return type("Answer", (), {"body": older.to_bytes(), "etag": None})

    older = authority.bundle()
    keep(authority.publish({HOST: [b"3" * 32, b"2" * 32]}))
    adopted: list[TrustState] = []
    updater = Updater(Source(), open_one(), adopt=adopted.append)
    state = updater.update(begin(authority.root_json, name="app"), authority.now)
    assert (state.pinset.version, [one.pinset.version for one in adopted]) == (2, [1, 2])
