"""
The steps that publish: roots, versions, their history, and the pair that is in force.

It may import ``tables``, the steps of changes, which a publication outdates, and SQLAlchemy. None of the steps commits,
and each that depends on what was read before compares it again in the statement itself.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, insert, select, update

from pinwarden.envelope import Envelope
from pinwarden.history import Entry
from pinwarden_server.errors import Tag
from pinwarden_server.store.change_steps import ChangeSteps
from pinwarden_server.store.publication_queries import history_query
from pinwarden_server.store.rows import VersionRow, as_entry
from pinwarden_server.store.tables import history, pinsets, roots, versions


@dataclass(frozen=True, slots=True)
class TimestampRow:
    """The timestamp that comes into force, and when the next ones are due."""

    tag: Tag
    envelope: Envelope
    expires: datetime
    renew_after: datetime
    renew_pinset_after: datetime


class PublicationSteps(ChangeSteps):
    """The steps that concern what is published; those of changes are among them."""

    def append_root(self, version: int, envelope: Envelope, at: datetime) -> None:
        """Add a root; IntegrityError when there is one of that version."""
        self.run(insert(roots).values(version=version, envelope=envelope.to_bytes(), published_at=at))

    def newest_root(self) -> int:
        """Return the version of the newest root as this transaction sees it; 0 before the first."""
        return self._connection.execute(select(func.max(roots.c.version))).scalar_one() or 0

    def names(self) -> list[str]:
        """Return the names of all pin sets as this transaction sees them, in order."""
        return list(self._connection.execute(select(pinsets.c.name).order_by(pinsets.c.name)).scalars())

    def append_version(self, row: VersionRow, *, audit_seq: int) -> None:
        """Add a version; IntegrityError when there is one of that number."""
        self.run(
            insert(versions).values(
                name=row.name,
                epoch=row.tag[0],
                version=row.tag[1],
                envelope=row.envelope.to_bytes(),
                issued=row.issued,
                expires=row.expires,
                published_at=row.published_at,
                actor=row.actor,
                reason=row.reason,
                forced=" ".join(row.forced),
                audit_seq=audit_seq,
            )
        )

    def last_entry(self, name: str) -> Entry | None:
        """Return the end of the history of *name* as this transaction sees it."""
        row = self._connection.execute(history_query(name).order_by(history.c.seq.desc()).limit(1)).first()
        return None if row is None else as_entry(row)

    def append_entry(self, name: str, entry: Entry) -> None:
        """Add an entry to the history of *name*; IntegrityError when there is one of that number."""
        columns = ("seq", "epoch", "version", "sha256", "length", "previous", "hash")
        self.run(insert(history).values(name=name, **{column: getattr(entry, column) for column in columns}))

    def create_pinset(self, name: str, tag: Tag, timestamp: TimestampRow, *, approvals_required: int = 0) -> bool:
        """Put the first pair of *name* in force; False when the name is taken. What waited to create it is stale."""
        if self.exists(select(pinsets.c.name).where(pinsets.c.name == name)):
            return False
        self.outdate_changes(name)
        self.run(insert(pinsets).values(name=name, approvals_required=approvals_required, **_pair(tag, timestamp)))
        return True

    def move_pinset(
        self,
        name: str,
        *,
        expected: Tag,
        expected_timestamp: Tag,
        tag: Tag,
        timestamp: TimestampRow,
        same_content: bool = False,
    ) -> bool:
        """
        Put a pair in force in place of the expected pair; False when that is not in force any more.

        Every change of that name that still waits is stale once the version moves, whoever moved it.

        Args:
            same_content: only numbers and times move: changes that this server will sign wait on, for the new version.
        """
        still = and_(
            pinsets.c.name == name,
            pinsets.c.epoch == expected[0],
            pinsets.c.version == expected[1],
            pinsets.c.timestamp_epoch == expected_timestamp[0],
            pinsets.c.timestamp_version == expected_timestamp[1],
        )
        if self.count(update(pinsets).where(still).values(**_pair(tag, timestamp))) != 1:
            return False
        if tag != expected:
            if same_content and tag[0] == expected[0]:
                self.rebase_changes(name, expected, tag)
            self.outdate_changes(name, but_base=tag)
        return True

    def pair_of(self, name: str) -> tuple[Tag, Tag] | None:
        """Return the pair in force as this transaction sees it."""
        row = self._connection.execute(select(pinsets).where(pinsets.c.name == name)).first()
        return None if row is None else ((row.epoch, row.version), (row.timestamp_epoch, row.timestamp_version))


def _pair(tag: Tag, timestamp: TimestampRow) -> dict[str, object]:
    return {
        "epoch": tag[0],
        "version": tag[1],
        "timestamp_epoch": timestamp.tag[0],
        "timestamp_version": timestamp.tag[1],
        "timestamp_envelope": timestamp.envelope.to_bytes(),
        "timestamp_expires": timestamp.expires,
        "renew_timestamp_after": timestamp.renew_after,
        "renew_pinset_after": timestamp.renew_pinset_after,
    }
