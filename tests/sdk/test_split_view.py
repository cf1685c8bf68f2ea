"""Two contents of one version: refused or left where they are, logged once, both kept for the operator (V6, V7, C6)."""

import json
import logging
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinwarden import CacheError, EquivocationError
from pinwarden.cache import MAX_EVIDENCE, DiskCache, MemoryCache
from pinwarden.envelope import Envelope
from pinwarden.split_view import SplitView
from pinwarden.testing import ThrowawayAuthority, ThrowawayKey
from pinwarden.trust import KeptDocuments, absorb, begin

HOST = "api.example.com"


def thief(authority: ThrowawayAuthority, word: str = "t", **changes: Any) -> tuple[Envelope, Envelope]:
    """Return another timestamp and pin set under the version in force, which only holders of both keys can make."""
    version = changes.pop("version", authority.pinset_version)
    pinset = authority.sign_pinset({HOST: [word.encode() * 32, b"2" * 32]}, version=version, **changes)
    return authority.sign_timestamp(pinset), pinset


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.evidence"))


def spelled(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text())
    return value


def cache_of(authority: ThrowawayAuthority, folder: Path) -> DiskCache:
    return DiskCache(folder, authority.authority, "app")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_two_contents_from_the_server_are_refused_and_both_are_kept_and_named(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    held, kept = authority.bundle().pinset, cache_of(authority, cache).load()
    authority.current = thief(authority)
    server.serve(authority)
    with pytest.raises(EquivocationError) as refusal:
        client.refresh()
    (file,) = files(cache)
    assert spelled(file) == {
        "format": "pinwarden-evidence-1",
        "kind": "pinset",
        "epoch": 1,
        "version": 1,
        "held": held.to_json(),
        "shown": authority.bundle().pinset.to_json(),
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"Both are kept in {file}." in str(refusal.value)
    assert str(file) in (client.status().last_error or "")
    assert [record.levelno for record in caplog.records if str(file) in record.getMessage()] == [logging.ERROR]
    assert (client.status().version, cache_of(authority, cache).load()) == (1, kept)


def test_the_same_two_contents_at_every_poll_are_logged_once_and_kept_once(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    authority.current = thief(authority)
    server.serve(authority)
    for _ in range(3):
        with pytest.raises(EquivocationError, match="Both are kept in"):
            client.refresh()
    assert caplog.text.count("split view") == 1
    assert len(files(cache)) == 1


def test_two_timestamps_of_one_version_are_kept_as_such(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    pinset = authority.bundle().pinset
    other = authority.sign_timestamp(
        pinset,
        version=1,
        expires=authority.now.replace(microsecond=0) + (authority.root.expires - authority.root.issued) / 365,
    )
    authority.current = (other, pinset)
    server.serve(authority)
    with pytest.raises(EquivocationError, match=r"timestamp 1\.1 .*Both are kept in"):
        client.refresh()
    (file,) = files(cache)
    assert (spelled(file)["kind"], spelled(file)["shown"]) == ("timestamp", other.to_json())


def test_clients_of_one_cache_that_were_shown_different_pins_are_told_and_neither_displaces_the_other(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.serve(authority)
    first, second = make_client(), make_client()
    first.refresh()
    before, pair = cache_of(authority, cache).load(), authority.current
    authority.current = thief(authority)  # the second client has asked for nothing yet
    server.serve(authority)
    second.refresh()
    (file,) = files(cache)
    assert spelled(file)["held"] == authority.bundle().pinset.to_json()
    assert pair is not None
    assert spelled(file)["shown"] == pair[1].to_json()
    assert "split view: pinset 1.1 has two contents" in caplog.text
    assert cache_of(authority, cache).load() == before
    # Both go on with what they hold, and start again with what is in the cache.
    assert (first.status().version, second.status().version, second.status().persist_failed) == (1, 1, 0)
    assert make_client().status().state == "fresh"
    # The next honest version ends it.
    authority.publish({HOST: [b"3" * 32, b"4" * 32]})
    server.serve(authority)
    for client in (first, second):
        assert client.refresh().version == 2
    assert [envelope.payload for envelope in cache_of(authority, cache).load().pinsets] == [
        authority.bundle().pinset.payload
    ]


def test_a_retired_key_that_writes_to_the_cache_is_told_and_cannot_keep_good_pins_out(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path
) -> None:
    authority.publish({HOST: [b"5" * 32, b"6" * 32]})
    forged = thief(authority)[1]  # signed by the key that goes
    authority.pinset_keys = [ThrowawayKey("the next pin set key")]
    authority.rotate_root()
    good = authority.sign_pinset({HOST: [b"7" * 32, b"8" * 32]}, version=authority.pinset_version)
    authority.current = (authority.sign_timestamp(good), good)
    server.serve(authority)
    client = make_client()
    disk = cache_of(authority, cache)
    disk.update(lambda kept: replace(kept, pinsets=(forged,)))
    client.refresh()
    assert client.status().state == "fresh"
    assert [envelope.payload for envelope in disk.load().pinsets] == [good.payload]
    assert len(files(cache)) == 1
    assert make_client().status().state == "fresh"


def test_documents_that_no_root_vouches_for_are_no_split_view(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path
) -> None:
    server.serve(authority)
    client = make_client()
    own, authority.pinset_keys = authority.pinset_keys, [ThrowawayKey("a stranger")]
    stranger = thief(authority)[1]
    authority.pinset_keys = own
    disk = cache_of(authority, cache)
    disk.update(lambda kept: KeptDocuments((), (), (stranger,)))
    client.refresh()
    assert files(cache) == []
    assert [envelope.payload for envelope in disk.load().pinsets] == [authority.bundle().pinset.payload]


def test_the_same_document_in_another_frame_is_no_split_view(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path
) -> None:
    server.serve(authority)
    client = make_client()
    timestamp, pinset = authority.bundle().timestamp, authority.bundle().pinset
    twice = replace(pinset, signatures=(*pinset.signatures, ThrowawayKey("x").envelope_signature("t", b"")))
    cache_of(authority, cache).update(lambda kept: KeptDocuments((), (timestamp,), (twice,)))
    client.refresh()
    assert files(cache) == []


def view(authority: ThrowawayAuthority, version: int, word: str = "t") -> SplitView:
    held, shown = (thief(authority, letter, version=version)[1] for letter in ("h", word))
    return SplitView("pinset", (1, version), held, shown)


def test_evidence_is_bounded_and_the_first_pair_of_a_version_stays(authority: ThrowawayAuthority, cache: Path) -> None:
    disk = cache_of(authority, cache)
    first = [disk.testify(view(authority, version)) for version in range(1, MAX_EVIDENCE + 1)]
    assert [str(file) for file in files(cache)] == first
    content = [file.read_bytes() for file in files(cache)]
    assert disk.testify(view(authority, 1, "u")) == first[0]
    assert disk.testify(view(authority, MAX_EVIDENCE + 1)) is None
    assert [file.read_bytes() for file in files(cache)] == content
    other = DiskCache(cache, authority.authority, "other")
    assert other.testify(view(authority, 1)) is not None  # each pin set has a bound of its own


def test_evidence_that_cannot_be_written_is_said_and_the_refusal_stands(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    for lock in cache.glob("*.lock"):
        lock.unlink()
        lock.mkdir()
    authority.current = thief(authority)
    server.serve(authority)
    with pytest.raises(EquivocationError, match=r"No evidence could be kept: evidence .*: Is a directory\."):
        client.refresh()
    with pytest.raises(CacheError, match=r"evidence .*cannot be written"):
        cache_of(authority, cache).testify(view(authority, 9))


def test_a_cache_that_keeps_no_evidence_says_so(make_client: Any, server: Any, authority: ThrowawayAuthority) -> None:
    server.serve(authority)
    client = make_client(cache=MemoryCache())
    client.refresh()
    authority.current = thief(authority)
    server.serve(authority)
    with pytest.raises(EquivocationError, match=r"This cache keeps no evidence\.$"):
        client.refresh()


def test_endless_equivocation_costs_neither_memory_nor_disk(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    for number in range(70):
        authority.current = thief(authority, report_to=f"https://{number}.example.com/")
        server.serve(authority)
        with pytest.raises(EquivocationError):
            client.refresh()
    assert caplog.text.count("split view") == 64
    assert len(files(cache)) == 1


def test_evidence_proves_itself_to_whoever_has_the_root(
    make_client: Any, server: Any, authority: ThrowawayAuthority, cache: Path
) -> None:
    server.serve(authority)
    make_client().refresh()
    authority.current = thief(authority)
    server.serve(authority)
    with pytest.raises(EquivocationError):
        make_client().refresh()
    (file,) = files(cache)
    for side in ("held", "shown"):
        envelope = Envelope.from_json(spelled(file)[side], expect="application/vnd.pinwarden.pinset.v1+json")
        state = absorb(begin(authority.root_json, name="app"), KeptDocuments((), (), (envelope,)))
        assert state.floor_pinset is not None
        assert state.floor_pinset.envelope == envelope
