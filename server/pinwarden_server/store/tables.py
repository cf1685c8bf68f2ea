"""
The tables, as values that queries are built from.

Only types that SQLite and PostgreSQL share; times are seconds since 1970. Migrations create them: a change here without
one in ``migrations/versions`` fails a test. Documents are never updated or deleted.
"""

from datetime import UTC, datetime
from typing import cast

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
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
    false,
    func,
)
from sqlalchemy.types import TypeEngine

from pinwarden_server.errors import Unstorable

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """An aware time, stored as whole seconds since 1970: every database compares those alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is not None and value.tzinfo is None:
            raise Unstorable("a time without its zone cannot be stored", got=value.isoformat())
        return None if value is None else int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


class Whole(TypeDecorator[int]):
    """An integer that every database can hold: 64 bits with its sign."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        if value is not None and not -(2**63) <= value < 2**63:
            raise Unstorable("a number is too large to be stored", expected="64 bits", got=f"{value.bit_length()} bits")
        return value


class Words(TypeDecorator[str]):
    """
    Text that every database can hold, of at most *length* characters when one is given.

    Each database refuses other things, some of them only sometimes; this refuses the same everywhere.

    Args:
        bytewise: sorted by code points, where a database would otherwise go by a language.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None, *, bytewise: bool = False) -> None:
        super().__init__()
        self.length = length
        self.bytewise = bytewise

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        collation = "C" if self.bytewise and dialect.name == "postgresql" else None
        wanted = Text() if self.length is None else String(self.length, collation=collation)
        return dialect.type_descriptor(wanted)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and not self.fits(value):
            limit = "" if self.length is None else f" of at most {self.length} characters"
            raise Unstorable("a text cannot be stored", expected=f"no NUL, no half surrogate pair{limit}")
        return value

    def fits(self, text: str) -> bool:
        """Tell whether *text* can be stored here."""
        if self.length is not None and len(text) > self.length:
            return False
        return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def is_text(column: Column[str], text: str) -> ColumnElement[bool]:
    """Return the condition that *column* is *text*, which may be anything that somebody sent."""
    # What cannot be stored is not there; PostgreSQL would take no NUL, not even in a question.
    return column == text if cast("Words", column.type).fits(text) else false()


def begins_with(column: Column[str], text: str) -> ColumnElement[bool]:
    """Return the condition that *column* begins with *text*; LIKE would not tell capitals apart on every database."""
    return is_text(cast("Column[str]", func.substr(column, 1, len(text), type_=column.type)), text)


# Names are compared and listed alike by every node, whatever language its database speaks.
NAME = Words(64, bytewise=True)
ACTOR = Words(200)

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

# People and jobs that have logged in. Like tokens, but short-lived, and they say who it is and since when.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("owner", Words(100), nullable=False),
    Column("way", Words(16), nullable=False),
    Column("role", Words(16), nullable=False),
    Column("names", Words(), nullable=False),
    Column("authenticated_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Index("ix_sessions_expires_at", "expires_at"),
)

# What a person may log in with once; the row stays for a while after that, so that a second redeemer finds it spent.
one_time_links = Table(
    "one_time_links",
    metadata,
    Column("id", Words(32), primary_key=True),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("owner", Words(100), nullable=False),
    Column("role", Words(16), nullable=False),
    Column("names", Words(), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", ACTOR, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("redeemed_at", Moment),
    Index("ix_one_time_links_expires_at", "expires_at"),
)

# Local accounts for the day when nothing else lets anybody in.
accounts = Table(
    "accounts",
    metadata,
    Column("name", Words(100), primary_key=True),
    Column("password_hash", Words(200), nullable=False),
    Column("role", Words(16), nullable=False),
    Column("names", Words(), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", ACTOR, nullable=False),
)

# The ID tokens that were exchanged, by the SHA-256 of issuer and jti, until they have expired by themselves.
used_id_tokens = Table(
    "used_id_tokens",
    metadata,
    Column("digest", Words(64), primary_key=True),
    Column("expires_at", Moment, nullable=False),
    Index("ix_used_id_tokens_expires_at", "expires_at"),
)

# After a restore, the names that may not be published before their floor is set; else empty.
unsettled = Table("unsettled", metadata, Column("name", Words(64), primary_key=True))

EVERY_OTHER = "*"  # in "unsettled" and "reservations": every name that the backup did not know; no name is spelt so
