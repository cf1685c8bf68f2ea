"""How many approvals were required when a change was proposed: a lower number since does not complete it."""

import sqlalchemy as sa
from alembic import op

revision = "0009_approvals_asked"
down_revision = "0008_held_versions"


def upgrade() -> None:
    """Add the column; what waits needs at least what its pin set requires at this moment."""
    op.add_column("changes", sa.Column("approvals_required", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(
        "UPDATE changes SET approvals_required = pinsets.approvals_required FROM pinsets "
        "WHERE pinsets.name = changes.name AND changes.state = 'waiting'"
    )


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("changes", "approvals_required")
