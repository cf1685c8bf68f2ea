"""Sessions, one-time links and local accounts: how people and jobs get in without a token of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0006_logins"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables, empty."""
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("way", sa.String(16), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("authenticated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_table(
        "one_time_links",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("secret_sha256", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.String(100), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("redeemed_at", sa.BigInteger),
    )
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
    )
    op.create_table(
        "used_id_tokens",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    for table in ("sessions", "one_time_links", "used_id_tokens"):
        op.create_index(f"ix_{table}_expires_at", table, ["expires_at"])


def downgrade() -> None:
    """Drop the tables: everybody logs in again, by a token."""
    for table in ("used_id_tokens", "one_time_links", "sessions"):
        op.drop_index(f"ix_{table}_expires_at", table)
    for table in ("used_id_tokens", "accounts", "one_time_links", "sessions"):
        op.drop_table(table)
