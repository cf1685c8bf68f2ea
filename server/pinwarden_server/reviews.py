"""
Reviews of what was published without the approvals that it needed.

It may import the store and the audit log. The publication stands whatever the verdict is: whoever objects publishes
something better, and the log keeps both.
"""

from pinwarden import failpoints
from pinwarden_server import audit
from pinwarden_server.approvals_checked import check_other_person, refused
from pinwarden_server.change_drafts import ReviewDraft
from pinwarden_server.changes_answered import Waiting, once, twice_at_once
from pinwarden_server.commit import keep_answer
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.site import Act, Site
from pinwarden_server.store import ChangeReview, ChangeRow

failpoints.register("review.committing", "review.committed")


def review_change(site: Site, number: int, draft: ReviewDraft, by: Act) -> Waiting:
    """
    Close the review of the change *number*, which broke the glass, as another person than its author.

    Raises:
        NotFound, ApprovalRefused, Unauthenticated, IdempotencyMismatch, StoreUnavailable: the review is still open, or
        never was.
    """

    def first() -> Waiting:
        row = site.store.reader.change(number)
        if row.state != "review":
            raise _nothing_open(row)
        check_other_person(row, by)
        at = by.at.replace(microsecond=0)
        review = ChangeReview(by.person, by.actor, at, draft.verdict, draft.reason)
        with twice_at_once(), site.store.writer.transaction() as transaction:
            check_unrevoked(transaction, by)
            if not transaction.append_review(number, review):
                raise _nothing_open(row)
            detail = {"change": number, "owner": by.person, "verdict": draft.verdict, "reason": draft.reason}
            audit.append(transaction, at=by.at, actor=by.actor, action="change.review", subject=row.name, detail=detail)
            keep_answer(transaction, by, {"change": number})
            failpoints.hit("review.committing")
        failpoints.hit("review.committed")
        return Waiting(site.store.reader.change(number))

    outcome = once(site, by, first)
    if not isinstance(outcome, Waiting):
        raise AssertionError("the same Idempotency-Key stands for the same address")
    return outcome


def _nothing_open(row: ChangeRow) -> Exception:
    return refused(
        f"change {row.id} is not to be reviewed",
        "",
        "`pinwarden change list --state review` shows what is.",
        expected="an open review",
        got=row.state,
    )
