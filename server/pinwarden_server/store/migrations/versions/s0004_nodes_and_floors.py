"""Names that sort by code points on every database, and the floors that a restored store waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NAMED = ("pinsets", "versions", "history", "reservations", "changes")


def upgrade() -> None:
    """Give names the collation C where there is a choice, and make the table of names without a floor."""
    _collate("C")
    op.create_table("unsettled", sa.Column("name", sa.String(64), primary_key=True))


def downgrade() -> None:
    """Drop the table, and give names the database's own collation again."""
    op.drop_table("unsettled")
    _collate("default")


def _collate(collation: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite compares bytes
    for table in _NAMED:
        op.alter_column(table, "name", type_=sa.String(64, collation=collation))
