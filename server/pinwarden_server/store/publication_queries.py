"""
Queries for what is published, on whatever connection asks: a reader's, or a writer's within its transaction.

It may import ``tables`` and SQLAlchemy. It runs nothing.
"""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select

from pinwarden_server.store.columns import is_text
from pinwarden_server.store.tables import history, pinsets, versions


def is_current() -> ColumnElement[bool]:
    """Return the condition that a version is the one in force for its pin set."""
    return and_(
        versions.c.name == pinsets.c.name,
        versions.c.epoch == pinsets.c.epoch,
        versions.c.version == pinsets.c.version,
    )


def current_query() -> Select[Any]:
    """Return the query for what is in force, of every name; :func:`as_current` makes a value of each row."""
    return select(
        pinsets.c.name,
        pinsets.c.epoch,
        pinsets.c.version,
        pinsets.c.timestamp_epoch,
        pinsets.c.timestamp_version,
        versions.c.envelope,
        pinsets.c.timestamp_envelope,
        versions.c.published_at,
        versions.c.actor,
        versions.c.reason,
        pinsets.c.approvals_required,
    ).select_from(pinsets.join(versions, is_current()))


def history_query(name: str) -> Select[Any]:
    """Return the query for the history of *name*, in no order; :func:`as_entry` makes an entry of each row."""
    same = (
        versions.c.name == history.c.name,
        versions.c.epoch == history.c.epoch,
        versions.c.version == history.c.version,
    )
    columns = (
        history.c.seq,
        history.c.epoch,
        history.c.version,
        history.c.sha256,
        history.c.length,
        versions.c.issued,
        versions.c.expires,
        versions.c.published_at,
        history.c.previous,
        history.c.hash,
    )
    return select(*columns).select_from(history.join(versions, and_(*same))).where(is_text(history.c.name, name))
