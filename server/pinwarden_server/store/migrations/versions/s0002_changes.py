"""Changes that wait for people's signatures, and the signatures that came."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create both tables, empty."""
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger, sa.ForeignKey("audit.seq"), primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("base_epoch", sa.BigInteger),
        sa.Column("base_version", sa.BigInteger),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("proposed_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("forced", sa.Text, nullable=False),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.Column("wait_for", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("closed_by", sa.String(200)),
        sa.Column("closed_reason", sa.Text),
    )
    op.create_index("ix_changes_name_state", "changes", ["name", "state"])
    op.create_table(
        "change_signatures",
        sa.Column("change_id", sa.BigInteger, sa.ForeignKey("changes.id"), primary_key=True, autoincrement=False),
        sa.Column("keyid", sa.String(64), primary_key=True),
        sa.Column("sig", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
    )


def downgrade() -> None:
    """Drop both tables: what waits is proposed again, what was published is in the other tables."""
    op.drop_table("change_signatures")
    op.drop_index("ix_changes_name_state", "changes")
    op.drop_table("changes")
