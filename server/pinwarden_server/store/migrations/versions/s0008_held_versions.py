"""The versions that clients may still hold, found without reading the documents that have expired."""

from alembic import op

revision = "0008_held_versions"
down_revision = "0007_checkpoints"


def upgrade() -> None:
    """Make the index, which has every column that the question needs."""
    op.create_index("ix_versions_held", "versions", ["name", "expires", "epoch", "version"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_versions_held", "versions")
