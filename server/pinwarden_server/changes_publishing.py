"""
What a waiting change still lacks, and its publication once it lacks nothing.

It may import the last steps of every publication. What people signed is published as they signed it; what this server
signs is signed anew as it is published, so that no life shrinks while a change waits and no number is signed twice.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pinwarden import failpoints
from pinwarden.documents import Grant, PinSet
from pinwarden.envelope import Envelope, Signature
from pinwarden_server import rules
from pinwarden_server.changes_answered import MovedMeanwhile
from pinwarden_server.changes_closed import closed
from pinwarden_server.changes_signatures import Count, count, signed_envelope
from pinwarden_server.commit import STEPS, TimestampMoved, bring_into_force
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import ApprovalsMissing, ChangeClosed, StaleVersion, Violation
from pinwarden_server.grounds import approvals_required, grant_of, survey
from pinwarden_server.planning import NEW_LIFE, RENEW, is_exempt, surroundings
from pinwarden_server.publication import Change
from pinwarden_server.publishing import sign_and_publish
from pinwarden_server.rivals import WAITING
from pinwarden_server.signing import Ground, check_as_clients_do, sign_timestamp
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import ChangeApproval, ChangeRow, ChangeSignature
from pinwarden_server.store.change_rows import BY_PEOPLE, BY_SERVER

_ELSEWHERE = ("checked", "pinset-signed")  # those steps belong to the proposal, of what people sign

failpoints.register(*(f"change.{step}" for step in STEPS if step not in _ELSEWHERE))
failpoints.register(*(f"held.{step}" for step in STEPS if step != "checked"))


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody just did about a change, to be kept with its publication when that completes it."""

    signature: ChangeSignature | None = None
    approval: ChangeApproval | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How far a change is, with the deed that is judged.

    Attributes:
        counted: the signatures that count, None where this server signs.
        is_signed: nobody has to sign any more. is_due: its time has come.
        approvals: how many are missing.
    """

    ground: Ground
    grant: Grant
    counted: Count | None
    is_signed: bool
    is_due: bool
    approvals: int

    @property
    def is_complete(self) -> bool:
        """Whether nothing is waited for."""
        return self.is_signed and self.is_due and self.approvals == 0


NOTHING = Deed()


def standing_of(site: Site, row: ChangeRow, now: datetime, deed: Deed = NOTHING) -> Standing:
    """
    Return how far *row* is once *deed* is done.

    Raises:
        ChangeClosed: it does not wait, or not for what is in force. MovedMeanwhile: *row* is not what it was.
        SignerUnavailable: a signer process does not say whom it asks.
    """
    ground = ground_of(site, row, now)
    grant, counted, is_signed = grant_of(ground), None, True
    if row.signer == BY_PEOPLE:
        signatures = (*row.signatures, deed.signature) if deed.signature else row.signatures
        counted = count(signatures, grant, site.signers.gates(grant, row.name))
        is_signed = counted.completes(row, grant)
    approvers = row.approvers | ({deed.approval.owner} if deed.approval else set())
    required = 0 if is_exempt(row.action) else row.required(approvals_required(site, ground))
    is_due = row.not_before is None or now >= row.not_before
    return Standing(ground, grant, counted, is_signed, is_due, max(0, required - len(approvers)))


def ground_of(site: Site, row: ChangeRow, now: datetime) -> Ground:
    """Return what the change would be published on; ChangeClosed, MovedMeanwhile: not what it was made for."""
    if row.state_at(now) != "waiting":
        raise closed(site, row.id, now)
    ground = survey(site, row.name)
    if ground.tag != row.base or PinSet.parse(row.payload).epoch != grant_of(ground).epoch:
        raise _stale(site, row, now)
    return ground


def _stale(site: Site, row: ChangeRow, at: datetime) -> ChangeClosed | MovedMeanwhile:
    """Return why *row*, as it was read, cannot be published: what became of it, or that it was moved along since."""
    now = site.store.reader.change(row.id)
    if now.state == "waiting" and now.base != row.base:
        return MovedMeanwhile()
    return closed(site, row.id, at)


def publish_change(site: Site, row: ChangeRow, found: Standing, by: Act, deed: Deed = NOTHING) -> Published | None:
    """
    Publish a change that lacks nothing, and keep *deed* in the same commit; None when all has to be judged again.

    Raises:
        ChangeClosed, MovedMeanwhile, LintRefused, SignerUnavailable, SigningRefused, PublicationRefused,
        StoreUnavailable: nothing was kept. NotServedYet: published, and cannot be served yet.
    """
    content = PinSet.parse(row.payload)
    if row.signer == BY_SERVER or row.not_before is not None:
        _lint_again(site, row, found.ground, content)
    change = _publication(row, found, deed, by)
    try:
        if found.counted is None:
            return sign_and_publish(site, found.ground, content, replace(change, room="held"), by)
        envelope = _signed_by_all(site, row, found.counted, found.grant)
        return _publish_signed(site, found.ground, envelope, change, by)
    except StaleVersion as error:
        raise _stale(site, row, by.at) from error
    except ApprovalsMissing:
        return None  # more are required since a moment ago, or an approval ended with its token


def _lint_again(site: Site, row: ChangeRow, ground: Ground, content: PinSet) -> None:
    """Return when lint passes *content* as of now, with what was forced then; LintRefused."""
    if row.action in (RENEW, NEW_LIFE):
        return  # the same content is in force already
    draft = Draft(content.hosts, content.deny, content.on_stale, content.report_to, None, row.reason, row.forced)
    rules.check(draft, surroundings(site, ground, content))


def _publication(row: ChangeRow, found: Standing, deed: Deed, by: Act) -> Change:
    warnings = tuple(
        Violation(each["code"], each["pointer"], each["message"], each["hint"], blocking=False)
        for each in row.warnings
        if each["code"] != WAITING  # which ends with this publication
    )
    counted = found.counted
    late = None if row.not_before is None else int((by.at - row.not_before).total_seconds())
    return Change(
        "change",
        row.action,
        row.reason,
        row.forced,
        warnings,
        same_content=row.action in (RENEW, NEW_LIFE),
        exempt=is_exempt(row.action),
        waited=row.id,
        late_seconds=late,
        last_signature=deed.signature,
        last_approval=deed.approval,
        approved_by=tuple(sorted(counted.approved)) if counted and counted.ready else (),
    )


def _signed_by_all(site: Site, row: ChangeRow, counted: Count, grant: Grant) -> Envelope:
    """Return the pin set with the signatures of people, and of the processes that people made sign."""
    signed, approved = (
        {keyid: Signature(keyid, entry.sig) for keyid, entry in entries.items()}
        for entries in (counted.signed, counted.approved)
    )
    made = site.signers.sign_approved(row.payload, counted.ready, approved)
    return signed_envelope(row, (*signed.values(), *made), grant)


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
