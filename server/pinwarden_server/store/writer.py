"""
Everything that changes the store, as small steps of one transaction.

It may import the tables, the steps of other rooms and SQLAlchemy. It never updates or deletes a document, an audit row
or a root; steps that depend on what was read before compare it again in the statement itself.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, delete, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from pinwarden import failpoints
from pinwarden_server.store.columns import is_text
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.outcome import was_committed
from pinwarden_server.store.postgres import announce
from pinwarden_server.store.publication_steps import PublicationSteps
from pinwarden_server.store.reservation_steps import Reservation, ReservationSteps
from pinwarden_server.store.rows import AuditRow, CheckpointRow, TokenRow
from pinwarden_server.store.tables import attempts, audit, audit_head, checkpoints, leases, tokens


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


class Transaction(ReservationSteps, PublicationSteps):
    """
    The steps, those of other rooms included; none of them commits.

    Attributes:
        audited: the last audit row that was appended here, which tells later whether all this was committed.
        is_ending: every step was made; what fails now is the COMMIT.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.audited: AuditRow | None = None
        self.is_ending = False

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
