"""
What is recorded of a publication: its audit row, its version, its timestamp, and the review that it leaves open.

It may import the store's values. It writes nothing: ``commit`` does, in one transaction.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from pinwarden_server.errors import Violation
from pinwarden_server.signing import Ground, Pair
from pinwarden_server.site import Act
from pinwarden_server.store import ChangeApproval, ChangeRow, ChangeSignature, VersionRow
from pinwarden_server.store.change_rows import BY_SERVER
from pinwarden_server.store.publication_steps import TimestampRow
from pinwarden_server.tags import format_tag

TIMESTAMP_RENEWAL = 3  # part of its life after which a timestamp is signed again (spec S4)


@dataclass(frozen=True, slots=True)
class Change:
    """
    What is recorded about a publication.

    Attributes:
        room: ``publish``, ``renew``, ``change``, ``held`` or ``root``, prefix of the failpoints.
        action: for the audit row.
        only_timestamp: the pin set stays as it is.
        same_content: only numbers and times change.
        exempt: it needs no approvals: what is in force already, or what a root demands.
        broke_glass: it needs approvals and has none; it is to be reviewed.
        waited: number of the change that this publishes, or None.
        late_seconds: how long after its time a change is published that waited for it, or None.
        last_signature, last_approval: what completed it, to be kept with the others.
        approved_by: keys of the people whose approval a signer process asked for; the root need not name them.
        approvers: the people whose approvals the change has.
        approvals_asked: how many it had to have when it was proposed.
    """

    room: str
    action: str
    reason: str = ""
    forced: tuple[str, ...] = ()
    warnings: tuple[Violation, ...] = ()
    only_timestamp: bool = False
    same_content: bool = False
    exempt: bool = False
    broke_glass: bool = False
    waited: int | None = None
    late_seconds: int | None = None
    last_signature: ChangeSignature | None = None
    last_approval: ChangeApproval | None = None
    approved_by: tuple[str, ...] = ()
    approvers: tuple[str, ...] = ()
    approvals_asked: int = 0


def audit_detail(ground: Ground, pair: Pair, change: Change) -> dict[str, object]:
    """Return what the audit row says of putting *pair* in force."""
    detail: dict[str, object] = {
        "version": format_tag((pair.document.epoch, pair.document.version)),
        "sha256": sha256(pair.pinset.payload).hexdigest(),
        "timestamp": format_tag((pair.stamp.epoch, pair.stamp.version)),
        "timestamp_sha256": sha256(pair.timestamp.payload).hexdigest(),
    }
    if ground.current:
        detail["replaces"] = format_tag(ground.current.tag)
    if change.waited is not None:
        detail["change"] = change.waited
        detail["signed_by"] = [entry.keyid for entry in pair.pinset.signatures]
    optional: dict[str, object] = {
        "reason": change.reason,
        "forced": list(change.forced),
        "approved_by": list(change.approved_by),
        "approvers": list(change.approvers),
        "broke_glass": change.broke_glass,
    }
    detail |= {name: value for name, value in optional.items() if value}
    if change.late_seconds is not None:
        detail["late_seconds"] = change.late_seconds
    return detail


def version_row(name: str, pair: Pair, change: Change, by: Act) -> VersionRow:
    """Return the row of a new version."""
    return VersionRow(
        name=name,
        tag=(pair.document.epoch, pair.document.version),
        envelope=pair.pinset,
        issued=pair.document.issued,
        expires=pair.document.expires,
        published_at=by.at,
        actor=by.actor,
        reason=change.reason,
        forced=change.forced,
    )


def review_row(number: int, ground: Ground, pair: Pair, change: Change, by: Act) -> ChangeRow:
    """Return the change that stands for a publication which nobody had approved, until somebody reviews it."""
    tag = pair.document.epoch, pair.document.version
    return ChangeRow(
        id=number,
        name=ground.name,
        action=change.action,
        base=ground.tag,
        tag=tag,
        payload=pair.pinset.payload,
        issued=pair.document.issued,
        expires=pair.document.expires,
        proposed_at=by.at,
        actor=by.actor,
        owner=by.person,
        reason=change.reason,
        forced=change.forced,
        warnings=tuple(found.to_json() for found in change.warnings),
        waits_until=pair.document.expires,
        signer=BY_SERVER,
        state="review",
        closed_at=by.at,
        closed_by=by.actor,
        closed_reason=f"version {format_tag(tag)}, without approvals",
        published_as=tag,
    )


def timestamp_row(pair: Pair) -> TimestampRow:
    """Return the row of the timestamp that comes into force with *pair*."""
    stamp, document = pair.stamp, pair.document
    return TimestampRow(
        tag=(stamp.epoch, stamp.version),
        envelope=pair.timestamp,
        expires=stamp.expires,
        renew_after=stamp.issued + (stamp.expires - stamp.issued) / TIMESTAMP_RENEWAL,
        renew_pinset_after=_half_life(document.name, document.version, document.issued, document.expires),
    )


def _half_life(name: str, version: int, issued: datetime, expires: datetime) -> datetime:
    # Up to a tenth of the life earlier, the same on every node: sets published together do not all renew together.
    part = int.from_bytes(sha256(f"{name} {version}".encode()).digest()[:2]) / 65536
    life: timedelta = expires - issued
    return issued + life / 2 - life / 10 * part
