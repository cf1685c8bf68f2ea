"""
Everything that changes the store, as small steps of one transaction.

It may import ``tables`` and SQLAlchemy. It never updates or deletes a document, an audit row or a root; steps that
depend on what was read before compare it again in the statement itself.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from pinwarden import failpoints
from pinwarden.envelope import Envelope
from pinwarden.history import Entry
from pinwarden_server.errors import FloorMissing, Tag
from pinwarden_server.store.change_steps import ChangeSteps
from pinwarden_server.store.columns import is_text
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.outcome import was_committed
from pinwarden_server.store.postgres import announce
from pinwarden_server.store.reader import history_query
from pinwarden_server.store.rows import AuditRow, CheckpointRow, TokenRow, VersionRow, as_entry
from pinwarden_server.store.tables import (
    EVERY_OTHER,
    attempts,
    audit,
    audit_head,
    checkpoints,
    history,
    leases,
    pinsets,
    reservations,
    roots,
    tokens,
    unsettled,
    versions,
)


@dataclass(frozen=True, slots=True)
class Reservation:
    """Numbers and a time of issue that were never given out before and never will be again (spec S1)."""

    pinset_version: int
    timestamp_version: int
    issued: datetime


_NOTHING = Reservation(0, 0, datetime.fromtimestamp(0, UTC))


@dataclass(frozen=True, slots=True)
class TimestampRow:
    """The timestamp that comes into force, and when the next ones are due."""

    tag: Tag
    envelope: Envelope
    expires: datetime
    renew_after: datetime
    renew_pinset_after: datetime


class Writer:
    """Opens transactions; raises ``StoreUnavailable`` or ``StorageFull`` when the database cannot take them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """
        Yield a transaction that commits when the block ends, or leaves everything as it was when it raises.

        When the connection is lost during the COMMIT itself, the audit log is asked what became of it.
        """
        transaction = None
        with store_failures():
            try:
                with self._engine.begin() as connection:
                    transaction = Transaction(connection)
                    yield transaction
                    transaction.is_ending = True
            except DBAPIError as error:
                lost = transaction is not None and transaction.is_ending and error.connection_invalidated
                if not lost or transaction is None or not was_committed(self._engine, transaction.audited, error):
                    raise

    def reserve(self, name: str, now: datetime, *, pinset: bool, room: str) -> Reservation:
        """
        Give out the next timestamp version, and the next pin set version when *pinset*, in a commit of their own.

        ``issued`` is *now*, or the last one given out when the clock went back. *room* prefixes the failpoint.
        """
        for _ in range(2):
            try:
                with self.transaction() as transaction:
                    reservation = transaction.reserve(name, now, pinset=pinset)
                    failpoints.hit(f"{room}.reserving")
                return reservation
            except IntegrityError:
                continue  # another writer made the counter's row first; now there is one to count on
        raise AssertionError("a counter's row can be made only once")

    def take_lease(self, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
        """Tell whether *holder* has the lease until *until*: it had it, nobody had, or the former one's time is up."""
        free = or_(leases.c.holder == holder, leases.c.expires_at <= now)
        try:
            with self.transaction() as transaction:
                statement = update(leases).where(leases.c.name == name, free).values(holder=holder, expires_at=until)
                if transaction.count(statement):
                    return True
                if transaction.exists(select(leases.c.name).where(leases.c.name == name)):
                    return False
                transaction.run(insert(leases).values(name=name, holder=holder, expires_at=until))
                return True
        except IntegrityError:
            return False

    def release_lease(self, name: str, holder: str) -> None:
        """Give the lease back before its time, when *holder* has it."""
        with self.transaction() as transaction:
            transaction.run(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


class Transaction(ChangeSteps):
    """
    The steps, those of changes included; none of them commits.

    Attributes:
        audited: the last audit row that was appended here, which tells later whether all this was committed.
        is_ending: every step was made; what fails now is the COMMIT.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.audited: AuditRow | None = None
        self.is_ending = False

    def reserve(self, name: str, now: datetime, *, pinset: bool) -> Reservation:
        """Raise the counters of *name* and return what they were raised to."""
        now = now.replace(microsecond=0)
        waits = select(unsettled.c.name).where(unsettled.c.name == name).exists().label("waits")
        query = select(reservations, waits).where(reservations.c.name == name)
        row = self._connection.execute(query).first()
        if row is None:
            return self._reserve_first(name, now, pinset=pinset)
        if row.waits:
            raise _no_floor(name)
        reservation = Reservation(row.pinset_version + pinset, row.timestamp_version + 1, max(row.issued, now))
        self.run(
            update(reservations)
            .where(reservations.c.name == name)
            .values(
                pinset_version=reservation.pinset_version,
                timestamp_version=reservation.timestamp_version,
                issued=reservation.issued,
            )
        )
        return reservation

    def _reserve_first(self, name: str, now: datetime, *, pinset: bool) -> Reservation:
        if self.exists(select(unsettled.c.name).where(unsettled.c.name.in_((name, EVERY_OTHER)))):
            raise _no_floor(name)
        # After a restore, names that the backup does not know begin above what they may have reached before.
        floor = self._connection.execute(select(reservations).where(reservations.c.name == EVERY_OTHER)).first()
        before = Reservation(floor.pinset_version, floor.timestamp_version, floor.issued) if floor else _NOTHING
        first = Reservation(before.pinset_version + pinset, before.timestamp_version + 1, max(now, before.issued))
        self.run(
            insert(reservations).values(
                name=name,
                pinset_version=first.pinset_version,
                timestamp_version=first.timestamp_version,
                issued=first.issued,
            )
        )
        return first

    def append_root(self, version: int, envelope: Envelope, at: datetime) -> None:
        """Add a root; IntegrityError when there is one of that version."""
        self.run(insert(roots).values(version=version, envelope=envelope.to_bytes(), published_at=at))

    def newest_root(self) -> int:
        """Return the version of the newest root as this transaction sees it; 0 before the first."""
        return self._connection.execute(select(func.max(roots.c.version))).scalar_one() or 0

    def names(self) -> list[str]:
        """Return the names of all pin sets as this transaction sees them, in order."""
        return list(self._connection.execute(select(pinsets.c.name).order_by(pinsets.c.name)).scalars())

    def append_version(self, row: VersionRow, *, audit_seq: int) -> None:
        """Add a version; IntegrityError when there is one of that number."""
        self.run(
            insert(versions).values(
                name=row.name,
                epoch=row.tag[0],
                version=row.tag[1],
                envelope=row.envelope.to_bytes(),
                issued=row.issued,
                expires=row.expires,
                published_at=row.published_at,
                actor=row.actor,
                reason=row.reason,
                forced=" ".join(row.forced),
                audit_seq=audit_seq,
            )
        )

    def last_entry(self, name: str) -> Entry | None:
        """Return the end of the history of *name* as this transaction sees it."""
        row = self._connection.execute(history_query(name).order_by(history.c.seq.desc()).limit(1)).first()
        return None if row is None else as_entry(row)

    def append_entry(self, name: str, entry: Entry) -> None:
        """Add an entry to the history of *name*; IntegrityError when there is one of that number."""
        columns = ("seq", "epoch", "version", "sha256", "length", "previous", "hash")
        self.run(insert(history).values(name=name, **{column: getattr(entry, column) for column in columns}))

    def create_pinset(self, name: str, tag: Tag, timestamp: TimestampRow, *, approvals_required: int = 0) -> bool:
        """Put the first pair of *name* in force; False when the name is taken. What waited to create it is stale."""
        if self.exists(select(pinsets.c.name).where(pinsets.c.name == name)):
            return False
        self.outdate_changes(name)
        self.run(insert(pinsets).values(name=name, approvals_required=approvals_required, **_pair(tag, timestamp)))
        return True

    def move_pinset(
        self,
        name: str,
        *,
        expected: Tag,
        expected_timestamp: Tag,
        tag: Tag,
        timestamp: TimestampRow,
        same_content: bool = False,
    ) -> bool:
        """
        Put a pair in force in place of the expected pair; False when that is not in force any more.

        Every change of that name that still waits is stale once the version moves, whoever moved it.

        Args:
            same_content: only numbers and times move: changes that this server will sign wait on, for the new version.
        """
        still = and_(
            pinsets.c.name == name,
            pinsets.c.epoch == expected[0],
            pinsets.c.version == expected[1],
            pinsets.c.timestamp_epoch == expected_timestamp[0],
            pinsets.c.timestamp_version == expected_timestamp[1],
        )
        if self.count(update(pinsets).where(still).values(**_pair(tag, timestamp))) != 1:
            return False
        if tag != expected:
            if same_content and tag[0] == expected[0]:
                self.rebase_changes(name, expected, tag)
            self.outdate_changes(name, but_base=tag)
        return True

    def pair_of(self, name: str) -> tuple[Tag, Tag] | None:
        """Return the pair in force as this transaction sees it."""
        row = self._connection.execute(select(pinsets).where(pinsets.c.name == name)).first()
        return None if row is None else ((row.epoch, row.version), (row.timestamp_epoch, row.timestamp_version))

    def lock_audit_head(self) -> tuple[int, str]:
        """Return number and hash of the last audit row; other writers wait for this transaction's end."""
        row = self._connection.execute(select(audit_head).with_for_update()).one()
        return row.seq, row.hash

    def append_audit(self, row: AuditRow) -> None:
        """Add a row and make it the head; other nodes hear of it when it is committed."""
        if self.audited is None:
            announce(self._connection)
        self.audited = row
        self.run(
            insert(audit).values(
                seq=row.seq,
                at=row.at,
                actor=row.actor,
                action=row.action,
                subject=row.subject,
                detail=row.detail,
                previous=row.previous,
                hash=row.hash,
            )
        )
        self.run(update(audit_head).values(seq=row.seq, hash=row.hash))

    def append_attempt(self, actor: str, key: str, *, fingerprint: str, answer: str, at: datetime) -> None:
        """Keep the answer of a write; IntegrityError when the key was used meanwhile."""
        self.run(insert(attempts).values(actor=actor, key=key, fingerprint=fingerprint, answer=answer, created_at=at))

    def forget_attempts(self, before: datetime) -> int:
        """Drop answers older than *before*; return how many."""
        return self.count(delete(attempts).where(attempts.c.created_at < before))

    def append_checkpoint(self, row: CheckpointRow) -> None:
        """Add a checkpoint, and let other nodes hear of it; IntegrityError when that length was signed before."""
        self.run(
            insert(checkpoints).values(
                size=row.size,
                hash=row.hash,
                issued=row.issued,
                root_version=row.root_version,
                envelope=row.envelope.to_bytes(),
            )
        )
        announce(self._connection)

    def append_token(self, row: TokenRow, secret_sha256: bytes) -> None:
        """Add a token."""
        self.run(
            insert(tokens).values(
                id=row.id,
                secret_sha256=secret_sha256,
                label=row.label,
                owner=row.owner,
                role=row.role,
                names=json.dumps(list(row.names)),
                created_at=row.created_at,
                created_by=row.created_by,
                expires_at=row.expires_at,
            )
        )

    def revoke_token(self, token_id: str, at: datetime) -> bool:
        """Revoke a token; False when it does not exist or was revoked before."""
        which = and_(is_text(tokens.c.id, token_id), tokens.c.revoked_at.is_(None))
        return self.count(update(tokens).where(which).values(revoked_at=at)) == 1

    def touch_token(self, token_id: str, at: datetime) -> None:
        """Record that a token was used."""
        self.run(update(tokens).where(tokens.c.id == token_id).values(last_used_at=at))


def _no_floor(name: str) -> FloorMissing:
    return FloorMissing(
        f"pin set {name!r} may not be published yet: the store was restored from a backup",
        expected="a floor: a version that no client holds a higher one than",
        hint=f"Set it with `pinwarden server restore --floor {name}=VERSION`; docs/backup.md says which.",
    )


def _pair(tag: Tag, timestamp: TimestampRow) -> dict[str, object]:
    return {
        "epoch": tag[0],
        "version": tag[1],
        "timestamp_epoch": timestamp.tag[0],
        "timestamp_version": timestamp.tag[1],
        "timestamp_envelope": timestamp.envelope.to_bytes(),
        "timestamp_expires": timestamp.expires,
        "renew_timestamp_after": timestamp.renew_after,
        "renew_pinset_after": timestamp.renew_pinset_after,
    }
