"""The timestamp: which pin set is current (the form of spec V6)."""

from dataclasses import dataclass
from datetime import datetime

from pinwarden.documents.frame import common_json, open_payload, read_common, read_named
from pinwarden.envelope import TIMESTAMP_TYPE
from pinwarden.strict_json import encode, encode_base64

DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class PinSetRef:
    """Which pin set is current: its numbers, and the SHA-256 and length of its payload bytes."""

    epoch: int
    version: int
    sha256: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A short-lived statement of which pin set version is current."""

    authority: str
    name: str
    epoch: int
    version: int
    issued: datetime
    expires: datetime
    root_version: int
    pinset: PinSetRef

    @classmethod
    def parse(cls, payload: bytes) -> "Timestamp":
        """Read a timestamp payload; MalformedError when it is none."""
        fields = open_payload(payload, TIMESTAMP_TYPE, "timestamp", step="V5")
        named = fields.child("pinset")
        return cls(
            **read_common(fields),
            **read_named(fields),
            root_version=fields.child("root").integer("version"),
            pinset=PinSetRef(
                named.integer("epoch"),
                named.integer("version"),
                named.octets("sha256", DIGEST_BYTES),
                named.integer("length"),
            ),
        )

    def encode(self) -> bytes:
        """Return the payload bytes that signers sign."""
        pinset = {
            "epoch": self.pinset.epoch,
            "version": self.pinset.version,
            "sha256": encode_base64(self.pinset.sha256),
            "length": self.pinset.length,
        }
        named = {"name": self.name, "epoch": self.epoch}
        root = {"version": self.root_version}
        return encode({"type": "timestamp", **common_json(self), **named, "root": root, "pinset": pinset})
