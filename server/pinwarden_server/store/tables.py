"""
The tables, as values that queries are built from.

Only types that SQLite and PostgreSQL share; times are seconds since 1970. Migrations create them: a change here without
one in ``migrations/versions`` fails a test. Documents are never updated or deleted.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """An aware time, stored as whole seconds since 1970: every database compares those alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


NAME = String(64)
ACTOR = String(200)

roots = Table(
    "roots",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("published_at", Moment, nullable=False),
)

# The current pair of each pin set; what a publication compares and moves.
pinsets = Table(
    "pinsets",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("timestamp_epoch", BigInteger, nullable=False),
    Column("timestamp_version", BigInteger, nullable=False),
    Column("timestamp_envelope", LargeBinary, nullable=False),
    Column("timestamp_expires", Moment, nullable=False),
    Column("renew_timestamp_after", Moment, nullable=False),
    Column("renew_pinset_after", Moment, nullable=False),
    Index("ix_pinsets_renew_timestamp_after", "renew_timestamp_after"),
    Index("ix_pinsets_renew_pinset_after", "renew_pinset_after"),
)

versions = Table(
    "versions",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("issued", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("published_at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("reason", Text, nullable=False),
    Column("forced", Text, nullable=False),
    Column("audit_seq", BigInteger, ForeignKey("audit.seq"), nullable=False),
)

# The public list of versions (spec H1 to H4), one row for each: a publication needs the hash of the last one, and every
# payload would have to be read again to find it. What the row does not have is in ``versions``.
history = Table(
    "history",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    ForeignKeyConstraint(("name", "epoch", "version"), ("versions.name", "versions.epoch", "versions.version")),
)

# The last number and time given out, used or not (spec S1). One counter per name and kind, whatever the epoch.
reservations = Table(
    "reservations",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("pinset_version", BigInteger, nullable=False),
    Column("timestamp_version", BigInteger, nullable=False),
    Column("issued", Moment, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)

# One row: the end of the chain, so that writers queue on it and a shortened chain shows.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("label", String(200), nullable=False),
    Column("role", String(16), nullable=False),
    Column("names", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", ACTOR, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(200), nullable=False),
    Column("expires_at", Moment, nullable=False),
)

# Answers to writes that carried an Idempotency-Key, kept in the transaction of the write itself.
attempts = Table(
    "attempts",
    metadata,
    Column("actor", ACTOR, primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("ix_attempts_created_at", "created_at"),
)

# What somebody proposed and people have to sign; its number is that of the audit row that records the proposal. A row
# is closed once, and never changes otherwise. The signed bytes are kept whole: they are what is signed.
changes = Table(
    "changes",
    metadata,
    Column("id", BigInteger, ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
    Column("name", NAME, nullable=False),
    Column("action", String(64), nullable=False),
    Column("base_epoch", BigInteger),
    Column("base_version", BigInteger),
    Column("epoch", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("issued", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("proposed_at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("reason", Text, nullable=False),
    Column("forced", Text, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("wait_for", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("closed_at", Moment),
    Column("closed_by", ACTOR),
    Column("closed_reason", Text),
    Index("ix_changes_name_state", "name", "state"),
)

change_signatures = Table(
    "change_signatures",
    metadata,
    Column("change_id", BigInteger, ForeignKey("changes.id"), primary_key=True, autoincrement=False),
    Column("keyid", String(64), primary_key=True),
    Column("sig", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
)
