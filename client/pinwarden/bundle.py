"""
Bundles: one response with everything that a client needs (spec section 4).

It may import ``envelope`` and the gate. It never verifies: a bundle is only a frame around envelopes.
"""

from dataclasses import dataclass

from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import MalformedError
from pinwarden.strict_json import encode, kind_of, parse_object

BUNDLE_MEDIA_TYPE = "application/vnd.pinwarden.bundle.v1+json"
MAX_BUNDLE_BYTES = 2 * 1024 * 1024
MAX_BUNDLE_ROOTS = 8


@dataclass(frozen=True, slots=True)
class Bundle:
    """The roots that a client misses, oldest first, then the current timestamp and pin set."""

    roots: tuple[Envelope, ...]
    timestamp: Envelope
    pinset: Envelope

    @classmethod
    def parse(cls, data: bytes) -> "Bundle":
        """
        Read a bundle; unknown fields are ignored.

        Raises:
            MalformedError, SignatureError: not a bundle, or one of its envelopes is none.
        """
        value = parse_object(data, limit=MAX_BUNDLE_BYTES, what="bundle")
        roots = value.get("roots")
        if type(roots) is not list:
            raise MalformedError("roots of the bundle is not an array", expected="array", got=kind_of(roots), step="P4")
        if len(roots) > MAX_BUNDLE_ROOTS:
            raise MalformedError(
                "bundle has too many roots", expected=f"at most {MAX_BUNDLE_ROOTS}", got=len(roots), step="P1"
            )
        return cls(
            tuple(Envelope.from_json(root, expect=ROOT_TYPE) for root in roots),
            Envelope.from_json(value.get("timestamp"), expect=TIMESTAMP_TYPE),
            Envelope.from_json(value.get("pinset"), expect=PINSET_TYPE),
        )

    def to_bytes(self) -> bytes:
        """Return the bundle as it is served."""
        return encode(
            {
                "roots": [root.to_json() for root in self.roots],
                "timestamp": self.timestamp.to_json(),
                "pinset": self.pinset.to_json(),
            }
        )
