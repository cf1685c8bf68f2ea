"""The public history, with an entry for every version that was published before."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table, and bind together what there is; a payload is read once and never again."""
    history = op.create_table(
        "history",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(("name", "epoch", "version"), ("versions.name", "versions.epoch", "versions.version")),
    )
    connection = op.get_bind()
    first_root = connection.execute(sa.text("SELECT envelope FROM roots WHERE version = 1")).scalar()
    if first_root is None:
        return
    authority = json.loads(_payload(first_root))["authority"]
    for name in connection.execute(sa.text("SELECT name FROM pinsets ORDER BY name")).scalars().all():
        _bind(connection, history, authority, name)


def downgrade() -> None:
    """Drop the table: all that is in it can be made again."""
    op.drop_table("history")


def _bind(connection: sa.Connection, history: sa.Table, authority: str, name: str) -> None:
    """Write the history of one name as spec H2 has it; spelt here once more, because a migration stays as it was."""
    tags = sa.text("SELECT epoch, version FROM versions WHERE name = :name ORDER BY version")
    one = sa.text("SELECT * FROM versions WHERE name = :name AND epoch = :epoch AND version = :version")
    previous = hashlib.sha256(f"{authority}\n{name}".encode()).hexdigest()
    for seq, tag in enumerate(connection.execute(tags, {"name": name}).all(), 1):
        row = connection.execute(one, {"name": name, "epoch": tag.epoch, "version": tag.version}).one()
        payload = _payload(row.envelope)
        bound: dict[str, Any] = {
            "seq": seq,
            "epoch": row.epoch,
            "version": row.version,
            "sha256": hashlib.sha256(payload).hexdigest(),
            "length": len(payload),
            "previous": previous,
        }
        times = {column: _spell(getattr(row, column)) for column in ("issued", "expires", "published_at")}
        text = json.dumps({**bound, **times}, sort_keys=True, separators=(",", ":"))
        link = hashlib.sha256(text.encode()).hexdigest()
        connection.execute(history.insert().values(name=name, hash=link, **bound))
        previous = link


def _payload(envelope: bytes | memoryview) -> bytes:
    return base64.b64decode(json.loads(bytes(envelope))["payload"])


def _spell(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
