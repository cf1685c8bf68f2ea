"""
Approvals: another person than the author says yes to exactly these bytes.

It may import what publishes a waiting change. What this server signs is only as good as the server: approvals stop one
person from publishing alone, and nobody who has taken the server; against those, people sign with keys of their own.
"""

from pinwarden import failpoints
from pinwarden_server.approvals_checked import checked_approval
from pinwarden_server.change_drafts import ApprovalDraft
from pinwarden_server.changes_answered import Outcome, Waiting, once, repeatedly, twice_at_once
from pinwarden_server.changes_closed import closed
from pinwarden_server.changes_publishing import Deed, publish_change, standing_of
from pinwarden_server.commit import keep_answer, keep_approval
from pinwarden_server.policies import lower_once
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.site import Act, Site
from pinwarden_server.store import ChangeApproval, ChangeRow

failpoints.register("approve.committing", "approve.committed")


def approve_change(site: Site, number: int, draft: ApprovalDraft, by: Act) -> Outcome:
    """
    Add a person's approval to a change, and publish the change when nothing else is waited for.

    The last approval is kept in the commit that publishes. One whose token or session is revoked before that does
    not count any more, as nobody knows who gave it; one whose token or session merely ended does.

    Raises:
        Unauthenticated: the token or session of *by* was revoked since it was let in.
        NotFound, ChangeClosed, ApprovalRefused, LintRefused, IdempotencyMismatch, SignerUnavailable, SigningRefused,
        PublicationRefused, StoreUnavailable: the approval was not kept.
        NotServedYet: published, and cannot be served yet.
    """
    return once(site, by, lambda: repeatedly(number, lambda: _approve_once(site, number, draft, by)))


def _approve_once(site: Site, number: int, draft: ApprovalDraft, by: Act) -> Outcome | None:
    row = site.store.reader.change(number)
    if row.state_at(by.at) != "waiting":
        raise closed(site, number, by.at)
    new = checked_approval(row, draft, by)
    if row.is_policy:
        return lower_once(site, row, new, by)
    deed = Deed(approval=new)
    found = standing_of(site, row, by.at, deed)
    if found.is_complete:
        return publish_change(site, row, found, by, deed)
    return Waiting(site.store.reader.change(number)) if _store(site, row, new, by) else None


def _store(site: Site, row: ChangeRow, new: ChangeApproval, by: Act) -> bool:
    """Keep an approval that does not complete the change; False when others did something since *row* was read."""
    with twice_at_once(), site.store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        found = transaction.lock_change(row.id)
        if found is None or found.state != "waiting":
            raise closed(site, row.id, by.at)
        if (found.signatures, found.approvals) != (row.signatures, row.approvals):
            return False
        keep_approval(transaction, row, new, by)
        keep_answer(transaction, by, {"change": row.id})
        failpoints.hit("approve.committing")
    failpoints.hit("approve.committed")
    return True
