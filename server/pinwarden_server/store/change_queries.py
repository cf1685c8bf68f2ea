"""
Queries for changes, on whatever connection asks: a reader's, or a writer's within its transaction.

It may import ``change_tables`` and SQLAlchemy. It returns values and judges nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select

from pinwarden_server.store.change_rows import (
    ChangeApproval,
    ChangeReview,
    ChangeRow,
    ChangeSignature,
    as_change,
)
from pinwarden_server.store.change_tables import change_approvals, change_reviews, change_signatures, changes
from pinwarden_server.store.columns import is_text
from pinwarden_server.store.login_tables import sessions
from pinwarden_server.store.tables import tokens

_BY_TOKEN, _BY_SESSION = "token:", "session:"


def list_query(
    *, name: str | None, state: str | None, now: datetime, before: int | None, limit: int
) -> Select[tuple[Any, ...]]:
    """Return the query for changes without their payloads, newest first; arguments as for ``Reader.changes``."""
    columns = (column for column in changes.c if column is not changes.c.payload)
    query = select(*columns).order_by(changes.c.id.desc()).limit(limit)
    if name is not None:
        query = query.where(is_text(changes.c.name, name))
    if before is not None:
        query = query.where(changes.c.id < before)
    if state in ("waiting", "expired"):
        in_time = changes.c.waits_until > now
        query = query.where(changes.c.state == "waiting", in_time if state == "waiting" else ~in_time)
    elif state is not None:
        query = query.where(changes.c.state == state)
    return query


def due_query(now: datetime, after: int, limit: int) -> Select[tuple[Any, ...]]:
    """Return the query for numbers of changes above *after* that waited for a time which has come, in order."""
    due = and_(changes.c.state == "waiting", changes.c.waits_until > now, changes.c.not_before <= now)
    return select(changes.c.id).where(due, changes.c.id > after).order_by(changes.c.id).limit(limit)


def with_deeds(connection: Connection, rows: Sequence[Row[Any]]) -> list[ChangeRow]:
    """Return *rows* of the changes table as values, with what people did about each."""
    numbers = [row.id for row in rows]
    signed, approved = _signatures(connection, numbers), _approvals(connection, numbers)
    reviewed = _reviews(connection, numbers)
    return [as_change(row, signed.get(row.id, ()), approved.get(row.id, ()), reviewed.get(row.id)) for row in rows]


def _signatures(connection: Connection, numbers: Iterable[int]) -> dict[int, tuple[ChangeSignature, ...]]:
    query = select(change_signatures).where(change_signatures.c.change_id.in_(numbers))
    found: dict[int, tuple[ChangeSignature, ...]] = {}
    for row in connection.execute(query.order_by(change_signatures.c.at, change_signatures.c.keyid)):
        found[row.change_id] = (*found.get(row.change_id, ()), ChangeSignature(row.keyid, row.sig, row.at, row.actor))
    return found


def _approvals(connection: Connection, numbers: Iterable[int]) -> dict[int, tuple[ChangeApproval, ...]]:
    query = select(change_approvals).where(change_approvals.c.change_id.in_(numbers))
    rows = connection.execute(query.order_by(change_approvals.c.at, change_approvals.c.owner)).all()
    standing = unrevoked(connection, {row.actor for row in rows})
    found: dict[int, tuple[ChangeApproval, ...]] = {}
    for row in rows:
        approval = ChangeApproval(row.owner, row.actor, row.at, row.reason, row.actor in standing)
        found[row.change_id] = (*found.get(row.change_id, ()), approval)
    return found


def _reviews(connection: Connection, numbers: Iterable[int]) -> dict[int, ChangeReview]:
    query = select(change_reviews).where(change_reviews.c.change_id.in_(numbers))
    return {
        row.change_id: ChangeReview(row.owner, row.actor, row.at, row.verdict, row.reason)
        for row in connection.execute(query)
    }


def unrevoked(connection: Connection, actors: set[str]) -> set[str]:
    """
    Return those of *actors* whose token or session was not revoked.

    One that is not in the store may have been: a restore brings no session back.
    """
    good = {actor for actor in actors if not actor.startswith((_BY_TOKEN, _BY_SESSION))}
    for table, kind in ((tokens, _BY_TOKEN), (sessions, _BY_SESSION)):
        known = [actor.removeprefix(kind) for actor in actors if actor.startswith(kind)]
        if known:
            query = select(table.c.id).where(table.c.id.in_(known), table.c.revoked_at.is_(None))
            good |= {f"{kind}{row.id}" for row in connection.execute(query)}
    return good
