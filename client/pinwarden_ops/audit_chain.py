"""
The audit log as an operator's machine judges it: every row binds the one before it, and each hash is computed here.

It may import layer 0. It opens nothing. Whether the server left out rows at the end cannot be seen in a chain; whoever
kept a hash sees whether what came before it was rewritten.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pinwarden.answer import printable
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import encode
from pinwarden_ops.errors import AuditRefused

BEFORE_THE_FIRST = "0" * 64
_PLACE = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """The row with which somebody's knowledge of the log ends; ``seq`` 0 knows nothing."""

    seq: int = 0
    hash: str = BEFORE_THE_FIRST

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row; *told* is the answer as it came."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str
    told: dict[str, Any]

    @property
    def place(self) -> Place:
        """Where this row ends the log."""
        return Place(self.seq, self.hash)

    def link(self) -> str:
        """Return the hash that the row must carry: SHA-256 over all its other fields, spelt as strict JSON."""
        fields = {name: getattr(self, name) for name in ("seq", "at", "actor", "action", "subject", "previous")}
        return sha256(encode({**fields, "detail": encode(self.detail).decode("ascii")})).hexdigest()


def parse_place(text: str) -> Place:
    """Return the place that is spelt ``12:HASH``; MalformedError."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise MalformedError(
            "not a place in the audit log", expected="NUMBER:HASH, as it was printed", got=repr(text[:80])
        )
    return Place(int(match[1]), match[2])


def read_row(value: object, path: str) -> Row:
    """Return one row of an answer; MalformedError when it is none."""
    fields = Fields(value, path)
    return Row(
        seq=fields.integer("seq"),
        at=fields.text("at"),
        actor=fields.text("actor"),
        action=fields.text("action"),
        subject=fields.text("subject"),
        detail=fields.get("detail", dict),
        previous=fields.text("previous"),
        hash=fields.text("hash"),
        told=value if isinstance(value, dict) else {},
    )


def follow(known: Place, rows: Iterable[Row]) -> Iterator[Row]:
    """
    Yield *rows* as long as each continues what is *known*.

    Raises:
        AuditRefused: a row was changed, removed, added or moved.
    """
    for row in rows:
        if row.seq != known.seq + 1:
            raise AuditRefused("audit rows are missing", expected=f"row {known.seq + 1}", got=f"row {row.seq}")
        if row.previous != known.hash:
            raise AuditRefused(
                f"audit row {row.seq} does not follow the row before it",
                expected=known.hash,
                got=printable(row.previous[:64]),
            )
        if row.hash != row.link():
            raise AuditRefused(f"audit row {row.seq} was changed", expected=row.link(), got=printable(row.hash[:64]))
        yield row
        known = row.place
