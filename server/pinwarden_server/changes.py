"""
Pin sets that people sign or approve: proposed here, signed elsewhere, published when enough have signed.

It may import ``publishing`` and the last steps of every publication. With those keys elsewhere, nothing on this
machine can make a client accept a pin: it keeps proposals, and signatures that were made over exactly these bytes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import cast

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints
from pinwarden.documents import Grant, PinSet
from pinwarden.envelope import PINSET_TYPE, Envelope, Signature
from pinwarden_server import audit
from pinwarden_server.changes_signatures import Count, checked_signature, count, repeated, signed_envelope
from pinwarden_server.commit import (
    STEPS,
    Change,
    TimestampMoved,
    bring_into_force,
    closed,
    keep_answer,
    kept_answer,
    stale,
)
from pinwarden_server.errors import Conflict, SignatureRefused, SigningRefused, StaleVersion, Violation
from pinwarden_server.publishing import Plan, execute, grant_of, is_signed_by_people, replayed, survey
from pinwarden_server.signing import Ground, check_as_clients_do, check_proposal, reserved, sign_timestamp
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import ChangeRow, ChangeSignature
from pinwarden_server.tags import format_tag

SIGNERS = "system:signers"
RENEWAL = "pinset.renew"
_ROUNDS = 5
_ELSEWHERE = ("checked", "pinset-signed")  # those steps belong to the proposal

failpoints.register(*(f"propose.{step}" for step in ("reserving", "reserved", "signed", "committing", "committed")))
failpoints.register("sign.committing", "sign.committed", "reject.committing", "reject.committed")
failpoints.register(*(f"change.{step}" for step in STEPS if step not in _ELSEWHERE))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that waits for people; *replayed*: this very request was answered before, nothing was done now."""

    row: ChangeRow
    replayed: bool = False


Outcome = Published | Waiting


def submit(site: Site, plan: Callable[[], Plan], by: Act) -> Outcome:
    """
    Publish what *plan* returns; where people sign or approve it, keep it as a change that waits for their signatures.

    Raises:
        as ``publishing.publish``; nothing was published or proposed then.
    """

    def first() -> Outcome:
        planned = plan()
        if planned.wait_for or is_signed_by_people(site, planned.ground) or _needs_approval(site, planned):
            return _propose(site, planned, by)
        try:
            return execute(site, planned, by)
        except SigningRefused as error:
            if not error.needs_people:
                raise
            return _propose(site, planned, by)  # a renewal, of what people did not approve or not for that long

    return _once(site, by, first)


def sign_change(site: Site, number: int, signature: Signature, by: Act) -> Outcome:
    """
    Add a person's signature to a change, and publish the change when that meets the threshold of its grant.

    The last signature is kept in the commit that publishes, so no change is ever complete and left lying.

    Raises:
        NotFound, ChangeClosed, SignatureRefused, IdempotencyMismatch, SignerUnavailable, SigningRefused,
        PublicationRefused, StoreUnavailable: the signature was not kept.
        NotServedYet: published, and cannot be served yet.
    """

    def first() -> Outcome:
        for _ in range(_ROUNDS):
            outcome = _sign_once(site, number, signature, by)
            if outcome:
                return outcome
        raise Conflict(f"change {number} or its pin set moved {_ROUNDS} times meanwhile", hint="Repeat the request.")

    return _once(site, by, first)


def reject_change(site: Site, number: int, reason: str, by: Act) -> Waiting:
    """
    End a change and return it: it can never be published. Signatures over it stay as they are, and serve nothing else.

    Raises:
        NotFound, ChangeClosed, IdempotencyMismatch, StoreUnavailable: the change is as it was.
    """

    def first() -> Outcome:
        row = site.store.reader.change(number)
        if (state := row.state_at(by.at)) != "waiting":
            raise closed(number, state)
        with site.store.writer.transaction() as transaction:
            if not transaction.close_change(number, "rejected", at=by.at, by=by.actor, reason=reason):
                found = transaction.lock_change(number)
                raise closed(number, found.state if found else "unknown")
            detail = {"change": number, "version": format_tag(row.tag), "reason": reason}
            audit.append(transaction, at=by.at, actor=by.actor, action="change.reject", subject=row.name, detail=detail)
            keep_answer(transaction, by, {"change": number})
            failpoints.hit("reject.committing")
        failpoints.hit("reject.committed")
        return Waiting(site.store.reader.change(number))

    outcome = _once(site, by, first)
    # An Idempotency-Key stands for this address too, so what was answered before was a change as well.
    return cast("Waiting", outcome)


def _needs_approval(site: Site, plan: Plan) -> bool:
    """Tell whether a signer process will ask for people: not for a renewal, which it judges by itself."""
    return plan.change.action != RENEWAL and site.signers.needs_people(grant_of(plan.ground))


def _propose(site: Site, plan: Plan, by: Act) -> Waiting:
    ground, change = plan.ground, plan.change
    grant = grant_of(ground)
    reservation = site.store.writer.reserve(ground.name, by.at, pinset=True, room="propose")
    failpoints.hit("propose.reserved")
    document = reserved(replace(plan.content, epoch=grant.epoch), reservation)
    payload = document.encode()
    check_proposal(ground, payload, now=by.at)
    # A grant may name a key of this machine beside those of people: it counts for one, as the root says.
    own = site.signers.sign_in_part(PINSET_TYPE, payload, grant)
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
        reason=change.reason,
        forced=change.forced,
        warnings=tuple(found.to_json() for found in change.warnings),
        wait_for=plan.wait_for,
        signatures=tuple(ChangeSignature(entry.keyid, entry.sig, by.at, SIGNERS) for entry in own),
    )
    number = _store_proposal(site, row, by)
    failpoints.hit("propose.committed")
    return Waiting(site.store.reader.change(number))


def _store_proposal(site: Site, row: ChangeRow, by: Act) -> int:
    detail: dict[str, object] = {
        "version": format_tag(row.tag),
        "sha256": sha256(row.payload).hexdigest(),
        "kind": row.action,
    }
    if row.base:
        detail["replaces"] = format_tag(row.base)
    if row.reason:
        detail["reason"] = row.reason
    if row.forced:
        detail["forced"] = list(row.forced)
    if row.wait_for:
        detail["wait_for"] = list(row.wait_for)
    try:
        with site.store.writer.transaction() as transaction:
            pair = transaction.pair_of(row.name)
            if (pair[0] if pair else None) != row.base:
                raise stale(row.name, row.base, pair and pair[0])
            number = audit.append(
                transaction, at=by.at, actor=by.actor, action="change.propose", subject=row.name, detail=detail
            )
            transaction.append_change(replace(row, id=number))
            keep_answer(transaction, by, {"change": number})
            failpoints.hit("propose.committing")
    except IntegrityError as error:
        raise Conflict("the same Idempotency-Key came twice at once", hint="Repeat the request.") from error
    return number


def _sign_once(site: Site, number: int, signature: Signature, by: Act) -> Outcome | None:
    """Judge, then keep or publish; None when someone signed or renewed meanwhile, and all has to be judged again."""
    row = site.store.reader.change(number)
    ground = _ground_of(site, row, by)
    grant = grant_of(ground)
    gates = site.signers.gates(grant, row.name)
    new = checked_signature(row, grant, gates, signature, by)
    known = any(entry.keyid == new.keyid for entry in row.signatures)
    counted = count((*row.signatures, new), grant, gates)
    if counted.completes(row, grant):
        envelope = _signed_by_all(site, row, counted, grant)
        try:
            return _publish_signed(site, ground, envelope, _publication(row, counted, None if known else new), by)
        except StaleVersion as error:
            raise closed(number, "stale") from error
    if known:
        raise repeated(row, new)
    return Waiting(site.store.reader.change(number)) if _store(site, row, new, by) else None


def _signed_by_all(site: Site, row: ChangeRow, counted: Count, grant: Grant) -> Envelope:
    """Return the pin set with the signatures of people, and of the processes that people made sign."""
    signed, approved = (
        {keyid: Signature(keyid, entry.sig) for keyid, entry in entries.items()}
        for entries in (counted.signed, counted.approved)
    )
    made = site.signers.sign_approved(row.payload, counted.ready, approved)
    return signed_envelope(row, (*signed.values(), *made), grant)


def _store(site: Site, row: ChangeRow, new: ChangeSignature, by: Act) -> bool:
    """Keep a signature that does not complete the change; False when others signed since *row* was read."""
    try:
        with site.store.writer.transaction() as transaction:
            found = transaction.lock_change(row.id)
            if found is None or found.state != "waiting":
                raise closed(row.id, found.state if found else "unknown")
            if found.signatures != row.signatures:
                return False
            transaction.append_change_signature(row.id, new)
            detail = {"change": row.id, "version": format_tag(row.tag), "keyid": new.keyid}
            audit.append(transaction, at=by.at, actor=by.actor, action="change.sign", subject=row.name, detail=detail)
            keep_answer(transaction, by, {"change": row.id})
            failpoints.hit("sign.committing")
    except IntegrityError as error:
        raise Conflict("the same Idempotency-Key came twice at once", hint="Repeat the request.") from error
    failpoints.hit("sign.committed")
    return True


def _publish_signed(site: Site, ground: Ground, envelope: Envelope, change: Change, by: Act) -> Published | None:
    """Publish what people signed, with a new timestamp; None when only the timestamp moved meanwhile."""
    reservation = site.store.writer.reserve(ground.name, by.at, pinset=False, room="change")
    failpoints.hit("change.reserved")
    pair = sign_timestamp(site.signers, ground, envelope, reservation, site.policy.timestamp_lifetime)
    failpoints.hit("change.timestamp-signed")
    check_as_clients_do(ground, pair, now=by.at, room="change")
    try:
        return bring_into_force(site, ground, pair, change, by)
    except TimestampMoved:
        return None


def _publication(row: ChangeRow, counted: Count, last: ChangeSignature | None) -> Change:
    warnings = tuple(
        Violation(found["code"], found["pointer"], found["message"], found["hint"], blocking=False)
        for found in row.warnings
    )
    approved_by = tuple(sorted(counted.approved)) if counted.ready else ()
    change = Change("change", row.action, row.reason, row.forced, warnings, waited=row.id, last_signature=last)
    return replace(change, approved_by=approved_by)


def _ground_of(site: Site, row: ChangeRow, by: Act) -> Ground:
    """Return what the change would be published on; ChangeClosed when that is not what it was made for."""
    state = row.state_at(by.at)
    if state != "waiting":
        raise closed(row.id, state)
    ground = survey(site, row.name)
    if ground.tag != row.base or PinSet.parse(row.payload).epoch != grant_of(ground).epoch:
        raise closed(row.id, "stale")
    return ground


def _once(site: Site, by: Act, first: Callable[[], Outcome]) -> Outcome:
    """Return what *first* does, or the answer that the same request got before or meanwhile."""
    answered = _answered(site, by)
    if answered:
        return answered
    try:
        return first()
    except (Conflict, SignatureRefused):
        # A request that is sent again before its first answer came finds its own change, or signature, in the way.
        answered = _answered(site, by)
        if answered is None:
            raise
        return answered


def _answered(site: Site, by: Act) -> Outcome | None:
    kept = kept_answer(site, by)
    if kept is None:
        return None
    value = json.loads(kept)
    return Waiting(site.store.reader.change(value["change"]), True) if "change" in value else replayed(site, by)
