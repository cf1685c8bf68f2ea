"""
Which audit rows somebody wants to see, as conditions of a query.

It may import ``tables`` and SQLAlchemy. Both stores let the same rows through, and what cannot be stored matches none.
"""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, or_

from pinwarden_server.store.columns import begins_with, is_text
from pinwarden_server.store.rows import AuditFilter
from pinwarden_server.store.tables import audit

# Rooms of the actions whose subject is a pin set.
_ABOUT_PINSETS = ("pinset.", "timestamp.", "change.", "store.floor")


def conditions(only: AuditFilter) -> Iterator[ColumnElement[bool]]:
    """Yield what a row has to be to pass *only*."""
    if only.name is not None:
        # Rows of tokens, roots and the store have subjects of their own, which may be spelt like a pin set.
        yield is_text(audit.c.subject, only.name)
        yield or_(*(begins_with(audit.c.action, room) for room in _ABOUT_PINSETS))
    for column, wanted in ((audit.c.actor, only.actor), (audit.c.action, only.action)):
        if wanted is not None:
            yield begins_with(column, wanted[:-1]) if wanted.endswith("*") else is_text(column, wanted)
    if only.since is not None:
        yield audit.c.at >= only.since
    if only.until is not None:
        yield audit.c.at < only.until
