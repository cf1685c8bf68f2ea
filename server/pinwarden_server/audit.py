"""
The audit chain: who did what, each row bound to the one before it by a hash.

It may import the store. A change and its row share one transaction, so what is not here did not happen; a row that was
edited, removed or moved breaks the chain. Whoever can rewrite the whole database can rewrite the whole chain too.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from pinwarden.strict_json import encode, format_time
from pinwarden_server.errors import AuditBroken
from pinwarden_server.store import AuditRow, Reader, Transaction

BEFORE_THE_FIRST = "0" * 64
PAGE = 500  # rows in one look


@dataclass(frozen=True, slots=True)
class ChainReport:
    """A chain that holds: how many rows, and the hash of the last one to keep elsewhere."""

    rows: int
    head: str


def append(
    transaction: Transaction, *, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> int:
    """
    Add one row to the chain, in the transaction of the change itself, and return its number.

    Args:
        action: ``room.verb``, such as ``pinset.publish``.
        subject: what was changed.
        detail: strict JSON values (no floats) that let a reader see what the change was.
    """
    seq, previous = transaction.lock_audit_head()
    text = encode(dict(detail)).decode("ascii")
    draft = AuditRow(seq + 1, at.replace(microsecond=0), actor, action, subject, text, previous, "")
    transaction.append_audit(replace(draft, hash=link(draft)))
    return seq + 1


def link(row: AuditRow) -> str:
    """Return the hash that *row* must carry: SHA-256 over all its other fields, spelt as strict JSON."""
    fields = {
        "seq": row.seq,
        "at": format_time(row.at),
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject,
        "detail": row.detail,
        "previous": row.previous,
    }
    return sha256(encode(fields)).hexdigest()


def verify_chain(reader: Reader) -> ChainReport:
    """
    Walk the chain and return what it ends in.

    That nobody replaced the chain as a whole is not judged here: compare ``head`` with one that was kept elsewhere.

    Raises:
        AuditBroken: a row was changed, removed, added or moved, or the end was cut off.
    """
    end = reader.audit_head()
    reached = follow(rows_after(reader, 0), (0, BEFORE_THE_FIRST), until=end[0])
    check_end(reached, end)
    return ChainReport(*reached)


def follow(rows: Iterable[AuditRow], since: tuple[int, str], *, until: int) -> tuple[int, str]:
    """
    Judge *rows* up to number *until*, each by the one before it, and return number and hash of the last one.

    Args:
        since: number and hash of the row that they have to follow.

    Raises:
        AuditBroken: as for ``verify_chain``; rows that are missing at the end are the caller's business.
    """
    seq, previous = since
    for row in rows:
        if seq == until:
            break  # written after the end was read
        seq += 1
        if row.seq != seq:
            raise AuditBroken("audit rows are missing", expected=f"row {seq}", got=f"row {row.seq}", seq=seq)
        if row.previous != previous:
            raise AuditBroken(f"audit row {seq} does not follow the row before it", seq=seq)
        if row.hash != link(row):
            raise AuditBroken(f"audit row {seq} was changed", expected=row.hash, got=link(row), seq=seq)
        previous = row.hash
    return seq, previous


def check_end(reached: tuple[int, str], end: tuple[int, str]) -> None:
    """Return when the chain was *reached* up to its *end*, number and hash; AuditBroken."""
    if reached != end:
        seq = reached[0]
        raise AuditBroken("the end of the audit chain is missing", expected=f"row {end[0]}", got=f"row {seq}", seq=seq)


def rows_after(reader: Reader, after: int) -> Iterator[AuditRow]:
    """Yield the rows that follow number *after*, a few at a time; what is committed meanwhile comes too."""
    while rows := reader.audit(after=after, limit=PAGE):
        yield from rows
        after = rows[-1].seq
