"""Approvals: how many a pin set requires, who gave them, whose a token is, changes that wait for a time, reviews."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the tables; nothing requires an approval before somebody says so."""
    op.add_column("pinsets", sa.Column("approvals_required", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("tokens", sa.Column("owner", sa.String(200), nullable=False, server_default=""))
    op.execute("UPDATE tokens SET owner = id")
    for column in _of_changes():
        op.add_column("changes", column)
    op.execute("UPDATE changes SET owner = actor, waits_until = expires")
    # A token had no owner but itself, so whoever proposed before cannot approve now with the same token.
    op.execute("UPDATE changes SET owner = substr(actor, 7) WHERE actor LIKE 'token:%'")
    op.execute("UPDATE changes SET published_epoch = epoch, published_version = version WHERE state = 'published'")
    op.create_index("ix_changes_state", "changes", ["state"])
    op.create_table("change_approvals", *_deed(), sa.Column("owner", sa.String(200), primary_key=True))
    op.create_table(
        "change_reviews",
        *_deed(),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
    )


def downgrade() -> None:
    """Drop them again: what people do not sign is proposed anew, and what was published is in the other tables."""
    op.drop_table("change_reviews")
    op.drop_table("change_approvals")
    op.execute("DELETE FROM changes WHERE signer = 'server'")
    op.drop_index("ix_changes_state", "changes")
    for column in _of_changes():
        op.drop_column("changes", column.name)
    op.drop_column("tokens", "owner")
    op.drop_column("pinsets", "approvals_required")


def _deed() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("change_id", sa.BigInteger, sa.ForeignKey("changes.id"), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )


def _of_changes() -> tuple[sa.Column[Any], ...]:
    """Return the new columns, with what rows that are there get: they waited for signatures, until their own end."""
    return (
        sa.Column("owner", sa.String(200), nullable=False, server_default=""),
        sa.Column("signer", sa.String(16), nullable=False, server_default="people"),
        sa.Column("not_before", sa.BigInteger),
        sa.Column("waits_until", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("blocked", sa.Text, nullable=False, server_default=""),
        sa.Column("published_epoch", sa.BigInteger),
        sa.Column("published_version", sa.BigInteger),
    )
