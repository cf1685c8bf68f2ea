"""
The trust state itself: what is held, what is in force, and which row of the state table that gives (spec V9, V10).

It may import documents, envelopes and ``once``. It accepts nothing: states come from ``advance`` and ``floors``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from pinwarden.documents import PinSet, Root, Timestamp, TimestampRole
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError, WrongPinSetError
from pinwarden.once import once

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


class Clock(NamedTuple):
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

    @once
    def timestamp(self) -> Timestamp | None:
        """The timestamp in force: adopted, and still good under the newest root."""
        held = self.adopted_timestamp
        return held.document if held and verifies(held, self.root.timestamp) else None

    @once
    def pinset(self) -> PinSet | None:
        """The pin set in force: adopted, and still good under the newest root; its end is not judged here."""
        held = self.adopted_pinset
        if held is None:
            return None
        try:
            return held.document if verifies(held, self.root.grant_for(self.name)) else None
        except WrongPinSetError:
            return None

    @once
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

    @once
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


def read_clock(state: TrustState, now: datetime) -> Clock:
    """Return both clocks for a refresh at system time *now*, an aware time; read after roots were advanced (V9)."""
    return Clock(now, max(now, state.newest_issue) if state.newest_issue else now)


def verifies(held: Held[Timestamp] | Held[PinSet], role: TimestampRole) -> bool:
    if held.document.epoch != role.epoch:
        return False
    try:
        held.envelope.verified_by(role)
    except UntrustedError:
        return False
    return True
