"""
What a new root would mean: whether clients follow it, what lint says, and which documents must be signed again.

It may import layer 0, the keys' lint and the store's reader. It signs and stores nothing; what it finds is true of the
moment it looked at, and whoever commits compares again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pinwarden import trust
from pinwarden.documents import Grant, PinSet, Role, Root
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError, WrongPinSetError
from pinwarden.strict_json import format_time
from pinwarden_keys import KeysError, check_envelope
from pinwarden_keys.root_lint import Finding, lint
from pinwarden_server.errors import BadDraft, Conflict, Violation
from pinwarden_server.root_offers import RootOffer
from pinwarden_server.signers import Signers
from pinwarden_server.signing import Ground
from pinwarden_server.site import Site
from pinwarden_server.store import Current
from pinwarden_server.tags import format_tag

_ANY_NAME = "any"  # a root is judged without any pin set; the trust room wants some name


@dataclass(frozen=True, slots=True)
class Successor:
    """A root that clients follow from *previous*, the newest one; *roots* are all, itself included."""

    roots: tuple[Envelope, ...]
    root: Root
    previous: Root

    @property
    def envelope(self) -> Envelope:
        """The root as it was signed."""
        return self.roots[-1]


@dataclass(frozen=True, slots=True)
class Renewal:
    """
    What one pin set needs under the new root; a timestamp in any case.

    Attributes:
        ground: with the new root, and the pair in force.
        sign_pinset: the pin set is signed again too; else its present signature goes on.
        is_expired: it goes on although its life is over, because its keys are not here: clients refuse it as before.
    """

    ground: Ground
    sign_pinset: bool
    is_expired: bool = False

    @property
    def current(self) -> Current:
        """The pair in force."""
        if self.ground.current is None:
            raise AssertionError("only pin sets that are in force are renewed")
        return self.ground.current

    def to_json(self) -> dict[str, Any]:
        """Return a line of a preview."""
        signs = ["pinset", "timestamp"] if self.sign_pinset else ["timestamp"]
        return {"name": self.ground.name, "version": format_tag(self.current.tag), "signs": signs}


@dataclass(frozen=True, slots=True)
class RootPlan:
    """
    What publishing a root would do.

    Attributes:
        findings: everything that lint and the keys at hand say; what blocks included.
    """

    successor: Successor
    renewals: tuple[Renewal, ...]
    findings: tuple[Violation, ...]


def find_published(site: Site, offer: RootOffer) -> Root | None:
    """
    Return the published root that *offer* repeats, None when its version is not taken.

    Raises:
        Conflict: the version is published with another content. BadDraft: *offer* is no root.
    """
    roots, offered = _published(site), _parse(offer.envelope)
    if offered.version > len(roots):
        return None
    if roots[offered.version - 1].payload == offer.envelope.payload:
        return offered
    # A stranger's bytes are no second content of a version: they are refused for what they are.
    if offered.version > 1:
        _follow(roots[offered.version - 2], offer.envelope)
    else:
        _check_signed(offer.envelope, Root.parse(roots[0].payload).root)
    raise Conflict(
        f"root version {offered.version} is published already, with another content",
        expected=f"version {len(roots) + 1}, drafted on top of root {len(roots)}",
        got=offered.version,
        hint="If its signers signed two roots of one version, treat it as an incident: clients that got the other one "
        "cannot follow this chain. Else draft again from the newest root.",
    )


def plan_root(site: Site, offer: RootOffer, now: datetime) -> RootPlan:
    """
    Judge *offer* as the root that follows the newest one (spec V4, S6 to S8), whose version is not taken.

    Raises:
        BadDraft: clients would not follow it. Conflict: there is no root to follow. StoreUnavailable.
    """
    successor = _succeed(_published(site), offer.envelope, now)
    renewals: list[Renewal] = []
    missing: list[Violation] = []
    names: list[str] = []
    for current in site.store.reader.all_current():
        names.append(current.name)
        ground = Ground(current.name, successor.roots, successor.root, current)
        needed = _renewal(site.signers, ground, successor.previous, now)
        if isinstance(needed, Renewal):
            renewals.append(needed)
        elif needed is not None:
            missing.append(needed)
    found = lint(successor.root, previous=successor.previous, now=now, names=names)
    role = successor.root.timestamp
    if names and not site.signers.can_sign(role):
        missing.insert(0, _missing_keys(f"the timestamps of {', '.join(names)}", role, site.signers))
    findings = (*(_violation(one) for one in found), *missing)
    return RootPlan(successor, tuple(renewals), findings)


def _published(site: Site) -> tuple[Envelope, ...]:
    roots = site.store.reader.roots()
    if not roots:
        raise Conflict("no root is published", hint="Run `pinwarden server init FOLDER --root root.json`.")
    return roots


def _parse(envelope: Envelope) -> Root:
    try:
        return Root.parse(envelope.payload)
    except UntrustedError as error:
        raise _refused(error) from error


def _succeed(roots: tuple[Envelope, ...], envelope: Envelope, now: datetime) -> Successor:
    offered = _parse(envelope)
    due = len(roots) + 1
    if offered.version != due:  # said before signatures, which a root of a later version need not have from these keys
        what = "a root has to follow the newest one"
        violation = Violation("V4", "/root", what, "Publish the roots between them first, in order.")
        raise BadDraft(what, expected=f"version {due}", got=offered.version, violations=[violation])
    root, previous = _follow(roots[-1], envelope), Root.parse(roots[-1].payload)
    if root.expires <= now:
        what = "the root is past its end already"
        violation = Violation("V4", "/root", what, "Clients refuse every document under it; draft it anew.")
        got, after = format_time(root.expires), f"an end after {format_time(now)}"
        raise BadDraft(what, expected=after, got=got, violations=[violation])
    return Successor((*roots, envelope), root, previous)


def _follow(before: Envelope, envelope: Envelope) -> Root:
    """Return the root in *envelope* as clients accept it after *before*, its signatures good in both libraries."""
    try:
        state = trust.advance_root(trust.begin(before, name=_ANY_NAME), envelope)
        keys = {**Root.parse(before.payload).root.keys, **state.root.root.keys}
        check_envelope(envelope, Role(tuple(keys), 1, keys))
    except UntrustedError as error:
        raise _refused(error) from error
    except KeysError as error:
        hint = error.hint or "Assemble the root again, from the signatures of its own and the former root's keys alone."
        violation = Violation("S2", "/root", str(error.what), hint)
        raise BadDraft(error.what, expected=error.expected, got=error.got, violations=[violation], hint=hint) from error
    return state.root


def _check_signed(envelope: Envelope, role: Role) -> None:
    try:
        envelope.verified_by(role)
    except UntrustedError as error:
        raise _refused(error) from error


def _refused(error: UntrustedError) -> BadDraft:
    hint = error.hint or "`pinwarden root verify --previous` judges a root as clients and this server do."
    violation = Violation(error.step or "V4", "/root", str(error.what), hint)
    what = f"clients would not follow this root: {error.what}"
    return BadDraft(what, expected=error.expected, got=error.got, violations=[violation], hint=hint)


def _renewal(signers: Signers, ground: Ground, previous: Root, now: datetime) -> Renewal | Violation | None:
    """Return what the pin set needs, or what is missing for that; None when it has no grant, which lint refuses."""
    current = ground.current
    if current is None:
        raise AssertionError("a pin set that is in force has a pair")
    try:
        grant = ground.root.grant_for(ground.name)
    except WrongPinSetError:
        return None
    document = PinSet.parse(current.pinset.payload)
    goes_on, is_expired = _goes_on(current, document, grant), document.expires <= now
    if signers.can_sign(grant) and (is_expired or not goes_on or _is_changed(ground.name, previous, grant)):
        return Renewal(ground, sign_pinset=True)
    if goes_on:
        return Renewal(ground, sign_pinset=False, is_expired=is_expired)
    return _missing_keys(f"pin set {ground.name!r}", grant, signers)


def _goes_on(current: Current, document: PinSet, grant: Grant) -> bool:
    """Tell whether clients accept the present envelope under *grant* too, its end left aside (spec V5, V7)."""
    life = (document.expires - document.issued).total_seconds()
    if document.epoch != grant.epoch or life > grant.max_lifetime_seconds:
        return False
    try:
        current.pinset.verified_by(grant)
    except UntrustedError:
        return False
    return True


def _is_changed(name: str, previous: Root, grant: Grant) -> bool:
    try:
        before = previous.grant_for(name)
    except WrongPinSetError:
        return True
    return (set(before.keyids), before.threshold, before.epoch) != (set(grant.keyids), grant.threshold, grant.epoch)


def _missing_keys(what: str, role: Role, signers: Signers) -> Violation:
    absent = ", ".join(keyid[:16] for keyid in role.keyids if keyid not in signers.keyids)
    return Violation(
        "S6",
        "/root",
        f"{what} must be signed again, by {role.threshold} of {len(role.keyids)} keys; not here: {absent}",
        "Add these keys to the server's signers and restart it, then publish the root. Keys of people are handed over "
        "before it: docs/signing-by-people.md says how.",
    )


def _violation(finding: Finding) -> Violation:
    return Violation(finding.code, "/root", finding.message, finding.hint, forceable=finding.policy)
