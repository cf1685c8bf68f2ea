"""
Pin sets that wait: proposed here, published when enough people have signed or approved, and their time has come.

It may import ``planning``, ``publishing`` and what publishes a waiting change. With the keys elsewhere, nothing on this
machine can make a client accept a pin: it keeps proposals, and signatures that were made over exactly these bytes.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import cast

from pinwarden import failpoints
from pinwarden.envelope import PINSET_TYPE
from pinwarden.strict_json import format_time
from pinwarden_server import audit
from pinwarden_server.bodies import bad_field
from pinwarden_server.changes_answered import Outcome, Waiting, once, twice_at_once
from pinwarden_server.changes_closed import closed
from pinwarden_server.commit import keep_answer, stale
from pinwarden_server.errors import SigningRefused
from pinwarden_server.grounds import approvals_required, grant_of, is_signed_by_people
from pinwarden_server.planning import RENEW, Plan, is_exempt
from pinwarden_server.publishing import execute
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.rivals import excludes_others, rival_warnings
from pinwarden_server.signing import check_proposal, reserved
from pinwarden_server.site import Act, Site
from pinwarden_server.store import ChangeRow, ChangeSignature
from pinwarden_server.store.change_rows import BY_PEOPLE, BY_SERVER
from pinwarden_server.tags import format_tag

log = logging.getLogger("pinwarden.server")

SIGNERS = "system:signers"
LONGEST_WAIT = timedelta(days=30)  # for approvals, and from now to not_before; what people sign waits until its own end

failpoints.register(*(f"propose.{step}" for step in ("reserving", "reserved", "signed", "committing", "committed")))
failpoints.register("reject.committing", "reject.committed")


def submit(site: Site, plan: Callable[[], Plan], by: Act) -> Outcome:
    """
    Publish what *plan* returns; what has to be signed or approved by people, or comes later, is kept as a change.

    Raises:
        as ``publishing.publish``; nothing was published or proposed then.
    """

    def first() -> Outcome:
        planned = plan()
        _check_manner(site, planned, by)
        if _is_for_people(site, planned):
            return _propose(site, planned, by, BY_PEOPLE)
        if planned.manner.break_glass:
            published = execute(site, replace(planned, change=replace(planned.change, broke_glass=True)), by)
            log.warning("pin set %s was published without its approvals by %s", published.name, by.actor)
            return published
        if planned.manner.not_before or _needs_approval(site, planned):
            return _propose(site, planned, by, BY_SERVER)
        try:
            return execute(site, planned, by)
        except SigningRefused as error:
            if not error.needs_people:
                raise
            # A renewal, of what people did not approve or not for that long.
            return _propose(site, planned, by, BY_PEOPLE)

    return once(site, by, first)


def reject_change(site: Site, number: int, reason: str, by: Act) -> Waiting:
    """
    End a change and return it: it can never be published. Signatures over it stay as they are, and serve nothing else.

    Raises:
        NotFound, ChangeClosed, Unauthenticated, IdempotencyMismatch, StoreUnavailable: the change is as it was.
    """

    def first() -> Outcome:
        row = site.store.reader.change(number)
        if row.state_at(by.at) != "waiting":
            raise closed(site, number, by.at)
        with twice_at_once(), site.store.writer.transaction() as transaction:
            check_unrevoked(transaction, by)
            if not transaction.close_change(number, "rejected", at=by.at, by=by.actor, reason=reason):
                raise closed(site, number, by.at)
            detail: dict[str, object] = {"change": number, "reason": reason}
            if not row.is_policy:
                detail["version"] = format_tag(row.tag)
            audit.append(transaction, at=by.at, actor=by.actor, action="change.reject", subject=row.name, detail=detail)
            keep_answer(transaction, by, {"change": number})
            failpoints.hit("reject.committing")
        failpoints.hit("reject.committed")
        return Waiting(site.store.reader.change(number))

    outcome = once(site, by, first)
    # An Idempotency-Key stands for this address too, so what was answered before was a change as well.
    return cast("Waiting", outcome)


def store_proposal(site: Site, row: ChangeRow, by: Act, detail: dict[str, object]) -> Waiting:
    """Keep *row* as a change that waits, under the number of its audit row; StaleVersion, Unauthenticated."""
    with twice_at_once(), site.store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        pair = transaction.pair_of(row.name)
        if not row.is_policy and (pair[0] if pair else None) != row.base:
            raise stale(row.name, row.base, pair and pair[0])
        required = transaction.lock_policy(row.name)
        if required is None:
            required = site.policy.approvals_required
        # A number that was lowered since it was planned would let it wait for nothing, and nobody publishes that.
        required = 0 if is_exempt(row.action) else row.required(required)
        number = audit.append(
            transaction, at=by.at, actor=by.actor, action="change.propose", subject=row.name, detail=detail
        )
        told = row.warnings
        if not row.is_policy and excludes_others(row.action):
            told = (*told, *(each.to_json() for each in rival_warnings(transaction.waiting_changes(row.name, by.at))))
        transaction.append_change(replace(row, id=number, approvals_required=required, warnings=told))
        keep_answer(transaction, by, {"change": number})
        failpoints.hit("propose.committing")
    failpoints.hit("propose.committed")
    return Waiting(site.store.reader.change(number))


def _check_manner(site: Site, plan: Plan, by: Act) -> None:
    """Return when *plan* may be published in the manner that it asks for; BadDraft."""
    not_before, now = plan.manner.not_before, by.at
    if not_before is not None and not now < not_before <= now + LONGEST_WAIT:
        raise bad_field(
            "/not_before",
            "a publication cannot be scheduled for this time",
            "Name a time in UTC that is still to come, in 30 days at most; leave it out to publish now.",
            expected=f"later than now, within {LONGEST_WAIT.days} days",
            got=not_before.isoformat(),
        )
    if not plan.manner.break_glass:
        return
    if _is_for_people(site, plan):
        raise bad_field(
            "/break_glass",
            "people's own keys sign this pin set, and clients ask for their signatures: there is no glass to break",
            "Propose it, and have it signed.",
        )
    if not _needs_approval(site, plan):
        raise bad_field(
            "/break_glass", "this needs no approval, so there is nothing to break", "Publish it without break_glass."
        )


def _is_for_people(site: Site, plan: Plan) -> bool:
    """Tell whether signatures by people are needed: by keys that lie elsewhere, or for a signer process to ask for."""
    if plan.wait_for or is_signed_by_people(site, plan.ground):
        return True
    # A signer process judges a renewal by itself.
    return plan.change.action != RENEW and site.signers.needs_people(grant_of(plan.ground))


def _needs_approval(site: Site, plan: Plan) -> bool:
    return not plan.change.exempt and approvals_required(site, plan.ground) > 0


def _propose(site: Site, plan: Plan, by: Act, signer: str) -> Waiting:
    ground, change, not_before = plan.ground, plan.change, plan.manner.not_before
    grant = grant_of(ground)
    reservation = site.store.writer.reserve(ground.name, by.at, pinset=True, room="propose")
    failpoints.hit("propose.reserved")
    document = reserved(replace(plan.content, epoch=grant.epoch), reservation)
    payload = document.encode()
    check_proposal(ground, payload, now=by.at)
    own: tuple[ChangeSignature, ...] = ()
    if signer == BY_PEOPLE:
        if not_before is not None and not_before >= document.expires:
            hint = "Name an earlier time, or a longer lifetime_seconds."
            raise bad_field("/not_before", "what people sign would have expired before it is published", hint)
        # A grant may name a key of this machine beside those of people: it counts for one, as the root says. What this
        # machine could sign alone is not signed yet: a thief of the database would have it before it was approved.
        made = site.signers.sign_in_part(PINSET_TYPE, payload, grant)
        own = tuple(ChangeSignature(entry.keyid, entry.sig, by.at, SIGNERS) for entry in made)
    failpoints.hit("propose.signed")
    row = ChangeRow(
        id=0,
        name=ground.name,
        action=change.action,
        base=ground.tag,
        tag=(document.epoch, document.version),
        payload=payload,
        issued=document.issued,
        expires=document.expires,
        proposed_at=by.at,
        actor=by.actor,
        owner=by.person,
        reason=change.reason,
        forced=change.forced,
        warnings=tuple(found.to_json() for found in change.warnings),
        waits_until=document.expires if signer == BY_PEOPLE else (not_before or by.at) + LONGEST_WAIT,
        wait_for=plan.wait_for,
        signer=signer,
        not_before=not_before,
        approvals_required=approvals_required(site, ground),
        signatures=own,
    )
    return store_proposal(site, row, by, _proposal_detail(row))


def _proposal_detail(row: ChangeRow) -> dict[str, object]:
    detail: dict[str, object] = {
        "version": format_tag(row.tag),
        "sha256": sha256(row.payload).hexdigest(),
        "kind": row.action,
    }
    optional: dict[str, object] = {
        "replaces": row.base and format_tag(row.base),
        "reason": row.reason,
        "forced": list(row.forced),
        "wait_for": list(row.wait_for),
        "not_before": row.not_before and format_time(row.not_before),
    }
    return detail | {name: value for name, value in optional.items() if value}
