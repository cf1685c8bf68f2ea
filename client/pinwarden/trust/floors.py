"""
What caches and bootstrap files prove: floors, and the pair that may come into force from them (spec C1, C2, V10).

It may import ``state`` and ``advance``. Nothing it reads is trusted before some root of the chain vouches for it, and
nothing it does can lower what is held.
"""

from collections.abc import Iterable
from dataclasses import replace

from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import TIMESTAMP_TYPE, Envelope
from pinwarden.errors import UntrustedError, WrongPinSetError
from pinwarden.trust.advance import advance_root, is_named
from pinwarden.trust.state import Document, Held, KeptDocuments, Tag, TrustState, verifies


def absorb(state: TrustState, kept: KeptDocuments) -> TrustState:
    """
    Return *state* raised to the highest that *kept* proves, or *state* itself when that is no news (spec C1, C2, V9).

    What proves nothing is passed over. Times never refuse here: they choose the row of the state table later. Floors
    rise by whatever any root of the chain vouches for. Documents come into force only as a pair whose timestamp names
    exactly that pin set, and only while the newest root vouches for the pin set: whoever holds a retired key can bind
    floors, but never displaces pins that are good.
    """
    if kept == KeptDocuments():
        return state
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
        if is_named(pinset, timestamp.document.pinset)
    )
    return max((pair for pair in pairs if _improves(pair, state)), key=_standing, default=state)


def is_recognised(state: TrustState, envelope: Envelope) -> bool:
    """Tell whether *envelope* is a timestamp or pin set that some root of the chain vouches for; guards no trust."""
    if envelope.payload_type == TIMESTAMP_TYPE:
        return _recognise(state, envelope, Timestamp) is not None
    return _recognise(state, envelope, PinSet) is not None


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
        if verifies(held, role):
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
