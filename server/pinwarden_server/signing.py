"""
Make a pair of documents and prove that every client will take it (spec S1 to S3).

It may import layer 0 and ``signers``. It stores nothing: what it returns exists in this process only.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from pinwarden import failpoints, trust
from pinwarden.bundle import MAX_BUNDLE_BYTES
from pinwarden.documents import PinSet, PinSetRef, Root, Timestamp, TimestampRole
from pinwarden.envelope import PINSET_TYPE, Envelope
from pinwarden.errors import MalformedError, UntrustedError
from pinwarden_keys.unsigned import judge_unsigned_pinset
from pinwarden_server.errors import BadDraft, PublicationRefused, Tag, Violation
from pinwarden_server.public_files import bundles
from pinwarden_server.signers import Signers
from pinwarden_server.store import Current, Reservation


@dataclass(frozen=True, slots=True)
class Ground:
    """What a publication stands on: the roots, and the pair in force when it began (None: a new pin set)."""

    name: str
    roots: tuple[Envelope, ...]
    root: Root
    current: Current | None

    @property
    def tag(self) -> Tag | None:
        """The version in force, None for a new pin set."""
        return self.current.tag if self.current else None


@dataclass(frozen=True, slots=True)
class Pair:
    """A signed pin set and the timestamp that names it, with what they say."""

    pinset: Envelope
    timestamp: Envelope
    document: PinSet
    stamp: Timestamp


def check_content(document: PinSet) -> PinSet:
    """
    Return *document* when clients would accept its content (spec V8); its version and times may be preliminary.

    Raises:
        BadDraft: they would not.
    """
    try:
        return PinSet.parse(document.encode())
    except MalformedError as error:
        violation = Violation(error.step or "V8", "", str(error.what), "Clients refuse such a document.")
        raise BadDraft(
            error.what,
            expected=error.expected or "what clients accept",
            got=error.got,
            hint=error.hint or "Correct the draft; clients refuse such a document.",
            violations=[violation],
        ) from error


def sign_pinset(signers: Signers, ground: Ground, content: PinSet, reservation: Reservation) -> Envelope:
    """Return *content* under the reserved version and time, signed."""
    return signers.sign(PINSET_TYPE, reserved(content, reservation).encode(), ground.root.grant_for(ground.name))


def reserved(content: PinSet, reservation: Reservation) -> PinSet:
    """Return *content* under the reserved version and time, living as long as *content* does."""
    return replace(
        content,
        version=reservation.pinset_version,
        issued=reservation.issued,
        expires=reservation.issued + (content.expires - content.issued),
    )


def sign_timestamp(
    signers: Signers, ground: Ground, pinset: Envelope, reservation: Reservation, lifetime: timedelta
) -> Pair:
    """Return *pinset* with a timestamp that names it, under the reserved version and time."""
    role, document = ground.root.timestamp, PinSet.parse(pinset.payload)
    stamp = Timestamp(
        authority=ground.root.authority,
        name=ground.name,
        epoch=role.epoch,
        version=reservation.timestamp_version,
        issued=reservation.issued,
        expires=reservation.issued + within(role, lifetime),
        root_version=ground.root.version,
        pinset=PinSetRef(document.epoch, document.version, sha256(pinset.payload).digest(), len(pinset.payload)),
    )
    return Pair(pinset, signers.sign_stamp(stamp.encode(), role, pinset), document, stamp)


def within(role: TimestampRole, lifetime: timedelta) -> timedelta:
    """Return *lifetime*, or the role's maximum when that is shorter (spec S3)."""
    return min(lifetime, timedelta(seconds=role.max_lifetime_seconds))


def check_as_clients_do(ground: Ground, pair: Pair, *, now: datetime, room: str) -> None:
    """
    Run the client's own verifier: as a fresh client with the oldest root that is served, and as one up to date.

    Raises:
        PublicationRefused: one of them refuses. BadDraft: a bundle would be too large to be fetched.
    """
    served = bundles(ground.roots, pair.timestamp, pair.pinset)
    oldest = min(served)
    size = len(served[oldest].to_bytes())
    if size > MAX_BUNDLE_BYTES:
        what = "the bundle would be too large for clients"
        raise BadDraft(
            what,
            expected=f"at most {MAX_BUNDLE_BYTES} bytes",
            got=size,
            violations=[Violation("V8", "/hosts", what, "Divide the hosts among several pin sets.")],
        )
    try:
        trust.advance_bundle(trust.begin(ground.roots[oldest - 1], name=ground.name), served[oldest], now=now)
        trust.advance_bundle(_up_to_date(ground), served[ground.root.version], now=now)
    except UntrustedError as error:
        raise PublicationRefused(
            f"a client would refuse what was just signed: {error.what}",
            expected=error.expected,
            got=error.got,
            step=error.step,
            hint=error.hint or "Check the server's clock and its root; nothing left this process.",
        ) from error
    failpoints.hit(f"{room}.verified")


def check_proposal(ground: Ground, payload: bytes, *, now: datetime) -> PinSet:
    """
    Return what *payload* says when every client would take it once it is signed, judged as :func:`check_as_clients_do`.

    Raises:
        PublicationRefused: nobody should be asked to sign it.
    """
    try:
        return judge_unsigned_pinset(_up_to_date(ground), payload, now=now)
    except UntrustedError as error:
        raise PublicationRefused(
            f"a client would refuse what shall be signed: {error.what}",
            expected=error.expected,
            got=error.got,
            step=error.step,
            hint=error.hint or "Check the server's clock and its root; nothing was proposed.",
        ) from error


def _up_to_date(ground: Ground) -> trust.TrustState:
    state = trust.begin(ground.roots[-1], name=ground.name)
    if ground.current is None:
        return state
    return trust.absorb(state, trust.KeptDocuments((), (ground.current.timestamp,), (ground.current.pinset,)))
