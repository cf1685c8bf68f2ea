"""
How many approvals a pin set requires: raised at once, and lowered by as many people as it requires now.

It may import what keeps changes. Lowering is a change like any other that waits for approvals, or else whoever must not
publish alone would lower the number first.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from pinwarden import failpoints
from pinwarden.strict_json import encode
from pinwarden_server import audit
from pinwarden_server.change_drafts import PolicyDraft
from pinwarden_server.changes import LONGEST_WAIT, store_proposal
from pinwarden_server.changes_answered import Waiting, twice_at_once
from pinwarden_server.changes_closed import closed
from pinwarden_server.commit import keep_answer, keep_approval, kept_answer
from pinwarden_server.errors import Conflict
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.site import Act, Site
from pinwarden_server.store import ChangeApproval, ChangeRow, person_of
from pinwarden_server.store.change_rows import BY_SERVER, LOWER_POLICY

failpoints.register(*(f"policy.{step}" for step in ("committing", "committed", "lowering", "lowered")))


@dataclass(frozen=True, slots=True)
class PolicySet:
    """How many approvals a pin set requires now; *replayed*: this very request was answered before."""

    name: str
    approvals_required: int
    replayed: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the answer of the admin API."""
        return {"name": self.name, "approvals_required": self.approvals_required}


def set_policy(site: Site, name: str, draft: PolicyDraft, by: Act) -> PolicySet | Waiting:
    """
    Require another number of approvals: a higher one at once, a lower one once enough people approve that.

    Raises:
        NotFound: no such pin set. Conflict: another number is required than the draft replaces. Unauthenticated: the
        token or session of *by* was revoked since it was let in. IdempotencyMismatch, StoreUnavailable. Nothing was
        changed.
    """
    answered = _answered(site, by)
    if answered:
        return answered
    try:
        required = site.store.reader.current(name).approvals_required
        if required != draft.replaces:
            raise _moved(name, draft.replaces, required)
        if draft.approvals_required < required:
            return store_proposal(site, _proposal(name, draft, by), by, _detail(draft))
        return _raise(site, name, draft, by)
    except Conflict:
        answered = _answered(site, by)
        if answered is None:
            raise
        return answered


def lower_once(site: Site, row: ChangeRow, new: ChangeApproval, by: Act) -> Waiting | None:
    """Keep *new*, and lower the number when that completes *row*; None when others did something meanwhile."""
    draft = lowered(row)
    with twice_at_once(), site.store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        required, found = transaction.lock_policy(row.name), transaction.lock_change(row.id)
        if found is None or found.state != "waiting" or required != draft.replaces:
            raise closed(site, row.id, by.at)
        if found.approvals != row.approvals:
            return None
        keep_approval(transaction, row, new, by)
        approvers = sorted(found.approvers | {person_of(new.owner)})
        if len(approvers) >= required:
            reason = f"{draft.approvals_required} approvals are required"
            transaction.close_change(row.id, "published", at=by.at, by=by.actor, reason=reason)
            transaction.set_policy(row.name, draft.approvals_required, replaces=required)
            detail = {**_detail(draft), "change": row.id, "approvers": approvers}
            audit.append(transaction, at=by.at, actor=by.actor, action=LOWER_POLICY, subject=row.name, detail=detail)
        keep_answer(transaction, by, {"change": row.id})
        failpoints.hit("policy.lowering")
    failpoints.hit("policy.lowered")
    return Waiting(site.store.reader.change(row.id))


def lowered(row: ChangeRow) -> PolicyDraft:
    """Return what the change *row* lowers to what."""
    said = json.loads(row.payload)
    return PolicyDraft(said["approvals_required"], said["replaces"], row.reason)


def _raise(site: Site, name: str, draft: PolicyDraft, by: Act) -> PolicySet:
    outcome = PolicySet(name, draft.approvals_required)
    with twice_at_once(), site.store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        required = transaction.lock_policy(name)
        if required != draft.replaces:
            raise _moved(name, draft.replaces, required)
        if draft.approvals_required > required:
            transaction.set_policy(name, draft.approvals_required, replaces=required)
            detail = _detail(draft)
            audit.append(transaction, at=by.at, actor=by.actor, action="policy.raise", subject=name, detail=detail)
        keep_answer(transaction, by, {"policy": outcome.to_json()})
        failpoints.hit("policy.committing")
    failpoints.hit("policy.committed")
    return outcome


def _proposal(name: str, draft: PolicyDraft, by: Act) -> ChangeRow:
    at: datetime = by.at.replace(microsecond=0)
    said = {
        "type": "pinwarden/approvals",
        "name": name,
        "approvals_required": draft.approvals_required,
        "replaces": draft.replaces,
    }
    return ChangeRow(
        id=0,
        name=name,
        action=LOWER_POLICY,
        base=None,
        tag=(0, 0),  # it has none
        payload=encode(said),
        issued=at,
        expires=at + LONGEST_WAIT,
        proposed_at=at,
        actor=by.actor,
        owner=by.person,
        reason=draft.reason,
        forced=(),
        warnings=(),
        waits_until=at + LONGEST_WAIT,
        signer=BY_SERVER,
    )


def _detail(draft: PolicyDraft) -> dict[str, object]:
    detail: dict[str, object] = {"approvals_required": draft.approvals_required, "replaces": draft.replaces}
    return detail | ({"reason": draft.reason} if draft.reason else {})


def _answered(site: Site, by: Act) -> PolicySet | Waiting | None:
    kept = kept_answer(site, by)
    if kept is None:
        return None
    value = json.loads(kept)
    if "policy" in value:
        return PolicySet(**value["policy"], replayed=True)
    return Waiting(site.store.reader.change(value["change"]), True)


def _moved(name: str, expected: int, found: int | None) -> Conflict:
    return Conflict(
        f"pin set {name!r} does not require the expected number of approvals",
        expected=expected,
        got=found,
        hint="Look at it again, and say which number yours replaces.",
    )
