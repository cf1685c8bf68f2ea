"""
Where everything that was published is kept: a reader that cannot write, and a writer of short transactions.

It may import SQLAlchemy, alembic and ``errors``; documents pass through as bytes. It never decides whether a change is
allowed, and a caller that only reads never holds a connection that could write.
"""

from pinwarden_server.store.change_rows import ChangeApproval, ChangeReview, ChangeRow, ChangeSignature, person_of
from pinwarden_server.store.engines import Store, open_store
from pinwarden_server.store.reader import Reader
from pinwarden_server.store.reservation_steps import Reservation
from pinwarden_server.store.rows import (
    AuditFilter,
    AuditRow,
    CheckpointRow,
    Current,
    Summary,
    TokenRow,
    VersionKey,
    VersionRow,
)
from pinwarden_server.store.schema import check_schema, hint_for_schema, migrate, schema_head, schema_of
from pinwarden_server.store.writer import Transaction, Writer

__all__ = [
    "AuditFilter",
    "AuditRow",
    "ChangeApproval",
    "ChangeReview",
    "ChangeRow",
    "ChangeSignature",
    "CheckpointRow",
    "Current",
    "Reader",
    "Reservation",
    "Store",
    "Summary",
    "TokenRow",
    "Transaction",
    "VersionKey",
    "VersionRow",
    "Writer",
    "check_schema",
    "hint_for_schema",
    "migrate",
    "open_store",
    "person_of",
    "schema_head",
    "schema_of",
]
