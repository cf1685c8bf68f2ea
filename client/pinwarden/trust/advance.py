"""
How a document changes what is trusted: one gate for each kind (spec V3 to V8, V10).

It may import ``state``, documents and envelopes: no clock, file or socket. Each ``advance_*`` takes a state and bytes
and returns a new state or raises; the state that was passed in is never changed and remains the answer after a refusal.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, PinSetRef, Root, Timestamp, TimestampRole, check_name
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import (
    EquivocationError,
    ExpiredError,
    MalformedError,
    RollbackError,
    StaleError,
    UntrustedError,
    WrongPinSetError,
)
from pinwarden.strict_json import format_time
from pinwarden.trust.state import Clock, Document, Held, Tag, TrustState, read_clock

MAX_CLOCK_SKEW = timedelta(hours=24)
_EXPIRED = "Check this machine's clock; when it is right, nobody renewed, or something on the way serves old answers."


def begin(root_envelope: bytes | Envelope, *, name: str) -> TrustState:
    """
    Return the state of a client that knows nothing but the root built into it.

    That root is verified against itself only: whoever built it in vouches for it.

    Raises:
        UntrustedError: not a root, or not signed by its own threshold.
    """
    envelope = _as_envelope(root_envelope, ROOT_TYPE)
    root = Root.parse(envelope.payload)
    envelope.verified_by(root.root)
    return TrustState(name=check_name(name), chain=(root,), root_envelopes=(envelope,))


def advance_root(state: TrustState, data: bytes | Envelope) -> TrustState:
    """
    Judge *data* as the root that follows (spec V4) and return the state that trusts it.

    The held documents are judged again under it (spec V10). Its expiry is not judged here: only the newest root's
    counts, when a document is about to be accepted.

    Raises:
        UntrustedError: *data* is refused; *state* remains the answer.
    """
    envelope = _as_envelope(data, ROOT_TYPE)
    root = Root.parse(envelope.verified_by(state.root.root))
    if root.authority != state.authority:
        raise WrongPinSetError("root of another authority", expected=state.authority, got=root.authority, step="V4")
    if root.version != state.root.version + 1:
        raise RollbackError(
            "root is not the one that follows",
            expected=f"version {state.root.version + 1}",
            got=root.version,
            step="V4",
        )
    envelope.verified_by(root.root)
    return replace(state, chain=(*state.chain, root), root_envelopes=(*state.root_envelopes, envelope), pending=None)


def advance_timestamp(state: TrustState, data: bytes | Envelope, *, clock: Clock) -> TrustState:
    """
    Judge *data* as the next timestamp (spec V5, V6) and return a state in which it waits for its pin set.

    Raises:
        UntrustedError: *data* is refused, or the newest root is past its end; *state* remains the answer.
    """
    envelope = _as_envelope(data, TIMESTAMP_TYPE)
    role = state.root.timestamp
    timestamp = Timestamp.parse(envelope.verified_by(role))
    _check_root_in_time(state, clock)
    _check_belongs(timestamp, state, role, clock)
    held = Held(envelope, timestamp)
    _check_floor(held, state.floor_timestamp, "timestamp", step="V6")
    if timestamp.root_version > state.root.version:
        raise StaleError(
            f"timestamp of {state.name!r} belongs to a newer root that was not delivered",
            expected=f"root version {state.root.version} or older",
            got=timestamp.root_version,
            step="V6",
        )
    return replace(state, pending=held)


def advance_pinset(state: TrustState, data: bytes | Envelope, *, clock: Clock) -> TrustState:
    """
    Judge *data* as the pin set that the pending timestamp names (spec V5, V7, V8) and adopt both.

    Whether its pins suit any live host is not judged here.

    Raises:
        UntrustedError: *data* is refused; *state* remains the answer.
    """
    envelope = _as_envelope(data, PINSET_TYPE)
    if state.pending is None:
        raise StaleError(f"no accepted timestamp names a pin set of {state.name!r}", step="V10")
    grant = state.root.grant_for(state.name)
    pinset = PinSet.parse(envelope.verified_by(grant))
    _check_root_in_time(state, clock)
    _check_belongs(pinset, state, grant, clock)
    held = Held(envelope, pinset)
    _check_floor(held, state.floor_pinset, "pin set", step="V7")
    _check_named(held, state.pending.document.pinset, state.name)
    adopted = replace(
        state,
        adopted_timestamp=state.pending,
        adopted_pinset=held,
        floor_timestamp=state.pending,
        floor_pinset=held,
        pending=None,
    )
    # Both were verified under this very root just now (a new root drops what is pending): a start need not do it twice.
    adopted.__dict__.update(timestamp=state.pending.document, pinset=pinset)
    return adopted


def advance_bundle(state: TrustState, bundle: Bundle, *, now: datetime) -> TrustState:
    """
    Judge a whole bundle at system time *now*: its roots in turn, then timestamp and pin set together.

    Raises:
        UntrustedError: with ``error.state`` = *state* plus the roots that were accepted before the refusal (V10).
    """
    reached = state
    try:
        for root in bundle.roots:
            reached = advance_root(reached, root)
        clock = read_clock(reached, now)
        return advance_pinset(advance_timestamp(reached, bundle.timestamp, clock=clock), bundle.pinset, clock=clock)
    except UntrustedError as error:
        error.state = reached
        raise


def _as_envelope(data: bytes | Envelope, expect: str) -> Envelope:
    if isinstance(data, Envelope):
        if data.payload_type != expect:
            raise MalformedError("envelope of the wrong type", expected=expect, got=data.payload_type, step="P7")
        return data
    return Envelope.parse(data, expect=expect)


def _check_root_in_time(state: TrustState, clock: Clock) -> None:
    if state.root.expires <= clock.effective:
        raise ExpiredError(
            f"root {state.root.version} is past its end and no newer one was delivered",
            expected=f"an end after {format_time(clock.effective)}",
            got=format_time(state.root.expires),
            holds="The pin set in force stays in force to its own end.",
            hint="The authority must publish a new root.",
            step="V4",
        )


def _check_belongs(document: Timestamp | PinSet, state: TrustState, role: TimestampRole, clock: Clock) -> None:
    """Spec V5, and the epoch of V6 and V7."""
    kind = "timestamp" if isinstance(document, Timestamp) else "pin set"
    ours, theirs = f"{state.authority}/{state.name}", f"{document.authority}/{document.name}"
    if ours != theirs:
        raise WrongPinSetError(f"{kind} of another authority or name", expected=ours, got=theirs, step="V5")
    issued, expires = format_time(document.issued), format_time(document.expires)
    if document.issued >= document.expires:
        raise ExpiredError(f"{kind} ends before it begins", expected=f"an end after {issued}", got=expires, step="V5")
    lifetime = (document.expires - document.issued).total_seconds()
    if lifetime > role.max_lifetime_seconds:
        raise ExpiredError(
            f"{kind} lives longer than its role may grant",
            expected=f"at most {role.max_lifetime_seconds} s",
            got=f"{lifetime:.0f} s",
            step="V5",
        )
    if document.issued > clock.system + MAX_CLOCK_SKEW:
        raise ExpiredError(
            f"{kind} was issued in the future",
            expected=f"at most 24 hours after {format_time(clock.system)}",
            got=issued,
            hint="Check this machine's clock, then the server's.",
            step="V5",
        )
    if document.expires <= clock.effective:
        raise ExpiredError(
            f"{kind} has expired",
            expected=f"an end after {format_time(clock.effective)}",
            got=expires,
            hint=_EXPIRED,
            step="V5",
        )
    if document.epoch != role.epoch:
        raise RollbackError(
            f"{kind} of another epoch",
            expected=f"epoch {role.epoch}, as root {state.root.version} says",
            got=document.epoch,
            step="V6" if isinstance(document, Timestamp) else "V7",
        )


def _check_floor(new: Held[Document], floor: Held[Document] | None, kind: str, *, step: str) -> None:
    if floor is None or new.tag > floor.tag:
        return
    name = new.document.name
    if new.tag < floor.tag:
        raise RollbackError(
            f"{kind} of {name!r} is older than one that was seen before",
            expected=f"{_spell(floor.tag)} or newer",
            got=_spell(new.tag),
            holds="The pins already trusted stay in force.",
            hint="If the server was restored from a backup, its operator must raise its numbers (docs/backup.md).",
            step=step,
        )
    if new.envelope.payload != floor.envelope.payload:
        raise EquivocationError(
            f"{kind} {_spell(new.tag)} of {name!r} exists with two contents",
            held=floor.envelope.to_bytes(),
            shown=new.envelope.to_bytes(),
            hint="The authority shows different clients different documents; treat it as an incident.",
            step=step,
        )


def _check_named(pinset: Held[PinSet], reference: PinSetRef, name: str) -> None:
    if not is_named(pinset, reference):
        raise StaleError(
            f"pin set of {name!r} is not the one that the timestamp names",
            expected=f"{_spell((reference.epoch, reference.version))}, {reference.length} bytes",
            got=f"{_spell(pinset.tag)}, {len(pinset.envelope.payload)} bytes",
            step="V7",
        )


def is_named(pinset: Held[PinSet], reference: PinSetRef) -> bool:
    payload = pinset.envelope.payload
    return (
        pinset.tag == (reference.epoch, reference.version)
        and len(payload) == reference.length
        and sha256(payload).digest() == reference.sha256
    )


def _spell(tag: Tag) -> str:
    return f"{tag[0]}.{tag[1]}"
