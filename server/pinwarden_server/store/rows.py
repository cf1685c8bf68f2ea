"""
What the reader returns: frozen values, made from rows here and nowhere else.

It may import documents and SQLAlchemy's row type. It never queries.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row

from pinwarden.documents import PinSet
from pinwarden.envelope import CHECKPOINT_TYPE, PINSET_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.history import Entry
from pinwarden.strict_json import format_time
from pinwarden_server.errors import Tag
from pinwarden_server.tags import format_tag


@dataclass(frozen=True, slots=True)
class Current:
    """
    What is in force for one pin set: the version, its envelope, and the timestamp that names it.

    Attributes:
        approvals_required: how many people have to approve what shall replace it.
    """

    name: str
    tag: Tag
    timestamp_tag: Tag
    pinset: Envelope
    timestamp: Envelope
    published_at: datetime
    actor: str
    reason: str
    approvals_required: int

    @property
    def timestamp_version(self) -> int:
        """The timestamp's version."""
        return self.timestamp_tag[1]


class VersionKey(NamedTuple):
    """What no two versions of one store have in common, and what never changes."""

    name: str
    epoch: int
    version: int
    expires: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the list of pin sets."""

    name: str
    tag: Tag
    issued: datetime
    expires: datetime
    timestamp_expires: datetime
    published_at: datetime
    actor: str

    def to_json(self) -> dict[str, object]:
        """Return the line as the admin API shows it."""
        return {
            "name": self.name,
            "version": format_tag(self.tag),
            "issued": format_time(self.issued),
            "expires": format_time(self.expires),
            "timestamp_expires": format_time(self.timestamp_expires),
            "published_at": format_time(self.published_at),
            "actor": self.actor,
        }


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version ever published."""

    name: str
    tag: Tag
    envelope: Envelope
    issued: datetime
    expires: datetime
    published_at: datetime
    actor: str
    reason: str
    forced: tuple[str, ...]

    def document(self) -> PinSet:
        """Return the pin set inside."""
        return PinSet.parse(self.envelope.payload)

    def to_json(self) -> dict[str, object]:
        """Return what is known about the version, without its content."""
        return {
            "name": self.name,
            "version": format_tag(self.tag),
            "issued": format_time(self.issued),
            "expires": format_time(self.expires),
            "published_at": format_time(self.published_at),
            "actor": self.actor,
            "reason": self.reason,
            "forced": list(self.forced),
        }


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """
    Which audit rows somebody wants to see; None lets all through.

    Attributes:
        name: of a pin set.
        actor, action: whole, or a beginning that ends in ``*``.
        since, until: aware; the second one is excluded.
    """

    name: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One link of the audit chain; *detail* is the JSON text that was hashed."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
    previous: str
    hash: str

    def to_json(self) -> dict[str, object]:
        """Return the row as the admin API shows it, its detail as an object."""
        return {
            "seq": self.seq,
            "at": format_time(self.at),
            "actor": self.actor,
            "action": self.action,
            "subject": self.subject,
            "detail": json.loads(self.detail),
            "previous": self.previous,
            "hash": self.hash,
        }


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A signed end of the audit chain; the four values are those inside *envelope*."""

    size: int
    hash: str
    issued: datetime
    root_version: int
    envelope: Envelope

    def to_json(self) -> dict[str, object]:
        """Return the row as the admin API shows it."""
        return {
            "size": self.size,
            "hash": self.hash,
            "issued": format_time(self.issued),
            "root": self.root_version,
            "envelope": self.envelope.to_json(),
        }


@dataclass(frozen=True, slots=True)
class TokenRow:
    """
    A token without its secret.

    Attributes:
        owner: the person or program that has it; one person's tokens have one owner, and count as one person.
    """

    id: str
    label: str
    owner: str
    role: str
    names: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    def to_json(self) -> dict[str, object]:
        """Return the row as the admin API shows it; nothing in it helps to sign in."""
        return {
            "id": self.id,
            "label": self.label,
            "owner": self.owner,
            "role": self.role,
            "names": list(self.names),
            "created_at": format_time(self.created_at),
            "created_by": self.created_by,
            "expires_at": format_time(self.expires_at),
            "last_used_at": self.last_used_at and format_time(self.last_used_at),
            "revoked_at": self.revoked_at and format_time(self.revoked_at),
        }


def as_current(row: Row[Any]) -> Current:
    """Return the value of a row of the current-pair query."""
    return Current(
        name=row.name,
        tag=(row.epoch, row.version),
        timestamp_tag=(row.timestamp_epoch, row.timestamp_version),
        pinset=Envelope.parse(row.envelope, expect=PINSET_TYPE),
        timestamp=Envelope.parse(row.timestamp_envelope, expect=TIMESTAMP_TYPE),
        published_at=row.published_at,
        actor=row.actor,
        reason=row.reason,
        approvals_required=row.approvals_required,
    )


def as_version(row: Row[Any]) -> VersionRow:
    """Return the value of a row of the versions table."""
    return VersionRow(
        name=row.name,
        tag=(row.epoch, row.version),
        envelope=Envelope.parse(row.envelope, expect=PINSET_TYPE),
        issued=row.issued,
        expires=row.expires,
        published_at=row.published_at,
        actor=row.actor,
        reason=row.reason,
        forced=tuple(row.forced.split()),
    )


def as_entry(row: Row[Any]) -> Entry:
    """Return the value of a row of the history."""
    return Entry(
        seq=row.seq,
        epoch=row.epoch,
        version=row.version,
        sha256=row.sha256,
        length=row.length,
        issued=row.issued,
        expires=row.expires,
        published_at=row.published_at,
        previous=row.previous,
        hash=row.hash,
    )


def as_checkpoint(row: Row[Any]) -> CheckpointRow:
    """Return the value of a row of the checkpoints table."""
    envelope = Envelope.parse(row.envelope, expect=CHECKPOINT_TYPE)
    return CheckpointRow(row.size, row.hash, row.issued, row.root_version, envelope)


def as_token(row: Row[Any]) -> TokenRow:
    """Return the value of a row of the tokens table; its digest stays behind."""
    return TokenRow(
        id=row.id,
        label=row.label,
        owner=row.owner,
        role=row.role,
        names=tuple(json.loads(row.names)),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
