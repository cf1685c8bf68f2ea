"""
Which approvals and reviews count: those of exactly these bytes, by another person than the author, once.

It may import the store's values and errors. It stores nothing. A person is the owner of tokens and sessions: who may
make tokens can make a second person of themselves, and the audit log says so.
"""

from collections.abc import Callable, Collection
from hashlib import sha256

from pinwarden_server.change_drafts import ApprovalDraft
from pinwarden_server.errors import ApprovalRefused, Conflict, Violation
from pinwarden_server.site import Act
from pinwarden_server.store import ChangeApproval, ChangeRow, person_of
from pinwarden_server.store.change_rows import BY_SERVER
from pinwarden_server.tags import format_tag


def checked_approval(row: ChangeRow, draft: ApprovalDraft, by: Act) -> ChangeApproval:
    """Return the approval as it is kept, once it counts for *row*; ApprovalRefused."""
    digest = sha256(row.payload).hexdigest()
    if draft.sha256 != digest:
        raise refused(
            f"what was approved is not the payload of change {row.id}",
            "/sha256",
            "Look at the change again, and approve what it says.",
            expected=digest,
            got=draft.sha256,
        )
    check_other_person(row, by)
    if by.person in row.approvers:
        raise refused(
            f"you have approved change {row.id} already",
            "",
            "One person counts once; let another one approve it.",
            expected="somebody who has not approved it",
            got=by.person,
        )
    return ChangeApproval(by.person, by.actor, by.at.replace(microsecond=0), draft.reason)


def check_other_person(row: ChangeRow, by: Act) -> None:
    """Return when another person than the author of *row* asks; ApprovalRefused."""
    if by.person == person_of(row.owner):
        raise refused(
            f"change {row.id} is your own",
            "",
            "Let another person do it; all tokens and sessions of one person have one owner.",
            expected="another person than its author",
            got=by.person,
        )


def check_vouched_for(row: ChangeRow, approvers: Collection[str], is_revoked: Callable[[str], bool]) -> None:
    """
    Return when somebody who is still trusted stands for *row*: whoever approved or signed it judged it by themselves.

    Raises:
        Conflict: nobody did, and the token or session that scheduled it was revoked: a thief may have.
    """
    if not approvers and row.signer == BY_SERVER and is_revoked(row.actor):
        raise Conflict(
            "the token or session that scheduled it was revoked, or is not known any more",
            hint="Reject it, and propose it again if it is right.",
        )


def approval_detail(row: ChangeRow, new: ChangeApproval) -> dict[str, object]:
    """Return what the audit row says of an approval."""
    detail: dict[str, object] = {
        "change": row.id,
        "owner": new.owner,
        "sha256": sha256(row.payload).hexdigest(),
    }
    if not row.is_policy:
        detail["version"] = format_tag(row.tag)
    return detail | ({"reason": new.reason} if new.reason else {})


def refused(what: str, pointer: str, hint: str, *, expected: object, got: object) -> ApprovalRefused:
    """Return the error of an approval or a review that does not count."""
    violation = Violation("APPROVAL", pointer, what, hint)
    return ApprovalRefused(what, violations=[violation], expected=expected, got=got, hint=hint)
