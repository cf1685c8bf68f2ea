"""
Two contents of one version, found in a cache that clients share (spec C6).

It may import ``trust``, documents and the gate. It decides nothing: what is held stays in force, and somebody is told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError
from pinwarden.strict_json import spell
from pinwarden.trust import Held, KeptDocuments, TrustState, is_recognised


@dataclass(frozen=True, slots=True)
class SplitView:
    """
    The two envelopes, each signed by keys that some root of the chain names.

    Attributes:
        kind: ``"pinset"`` or ``"timestamp"``.
        tag: the (epoch, version) of both.
        held: what this client holds.
        shown: what another client was shown.
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
        """Return the evidence, as JSON."""
        envelopes = {"held": self.held.to_json(), "shown": self.shown.to_json()}
        return spell({"kind": self.kind, "epoch": self.tag[0], "version": self.tag[1], **envelopes})


def find_split_views(state: TrustState, found: KeptDocuments) -> Iterator[SplitView]:
    """Yield what *found* and *state* hold under one version with two contents, both of them verified."""
    timestamps = (state.adopted_timestamp, state.floor_timestamp)
    pinsets = (state.adopted_pinset, state.floor_pinset)
    yield from _compare(state, "timestamp", Timestamp, timestamps, found.timestamps)
    yield from _compare(state, "pinset", PinSet, pinsets, found.pinsets)


def _compare(
    state: TrustState,
    kind: str,
    parser: type[Timestamp] | type[PinSet],
    held: tuple[Held[Timestamp] | None, ...] | tuple[Held[PinSet] | None, ...],
    found: tuple[Envelope, ...],
) -> Iterator[SplitView]:
    ours = {one.tag: one.envelope for one in held if one}
    payloads = {envelope.payload for envelope in ours.values()}
    for envelope in found:
        if envelope.payload in payloads:
            continue
        try:
            document = parser.parse(envelope.payload)
        except UntrustedError:
            continue
        tag = (document.epoch, document.version)
        if tag in ours and is_recognised(state, envelope):
            yield SplitView(kind, tag, ours[tag], envelope)
