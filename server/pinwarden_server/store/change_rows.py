"""
Changes as values, with the signatures, approvals and reviews that people gave them.

It may import SQLAlchemy's row type. It never queries.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from pinwarden_server.errors import Tag

LOWER_POLICY = "policy.lower"  # the action of a change that lowers how many approvals a pin set requires
BY_PEOPLE, BY_SERVER = "people", "server"


def person_of(owner: str) -> str:
    """
    Return the person that *owner* is: links, accounts and jobs may spell with capitals, tokens may not.

    Rows that were kept before this was minded may have any spelling.
    """
    return owner.lower()


@dataclass(frozen=True, slots=True)
class ChangeSignature:
    """One person's signature over a change, verified before it was stored."""

    keyid: str
    sig: bytes
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class ChangeApproval:
    """
    One person's approval of a change.

    Attributes:
        owner: the person; nobody approves twice, whatever tokens they have.
        stands: it counts: the token it was given with was not revoked since.
    """

    owner: str
    actor: str
    at: datetime
    reason: str
    stands: bool = True


@dataclass(frozen=True, slots=True)
class ChangeReview:
    """What another person said of a publication that nobody had approved: ``approved`` or ``objected``."""

    owner: str
    actor: str
    at: datetime
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """
    What somebody proposed, and waits for signatures, approvals or its time; or what has to be reviewed.

    Attributes:
        action: what the audit log will call its publication, such as ``pinset.publish``; or ``policy.lower``.
        base: the version that it was made for and replaces, None for a new pin set and for a policy.
        tag: the version reserved for it; what this server signs itself gets a new one as it is published.
        payload: the bytes to be signed or approved; empty in lists.
        owner: the person behind *actor*.
        warnings: lint findings that did not block, each with the four members of a violation.
        wait_for: keys that have to sign besides what the threshold demands.
        signer: ``people``, who sign exactly this payload, or ``server``, which signs its content as it is published.
        not_before: it is not published earlier; None: as soon as nothing else is waited for.
        waits_until: it expires then.
        approvals_required: how many its pin set required when it was proposed; see :meth:`required`.
        blocked: why it was not published although nothing was waited for, or empty.
        state: ``waiting``, ``published``, ``review``, ``rejected`` or ``stale``; :meth:`state_at` knows ``expired``.
        published_as: the version that it was published as.
    """

    id: int
    name: str
    action: str
    base: Tag | None
    tag: Tag
    payload: bytes
    issued: datetime
    expires: datetime
    proposed_at: datetime
    actor: str
    owner: str
    reason: str
    forced: tuple[str, ...]
    warnings: tuple[dict[str, str], ...]
    waits_until: datetime
    wait_for: tuple[str, ...] = ()
    signer: str = BY_PEOPLE
    not_before: datetime | None = None
    approvals_required: int = 0
    blocked: str = ""
    state: str = "waiting"
    closed_at: datetime | None = None
    closed_by: str | None = None
    closed_reason: str | None = None
    published_as: Tag | None = None
    signatures: tuple[ChangeSignature, ...] = ()
    approvals: tuple[ChangeApproval, ...] = ()
    review: ChangeReview | None = None

    @property
    def is_policy(self) -> bool:
        """Whether it changes how many approvals are required, and no pin set."""
        return self.action == LOWER_POLICY

    @property
    def approvers(self) -> frozenset[str]:
        """The people whose approval counts."""
        return frozenset(person_of(approval.owner) for approval in self.approvals if approval.stands)

    def required(self, of_pinset: int) -> int:
        """
        Return how many approvals it needs while its pin set requires *of_pinset*.

        A higher number holds for what waits already. A lower one does not, or a draft that nobody has looked at would
        be published by a decision about something else.
        """
        return max(self.approvals_required, of_pinset)

    def state_at(self, now: datetime) -> str:
        """Return the state at *now*: what waits beyond its own end has expired."""
        return "expired" if self.state == "waiting" and now >= self.waits_until else self.state


def as_change(
    row: Row[Any],
    signatures: tuple[ChangeSignature, ...] = (),
    approvals: tuple[ChangeApproval, ...] = (),
    review: ChangeReview | None = None,
) -> ChangeRow:
    """Return the value of a row of the changes table."""
    return ChangeRow(
        id=row.id,
        name=row.name,
        action=row.action,
        base=_tag(row.base_epoch, row.base_version),
        tag=(row.epoch, row.version),
        payload=getattr(row, "payload", b""),
        issued=row.issued,
        expires=row.expires,
        proposed_at=row.proposed_at,
        actor=row.actor,
        owner=row.owner,
        reason=row.reason,
        forced=tuple(row.forced.split()),
        warnings=tuple(json.loads(row.warnings)),
        waits_until=row.waits_until,
        wait_for=tuple(row.wait_for.split()),
        signer=row.signer,
        not_before=row.not_before,
        approvals_required=row.approvals_required,
        blocked=row.blocked,
        state=row.state,
        closed_at=row.closed_at,
        closed_by=row.closed_by,
        closed_reason=row.closed_reason,
        published_as=_tag(row.published_epoch, row.published_version),
        signatures=signatures,
        approvals=approvals,
        review=review,
    )


def _tag(epoch: int | None, version: int | None) -> Tag | None:
    return None if epoch is None or version is None else (epoch, version)
