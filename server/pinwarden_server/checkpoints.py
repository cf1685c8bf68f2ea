"""
Checkpoints of the audit chain: its end, signed with the timestamp keys under a payload type of its own.

It may import the audit chain, the signers and the tree. One worker of all signs, outside every transaction and lock,
and only an end that it has walked to: a log that does not follow the checkpoint before is never signed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints
from pinwarden.checkpoint import Checkpoint, open_checkpoint
from pinwarden.documents import Root
from pinwarden.envelope import CHECKPOINT_TYPE, Envelope
from pinwarden.errors import UntrustedError
from pinwarden_server.audit import BEFORE_THE_FIRST, ChainReport, verify_chain
from pinwarden_server.chain_walk import ChainWalk
from pinwarden_server.errors import AuditBroken
from pinwarden_server.founding import serve_checkpoint
from pinwarden_server.site import Site
from pinwarden_server.store import CheckpointRow, Reader

_PAGE = 500
failpoints.register("checkpoint.signed", "checkpoint.stored")


@dataclass(frozen=True, slots=True)
class Verified:
    """
    A chain that holds, and the checkpoints that it holds to.

    Attributes:
        checkpoints: how many there are.  newest: the one that covers most rows, or None.
        waits_since: when the oldest row was written that none of them covers, or None.
    """

    chain: ChainReport
    checkpoints: int
    newest: Checkpoint | None
    waits_since: datetime | None


def make_checkpoint(site: Site, now: datetime, walk: ChainWalk | None = None) -> Checkpoint | None:
    """
    Sign the end of the chain when that is due, store it and serve it; None when it is not, or another worker did.

    Due are rows that no checkpoint covers, once an interval is over, and after a new root at once.

    Args:
        walk: how far rows are judged in this call; None is returned too when it rests before the end.

    Raises:
        AuditBroken: the chain does not follow the newest checkpoint. SignerUnavailable, SigningRefused: nobody signs.
        StoreUnavailable: nothing was stored, or it was and is not served yet: the next start or follower mends that.
    """
    reader = site.store.reader
    roots, newest = reader.roots(), reader.newest_checkpoint()
    if not roots or not _is_due(newest, reader.audit_head()[0], len(roots), site.policy.checkpoint_interval, now):
        return None
    since = (newest.size, newest.hash) if newest else (0, BEFORE_THE_FIRST)
    chain = (walk or ChainWalk()).to_end(reader, since)
    if chain is None:
        return None
    root = Root.parse(roots[-1].payload)
    issued = max(now, newest.issued) if newest else now
    checkpoint = Checkpoint(root.authority, chain.rows, chain.head, issued.replace(microsecond=0), root.version)
    envelope = site.signers.sign(CHECKPOINT_TYPE, checkpoint.encode(), root.timestamp)
    failpoints.hit("checkpoint.signed")
    row = CheckpointRow(chain.rows, chain.head, checkpoint.issued, root.version, envelope)
    try:
        with site.store.writer.transaction() as transaction:
            transaction.append_checkpoint(row)
    except IntegrityError:
        return None  # a worker that took over the lease signed the same end
    failpoints.hit("checkpoint.stored")
    serve_checkpoint(site)
    return checkpoint


def waits_since(reader: Reader) -> datetime | None:
    """Return when the oldest row was written that no checkpoint covers, None when all are covered."""
    rows = reader.audit(after=reader.audit_ends()[1], limit=1)
    return rows[0].at if rows else None


def verify_store(reader: Reader) -> Verified:
    """
    Walk the whole chain, and hold every checkpoint against it and against the roots of this store.

    Whoever can rewrite all of the database and has the timestamp key passes here, and not where outsiders kept a
    checkpoint.

    Raises:
        AuditBroken: a row or a checkpoint is not what was written; its sentence names it.
    """
    envelopes = reader.roots()
    roots = {root.version: root for root in (Root.parse(envelope.payload) for envelope in envelopes)}
    chain = verify_chain(reader)
    newest: Checkpoint | None = None
    try:
        rows = _checkpoints(reader)
    except UntrustedError as error:
        raise AuditBroken(f"a checkpoint is none: {error.what}", seq=chain.rows) from error
    for row in rows:
        newest = _judge(reader, row, roots, newest)
    return Verified(chain, len(rows), newest, waits_since(reader))


def _is_due(newest: CheckpointRow | None, rows: int, root: int, interval: timedelta, now: datetime) -> bool:
    if newest is None:
        return rows > 0
    if rows < newest.size:
        raise AuditBroken(
            "the end of the audit chain is missing",
            expected=f"row {newest.size}, which a checkpoint covers",
            got=f"row {rows}",
            seq=rows,
        )
    # A clock that went back behind the newest checkpoint must not keep rows from being covered until it caught up.
    is_old = not timedelta(0) <= now - newest.issued < interval
    return rows > newest.size and (is_old or root > newest.root_version)


def _judge(reader: Reader, row: CheckpointRow, roots: dict[int, Root], before: Checkpoint | None) -> Checkpoint:
    what = f"the checkpoint of audit row {row.size}"
    try:
        checkpoint = _opened(row.envelope, roots)
    except UntrustedError as error:
        raise AuditBroken(
            f"{what} was not signed by this authority's timestamp keys: {error.what}", seq=row.size
        ) from error
    columns = row.size, row.hash, row.issued, row.root_version
    if columns != (checkpoint.size, checkpoint.hash, checkpoint.issued, checkpoint.root_version):
        raise AuditBroken(f"{what} has columns that its envelope does not have", seq=row.size)
    there = next(iter(reader.audit(after=row.size - 1, limit=1)), None)
    if there is None or (there.seq, there.hash) != (row.size, row.hash):
        raise AuditBroken(
            f"audit rows up to {row.size} were rewritten or removed after a checkpoint was signed",
            expected=row.hash,
            got=there.hash if there else "no such row",
            seq=row.size,
        )
    if before and (checkpoint.issued < before.issued or checkpoint.root_version < before.root_version):
        raise AuditBroken(f"{what} is older than the one before it", seq=row.size)
    return checkpoint


def _opened(envelope: Envelope, roots: dict[int, Root]) -> Checkpoint:
    if not roots:
        raise AuditBroken("there is a checkpoint, and no root", seq=0)
    return open_checkpoint(envelope, roots)


def _checkpoints(reader: Reader) -> list[CheckpointRow]:
    found: list[CheckpointRow] = []
    while page := reader.checkpoints(after=found[-1].size if found else 0, limit=_PAGE):
        found += page
    return found
