"""
The public list of a pin set's versions: one chain of hashes, in segments (spec H1 to H4).

It may import the gate, ``fields`` and ``errors``. No signature is in it and no client trusts it: it binds whoever
serves it to one story, so that two observers can find out that they were told two.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import format_time, parse_object, spell

HISTORY_MEDIA_TYPE = "application/vnd.pinwarden.history.v1+json"
SEGMENT_ENTRIES = 100
MAX_SEGMENT_BYTES = 64 * 1024
_TYPE, _SPEC = "history", "1.0"
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)

Tag = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One version, bound to the one before it.

    Attributes:
        seq: 1 for the first version, then one more each; versions themselves may have gaps.
        sha256, length: of the pin set's payload; lower-case hex, bytes.
        previous, hash: of the entry before, and of this one; lower-case hex.
    """

    seq: int
    epoch: int
    version: int
    sha256: str
    length: int
    issued: datetime
    expires: datetime
    published_at: datetime
    previous: str
    hash: str

    @property
    def tag(self) -> Tag:
        """(epoch, version), which orders versions."""
        return self.epoch, self.version

    def to_json(self) -> dict[str, Any]:
        """Return the entry as it is served."""
        return {**self._bound(), "hash": self.hash}

    def link(self) -> str:
        """Return the hash that this entry must carry: SHA-256 over its other members as strict JSON (spec H2)."""
        return sha256(spell(self._bound())).hexdigest()

    def _bound(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "epoch": self.epoch,
            "version": self.version,
            "sha256": self.sha256,
            "length": self.length,
            "issued": format_time(self.issued),
            "expires": format_time(self.expires),
            "published_at": format_time(self.published_at),
            "previous": self.previous,
        }


@dataclass(frozen=True, slots=True)
class End:
    """Where a chain ends, and what its next entry is bound to; *seq* 0 before the first."""

    seq: int
    tag: Tag
    hash: str

    @classmethod
    def begin(cls, authority: str, name: str) -> Self:
        """Return the end of a chain without entries: no history passes for that of another pin set (spec H2)."""
        return cls(0, (0, 0), sha256(f"{authority}\n{name}".encode()).hexdigest())

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """Return the end of a chain whose last entry is *entry*."""
        return cls(entry.seq, entry.tag, entry.hash)


@dataclass(frozen=True, slots=True)
class Segment:
    """Up to 100 entries in a row, the first of which is number 1, 101, 201 and so on (spec H3)."""

    authority: str
    name: str
    entries: tuple[Entry, ...]

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """
        Read a segment whose own entries hang together; what comes before its first one is not judged here.

        Raises:
            MalformedError: it is no segment, or its chain is broken.
        """
        fields = Fields(parse_object(data, limit=MAX_SEGMENT_BYTES, what="history"), "history")
        kind = f"{fields.text('type')} {fields.text('spec')}"
        if kind != f"{_TYPE} {_SPEC}":
            raise MalformedError("not a history", expected=f"{_TYPE} {_SPEC}", got=repr(kind[:40]), step="H1")
        segment = cls(fields.text("authority"), fields.text("name"), fields.each("entries", _read_entry))
        count = len(segment.entries)
        if not 1 <= count <= SEGMENT_ENTRIES:
            raise MalformedError(
                "history segment of the wrong length", expected=f"1 to {SEGMENT_ENTRIES} entries", got=count, step="H3"
            )
        first = segment.entries[0]
        if first.seq % SEGMENT_ENTRIES != 1:
            raise MalformedError(
                "history segment begins in the middle",
                expected=f"an entry after a multiple of {SEGMENT_ENTRIES}",
                got=first.seq,
                step="H3",
            )
        begin = End.begin(segment.authority, segment.name)
        check_chain(begin if first.seq == 1 else End(first.seq - 1, (0, 0), first.previous), segment.entries)
        return segment

    @property
    def number(self) -> int:
        """1 for the segment that begins with entry 1."""
        return segment_of(self.entries[0].seq)

    def to_bytes(self) -> bytes:
        """Return the segment as it is served."""
        entries = [entry.to_json() for entry in self.entries]
        return spell({"type": _TYPE, "spec": _SPEC, "authority": self.authority, "name": self.name, "entries": entries})


def check_chain(end: End, entries: Sequence[Entry]) -> End:
    """
    Return the end of the chain that goes on from *end* with *entries*.

    Raises:
        MalformedError: an entry was changed, left out, added or moved (step H2).
    """
    for entry in entries:
        problem = _break(end, entry)
        if problem:
            what, expected, got = problem
            raise MalformedError(f"history entry {entry.seq} {what}", expected=expected, got=got, step="H2")
        end = End.of(entry)
    return end


def segment_of(seq: int) -> int:
    """Return the number of the segment that entry *seq* belongs to."""
    return (seq - 1) // SEGMENT_ENTRIES + 1


def _break(end: End, entry: Entry) -> tuple[str, object, object] | None:
    if entry.seq != end.seq + 1:
        return "stands in the wrong place", f"entry {end.seq + 1}", f"entry {entry.seq}"
    if entry.previous != end.hash:
        return "does not follow the entry before it", f"previous {end.hash}", entry.previous
    if entry.hash != entry.link():
        return "was changed", f"hash {entry.link()}", entry.hash
    if entry.tag <= end.tag:
        return "goes back", f"a version above {end.tag[0]}.{end.tag[1]}", f"{entry.epoch}.{entry.version}"
    return None


def _read_entry(value: object, path: str) -> Entry:
    fields = Fields(value, path)
    return Entry(
        seq=fields.integer("seq"),
        epoch=fields.integer("epoch"),
        version=fields.integer("version"),
        sha256=_hex(fields, "sha256"),
        length=fields.integer("length"),
        issued=fields.time("issued"),
        expires=fields.time("expires"),
        published_at=fields.time("published_at"),
        previous=_hex(fields, "previous"),
        hash=_hex(fields, "hash"),
    )


def _hex(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if not _HEX.fullmatch(text):
        raise MalformedError(
            f"{fields.path}.{name} is no SHA-256", expected="64 lower-case hex digits", got=repr(text[:80]), step="H1"
        )
    return text
