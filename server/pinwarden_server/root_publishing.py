"""
The use case that puts a new root in force, together with documents signed under it for every name (spec S6).

It may import everything here but the HTTP side. One transaction holds the root, all documents and their audit rows. No
transaction is held while a signature is made, and the lock on the tree only after others were faster three times.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from sqlalchemy.exc import IntegrityError

from pinwarden import failpoints, trust
from pinwarden.documents import PinSet, Root
from pinwarden.errors import UntrustedError
from pinwarden_server import audit, rules
from pinwarden_server.commit import STEPS, TimestampMoved, files_of, move, record
from pinwarden_server.errors import (
    Conflict,
    NotServedYet,
    PublicationRefused,
    StaleVersion,
    StoreUnavailable,
    Violation,
)
from pinwarden_server.founding import reconcile
from pinwarden_server.planning import forced_codes
from pinwarden_server.public_files import bundles, root_address, root_file
from pinwarden_server.publication import Change
from pinwarden_server.published_tree import Staged
from pinwarden_server.revocations import check_unrevoked
from pinwarden_server.root_judging import Renewal, RootPlan, Successor, find_published, plan_root
from pinwarden_server.root_offers import RootOffer
from pinwarden_server.root_outcomes import PublishedRoot, Renewed, RootPreview
from pinwarden_server.signing import Pair, check_as_clients_do, sign_pinset, sign_timestamp, within
from pinwarden_server.site import Act, Site

failpoints.register(*(f"root.{step}" for step in STEPS), "root.first-name-renamed", "root.outdated-removed")

_FREE_ROUNDS = 3
_ROUNDS = 5

Pairs = list[tuple[Renewal, Pair]]


def publish_root(site: Site, offer: RootOffer, by: Act) -> PublishedRoot:
    """
    Publish *offer* as the next root; when this returns, every worker of this node serves it and what it vouches for.

    The same root again changes nothing. A pin set whose keys are elsewhere goes on as it is when the new root still
    vouches for it.

    Raises:
        BadDraft: clients would not follow it. LintRefused: lint, or keys that are missing for a name.
        Unauthenticated: whoever asks was revoked meanwhile.
        Conflict: the version is published with another content. SignerUnavailable, PublicationRefused,
        StoreUnavailable: nothing was published. NotServedYet: it was, and cannot be served yet.
    """
    for number in range(_ROUNDS):
        # Publications never wait for signatures, but for this: whoever publishes without a pause, a thief with a token
        # for instance, must not keep a root away for ever.
        is_patient = number >= _FREE_ROUNDS
        with site.tree.locked_whole() if is_patient else nullcontext():
            outcome = _publish_once(site, offer, by, is_locked=is_patient)
        if isinstance(outcome, PublishedRoot):
            if not outcome.created:
                reconcile(site)  # the first attempt may have ended between its commit and its answer
            return outcome
    raise Conflict(f"pin sets changed {_ROUNDS} times while the root was being published", hint="Repeat the request.")


def preview_root(site: Site, offer: RootOffer, now: datetime) -> RootPreview:
    """
    Return what publishing *offer* would do; nothing is signed or stored.

    Raises:
        BadDraft, Conflict, StoreUnavailable: as :func:`publish_root`.
    """
    published = find_published(site, offer)
    if published is not None:
        return RootPreview(published, created=False)
    plan = plan_root(site, offer, now)
    forced = offer.force if offer.reason.strip() else ()
    blocking = tuple(
        found for found in plan.findings if found.blocking and not (found.forceable and found.code in forced)
    )
    warnings = tuple(found for found in plan.findings if found not in blocking)
    return RootPreview(plan.successor.root, True, plan.renewals, blocking, (*warnings, *_expired(plan)))


def _publish_once(site: Site, offer: RootOffer, by: Act, *, is_locked: bool) -> PublishedRoot | None:
    """Return what was published, now or before; None when someone published or renewed a pin set meanwhile."""
    published = find_published(site, offer)
    if published is not None:
        return PublishedRoot(published, created=False)
    plan = plan_root(site, offer, by.at)
    warnings = (*rules.settle(plan.findings, offer.force, offer.reason), *_expired(plan))
    failpoints.hit("root.checked")
    pairs = [(renewal, _sign(site, plan.successor, renewal, by.at)) for renewal in plan.renewals]
    try:
        with (
            _staged(site, plan.successor, pairs, by) as staged,
            nullcontext() if is_locked else site.tree.locked_whole(),
        ):
            failpoints.hit("root.locked")
            _commit(site, plan.successor, pairs, _detail(plan, offer), by)
            failpoints.hit("root.committed")
            _serve(site, plan.successor, pairs, staged)
    except (StaleVersion, TimestampMoved, IntegrityError):
        return None  # what was signed here will never be seen
    site.bell.ring(None)
    failpoints.hit("root.rung")
    return PublishedRoot(plan.successor.root, True, tuple(_renewed(*each) for each in pairs), warnings)


def _expired(plan: RootPlan) -> tuple[Violation, ...]:
    return tuple(
        Violation(
            "S6",
            "/root",
            f"pin set {renewal.ground.name!r} is past its end, and its keys are not here",
            "Clients go on refusing it: publish it again with its own keys.",
            blocking=False,
        )
        for renewal in plan.renewals
        if renewal.is_expired
    )


def _sign(site: Site, successor: Successor, renewal: Renewal, now: datetime) -> Pair:
    ground, current = renewal.ground, renewal.current
    reservation = site.store.writer.reserve(ground.name, now, pinset=renewal.sign_pinset, room="root")
    failpoints.hit("root.reserved")
    pinset = current.pinset
    if renewal.sign_pinset:
        grant, old = ground.root.grant_for(ground.name), PinSet.parse(pinset.payload)
        life = within(grant, old.expires - old.issued)
        pinset = sign_pinset(
            site.signers, ground, replace(old, epoch=grant.epoch, expires=old.issued + life), reservation
        )
    failpoints.hit("root.pinset-signed")
    pair = sign_timestamp(site.signers, ground, pinset, reservation, site.policy.timestamp_lifetime)
    failpoints.hit("root.timestamp-signed")
    _check_followers(successor, renewal, pair, now)
    return pair


def _check_followers(successor: Successor, renewal: Renewal, pair: Pair, now: datetime) -> None:
    """Judge *pair* as new clients do, and as one that holds the former root and what is in force (spec S2)."""
    ground = renewal.ground
    if renewal.is_expired:
        failpoints.hit("root.verified")
        return  # no client takes it, before and after
    check_as_clients_do(ground, pair, now=now, room="root")
    former = trust.begin(successor.roots[-2], name=ground.name)
    kept = trust.KeptDocuments((), (renewal.current.timestamp,), (renewal.current.pinset,))
    bundle = bundles(ground.roots, pair.timestamp, pair.pinset)[successor.previous.version]
    try:
        trust.advance_bundle(trust.absorb(former, kept), bundle, now=now)
    except UntrustedError as error:
        raise PublicationRefused(
            f"clients of {ground.name!r} that hold root {successor.previous.version} would refuse: {error.what}",
            expected=error.expected,
            got=error.got,
            step=error.step,
            hint=error.hint or "Look at the epochs of the new root; nothing left this process.",
        ) from error


@contextmanager
def _staged(site: Site, successor: Successor, pairs: Pairs, by: Act) -> Iterator[list[Staged]]:
    """Yield the files of the root, then those of each pin set, a few in memory at a time."""
    with ExitStack() as stack:
        # First of all the root itself: no bundle may name a root that is not served.
        own = {root_address(successor.root.version): root_file(successor.envelope)}
        staged = [stack.enter_context(site.tree.staged(own))]
        for renewal, pair in pairs:
            files = files_of(site, renewal.ground, pair, _change(successor, renewal), by)
            staged.append(stack.enter_context(site.tree.staged(files)))
        failpoints.hit("root.tree-staged")
        yield staged


def _serve(site: Site, successor: Successor, pairs: Pairs, staged: list[Staged]) -> None:
    try:
        for number, files_of_one in enumerate(staged):
            files_of_one.rename("root")
            if number == 1:
                failpoints.hit("root.first-name-renamed")
        _remove_outdated(site, successor, pairs)
    except StoreUnavailable as error:
        raise _not_served(successor.root, error) from error


def _remove_outdated(site: Site, successor: Successor, pairs: Pairs) -> None:
    """Remove the bundles of roots that are too far behind now: their holders walk the roots one by one (spec V4)."""
    for renewal, pair in pairs:
        name = renewal.ground.name
        served = bundles(successor.roots, pair.timestamp, pair.pinset)
        site.tree.keep_only(f"/v1/bundles/{name}", [f"/v1/bundles/{name}/{held}" for held in served])
    failpoints.hit("root.outdated-removed")


def _commit(site: Site, successor: Successor, pairs: Pairs, detail: dict[str, object], by: Act) -> None:
    with site.store.writer.transaction() as transaction:
        check_unrevoked(transaction, by)
        # All moves before the audit log, whose end every writer waits for: two of them never wait for each other.
        for renewal, pair in pairs:
            move(transaction, renewal.ground, pair, _change(successor, renewal))
        failpoints.hit("root.moved")
        subject = successor.root.authority
        audit.append(transaction, at=by.at, actor=by.actor, action="root.publish", subject=subject, detail=detail)
        if transaction.names() != [renewal.ground.name for renewal, _ in pairs]:
            raise TimestampMoved  # a pin set was created meanwhile; another root of this version fails in the next line
        transaction.append_root(successor.root.version, successor.envelope, by.at)
        for renewal, pair in pairs:
            record(transaction, renewal.ground, pair, _change(successor, renewal), by)
        failpoints.hit("root.appended")
        failpoints.hit("root.committing")


def _change(successor: Successor, renewal: Renewal) -> Change:
    action = "pinset.renew" if renewal.sign_pinset else "timestamp.renew"
    reason, signs = f"root {successor.root.version}", renewal.sign_pinset
    return Change("root", action, reason, only_timestamp=not signs, same_content=True, exempt=True)


def _detail(plan: RootPlan, offer: RootOffer) -> dict[str, object]:
    root = plan.successor.root
    detail: dict[str, object] = {
        "authority": root.authority,
        "version": root.version,
        "keyids": list(root.root.keyids),
        "sha256": sha256(offer.envelope.payload).hexdigest(),
    }
    if offer.reason:
        detail["reason"] = offer.reason
    if forced := forced_codes(plan.findings, offer.force):
        detail["forced"] = list(forced)
    return detail


def _renewed(renewal: Renewal, pair: Pair) -> Renewed:
    tag = pair.document.epoch, pair.document.version
    return Renewed(renewal.ground.name, tag, pair.stamp.version, renewal.sign_pinset)


def _not_served(root: Root, error: StoreUnavailable) -> NotServedYet:
    return NotServedYet(
        f"root {root.version} is stored and cannot be served yet: {error.what}",
        version=str(root.version),
        got=error.got,
        holds="The root is published; it will be served as soon as the tree can be written.",
        hint="Repair the disk, then run `pinwarden server publish-tree`, or repeat the request.",
    )
