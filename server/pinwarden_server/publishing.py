"""
The use cases that change what is published: publish, roll back, renew. Each is one transaction, and holds no HTTP.

They may import everything here but the HTTP side. No lock and no transaction is held while a signature is made.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from pinwarden import failpoints
from pinwarden.documents import PinSet
from pinwarden_server.commit import STEPS, TimestampMoved, bring_into_force, replay
from pinwarden_server.drafts import Draft, RollbackDraft
from pinwarden_server.errors import Conflict, StaleVersion, Tag
from pinwarden_server.founding import reconcile_pinset
from pinwarden_server.grounds import current_of, grant_of, is_signed_by_people, survey, survey_at
from pinwarden_server.planning import RENEW, Plan, plan_publication, plan_rollback
from pinwarden_server.publication import Change
from pinwarden_server.signing import Ground, Pair, check_as_clients_do, sign_pinset, sign_timestamp
from pinwarden_server.site import Act, Published, Site

RENEWAL = "system:renewal"
_ROUNDS = 5

failpoints.register(*(f"publish.{step}" for step in STEPS))
failpoints.register(*(f"renew.{step}" for step in STEPS if step != "checked"))


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


def execute(site: Site, plan: Plan, by: Act) -> Published:
    """Sign and publish what was planned; errors as for :func:`publish`."""
    failpoints.hit("publish.checked")
    return sign_and_publish(site, plan.ground, plan.content, plan.change, by)


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
        content = PinSet.parse(current_of(ground).pinset.payload)
        renewal = Change("renew", RENEW, same_content=True, exempt=True)
        return sign_and_publish(site, ground, content, renewal, by)
    except StaleVersion:
        return None


def renew_timestamp(site: Site, name: str, now: datetime) -> Published | None:
    """Sign a new timestamp for the version in force; None when someone published or renewed meanwhile."""
    by = Act(RENEWAL, now)
    ground = survey(site, name)
    pinset = current_of(ground).pinset
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
