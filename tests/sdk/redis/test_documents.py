"""What is kept in Redis: by maximum, in one step, each root by itself, and mended by one write whatever stood there."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pinwarden import CacheError
from pinwarden.bundle import Bundle
from pinwarden.cache_redis import RedisCache, parse_address
from pinwarden.cache_redis import cache as room
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import KeptDocuments, absorb

HOST = "api.example.com"
NEVER_SEEN = 2**53 - 1


def published(authority: ThrowawayAuthority, mark: bytes = b"3") -> Bundle:
    return authority.publish({HOST: [mark * 32, b"2" * 32]})


def test_all_keys_share_one_hash_slot_and_end_with_their_documents(shelf: Any, authority: Any) -> None:
    authority.rotate_root()
    authority.rotate_root()
    bundle = published(authority)
    shelf.keep(bundle)
    with shelf.server.client() as client:
        keys = sorted(key.decode() for key in client.keys("*"))
        ends = {key: time.time() + client.ttl(key) for key in keys}
    assert keys == [shelf.key("newest"), shelf.key("root:2"), shelf.key("root:3")]
    pinset_end = (authority.now.timestamp()) + (30 + 30) * 86400
    root_end = (authority.now.timestamp()) + (365 + 30) * 86400
    assert {key: round((end - pinset_end) / 60) for key, end in ends.items() if key.endswith("newest")} == {keys[0]: 0}
    assert [round((ends[key] - root_end) / 60) for key in keys[1:]] == [0, 0]


def test_what_is_kept_is_bytes_with_a_line_in_front(shelf: Any, authority: Any) -> None:
    authority.rotate_root()
    shelf.keep(published(authority))
    with shelf.server.client() as client:
        line, _, content = client.get(shelf.key("newest")).partition(b"\n")
        root = client.get(shelf.key("root:2"))
    assert line == b"pinwarden-1 1.2 1.2 2"
    assert content.startswith(b'{"format":"pinwarden-cache-1"')
    assert root == authority.roots[1].to_bytes()


def test_a_start_knows_what_was_kept(shelf: Any, authority: Any) -> None:
    authority.rotate_root()
    state = shelf.keep(published(authority))
    assert (state.root.version, state.pinset.version) == (2, 2)
    assert state == absorb(shelf.empty, shelf.cache.load())


@pytest.mark.parametrize("roots", [8, 9, 10, 73, 90])
def test_a_chain_of_any_length_is_kept_and_followed(roots: int, shelf: Any, authority: Any) -> None:
    for _ in range(roots):
        authority.rotate_root()
    bundle = published(authority)
    kept = KeptDocuments(tuple(authority.roots), (bundle.timestamp,), (bundle.pinset,))
    shelf.cache.update(lambda found: absorb(absorb(shelf.empty, found), kept).kept())
    state = shelf.start()
    assert (state.root.version, state.pinset.version) == (roots + 1, 2)


def test_a_client_with_a_newer_root_reads_only_what_follows_it(shelf: Any, authority: Any) -> None:
    for _ in range(3):
        authority.rotate_root()
    shelf.keep(published(authority))
    newer = RedisCache(parse_address(shelf.server.url), authority=authority.authority, name=authority.name, root=3)
    assert newer.load().roots == (authority.roots[3],)


def test_a_lower_version_never_replaces_a_higher(shelf: Any, authority: Any) -> None:
    older = authority.bundle()
    newer = published(authority)
    shelf.keep(newer)
    with shelf.server.client() as client:
        before = client.get(shelf.key("newest"))
        shelf.keep(older)
        assert client.get(shelf.key("newest")) == before


@pytest.mark.parametrize("renewed_only", [False, True])
def test_who_read_before_another_wrote_reads_again_and_does_not_lower_it(
    renewed_only: bool, shelf: Any, authority: Any
) -> None:
    older = authority.bundle()
    newer = replace(older, timestamp=authority.sign_timestamp(older.pinset)) if renewed_only else published(authority)
    rounds = []

    def merge(found: KeptDocuments) -> KeptDocuments:
        rounds.append(len(found.pinsets))
        if len(rounds) == 1:
            shelf.keep(newer)  # somebody is faster
        kept = KeptDocuments(older.roots, (older.timestamp,), (older.pinset,))
        return absorb(absorb(shelf.empty, found), kept).kept()

    shelf.cache.update(merge)
    assert rounds == [0, 1]
    expected = absorb(shelf.empty, KeptDocuments((), (newer.timestamp,), (newer.pinset,)))
    assert shelf.start().kept() == expected.kept()


def test_two_halves_that_are_written_at_once_become_one_maximum(shelf: Any, authority: Any) -> None:
    first = authority.bundle()
    renewed = authority.sign_timestamp(first.pinset)
    second = published(authority)
    mine = KeptDocuments((), (second.timestamp, renewed), (first.pinset,))
    met = []

    def merge(found: KeptDocuments) -> KeptDocuments:
        if not met:
            met.append(1)
            shelf.keep(second)
        return absorb(absorb(shelf.empty, found), mine).kept()

    shelf.cache.update(merge)
    assert shelf.start().kept() == absorb(shelf.empty, KeptDocuments((), (second.timestamp,), (second.pinset,))).kept()


def test_whoever_is_overtaken_each_time_says_so_and_leaves_what_the_others_wrote(shelf: Any, authority: Any) -> None:
    own = KeptDocuments((), (authority.bundle().timestamp,), (authority.bundle().pinset,))

    def merge(found: KeptDocuments) -> KeptDocuments:
        shelf.keep(published(authority))
        return own

    with pytest.raises(CacheError, match="was changed by others each time that it was about to be written"):
        shelf.cache.update(merge)
    assert shelf.version() == authority.pinset_version


def of_another_type(client: Any, key: str) -> None:
    client.delete(key)
    client.rpush(key, "a", "b")


def huge(client: Any, key: str) -> None:
    client.setrange(key, 64 * 1024 * 1024, "x")


def numbers_that_lie(client: Any, key: str) -> None:
    client.set(key, b"pinwarden-1 %d.%d %d.%d %d\n{}" % ((NEVER_SEEN,) * 5))


def numbers_beyond_all_numbers(client: Any, key: str) -> None:
    client.set(key, b"pinwarden-1 %s.1 1.1 1\n{}" % (b"9" * 60))


def documents_without_their_signatures(client: Any, key: str) -> None:
    value = client.get(key)
    client.set(key, value.replace(b'"sig":"', b'"sig":"AAAA', 3))


def numbers_that_lie_before_good_documents(client: Any, key: str) -> None:
    _, _, content = client.get(key).partition(b"\n")
    client.set(key, b"pinwarden-1 9.9 9.9 9\n" + content)


SPOILT: dict[str, Callable[[Any, str], None]] = {
    "nothing": lambda client, key: client.delete(key),
    "an empty string": lambda client, key: client.set(key, ""),
    "garbage": lambda client, key: client.set(key, b"\x80\x04\x95" + bytes(range(256)) * 50),
    "another type": of_another_type,
    "a huge value": huge,
    "lying numbers": numbers_that_lie,
    "lying numbers before good documents": numbers_that_lie_before_good_documents,
    "numbers beyond all numbers": numbers_beyond_all_numbers,
    "documents that are not signed": documents_without_their_signatures,
    "a line that does not end": lambda client, key: client.set(key, "p" * 5000),
}


@pytest.mark.parametrize("how", SPOILT)
def test_whatever_stands_there_proves_nothing_and_is_mended_by_the_next_write(
    how: str, shelf: Any, authority: Any, caplog: Any
) -> None:
    bundle = published(authority)
    shelf.keep(bundle)
    with shelf.server.client() as client:
        SPOILT[how](client, shelf.key("newest"))
    assert shelf.version() == (2 if "good documents" in how else None)
    shelf.keep(bundle)
    assert shelf.version() == 2
    with shelf.server.client() as client:
        assert client.get(shelf.key("newest")).startswith(b"pinwarden-1 1.2 1.2 1\n{")


@pytest.mark.parametrize("how", [name for name in SPOILT if "numbers" not in name and "documents" not in name])
def test_a_root_that_was_spoilt_stops_the_chain_and_is_mended_by_the_next_write(
    how: str, shelf: Any, authority: Any
) -> None:
    authority.rotate_root()
    authority.rotate_root()
    bundle = published(authority)
    shelf.keep(bundle)
    with shelf.server.client() as client:
        SPOILT[how](client, shelf.key("root:2"))
    assert shelf.start().root.version == 1
    assert shelf.keep(bundle).root.version == 3
    with shelf.server.client() as client:
        assert client.get(shelf.key("root:2")) == authority.roots[1].to_bytes()


def test_swapped_roots_and_those_of_another_authority_lead_nowhere_else(shelf: Any, authority: Any) -> None:
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        stranger = ThrowawayAuthority(seed="stranger")
    for _ in range(3):
        authority.rotate_root()
        stranger.rotate_root()
    bundle = published(authority)
    shelf.keep(bundle)
    with shelf.server.client() as client:
        client.set(shelf.key("root:2"), authority.roots[2].to_bytes())
        client.set(shelf.key("root:3"), authority.roots[1].to_bytes())
        assert shelf.start().root.version == 4  # in whatever order they stand, each has to follow the last
        client.set(shelf.key("root:3"), stranger.roots[2].to_bytes())
        assert shelf.start().root.version == 1
        shelf.keep(bundle)
        assert client.get(shelf.key("root:3")) == authority.roots[2].to_bytes()


def test_values_of_another_pin_set_prove_nothing(shelf: Any, authority: Any) -> None:
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        other = ThrowawayAuthority(name="other", seed="other")
    stranger = type(shelf)(shelf.server, other)
    stranger.keep(other.publish({HOST: [b"x" * 32, b"y" * 32]}))
    with shelf.server.client() as client:
        client.rename(stranger.key("newest"), shelf.key("newest"))
    assert shelf.start() == shelf.empty
    assert shelf.keep(authority.bundle()).pinset.version == 1


def test_a_huge_value_is_never_sent(shelf: Any, authority: Any) -> None:
    shelf.keep(published(authority))
    with shelf.server.client() as client:
        huge(client, shelf.key("newest"))
        huge(client, shelf.key("root:2"))
        before = client.info("stats")["total_net_output_bytes"]
        assert shelf.start() == shelf.empty
        assert client.info("stats")["total_net_output_bytes"] - before < 16 * 1024


def test_after_flushall_the_next_write_brings_everything_back(shelf: Any, authority: Any) -> None:
    authority.rotate_root()
    bundle = published(authority)
    shelf.keep(bundle)
    with shelf.server.client() as client:
        before = {key: client.get(key) for key in client.keys("*")}
        client.flushall()
        assert shelf.start() == shelf.empty
        shelf.keep(bundle)
        assert {key: client.get(key) for key in client.keys("*")} == before


def test_the_same_again_writes_nothing_and_tells_nobody(shelf: Any, authority: Any) -> None:
    bundle = published(authority)
    shelf.keep(bundle)
    with shelf.server.client() as client, client.pubsub() as heard:
        heard.subscribe(shelf.key("news"))
        assert heard.get_message(timeout=30)["type"] == "subscribe"
        before = client.info("commandstats")["cmdstat_set"]["calls"]
        shelf.keep(bundle)
        assert client.info("commandstats")["cmdstat_set"]["calls"] == before
        shelf.keep(published(authority))
        assert heard.get_message(timeout=30)["data"] == b"pinwarden-1 1.3 1.3 1"


def test_documents_that_are_too_large_are_not_written(shelf: Any, authority: Any, monkeypatch: Any) -> None:
    shelf.keep(authority.bundle())
    monkeypatch.setattr(room, "MAX_NEWEST_BYTES", 2500)
    bundle = authority.publish({f"h{n}.example.com": [b"3" * 32, b"2" * 32] for n in range(40)})
    with pytest.raises(CacheError, match="documents are too large: expected at most 2500 bytes, got"):
        shelf.keep(bundle)
    assert shelf.version() == 1
