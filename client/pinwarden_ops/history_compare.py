"""
Two stories about one pin set: where they part, and what that means.

It may import layer 0 and views. It opens nothing and trusts nothing: it compares what was shown here with what was
shown before, and elsewhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from pinwarden.envelope import Envelope
from pinwarden.history import Entry, Tag
from pinwarden_ops.history_view import Served, View, digest_of

# A rewritten history of thousands of versions is one finding, not thousands.
MAX_CONFLICTS = 10


class Kind(StrEnum):
    """What was found; docs/history.md says how to read each."""

    EQUIVOCATION = "equivocation"
    FORKED = "forked"
    REWRITTEN = "rewritten"
    SHORTENED = "shortened"
    UNLISTED = "unlisted"
    WITHHELD = "withheld"
    ROLLBACK = "rollback"
    BROKEN = "broken"
    REFUSED = "refused"


# Caches may show the history and the bundle of different moments for a while: these are looked at again.
LATE = frozenset({Kind.SHORTENED, Kind.UNLISTED, Kind.WITHHELD, Kind.ROLLBACK})


@dataclass(frozen=True, slots=True)
class Side:
    """
    One of the two stories.

    Attributes:
        source: who told it.
        says: what, in a few words.
        entry, digest: the entry, or the SHA-256 of the document, that it is about.
        envelope: the document itself when it is at hand.
        body: a bundle that was refused as a whole.
    """

    source: str
    says: str
    entry: Entry | None = None
    digest: str | None = None
    envelope: Envelope | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an honest server never does: *what* happened, and the two sides of it."""

    kind: Kind
    what: str
    tag: Tag | None
    here: Side
    there: Side


def judge(seen: View, *, before: View | None, mirrors: Sequence[View], saved: Sequence[View]) -> list[Finding]:
    """
    Compare *seen* with itself, with what this machine saw *before*, and with what was seen elsewhere.

    Args:
        mirrors: looked at just now.  saved: files, which may be older without anything being wrong.
    """
    findings = [*_served(seen)]
    if before is not None:
        findings += _compared(seen, before)
        findings += _shorter(seen, before, Kind.SHORTENED, "has fewer entries than this machine saw before")
    for other in (*mirrors, *saved):
        findings += _compared(seen, other)
        findings += _shorter(seen, other, Kind.WITHHELD, "lacks versions that were seen elsewhere")
    for mirror in mirrors:
        findings += _shorter(mirror, seen, Kind.WITHHELD, "lacks versions that are shown here")
    unique: dict[object, Finding] = {}
    for found in findings:  # one that documents prove and one that lists show may be the same
        unique.setdefault((found.kind, found.what, found.there.source), found)
    return list(unique.values())


def _served(seen: View) -> Iterator[Finding]:
    """Compare what clients get with the list."""
    if seen.served is None:
        return
    tag, digest = seen.served.tag, digest_of(seen.served.pinset)
    side = Side(seen.source, "serves it", None, digest, seen.served.pinset)
    listed = next((entry for entry in reversed(seen.entries) if entry.tag == tag), None)
    if listed is None:
        there = Side(seen.source, f"lists versions up to {spell(seen.head.tag)}", seen.head)
        yield Finding(Kind.UNLISTED, f"version {spell(tag)} was served and is not in the history", tag, side, there)
    elif listed.sha256 != digest:
        there = Side(seen.source, "lists another content", listed, listed.sha256)
        yield Finding(Kind.EQUIVOCATION, f"version {spell(tag)} has two contents", tag, side, there)
    if tag < seen.head.tag:
        there = Side(seen.source, "lists it", seen.head, seen.head.sha256)
        what = f"version {spell(seen.head.tag)} was published and {spell(tag)} is served"
        yield Finding(Kind.WITHHELD, what, seen.head.tag, side, there)


def _compared(seen: View, other: View) -> Iterator[Finding]:
    """Find where two histories part, and documents that differ under one version."""
    yield from _documents(seen, other)
    pairs = zip(seen.entries, other.entries, strict=False)
    parting = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    if parting is None:
        return
    ours, theirs = seen.entries[parting], other.entries[parting]
    conflicts = _conflicts(seen.entries[parting:], other.entries[parting:])
    for one, another in conflicts[:MAX_CONFLICTS]:
        yield _two_contents(seen, other, one, another)
    if conflicts:
        return
    here, there = (
        Side(view.source, f"lists {spell(entry.tag)}", entry) for view, entry in ((seen, ours), (other, theirs))
    )
    if ours.tag == theirs.tag:
        changed = [each.name for each in fields(Entry) if getattr(ours, each.name) != getattr(theirs, each.name)]
        told = ", ".join(name for name in changed if name != "hash")
        yield Finding(Kind.REWRITTEN, f"entry {ours.seq} was written anew: {told}", ours.tag, here, there)
    else:
        what = f"at entry {ours.seq} the histories part: {spell(ours.tag)} here, {spell(theirs.tag)} there"
        yield Finding(Kind.FORKED, what, ours.tag, here, there)


def _documents(seen: View, other: View) -> Iterator[Finding]:
    """Compare the pair that was served there with the list here, and with the pair that is served here."""
    if other.served is None:
        return
    tag, digest = other.served.tag, digest_of(other.served.pinset)
    there = Side(other.source, "serves it", None, digest, other.served.pinset)
    listed = next((entry for entry in seen.entries if entry.tag == tag), None)
    if listed is not None and listed.sha256 != digest:
        here = Side(seen.source, "lists another content", listed, listed.sha256)
        yield Finding(Kind.EQUIVOCATION, f"version {spell(tag)} has two contents", tag, here, there)
    elif listed is None and tag < seen.head.tag:
        here = Side(seen.source, "does not list it", seen.head)
        yield Finding(Kind.UNLISTED, f"version {spell(tag)} was served and is not in the history", tag, here, there)
    if seen.served is not None:
        yield from _timestamps((seen, seen.served), (other, other.served))


def _timestamps(seen: tuple[View, Served], other: tuple[View, Served]) -> Iterator[Finding]:
    tag = seen[1].timestamp_tag
    stamps = [served.timestamp for _, served in (seen, other)]
    if tag != other[1].timestamp_tag or stamps[0].payload == stamps[1].payload:
        return
    here, there = (
        Side(view.source, "serves it", None, digest_of(served.timestamp), served.timestamp)
        for view, served in (seen, other)
    )
    yield Finding(Kind.EQUIVOCATION, f"timestamp {spell(tag)} has two contents", tag, here, there)


def _conflicts(ours: Sequence[Entry], theirs: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    known = {entry.tag: entry for entry in theirs}
    same = ((entry, known[entry.tag]) for entry in ours if entry.tag in known)
    return [(one, another) for one, another in same if one.sha256 != another.sha256]


def _two_contents(seen: View, other: View, ours: Entry, theirs: Entry) -> Finding:
    here, there = (
        Side(view.source, "lists it", entry, entry.sha256) for view, entry in ((seen, ours), (other, theirs))
    )
    return Finding(Kind.EQUIVOCATION, f"version {spell(ours.tag)} has two contents", ours.tag, here, there)


def _shorter(view: View, longer: View, kind: Kind, told: str) -> Iterator[Finding]:
    """Find that *view* ends where *longer* goes on; whether they part before is judged elsewhere."""
    count = len(view.entries)
    if count >= len(longer.entries) or view.entries[-1] != longer.entries[count - 1]:
        return
    missing = longer.entries[count]
    here = Side(view.source, f"ends with {spell(view.head.tag)}, entry {count}", view.head)
    there = Side(longer.source, f"goes on with {spell(missing.tag)}", missing, missing.sha256)
    yield Finding(kind, f"the history of {view.source} {told}", missing.tag, here, there)


def spell(tag: Tag) -> str:
    """Return ``"1.5"`` for epoch 1, version 5."""
    return f"{tag[0]}.{tag[1]}"
