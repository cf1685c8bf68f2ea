"""
Everything that the server asks of its store, on connections that cannot write.

It may import ``tables`` and SQLAlchemy. It returns values, never rows that could be written back, and judges nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select, tuple_

from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.history import SEGMENT_ENTRIES, Entry
from pinwarden_server.errors import NotFound, Tag
from pinwarden_server.store.change_queries import due_query, list_query, unrevoked, with_deeds
from pinwarden_server.store.change_rows import ChangeRow
from pinwarden_server.store.change_tables import changes
from pinwarden_server.store.columns import is_text
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.filters import conditions
from pinwarden_server.store.publication_queries import current_query, history_query, is_current
from pinwarden_server.store.rows import (
    AuditFilter,
    AuditRow,
    CheckpointRow,
    Current,
    Summary,
    TokenRow,
    VersionKey,
    VersionRow,
    as_checkpoint,
    as_current,
    as_entry,
    as_token,
    as_version,
)
from pinwarden_server.store.tables import (
    attempts,
    audit,
    audit_head,
    checkpoints,
    history,
    pinsets,
    roots,
    tokens,
    versions,
)


class Reader:
    """Queries; each is one consistent look, and raises ``StoreUnavailable`` when the database is away."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def ping(self) -> None:
        """Return when the database answers and has our tables."""
        with self._look() as connection:
            connection.execute(select(audit_head.c.seq)).first()

    def current(self, name: str) -> Current:
        """Return what is in force for *name*; NotFound."""
        found = self.find_current(name)
        if found is None:
            raise _no_pinset(name)
        return found

    def find_current(self, name: str) -> Current | None:
        """Return what is in force for *name*, or None."""
        with self._look() as connection:
            row = connection.execute(current_query().where(is_text(pinsets.c.name, name))).first()
        return None if row is None else as_current(row)

    def all_current(self) -> Iterator[Current]:
        """Yield what is in force for every name, a few at a time; not one consistent look."""
        after = ""
        while True:
            query = current_query().where(pinsets.c.name > after).order_by(pinsets.c.name).limit(200)
            with self._look() as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            yield from map(as_current, rows)
            after = rows[-1].name

    def pinsets(self) -> list[Summary]:
        """Return one line for each pin set, by name."""
        columns = (
            versions.c.name,
            versions.c.epoch,
            versions.c.version,
            versions.c.issued,
            versions.c.expires,
            pinsets.c.timestamp_expires,
            versions.c.published_at,
            versions.c.actor,
        )
        query = select(*columns).select_from(pinsets.join(versions, is_current())).order_by(versions.c.name)
        with self._look() as connection:
            return [Summary(row[0], (row[1], row[2]), *row[3:]) for row in connection.execute(query)]

    def versions(self, name: str, *, limit: int = 100, before: int | None = None) -> list[VersionRow]:
        """Return the versions of *name*, newest first, those below *before* only when it is given; NotFound."""
        query = select(versions).where(is_text(versions.c.name, name)).order_by(versions.c.version.desc()).limit(limit)
        if before is not None:
            query = query.where(versions.c.version < before)
        with self._look() as connection:
            rows = [as_version(row) for row in connection.execute(query)]
            if (
                not rows
                and connection.execute(select(pinsets.c.name).where(is_text(pinsets.c.name, name))).first() is None
            ):
                raise _no_pinset(name)
        return rows

    def version(self, name: str, version: int, epoch: int | None = None) -> VersionRow:
        """Return one version of *name*; numbers do not start again in a new epoch, so the epoch may be left out."""
        query = select(versions).where(is_text(versions.c.name, name), versions.c.version == version)
        if epoch is not None:
            query = query.where(versions.c.epoch == epoch)
        with self._look() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"pin set {name!r} has no version {version}")
        return as_version(row)

    def version_tags(self, name: str) -> list[Tag]:
        """Return every (epoch, version) of *name*, oldest first."""
        query = select(versions.c.epoch, versions.c.version).where(is_text(versions.c.name, name))
        with self._look() as connection:
            return [(row[0], row[1]) for row in connection.execute(query.order_by(versions.c.version))]

    def history(self, name: str, *, after: int) -> list[Entry]:
        """Return the entries of the history of *name* that follow number *after*, a segment's worth of them."""
        query = history_query(name).where(history.c.seq > after).order_by(history.c.seq).limit(SEGMENT_ENTRIES)
        with self._look() as connection:
            return [as_entry(row) for row in connection.execute(query)]

    def history_end(self, name: str) -> list[Entry]:
        """Return the last entries of the history of *name*, a segment's worth of them, oldest first."""
        query = history_query(name).order_by(history.c.seq.desc()).limit(SEGMENT_ENTRIES)
        with self._look() as connection:
            return [as_entry(row) for row in reversed(connection.execute(query).all())]

    def unexpired(self, name: str, since: datetime) -> list[VersionRow]:
        """Return the versions of *name* that expire after *since*, newest first."""
        query = select(versions).where(is_text(versions.c.name, name), versions.c.expires > since)
        with self._look() as connection:
            return [as_version(row) for row in connection.execute(query.order_by(versions.c.version.desc()))]

    def held(self, name: str, since: datetime) -> list[VersionKey]:
        """Return which versions of *name* expire after *since*."""
        columns = versions.c.name, versions.c.epoch, versions.c.version, versions.c.expires
        query = select(*columns).where(is_text(versions.c.name, name), versions.c.expires > since)
        with self._look() as connection:
            return [VersionKey(*row) for row in connection.execute(query)]

    def envelopes(self, keys: Sequence[VersionKey]) -> dict[VersionKey, bytes]:
        """Return the envelope of each of *keys*, which exist, as it is stored."""
        columns = versions.c.name, versions.c.epoch, versions.c.version
        query = select(*columns, versions.c.expires, versions.c.envelope).where(
            tuple_(*columns).in_([key[:3] for key in keys])
        )
        with self._look() as connection:
            return {VersionKey(*row[:4]): row[4] for row in connection.execute(query)}

    def roots(self) -> tuple[Envelope, ...]:
        """Return every root, version 1 first; none before the authority was founded."""
        with self._look() as connection:
            rows = connection.execute(select(roots.c.envelope).order_by(roots.c.version)).all()
        return tuple(Envelope.parse(row[0], expect=ROOT_TYPE) for row in rows)

    def due(self, now: datetime, limit: int = 1000) -> tuple[list[str], list[str]]:
        """Return the names whose timestamp, and those whose pin set, should be renewed at *now*."""
        columns = pinsets.c.renew_timestamp_after, pinsets.c.renew_pinset_after
        with self._look() as connection:
            timestamps, documents = (
                connection.execute(select(pinsets.c.name).where(due <= now).order_by(due).limit(limit)).scalars().all()
                for due in columns
            )
        return list(timestamps), list(documents)

    def audit(self, *, after: int = 0, limit: int = 100, only: AuditFilter | None = None) -> list[AuditRow]:
        """Return the audit rows that follow number *after*, oldest first; those that *only* lets through."""
        query = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(limit)
        if only is not None:
            query = query.where(*conditions(only))
        with self._look() as connection:
            return [AuditRow(*row) for row in connection.execute(query)]

    def audit_head(self) -> tuple[int, str]:
        """Return number and hash of the last audit row; (0, zeros) before the first."""
        with self._look() as connection:
            row = connection.execute(select(audit_head.c.seq, audit_head.c.hash)).one()
        return row[0], row[1]

    def audit_ends(self) -> tuple[int, int]:
        """Return the number of the last audit row, and how many of them the newest checkpoint covers; 0 for none."""
        newest = select(func.max(checkpoints.c.size)).scalar_subquery()
        with self._look() as connection:
            row = connection.execute(select(audit_head.c.seq, newest)).one()
        return row[0], row[1] or 0

    def checkpoints(self, *, after: int = 0, limit: int = 100) -> list[CheckpointRow]:
        """Return the checkpoints of the chain that cover more than *after* rows, the shortest first."""
        query = select(checkpoints).where(checkpoints.c.size > after).order_by(checkpoints.c.size).limit(limit)
        with self._look() as connection:
            return [as_checkpoint(row) for row in connection.execute(query)]

    def newest_checkpoint(self) -> CheckpointRow | None:
        """Return the checkpoint that covers most rows, None before the first."""
        with self._look() as connection:
            row = connection.execute(select(checkpoints).order_by(checkpoints.c.size.desc()).limit(1)).first()
        return None if row is None else as_checkpoint(row)

    def tokens(self) -> list[TokenRow]:
        """Return every token, revoked ones included, oldest first."""
        with self._look() as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id)).all()
        return [as_token(row) for row in rows]

    def token(self, token_id: str) -> tuple[TokenRow, bytes] | None:
        """Return a token and the digest of its secret, or None."""
        with self._look() as connection:
            row = connection.execute(select(tokens).where(is_text(tokens.c.id, token_id))).first()
        return None if row is None else (as_token(row), row.secret_sha256)

    def is_revoked(self, actor: str) -> bool:
        """Tell whether the token or session of *actor* was revoked, or is unknown; what is no such actor cannot be."""
        with self._look() as connection:
            return actor not in unrevoked(connection, {actor})

    def attempt(self, actor: str, key: str) -> tuple[str, str] | None:
        """Return fingerprint and answer of an earlier write under this Idempotency-Key, or None."""
        query = select(attempts.c.fingerprint, attempts.c.answer).where(
            is_text(attempts.c.actor, actor), is_text(attempts.c.key, key)
        )
        with self._look() as connection:
            row = connection.execute(query).first()
        return None if row is None else (row[0], row[1])

    def changes(
        self,
        *,
        name: str | None = None,
        state: str | None = None,
        now: datetime,
        before: int | None = None,
        limit: int = 100,
    ) -> list[ChangeRow]:
        """
        Return changes with what people did, without their payloads (a megabyte each, perhaps), newest first.

        Args:
            state: as ``ChangeRow.state_at(now)`` spells it; None: any.
            before: only changes with a lower number.
        """
        query = list_query(name=name, state=state, now=now, before=before, limit=limit)
        with self._look() as connection:
            return with_deeds(connection, connection.execute(query).all())

    def change(self, number: int) -> ChangeRow:
        """Return one change with what people did about it; NotFound."""
        with self._look() as connection:
            rows = connection.execute(select(changes).where(changes.c.id == number)).all()
            found = with_deeds(connection, rows)
        if not found:
            raise no_change(str(number))
        return found[0]

    def due_changes(self, now: datetime, *, after: int = 0, limit: int = 500) -> list[int]:
        """Return the numbers above *after* of changes that waited for a time which has come at *now*, in order."""
        with self._look() as connection:
            return list(connection.execute(due_query(now, after, limit)).scalars())

    def policies(self) -> dict[str, int]:
        """Return how many approvals are required, for each pin set that requires any."""
        query = select(pinsets.c.name, pinsets.c.approvals_required).where(pinsets.c.approvals_required > 0)
        with self._look() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        with store_failures(), self.engine.begin() as connection:
            yield connection


def no_change(number: str) -> NotFound:
    """Return the error of a change that is not there, or not for whoever asks: they cannot tell which."""
    return NotFound(f"no change {number[:42]}", hint="GET /admin/v1/changes lists those that exist.")


def _no_pinset(name: str) -> NotFound:
    return NotFound(f"no pin set {name!r}", hint="GET /admin/v1/pinsets lists those that exist.")
