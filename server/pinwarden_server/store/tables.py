"""
The tables of what is published, who did it, and who may: values that queries are built from.

Of changes and logins, ``change_tables`` and ``login_tables`` have them; the types are those of ``columns``. Migrations
create them: a change here without one in ``migrations/versions`` fails a test. Documents are never updated or deleted.
"""

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, Integer, LargeBinary, Table

from pinwarden_server.store.columns import ACTOR, NAME, Moment, Whole, Words, metadata

roots = Table(
    "roots",
    metadata,
    Column("version", Whole, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("published_at", Moment, nullable=False),
)

# The current pair of each pin set; what a publication compares and moves.
pinsets = Table(
    "pinsets",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("epoch", Whole, nullable=False),
    Column("version", Whole, nullable=False),
    Column("timestamp_epoch", Whole, nullable=False),
    Column("timestamp_version", Whole, nullable=False),
    Column("timestamp_envelope", LargeBinary, nullable=False),
    Column("timestamp_expires", Moment, nullable=False),
    Column("renew_timestamp_after", Moment, nullable=False),
    Column("renew_pinset_after", Moment, nullable=False),
    Column("approvals_required", Whole, nullable=False),
    Index("ix_pinsets_renew_timestamp_after", "renew_timestamp_after"),
    Index("ix_pinsets_renew_pinset_after", "renew_pinset_after"),
)

versions = Table(
    "versions",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("epoch", Whole, primary_key=True, autoincrement=False),
    Column("version", Whole, primary_key=True, autoincrement=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("issued", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("published_at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("reason", Words(), nullable=False),
    Column("forced", Words(), nullable=False),
    Column("audit_seq", Whole, ForeignKey("audit.seq"), nullable=False),
    # Each publication asks which versions have not expired; this answers it without a look at any document.
    Index("ix_versions_held", "name", "expires", "epoch", "version"),
)

# The public list of versions (spec H1 to H4), one row for each: a publication needs the hash of the last one, and every
# payload would have to be read again to find it. What the row does not have is in ``versions``.
history = Table(
    "history",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("seq", Whole, primary_key=True, autoincrement=False),
    Column("epoch", Whole, nullable=False),
    Column("version", Whole, nullable=False),
    Column("sha256", Words(64), nullable=False),
    Column("length", Whole, nullable=False),
    Column("previous", Words(64), nullable=False),
    Column("hash", Words(64), nullable=False),
    ForeignKeyConstraint(("name", "epoch", "version"), ("versions.name", "versions.epoch", "versions.version")),
)

# The last number and time given out, used or not (spec S1). One counter per name and kind, whatever the epoch.
reservations = Table(
    "reservations",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("pinset_version", Whole, nullable=False),
    Column("timestamp_version", Whole, nullable=False),
    Column("issued", Moment, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Whole, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("actor", ACTOR, nullable=False),
    Column("action", Words(64), nullable=False),
    Column("subject", Words(200), nullable=False),
    Column("detail", Words(), nullable=False),
    Column("previous", Words(64), nullable=False),
    Column("hash", Words(64), nullable=False, unique=True),
)

# One row: the end of the chain, so that writers queue on it and a shortened chain shows.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Whole, nullable=False),
    Column("hash", Words(64), nullable=False),
)

# Signed ends of the chain, one for each length that was signed. They are no part of it: a row for each would make the
# chain longer, and the next one due.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", Whole, primary_key=True, autoincrement=False),
    Column("hash", Words(64), nullable=False),
    Column("issued", Moment, nullable=False),
    Column("root_version", Whole, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("label", Words(200), nullable=False),
    Column("owner", ACTOR, nullable=False),
    Column("role", Words(16), nullable=False),
    Column("names", Words(), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", ACTOR, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("revoked_at", Moment),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Words(64), primary_key=True),
    Column("holder", Words(200), nullable=False),
    Column("expires_at", Moment, nullable=False),
)

# Answers to writes that carried an Idempotency-Key, kept in the transaction of the write itself.
attempts = Table(
    "attempts",
    metadata,
    Column("actor", ACTOR, primary_key=True),
    Column("key", Words(128), primary_key=True),
    Column("fingerprint", Words(64), nullable=False),
    Column("answer", Words(), nullable=False),
    Column("created_at", Moment, nullable=False),
    Index("ix_attempts_created_at", "created_at"),
)

# After a restore, the names that may not be published before their floor is set; else empty.
unsettled = Table("unsettled", metadata, Column("name", Words(64), primary_key=True))

EVERY_OTHER = "*"  # in "unsettled" and "reservations": every name that the backup did not know; no name is spelt so
