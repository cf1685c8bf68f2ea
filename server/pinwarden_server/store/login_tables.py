"""
The tables of logins: sessions, one-time links, local accounts and spent ID tokens.

Like ``tables``, with the types of ``columns``. No secret is in any of them: digests and hashes alone.
"""

from sqlalchemy import Column, Index, LargeBinary, Table

from pinwarden_server.store.columns import ACTOR, Moment, Words, metadata

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
