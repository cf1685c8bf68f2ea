"""
What a client trusts, and how a document may change that (spec V3 to V10, C2).

It may import documents, envelopes and errors: no clock, file or socket. Each ``advance_*`` takes a state and bytes and
returns a new state or raises; the state that was passed in is never changed and remains the answer after a refusal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Generic, TypeVar

from pinwarden.bundle import Bundle
from pinwarden.documents import (
    PinSet,
    PinSetRef,
    Root,
    Timestamp,
    TimestampRole,
    check_name,
)
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

MAX_CLOCK_SKEW = timedelta(hours=24)
_NEVER = datetime.min.replace(tzinfo=UTC)

Document = TypeVar("Document", Timestamp, PinSet)
Tag = tuple[int, int]


class State(StrEnum):
    """The first that applies, in this order (spec, state table)."""

    EMPTY = "empty"
    EXPIRED = "expired"
    STALE = "stale"
    FRESH = "fresh"


_FRESH = State.FRESH  # before Python 3.12 every look at a member of an enum is a function call


@dataclass(frozen=True, slots=True)
class Clock:
    """Both clocks of one refresh: the system's, and that pushed forward by what was issued already (spec V9)."""

    system: datetime
    effective: datetime


@dataclass(frozen=True, slots=True)
class Held(Generic[Document]):
    """A document that verified under some root of the chain, with its envelope as evidence."""

    envelope: Envelope
    document: Document

    @property
    def tag(self) -> Tag:
        """(epoch, version), which orders documents of one kind."""
        return self.document.epoch, self.document.version


@dataclass(frozen=True, slots=True)
class KeptDocuments:
    """Envelopes out of a cache or a bootstrap file: nothing about them is known until :func:`absorb` judged them."""

    roots: tuple[Envelope, ...] = ()
    timestamps: tuple[Envelope, ...] = ()
    pinsets: tuple[Envelope, ...] = ()


@dataclass(frozen=True)
class TrustState:
    """
    Everything that is trusted for one pin set of one authority; immutable.

    Attributes:
        name: the pin set.
        chain: the verified roots, the embedded one first, with their envelopes in *root_envelopes*.
        adopted_timestamp, adopted_pinset: the pair adopted last; kept when a root made it unusable, for the floors.
        floor_timestamp, floor_pinset: the highest of each kind that verified, adopted or not (spec C2).
        pending: a timestamp that was judged and waits for its pin set; never in force by itself (spec V10).
    """

    name: str
    chain: tuple[Root, ...]
    root_envelopes: tuple[Envelope, ...]
    adopted_timestamp: Held[Timestamp] | None = None
    adopted_pinset: Held[PinSet] | None = None
    floor_timestamp: Held[Timestamp] | None = None
    floor_pinset: Held[PinSet] | None = None
    pending: Held[Timestamp] | None = None

    @property
    def root(self) -> Root:
        """The newest root."""
        return self.chain[-1]

    @property
    def authority(self) -> str:
        """The trust domain, as the embedded root names it."""
        return self.chain[0].authority

    @cached_property
    def timestamp(self) -> Timestamp | None:
        """The timestamp in force: adopted, and still good under the newest root."""
        held = self.adopted_timestamp
        return held.document if held and _verifies(held, self.root.timestamp) else None

    @cached_property
    def pinset(self) -> PinSet | None:
        """The pin set in force: adopted, and still good under the newest root; its end is not judged here."""
        held = self.adopted_pinset
        if held is None:
            return None
        try:
            return held.document if _verifies(held, self.root.grant_for(self.name)) else None
        except WrongPinSetError:
            return None

    @cached_property
    def newest_issue(self) -> datetime | None:
        """The highest ``issued`` of held documents whose epoch is still their role's (spec V9)."""
        issued = []
        for held in (self.adopted_timestamp, self.floor_timestamp):
            if held and held.document.epoch == self.root.timestamp.epoch:
                issued.append(held.document.issued)
        for pinset in (self.adopted_pinset, self.floor_pinset):
            if pinset and pinset.document.epoch == self._grant_epoch():
                issued.append(pinset.document.issued)
        return max(issued, default=None)

    @cached_property
    def fresh_until(self) -> datetime:
        """The state is FRESH exactly at system times before this one."""
        if self.pinset is None or self.timestamp is None:
            return _NEVER
        end = min(self.pinset.expires, self.timestamp.expires)
        return end if self.newest_issue is None or self.newest_issue < end else _NEVER

    def state_at(self, now: datetime) -> State:
        """Return the row of the state table at system time *now*."""
        if now < self.fresh_until:
            return _FRESH
        effective = read_clock(self, now).effective
        if self.pinset is None:
            return State.EMPTY
        if effective >= self.pinset.expires:
            return State.EXPIRED
        return State.STALE

    def kept(self) -> KeptDocuments:
        """Return what a cache must hold for :func:`absorb` to arrive at the same pins in force and floors again."""
        timestamps = [held.envelope for held in (self.adopted_timestamp, self.floor_timestamp) if held]
        pinsets = [held.envelope for held in (self.adopted_pinset, self.floor_pinset) if held]
        return KeptDocuments(self.root_envelopes, tuple(dict.fromkeys(timestamps)), tuple(dict.fromkeys(pinsets)))

    def _grant_epoch(self) -> int | None:
        try:
            return self.root.grant_for(self.name).epoch
        except WrongPinSetError:
            return None


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


def read_clock(state: TrustState, now: datetime) -> Clock:
    """Return both clocks for a refresh at system time *now*, an aware time; read after roots were advanced (V9)."""
    return Clock(now, max(now, state.newest_issue) if state.newest_issue else now)


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
    return replace(
        state,
        adopted_timestamp=state.pending,
        adopted_pinset=held,
        floor_timestamp=state.pending,
        floor_pinset=held,
        pending=None,
    )


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


def absorb(state: TrustState, kept: KeptDocuments) -> TrustState:
    """
    Return *state* raised to the highest that *kept* proves, or *state* itself when that is no news (spec C1, C2, V9).

    What proves nothing is passed over. Times never refuse here: they choose the row of the state table later. Floors
    rise by whatever any root of the chain vouches for. Documents come into force only as a pair whose timestamp names
    exactly that pin set, and only while the newest root vouches for the pin set: whoever holds a retired key can bind
    floors, but never displaces pins that are good.
    """
    known = {envelope.payload for envelope in state.root_envelopes}
    for envelope in kept.roots:
        if envelope.payload in known:
            continue
        try:
            state = advance_root(state, envelope)
        except UntrustedError:
            continue
    # The floors that are held take part, so that two sources with half a pair each give the pair in whatever order.
    timestamps = _by_tag(state.floor_timestamp, (_recognise(state, one, Timestamp) for one in kept.timestamps))
    pinsets = _by_tag(state.floor_pinset, (_recognise(state, one, PinSet) for one in kept.pinsets))
    floors = next(iter(timestamps), None), next(iter(pinsets), None)
    if floors != (state.floor_timestamp, state.floor_pinset):
        state = replace(state, floor_timestamp=floors[0], floor_pinset=floors[1])
    pairs = (
        replace(state, adopted_timestamp=timestamp, adopted_pinset=pinset)
        for timestamp in timestamps
        for pinset in pinsets
        if _is_named(pinset, timestamp.document.pinset)
    )
    return max((pair for pair in pairs if _improves(pair, state)), key=_standing, default=state)


def is_recognised(state: TrustState, envelope: Envelope) -> bool:
    """Tell whether *envelope* is a timestamp or pin set that some root of the chain vouches for; guards no trust."""
    if envelope.payload_type == TIMESTAMP_TYPE:
        return _recognise(state, envelope, Timestamp) is not None
    return _recognise(state, envelope, PinSet) is not None


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
            f"{kind} has expired", expected=f"an end after {format_time(clock.effective)}", got=expires, step="V5"
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
            hint="If the server was restored from a backup, raise its floor with `pinwarden server restore --floor`.",
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
    if not _is_named(pinset, reference):
        raise StaleError(
            f"pin set of {name!r} is not the one that the timestamp names",
            expected=f"{_spell((reference.epoch, reference.version))}, {reference.length} bytes",
            got=f"{_spell(pinset.tag)}, {len(pinset.envelope.payload)} bytes",
            step="V7",
        )


def _is_named(pinset: Held[PinSet], reference: PinSetRef) -> bool:
    payload = pinset.envelope.payload
    return (
        pinset.tag == (reference.epoch, reference.version)
        and len(payload) == reference.length
        and sha256(payload).digest() == reference.sha256
    )


def _verifies(held: Held[Timestamp] | Held[PinSet], role: TimestampRole) -> bool:
    if held.document.epoch != role.epoch:
        return False
    try:
        held.envelope.verified_by(role)
    except UntrustedError:
        return False
    return True


def _recognise(state: TrustState, envelope: Envelope, kind: type[Document]) -> Held[Document] | None:
    """Return the document when any root of the chain vouches for it, the newest asked first (spec C2)."""
    try:
        held = Held(envelope, kind.parse(envelope.payload))
    except UntrustedError:
        return None
    if (held.document.authority, held.document.name) != (state.authority, state.name):
        return None
    for root in reversed(state.chain):
        try:
            role = root.timestamp if kind is Timestamp else root.grant_for(state.name)
        except WrongPinSetError:
            continue
        if _verifies(held, role):
            return held
    return None


def _by_tag(floor: Held[Document] | None, found: Iterable[Held[Document] | None]) -> list[Held[Document]]:
    """Return what is held and what was found, the highest first; of equals, what is held already."""
    known = [held for held in found if held]
    if floor is not None:
        known.insert(0, floor)
    return sorted(known, key=lambda held: held.tag, reverse=True)


def _standing(state: TrustState) -> tuple[bool, Tag]:
    """Order pairs: a timestamp of the newest root goes before any that only an older root vouches for (spec V10)."""
    held = state.adopted_timestamp
    return state.timestamp is not None, held.tag if held else (0, 0)


def _improves(pair: TrustState, state: TrustState) -> bool:
    """Tell whether *pair* is good, newer than what *state* adopted, and no step back; the same again is no news."""
    ours, theirs = state.adopted_pinset, pair.adopted_pinset
    if pair.pinset is None or theirs is None or (ours is not None and theirs.tag < ours.tag):
        return False
    return _standing(pair) > _standing(state)


def _spell(tag: Tag) -> str:
    return f"{tag[0]}.{tag[1]}"


__all__ = [
    "Clock",
    "Held",
    "KeptDocuments",
    "State",
    "TrustState",
    "absorb",
    "advance_bundle",
    "advance_pinset",
    "advance_root",
    "advance_timestamp",
    "begin",
    "is_recognised",
    "read_clock",
]
