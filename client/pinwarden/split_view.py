"""
Two contents of one version, each signed by keys that some root of the chain names (spec V6, V7, C6).

It may import ``trust``, documents, envelopes and the gate. It decides nothing: what is held stays in force, and
somebody is told.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, Self

from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import EquivocationError, UntrustedError
from pinwarden.strict_json import spell
from pinwarden.trust import Held, KeptDocuments, TrustState, is_recognised

FORMAT = "pinwarden-evidence-1"


class SplitView(NamedTuple):
    """
    The evidence.

    Attributes:
        kind: ``"timestamp"`` or ``"pinset"``.
        tag: the (epoch, version) of both.
        held: what this client trusts.
        shown: what the server showed it, or another client of the same cache.
    """

    kind: str
    tag: tuple[int, int]
    held: Envelope
    shown: Envelope

    @classmethod
    def of(cls, error: EquivocationError) -> Self:
        """Return what *error*, a refusal by step V6 or V7, has as evidence."""
        is_timestamp = error.step == "V6"
        expect = TIMESTAMP_TYPE if is_timestamp else PINSET_TYPE
        held, shown = (Envelope.parse(data, expect=expect) for data in (error.held, error.shown))
        document = (Timestamp if is_timestamp else PinSet).parse(shown.payload)
        return cls("timestamp" if is_timestamp else "pinset", (document.epoch, document.version), held, shown)

    @property
    def digests(self) -> tuple[str, str]:
        """The SHA-256 of both payloads, in hex."""
        return sha256(self.held.payload).hexdigest(), sha256(self.shown.payload).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the evidence as a file."""
        return spell(
            {
                "format": FORMAT,
                "kind": self.kind,
                "epoch": self.tag[0],
                "version": self.tag[1],
                "held": self.held.to_json(),
                "shown": self.shown.to_json(),
            }
        )


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
