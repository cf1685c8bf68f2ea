"""
What a transaction does with changes and with the number of approvals that a pin set requires.

It may import ``change_tables`` and SQLAlchemy. None of the steps commits, and each that depends on what was read before
compares it again in the statement itself.
"""

import json
from datetime import datetime

from sqlalchemy import and_, delete, insert, or_, select, update

from pinwarden_server.errors import Tag
from pinwarden_server.store.change_queries import list_query, unrevoked, with_deeds
from pinwarden_server.store.change_rows import (
    BY_SERVER,
    LOWER_POLICY,
    ChangeApproval,
    ChangeReview,
    ChangeRow,
    ChangeSignature,
)
from pinwarden_server.store.change_tables import change_approvals, change_reviews, change_signatures, changes
from pinwarden_server.store.steps import Steps
from pinwarden_server.store.tables import pinsets


class ChangeSteps(Steps):
    """The steps that concern changes."""

    def append_change(self, row: ChangeRow) -> None:
        """Add a change, and the signatures that it has already."""
        self.run(
            insert(changes).values(
                id=row.id,
                name=row.name,
                action=row.action,
                base_epoch=row.base and row.base[0],
                base_version=row.base and row.base[1],
                epoch=row.tag[0],
                version=row.tag[1],
                payload=row.payload,
                issued=row.issued,
                expires=row.expires,
                proposed_at=row.proposed_at,
                actor=row.actor,
                owner=row.owner,
                reason=row.reason,
                forced=" ".join(row.forced),
                warnings=json.dumps(list(row.warnings)),
                wait_for=" ".join(row.wait_for),
                signer=row.signer,
                not_before=row.not_before,
                approvals_required=row.approvals_required,
                waits_until=row.waits_until,
                blocked=row.blocked,
                state=row.state,
                closed_at=row.closed_at,
                closed_by=row.closed_by,
                closed_reason=row.closed_reason,
                published_epoch=row.published_as and row.published_as[0],
                published_version=row.published_as and row.published_as[1],
            )
        )
        for signature in row.signatures:
            self.append_change_signature(row.id, signature)
        for approval in row.approvals:
            self.put_approval(row.id, approval)

    def lock_change(self, number: int) -> ChangeRow | None:
        """Return a change with what people did as this transaction sees it; other writers of it wait."""
        rows = self._connection.execute(select(changes).where(changes.c.id == number).with_for_update()).all()
        return next(iter(with_deeds(self._connection, rows)), None)

    def waiting_changes(self, name: str, now: datetime) -> list[ChangeRow]:
        """Return the newest hundred changes of *name* that wait, without payloads, as this transaction sees them."""
        query = list_query(name=name, state="waiting", now=now, before=None, limit=100)
        return with_deeds(self._connection, self._connection.execute(query).all())

    def is_revoked(self, actor: str) -> bool:
        """Tell whether the token or session of *actor* was revoked, or is unknown, as this transaction sees it."""
        return actor not in unrevoked(self._connection, {actor})

    def append_change_signature(self, number: int, signature: ChangeSignature) -> None:
        """Add a signature; IntegrityError when that key has signed already."""
        self.run(
            insert(change_signatures).values(
                change_id=number,
                keyid=signature.keyid,
                sig=signature.sig,
                at=signature.at,
                actor=signature.actor,
            )
        )

    def put_approval(self, number: int, approval: ChangeApproval) -> None:
        """Add a person's approval, in the place of one that the same person gave with a token revoked since."""
        mine = and_(change_approvals.c.change_id == number, change_approvals.c.owner == approval.owner)
        self.run(delete(change_approvals).where(mine))
        self.run(
            insert(change_approvals).values(
                change_id=number,
                owner=approval.owner,
                at=approval.at,
                actor=approval.actor,
                reason=approval.reason,
            )
        )

    def close_change(
        self, number: int, state: str, *, at: datetime, by: str, reason: str, published_as: Tag | None = None
    ) -> bool:
        """End the waiting of a change; False when it does not wait any more."""
        waiting = and_(changes.c.id == number, changes.c.state == "waiting")
        values = {"state": state, "closed_at": at, "closed_by": by, "closed_reason": reason, "blocked": ""}
        if published_as is not None:
            values |= {"published_epoch": published_as[0], "published_version": published_as[1]}
        return self.count(update(changes).where(waiting).values(**values)) == 1

    def block_change(self, number: int, why: str) -> bool:
        """Say why a change is not published; False when it says so already, or does not wait."""
        news = and_(changes.c.id == number, changes.c.state == "waiting", changes.c.blocked != why)
        return self.count(update(changes).where(news).values(blocked=why)) == 1

    def append_review(self, number: int, review: ChangeReview) -> bool:
        """Close the review of a published change; False when none is open."""
        is_open = and_(changes.c.id == number, changes.c.state == "review")
        if self.count(update(changes).where(is_open).values(state="published")) != 1:
            return False
        self.run(
            insert(change_reviews).values(
                change_id=number,
                owner=review.owner,
                at=review.at,
                actor=review.actor,
                verdict=review.verdict,
                reason=review.reason,
            )
        )
        return True

    def outdate_changes(self, name: str, *, but_base: Tag | None = None) -> None:
        """End the waiting of every change that would publish *name*, but for those made for *but_base*."""
        waiting = and_(changes.c.name == name, changes.c.state == "waiting", changes.c.action != LOWER_POLICY)
        if but_base is not None:
            spared = and_(changes.c.base_epoch == but_base[0], changes.c.base_version == but_base[1])
            waiting = and_(waiting, or_(changes.c.base_version.is_(None), ~spared))
        self.run(update(changes).where(waiting).values(state="stale"))

    def rebase_changes(self, name: str, base: Tag, onto: Tag) -> None:
        """Let what waits to replace *base*, and what this server will sign, replace *onto*, which says the same."""
        waiting = and_(changes.c.name == name, changes.c.state == "waiting", changes.c.signer == BY_SERVER)
        same = and_(changes.c.base_epoch == base[0], changes.c.base_version == base[1])
        values = {"base_epoch": onto[0], "base_version": onto[1]}
        self.run(update(changes).where(waiting, same).values(**values))

    def lock_policy(self, name: str) -> int | None:
        """
        Return how many approvals *name* requires, None when there is no such pin set; other writers of it wait.

        Whoever closes a change and moves its pin set asks this first: all do both in one order, and never wait for
        each other.
        """
        query = select(pinsets.c.approvals_required).where(pinsets.c.name == name).with_for_update()
        return self._connection.execute(query).scalar_one_or_none()

    def set_policy(self, name: str, approvals_required: int, *, replaces: int) -> bool:
        """Require another number of approvals, which outdates other policies; False when not *replaces* is required."""
        now = and_(pinsets.c.name == name, pinsets.c.approvals_required == replaces)
        if self.count(update(pinsets).where(now).values(approvals_required=approvals_required)) != 1:
            return False
        waiting = and_(changes.c.name == name, changes.c.state == "waiting", changes.c.action == LOWER_POLICY)
        self.run(update(changes).where(waiting).values(state="stale"))
        return True
