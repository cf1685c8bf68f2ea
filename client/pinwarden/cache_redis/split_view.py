"""
Two contents of one version, each signed by keys that some root of the chain names, found in a shared cache (spec C6).

It may import ``trust``, documents, envelopes and the gate. It decides nothing: what is held stays in force, and
somebody is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError
from pinwarden.strict_json import spell
from pinwarden.trust import Held, KeptDocuments, TrustState, is_recognised

FORMAT = "pinwarden-evidence-1"


@dataclass(frozen=True, slots=True)
class SplitView:
    """
    The evidence.

    Attributes:
        kind: ``"timestamp"`` or ``"pinset"``.
        tag: the (epoch, version) of both.
        held: what this client trusts.
        shown: what another client of the same cache was shown.
    """

    kind: str
    tag: tuple[int, int]
    held: Envelope
    shown: Envelope

    @property
    def digests(self) -> tuple[str, str]:
        """The SHA-256 of both payloads, in hex."""
        return sha256(self.held.payload).hexdigest(), sha256(self.shown.payload).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the evidence as JSON."""
        envelopes = {"held": self.held.to_json(), "shown": self.shown.to_json()}
        numbers = {"epoch": self.tag[0], "version": self.tag[1]}
        return spell({"format": FORMAT, "kind": self.kind, **numbers, **envelopes})


def find_split_views(state: TrustState, found: KeptDocuments) -> Iterator[SplitView]:
    """Yield what *state* and *found* hold under one version with two contents, both of them verified (spec C6)."""
    yield from _compare(state, "timestamp", (state.adopted_timestamp, state.floor_timestamp), found.timestamps)
    yield from _compare(state, "pinset", (state.adopted_pinset, state.floor_pinset), found.pinsets)


def is_vouched_for(state: TrustState, envelope: Envelope) -> bool:
    """Tell whether the newest root vouches for *envelope*, and not only one whose keys were replaced; no times here."""
    newest = TrustState(state.name, state.chain[-1:], state.root_envelopes[-1:])
    return is_recognised(newest, envelope)


def _compare(
    state: TrustState,
    kind: str,
    held: Sequence[Held[Timestamp] | None] | Sequence[Held[PinSet] | None],
    found: Sequence[Envelope],
) -> Iterator[SplitView]:
    ours = {one.tag: one.envelope for one in held if one}
    payloads = {envelope.payload for envelope in ours.values()}
    for envelope in found:
        if envelope.payload in payloads:
            continue
        try:
            document = (Timestamp if kind == "timestamp" else PinSet).parse(envelope.payload)
        except UntrustedError:
            continue
        tag = (document.epoch, document.version)
        if tag in ours and is_recognised(state, envelope):
            yield SplitView(kind, tag, ours[tag], envelope)
