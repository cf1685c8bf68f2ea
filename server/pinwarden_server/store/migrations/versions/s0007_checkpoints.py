"""Signed checkpoints of the audit chain."""

import sqlalchemy as sa
from alembic import op

revision = "0007_checkpoints"
down_revision = "0006_logins"


def upgrade() -> None:
    """Create the table, empty: the renewer signs the first one."""
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("root_version", sa.BigInteger, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop the table: whoever kept a checkpoint elsewhere has it still."""
    op.drop_table("checkpoints")
