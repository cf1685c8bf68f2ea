"""
The use cases that change what is published: publish, roll back, renew. Each is one transaction, and holds no HTTP.

They may import everything here but the HTTP side. No lock and no transaction is held while a signature is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pinwarden import failpoints
from pinwarden.documents import Grant, PinSet, Root, check_name
from pinwarden.errors import MalformedError, WrongPinSetError
from pinwarden.trust import MAX_CLOCK_SKEW
from pinwarden_server import rules
from pinwarden_server.commit import STEPS, TimestampMoved, bring_into_force, replay, stale
from pinwarden_server.drafts import AT_ONCE, Draft, Manner, RenewalDraft, RollbackDraft
from pinwarden_server.errors import BadDraft, Conflict, NotFound, StaleVersion, Tag, Violation
from pinwarden_server.founding import reconcile_pinset
from pinwarden_server.publication import Change
from pinwarden_server.signing import (
    Ground,
    Pair,
    check_as_clients_do,
    check_content,
    sign_pinset,
    sign_timestamp,
    within,
)
from pinwarden_server.site import Act, Attempt, Policy, Published, Site
from pinwarden_server.store import Current

__all__ = [
    "Act",
    "Attempt",
    "Policy",
    "Published",
    "Site",
    "publish",
    "renew_pinset",
    "renew_timestamp",
    "rollback",
]

RENEWAL = "system:renewal"
RENEW, NEW_LIFE = "pinset.renew", "pinset.lifetime"  # the same content, living as long as before, or not
_ROUNDS = 5

failpoints.register(*(f"publish.{step}" for step in STEPS))
failpoints.register(*(f"renew.{step}" for step in STEPS if step != "checked"))


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A publication that lint and the clients' rules have passed, before anything is reserved or signed.

    Attributes:
        wait_for: keys that have to sign besides what the threshold demands; then it waits for people.
        manner: when it shall be published, and whether without approvals.
    """

    ground: Ground
    content: PinSet
    change: Change
    wait_for: tuple[str, ...] = ()
    manner: Manner = AT_ONCE


def publish(site: Site, name: str, draft: Draft, expected: Tag | None, by: Act) -> Published:
    """
    Publish *draft* as the next version of *name*; when this returns, every worker of this node serves it.

    Args:
        expected: the version in force that the draft was made for; None creates the pin set.

    Raises:
        BadDraft, LintRefused, StaleVersion, NotFound, Conflict, IdempotencyMismatch, SignerUnavailable,
        PublicationRefused, StoreUnavailable: nothing was published. NotServedYet: it was, and cannot be served yet.
    """
    return _once(site, by, lambda: execute(site, plan_publication(site, name, draft, expected, by), by))


def rollback(site: Site, name: str, draft: RollbackDraft, expected: Tag, by: Act) -> Published:
    """
    Publish the content of an old version again, as a new version.

    It lives as long as the old one did, or as long as the root allows now.

    Raises:
        as :func:`publish`; today's lint judges the old content too.
    """
    return _once(site, by, lambda: execute(site, plan_rollback(site, name, draft, expected, by), by))


def plan_publication(site: Site, name: str, draft: Draft, expected: Tag | None, by: Act) -> Plan:
    """Return what publishing *draft* in place of *expected* consists of; errors as for :func:`publish`."""
    ground = survey_at(site, name, expected)
    content = draft_content(site, ground, draft, by.at)
    warnings = rules.check(draft, surroundings(site, ground, content))
    action = "pinset.publish" if expected else "pinset.create"
    change = Change("publish", action, draft.reason, forced_codes(warnings, draft.force), warnings)
    return Plan(ground, check_content(content), change, manner=draft.manner)


def plan_rollback(site: Site, name: str, draft: RollbackDraft, expected: Tag, by: Act) -> Plan:
    """Return what publishing an old version again consists of; errors as for :func:`rollback`."""
    ground = survey_at(site, name, expected)
    old = site.store.reader.version(name, draft.to).document()
    lifetime = int(within(grant_of(ground), old.expires - old.issued).total_seconds())
    wanted = Draft(old.hosts, old.deny, old.on_stale, old.report_to, lifetime, draft.reason, draft.force)
    content = draft_content(site, ground, wanted, by.at)
    warnings = rules.check(wanted, surroundings(site, ground, content))
    reason = f"rollback to version {draft.to}" + (f": {draft.reason}" if draft.reason else "")
    change = Change("publish", "pinset.rollback", reason, forced_codes(warnings, draft.force), warnings)
    return Plan(ground, check_content(content), change, manner=draft.manner)


def plan_renewal(site: Site, name: str, draft: RenewalDraft, expected: Tag, by: Act) -> Plan:
    """
    Return what publishing the content in force once more, with a new life, consists of.

    Lint does not block: the same content is in force already. What it finds is said all the same.

    Raises:
        LintRefused: a life that the root does not allow. BadDraft: it shall wait for a key that the grant lacks.
        Else as :func:`publish`.
    """
    ground = survey_at(site, name, expected)
    now = PinSet.parse(_current(ground).pinset.payload)
    was = now.expires - now.issued
    lifetime = draft.lifetime_seconds or int(within(grant_of(ground), was).total_seconds())
    wanted = Draft(now.hosts, now.deny, now.on_stale, now.report_to, lifetime, draft.reason)
    content = draft_content(site, ground, wanted, by.at)
    around = surroundings(site, ground, content)
    if lifetime > around.grant.max_lifetime_seconds:
        rules.check(wanted, around)
    warnings = tuple(replace(found, blocking=False) for found in rules.lint(wanted, around))
    _check_wait_for(draft.wait_for, around.grant)
    # A longer life is believed for longer when it is wrong, and a short one ends before people can be asked again.
    action = RENEW if draft.lifetime_seconds is None or content.expires - content.issued == was else NEW_LIFE
    change = Change("publish", action, draft.reason, (), warnings, same_content=True, exempt=is_exempt(action))
    return Plan(ground, check_content(content), change, draft.wait_for)


def is_exempt(action: str) -> bool:
    """Tell whether a publication needs no approvals: what is in force already is renewed without anybody asking."""
    return action == RENEW


def approvals_required(site: Site, ground: Ground) -> int:
    """Return how many people have to approve what shall come into force on *ground*."""
    return ground.current.approvals_required if ground.current else site.policy.approvals_required


def _check_wait_for(keyids: tuple[str, ...], grant: Grant) -> None:
    foreign = [number for number, keyid in enumerate(keyids) if keyid not in grant.keys]
    if foreign:
        what = "a key that the renewal shall wait for is none of the grant's"
        hint = "Name keys that the newest root gives to this pin set; `pinwarden root show` lists them."
        raise BadDraft(
            what,
            expected=f"some of {', '.join(keyid[:16] for keyid in grant.keys)}",
            got=keyids[foreign[0]][:16],
            violations=[Violation("DRAFT", f"/wait_for/{number}", what, hint) for number in foreign],
            hint=hint,
        )


def execute(site: Site, plan: Plan, by: Act) -> Published:
    """Sign and publish what was planned; errors as for :func:`publish`."""
    failpoints.hit("publish.checked")
    return sign_and_publish(site, plan.ground, plan.content, plan.change, by)


def is_signed_by_people(site: Site, ground: Ground) -> bool:
    """
    Tell whether the keys of this name lie elsewhere, while the timestamp key is here: pin sets become changes then.

    A server that has not even the timestamp key could publish nothing that people sign; it is broken, not careful.
    """
    return site.signers.can_sign(ground.root.timestamp) and not site.signers.can_sign(grant_of(ground))


def renew_pinset(site: Site, name: str, now: datetime) -> Published | None:
    """
    Publish the pin set in force once more with a new life.

    None when someone published meanwhile, and for names that people sign: renewing those takes a change.
    """
    by = Act(RENEWAL, now)
    try:
        ground = survey(site, name)
        if is_signed_by_people(site, ground):
            return None
        content = PinSet.parse(_current(ground).pinset.payload)
        renewal = Change("renew", RENEW, same_content=True, exempt=True)
        return sign_and_publish(site, ground, content, renewal, by)
    except StaleVersion:
        return None


def renew_timestamp(site: Site, name: str, now: datetime) -> Published | None:
    """Sign a new timestamp for the version in force; None when someone published or renewed meanwhile."""
    by = Act(RENEWAL, now)
    ground = survey(site, name)
    pinset = _current(ground).pinset
    reservation = site.store.writer.reserve(name, now, pinset=False, room="renew")
    failpoints.hit("renew.reserved")
    lifetime = site.policy.timestamp_lifetime
    pair = sign_timestamp(site.signers, ground, pinset, reservation, lifetime)
    failpoints.hit("renew.timestamp-signed")
    check_as_clients_do(ground, pair, now=now, room="renew")
    try:
        renewal = Change("renew", "timestamp.renew", only_timestamp=True, exempt=True)
        return bring_into_force(site, ground, pair, renewal, by)
    except (StaleVersion, TimestampMoved):
        return None


def survey(site: Site, name: str) -> Ground:
    """
    Read what a publication of *name* stands on.

    Raises:
        BadDraft: not a name. Conflict: no root, or none that grants the name.
    """
    try:
        check_name(name)
    except MalformedError as error:
        violation = Violation("DRAFT", "", str(error.what), "Names are lower-case letters, digits and . _ -")
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation]) from error
    roots = site.store.reader.roots()
    if not roots:
        raise Conflict("no root is published", hint="Run `pinwarden server init FOLDER --root root.json`.")
    ground = Ground(name, roots, Root.parse(roots[-1].payload), site.store.reader.find_current(name))
    grant_of(ground)
    return ground


def survey_at(site: Site, name: str, expected: Tag | None) -> Ground:
    """
    Read what a publication of *name* stands on, in place of version *expected*; None: of nothing.

    Raises:
        StaleVersion: another version is in force. NotFound: none is, and one is expected. Else as :func:`survey`.
    """
    ground = survey(site, name)
    if expected is not None:
        _current(ground)
    if ground.tag != expected:
        raise stale(name, expected, ground.tag)
    return ground


def grant_of(ground: Ground) -> Grant:
    """Return what the newest root allows for this name; Conflict when that is nothing."""
    try:
        return ground.root.grant_for(ground.name)
    except WrongPinSetError as error:
        hint = "Choose another name, or let a new root grant this one."
        raise Conflict(error.what, expected=error.expected, hint=hint) from error


def draft_content(site: Site, ground: Ground, draft: Draft, now: datetime) -> PinSet:
    """Return *draft* as a document with preliminary version and times; its length of life is final."""
    grant = grant_of(ground)
    if draft.lifetime_seconds is None:
        lifetime = within(grant, site.policy.pinset_lifetime)
    else:
        lifetime = timedelta(seconds=draft.lifetime_seconds)
    issued = now.replace(microsecond=0)
    return PinSet(
        authority=ground.root.authority,
        name=ground.name,
        epoch=grant.epoch,
        version=1,
        issued=issued,
        expires=issued + lifetime,
        hosts=draft.hosts,
        deny=draft.deny,
        on_stale=draft.on_stale,
        report_to=draft.report_to,
    )


def surroundings(site: Site, ground: Ground, content: PinSet) -> rules.Surroundings:
    """Return what lint judges the draft against, the versions that clients may hold included."""
    lifetime = int((content.expires - content.issued).total_seconds())
    return rules.Surroundings(
        own_hosts=site.policy.own_hosts,
        lifetime_seconds=lifetime,
        grant=grant_of(ground),
        current=PinSet.parse(ground.current.pinset.payload) if ground.current else None,
        held=site.held.of(ground.name, content.issued - MAX_CLOCK_SKEW) if ground.current else (),
    )


def forced_codes(findings: tuple[Violation, ...], force: tuple[str, ...]) -> tuple[str, ...]:
    """Return the codes that block and were forced, each once."""
    return tuple(dict.fromkeys(found.code for found in findings if found.blocking and found.code in force))


def sign_and_publish(site: Site, ground: Ground, content: PinSet, change: Change, by: Act) -> Published:
    """Sign *content* anew, with a version and times of now, and publish it; errors as for :func:`publish`."""
    for _ in range(_ROUNDS):
        pair = _sign(site, ground, content, by.at, change.room)
        try:
            return bring_into_force(site, ground, pair, change, by)
        except TimestampMoved:
            ground = survey_at(site, ground.name, ground.tag)  # the renewer was first; its timestamp is the floor now
    raise Conflict(f"pin set {ground.name!r} got {_ROUNDS} new timestamps meanwhile", hint="Repeat the request.")


def _sign(site: Site, ground: Ground, content: PinSet, now: datetime, room: str) -> Pair:
    content = replace(content, epoch=grant_of(ground).epoch)
    reservation = site.store.writer.reserve(ground.name, now, pinset=True, room=room)
    failpoints.hit(f"{room}.reserved")
    pinset = sign_pinset(site.signers, ground, content, reservation)
    failpoints.hit(f"{room}.pinset-signed")
    pair = sign_timestamp(site.signers, ground, pinset, reservation, site.policy.timestamp_lifetime)
    failpoints.hit(f"{room}.timestamp-signed")
    check_as_clients_do(ground, pair, now=now, room=room)
    return pair


def _once(site: Site, by: Act, first: Callable[[], Published]) -> Published:
    """Return what *first* publishes, or the answer that the same request got before or meanwhile."""
    answered = replayed(site, by)
    if answered:
        return answered
    try:
        return first()
    except Conflict:
        # A client that sends a request again before the first answer came finds its own change in the way.
        answered = replayed(site, by)
        if answered is None:
            raise
        return answered


def replayed(site: Site, by: Act) -> Published | None:
    """Return what the same request published before, served by now, or None; IdempotencyMismatch."""
    answered = replay(site, by)
    if answered:
        # The first attempt may have ended between its commit and its answer.
        reconcile_pinset(site, answered.name)
    return answered


def _current(ground: Ground) -> Current:
    if ground.current is None:
        raise NotFound(f"no pin set {ground.name!r}", hint="GET /admin/v1/pinsets lists those that exist.")
    return ground.current
