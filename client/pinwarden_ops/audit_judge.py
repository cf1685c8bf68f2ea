"""
Whether a whole audit log is the one that was signed: every row against the row before, and against every checkpoint.

It may import layer 0 and the chain. It opens nothing and remembers nothing; it goes on after what it finds, so that one
touched row does not hide another.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pinwarden.answer import printable
from pinwarden.checkpoint import Checkpoint
from pinwarden.envelope import Envelope
from pinwarden.errors import MalformedError
from pinwarden.strict_json import format_time, parse_time
from pinwarden_ops.audit_chain import Place, Row

# Nodes have clocks of their own, and requests are recorded in the order in which they ended.
CLOCK_SKEW = timedelta(minutes=10)
MOST_OF_A_KIND = 5


class Kind(StrEnum):
    """What can be wrong with an audit log."""

    CHANGED = "changed"
    MISSING = "missing"
    UNLINKED = "unlinked"
    SHORTENED = "shortened"
    REWRITTEN = "rewritten"
    RESTORED = "restored"
    BACKDATED = "backdated"
    FORGED = "forged"
    REMOVED = "removed"
    TWO_ENDS = "two-ends"
    ROOTS = "roots"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that is wrong.

    Attributes:
        row: the number of the row that it is about.
        proof: what proves it: rows and envelopes, as they came.
    """

    kind: Kind
    what: str
    row: int
    expected: str | None = None
    got: str | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """
    An end of the log that somebody kept, and where it came from: ``server``, ``memory`` or a file.

    Attributes:
        envelope: whose signatures were verified; None for what this machine saw itself, and nobody signed.
    """

    checkpoint: Checkpoint
    envelope: Envelope | None
    source: str

    @property
    def size(self) -> int:
        """How many rows it covers."""
        return self.checkpoint.size

    @property
    def when(self) -> str:
        """When it was signed, or seen, in words."""
        return f"{'signed' if self.envelope else 'seen here'} on {format_time(self.checkpoint.issued)}"

    def to_json(self) -> dict[str, Any]:
        """Return it as evidence."""
        envelope = self.envelope.to_json() if self.envelope else None
        return {"source": self.source, "size": self.size, "hash": self.checkpoint.hash, "envelope": envelope}


class Walk:
    """
    The walk through a log, row by row.

    Args:
        known: where to begin; what comes before is not judged.
        ends: what the log must hold to, in any order; those that cover no more than *known* are left out.

    Attributes:
        end: the last row that was seen.  findings: what is wrong, at most a few of each kind.
    """

    def __init__(self, known: Place, ends: Iterable[Kept]) -> None:
        self.end = known
        self.findings: list[Finding] = []
        self._ends = sorted((kept for kept in ends if kept.size > known.seq), key=lambda kept: kept.size)
        self._next = 0
        self._anchor: Kept | None = None  # the last end that was signed and that the log holds to
        self._restored: Row | None = None
        self._latest: tuple[int, datetime] | None = None
        self._counts: dict[Kind, int] = {}

    @property
    def whole(self) -> int:
        """The number of the row up to which nothing was lost: the last one, or what a restored backup had."""
        rows = self._restored.detail.get("rows") if self._restored else None
        return rows if isinstance(rows, int) else self.end.seq

    @property
    def left_out(self) -> int:
        """How many findings there are beside *findings*."""
        return sum(self._counts.values()) - len(self.findings)

    def through(self, rows: Iterable[Row]) -> None:
        """Judge every row of *rows*, and in the end whether the log is as long as it was."""
        for row in rows:
            self._link(row)
            self._restored = row if row.action == "store.restore" else self._restored
            self._hold(row)
            self._time(row)
            self.end = row.place
        for kept in self._ends[self._next :]:
            what = f"the log ends before row {kept.size}, which was {kept.when}"
            self._add(Kind.SHORTENED, what, kept.size, kept=kept, got=f"row {self.end.seq} is the last one")

    def _link(self, row: Row) -> None:
        before, told = self.end, {"row": row.told}
        if row.seq != before.seq + 1:
            what = f"row {row.seq} follows row {before.seq}: rows were removed, added or moved"
            self._add(Kind.MISSING, what, row.seq, proof=told, expected=f"row {before.seq + 1}", got=f"row {row.seq}")
        elif row.previous != before.hash:
            what = f"row {row.seq} does not follow the row before it"
            self._add(Kind.UNLINKED, what, row.seq, proof=told, expected=before.hash, got=printable(row.previous[:64]))
        link = row.link()
        if row.hash != link:
            what = f"row {row.seq} is not what its hash was computed over"
            self._add(Kind.CHANGED, what, row.seq, proof=told, expected=link, got=printable(row.hash[:64]))

    def _hold(self, row: Row) -> None:
        while self._next < len(self._ends) and self._ends[self._next].size <= row.seq:
            kept = self._ends[self._next]
            self._next += 1
            if kept.size == row.seq and kept.checkpoint.hash != row.hash:
                what = f"row {row.seq} is another one than was {kept.when}"
                self._add(
                    Kind.REWRITTEN, what, row.seq, kept=kept, proof={"row": row.told}, got=printable(row.hash[:64])
                )
            elif kept.size == row.seq and kept.envelope is not None:
                self._anchor = kept

    def _time(self, row: Row) -> None:
        try:
            at = parse_time(row.at, what="at")
        except MalformedError as error:
            self._add(Kind.CHANGED, f"row {row.seq} has no time: {error.what}", row.seq, proof={"row": row.told})
            return
        signed = self._anchor
        if self._latest is not None and at < self._latest[1] - CLOCK_SKEW:
            what = f"row {row.seq} is older than row {self._latest[0]}, which it follows"
            expected = f"{format_time(self._latest[1])} or later"
            self._add(Kind.BACKDATED, what, row.seq, proof={"row": row.told}, expected=expected, got=row.at)
        elif signed is not None and signed.size < row.seq and at < signed.checkpoint.issued - CLOCK_SKEW:
            what = f"row {row.seq} is older than the checkpoint that was signed before it was added"
            expected = f"{format_time(signed.checkpoint.issued)} or later"
            self._add(
                Kind.BACKDATED, what, row.seq, kept=signed, proof={"row": row.told}, expected=expected, got=row.at
            )
        if self._latest is None or at > self._latest[1]:
            self._latest = row.seq, at

    def _add(
        self,
        kind: Kind,
        what: str,
        row: int,
        *,
        kept: Kept | None = None,
        proof: Mapping[str, Any] | None = None,
        expected: str | None = None,
        got: str | None = None,
    ) -> None:
        found = dict(proof or {})
        if kept is not None:
            found["kept"] = kept.to_json()
            expected = expected or f"row {kept.size} with hash {kept.checkpoint.hash} ({kept.source})"
        restored = self._restored
        if restored is not None and kind in (Kind.SHORTENED, Kind.REWRITTEN) and _covers(restored, row):
            kind = Kind.RESTORED
            what = f"{what}; row {restored.seq} says that a backup was restored there"
            found["restored"] = restored.told
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= MOST_OF_A_KIND:
            self.findings.append(Finding(kind, what, row, expected, got, found))


def judge_ends(ends: Sequence[Kept]) -> Iterator[Finding]:
    """Yield what is wrong with the checkpoints among themselves, whatever the log says."""
    by_size: dict[int, Kept] = {}
    for kept in ends:
        first = by_size.setdefault(kept.size, kept)
        if first.checkpoint.hash != kept.checkpoint.hash:
            yield Finding(
                Kind.TWO_ENDS,
                f"row {kept.size} was signed with two hashes",
                kept.size,
                f"{first.checkpoint.hash} ({first.source})",
                f"{kept.checkpoint.hash} ({kept.source})",
                {"one": first.to_json(), "other": kept.to_json()},
            )
    before: Kept | None = None
    for _, kept in sorted(by_size.items()):
        if before is not None and kept.checkpoint.root_version < before.checkpoint.root_version:
            yield Finding(
                Kind.FORGED,
                f"the checkpoint of row {kept.size} names an older root than the one of row {before.size} before it",
                kept.size,
                f"root {before.checkpoint.root_version} or newer ({before.source})",
                f"root {kept.checkpoint.root_version} ({kept.source})",
                {"one": before.to_json(), "other": kept.to_json()},
            )
        before = kept


def judge_removed(known: Iterable[Kept], served: Iterable[Kept], rows: int) -> Iterator[Finding]:
    """Yield the checkpoints that were known here and that the server has no more, though its log has their rows."""
    there = {kept.size for kept in served}
    gone = [kept for kept in known if kept.size not in there and kept.size <= rows]
    for kept in gone[:MOST_OF_A_KIND]:
        yield Finding(
            Kind.REMOVED,
            f"the server does not have the checkpoint of row {kept.size} any more",
            kept.size,
            f"the checkpoint of {format_time(kept.checkpoint.issued)} ({kept.source})",
            f"{len(there)} others",
            {"kept": kept.to_json()},
        )


def _covers(restored: Row, row: int) -> bool:
    """Tell whether what stood at *row* was lost when the backup was restored that the row *restored* tells of."""
    kept = restored.detail.get("rows")
    return isinstance(kept, int) and row > kept
