"""The format of a history: what hangs together is read, and whatever was touched is refused, by the step it broke."""

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from pinwarden.errors import MalformedError
from pinwarden.history import MAX_SEGMENT_BYTES, End, Entry, Segment, check_chain, segment_of

AUTHORITY, NAME = "test-0123456789abcdef", "payments"
BEGIN = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
BIGGEST = 2**53 - 1


def entries(count: int, *, after: End | None = None) -> list[Entry]:
    """Return *count* entries in a row; version 3 was reserved and never published."""
    end, made = after or End.begin(AUTHORITY, NAME), []
    for number in range(count):
        version = end.tag[1] + (2 if end.tag[1] == 2 else 1)
        digest = sha256(f"payload {version}".encode()).hexdigest()
        issued = BEGIN + timedelta(minutes=number)
        draft = Entry(end.seq + 1, 1, version, digest, 900, issued, issued + timedelta(days=30), issued, end.hash, "")
        made.append(replace(draft, hash=draft.link()))
        end = End.of(made[-1])
    return made


def segment(count: int) -> Segment:
    return Segment(AUTHORITY, NAME, tuple(entries(count)))


def changed(count: int, change: Any) -> bytes:
    """Return the bytes of a segment after *change* did what it wants to the parsed JSON."""
    value = json.loads(segment(count).to_bytes())
    change(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize("count", [1, 2, 99, 100])
def test_what_was_written_is_read(count: int) -> None:
    written = segment(count)
    assert Segment.parse(written.to_bytes()) == written
    assert check_chain(End.begin(AUTHORITY, NAME), written.entries) == End.of(written.entries[-1])


def test_the_hash_is_what_anybody_can_compute_from_the_text_of_the_specification() -> None:
    first = json.loads(segment(1).to_bytes())["entries"][0]
    shown = first.pop("hash")
    text = json.dumps(first, sort_keys=True, separators=(",", ":"))
    assert shown == sha256(text.encode()).hexdigest()
    assert first["previous"] == sha256(b"test-0123456789abcdef\npayments").hexdigest()


def test_the_largest_segment_that_an_honest_server_can_write_fits() -> None:
    first = entries(1)[0]
    end, full = End(BIGGEST // 100 * 100 - 100, (BIGGEST, BIGGEST - 200), first.hash), []
    for _ in range(100):
        draft = replace(
            first, seq=end.seq + 1, epoch=BIGGEST, version=end.tag[1] + 1, length=BIGGEST, previous=end.hash
        )
        full.append(replace(draft, hash=draft.link()))
        end = End.of(full[-1])
    written = Segment(AUTHORITY[:47].ljust(47, "a") + "-" + AUTHORITY[-16:], "n" * 64, tuple(full))
    assert len(written.to_bytes()) <= MAX_SEGMENT_BYTES
    assert Segment.parse(written.to_bytes()) == written


def test_segments_begin_after_each_hundred() -> None:
    assert [segment_of(seq) for seq in (1, 100, 101, 200, 201)] == [1, 1, 2, 2, 3]


def set_in(index: int, field: str, value: object) -> Any:
    return lambda history: history["entries"][index].__setitem__(field, value)


TAMPERED = {
    "a digest": ("H2", set_in(1, "sha256", "0" * 64)),
    "a length": ("H2", set_in(1, "length", 901)),
    "an end": ("H2", set_in(1, "expires", "2030-01-01T00:00:00Z")),
    "a time of issue": ("H2", set_in(1, "issued", "2026-06-01T12:00:00Z")),
    "a time of publication": ("H2", set_in(1, "published_at", "2026-06-01T12:00:09Z")),
    "a version": ("H2", set_in(1, "version", 7)),
    "an epoch": ("H2", set_in(1, "epoch", 2)),
    "a number": ("H2", set_in(1, "seq", 3)),
    "a hash": ("H2", set_in(1, "hash", "0" * 64)),
    "the hash before": ("H2", set_in(1, "previous", "0" * 64)),
    "the hash before the first": ("H2", set_in(0, "previous", "0" * 64)),
    "an entry left out": ("H2", lambda history: history["entries"].pop(1)),
    "the first left out": ("H3", lambda history: history["entries"].pop(0)),
    "two exchanged": ("H2", lambda history: history["entries"].insert(1, history["entries"].pop(2))),
    "one twice": ("H2", lambda history: history["entries"].insert(1, history["entries"][1])),
    "the name of another": ("H2", lambda history: history.update(name="orders")),
    "another authority": ("H2", lambda history: history.update(authority="evil-0123456789abcdef")),
    "no entries": ("H3", lambda history: history.update(entries=[])),
    "another type": ("H1", lambda history: history.update(type="pinset")),
    "another version of the format": ("H1", lambda history: history.update(spec="2.0")),
    "a digest in capitals": ("H1", set_in(1, "sha256", "A" * 64)),
    "a digest that is too short": ("H1", set_in(1, "hash", "0" * 63)),
    "a number of another type": ("P4", set_in(1, "seq", True)),
    "a version beyond all numbers": ("P3", set_in(1, "version", 2**53)),
    "a length below one": ("P4", set_in(1, "length", 0)),
    "a time in another zone": ("P6", set_in(1, "issued", "2026-06-01T12:00:00+00:00")),
    "a missing member": ("P4", lambda history: history["entries"][1].pop("length")),
    "entries of another type": ("P4", lambda history: history.update(entries={})),
    "an entry of another type": ("P4", lambda history: history["entries"].insert(1, 2)),
}


@pytest.mark.parametrize(("step", "change"), TAMPERED.values(), ids=TAMPERED)
def test_a_history_is_refused_that_has(step: str, change: Any) -> None:
    with pytest.raises(MalformedError) as refusal:
        Segment.parse(changed(4, change))
    assert refusal.value.step == step


def test_members_that_nobody_knows_are_ignored_and_bind_nothing() -> None:
    def add(history: Any) -> None:
        history["later"] = history["entries"][0]["later"] = [1]

    assert Segment.parse(changed(2, add)) == segment(2)


def test_a_version_that_falls_is_refused_even_in_a_chain_whose_hashes_are_right() -> None:
    first, second = entries(2)
    back = replace(second, version=1)
    back = replace(back, hash=back.link())
    with pytest.raises(MalformedError, match=r"history entry 2 goes back: expected a version above 1\.1, got 1\.1"):
        Segment.parse(Segment(AUTHORITY, NAME, (first, back)).to_bytes())


def test_a_segment_that_does_not_go_on_from_the_one_before_is_refused() -> None:
    whole = entries(101)
    other = entries(1, after=End(100, (1, 101), "0" * 64))
    assert check_chain(End.of(whole[99]), whole[100:]) == End.of(whole[100])
    with pytest.raises(MalformedError, match="history entry 101 does not follow the entry before it"):
        check_chain(End.of(whole[99]), other)


HOSTILE = {
    "one entry too many": Segment(AUTHORITY, NAME, tuple(entries(101))).to_bytes(),
    "too many bytes": b" " * (MAX_SEGMENT_BYTES + 1),
    "nothing but brackets": b'{"entries":' + b"[" * 60_000,
    "many empty entries": b'{"type":"history","spec":"1.0","authority":"a","name":"b","entries":[' + b"{}," * 20_000,
    "no JSON": b"<html>",
    "nothing": b"",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_segment_costs_little_memory_and_is_refused(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(MalformedError):
            Segment.parse(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
