"""
DSSE envelopes: signed bytes and the signatures over them (spec section 2, steps V1 to V3).

It may import ``strict_json``, ``errors`` and libsodium's verification. It never looks inside a payload, and hands the
payload out only as the return value of a successful verification.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import CryptoError

from pinwarden.errors import MalformedError, SignatureError
from pinwarden.strict_json import (
    decode_base64,
    encode,
    encode_base64,
    kind_of,
    parse_object,
)

ROOT_TYPE = "application/vnd.pinwarden.root.v1+json"
PINSET_TYPE = "application/vnd.pinwarden.pinset.v1+json"
TIMESTAMP_TYPE = "application/vnd.pinwarden.timestamp.v1+json"
CHECKPOINT_TYPE = "application/vnd.pinwarden.audit-checkpoint.v1+json"  # of a server's audit log; clients ask for none

PAYLOAD_LIMITS = {ROOT_TYPE: 16 * 1024, PINSET_TYPE: 1024 * 1024, TIMESTAMP_TYPE: 4 * 1024, CHECKPOINT_TYPE: 4 * 1024}
MAX_SIGNATURES = 16
# Base64 grows a payload by a third; the rest is room for 16 signatures and for fields of later versions.
ENVELOPE_LIMITS = {kind: limit * 4 // 3 + 16 * 1024 for kind, limit in PAYLOAD_LIMITS.items()}

_ED25519_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
_SIGNATURE_BYTES = 64


class Threshold(Protocol):
    """Who may sign: *keys* maps keyids to raw public keys, *threshold* of which must have signed."""

    @property
    def keys(self) -> Mapping[str, bytes]: ...
    @property
    def threshold(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Signature:
    """One entry of an envelope; *sig* is empty when what stood there could not be a signature."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """Payload bytes of one type with at most 16 signatures, nothing of which is verified yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def of(cls, payload_type: str, payload: bytes, signatures: Iterable[Signature]) -> "Envelope":
        """Frame *payload*; for signers."""
        return cls(payload_type, payload, tuple(signatures))

    @classmethod
    def parse(cls, data: bytes, *, expect: str) -> "Envelope":
        """
        Read an envelope of the type *expect*.

        Raises:
            MalformedError: not such an envelope, or another type in this place (spec P7).
            SignatureError: two signatures by one keyid (spec V3).
        """
        return cls.from_json(parse_object(data, limit=ENVELOPE_LIMITS[expect], what="envelope"), expect=expect)

    @classmethod
    def from_json(cls, value: object, *, expect: str) -> "Envelope":
        """As :meth:`parse`, for an envelope inside another object that went through the gate."""
        if type(value) is not dict:
            raise MalformedError("envelope is not an object", expected="object", got=kind_of(value), step="P4")
        payload_type = value.get("payloadType")
        if payload_type != expect:  # spec P7
            raise MalformedError("envelope of the wrong type", expected=expect, got=repr(payload_type)[:80], step="P7")
        payload = decode_base64(value.get("payload"), what="payload")
        limit = PAYLOAD_LIMITS[expect]
        if len(payload) > limit:
            raise MalformedError(
                "payload is too large", expected=f"at most {limit} bytes", got=f"{len(payload)} bytes", step="P1"
            )
        return cls(expect, payload, _parse_signatures(value.get("signatures")))

    def to_json(self) -> dict[str, object]:
        """Return the envelope as a JSON object."""
        return {
            "payloadType": self.payload_type,
            "payload": encode_base64(self.payload),
            "signatures": [{"keyid": entry.keyid, "sig": encode_base64(entry.sig)} for entry in self.signatures],
        }

    def to_bytes(self) -> bytes:
        """Return the envelope as it is served and stored."""
        return encode(self.to_json())

    def verified_by(self, role: Threshold) -> bytes:
        """
        Return the payload, which *role.threshold* distinct keys of *role* have signed (spec V3).

        Raises:
            SignatureError: fewer good signatures; unknown, unusable and wrong ones only do not count.
        """
        message = pae(self.payload_type, self.payload)
        good = {
            role.keys[entry.keyid]
            for entry in self.signatures
            if entry.keyid in role.keys and is_signature(entry.sig, message, role.keys[entry.keyid])
        }
        if len(good) < role.threshold:
            raise SignatureError(
                "too few valid signatures",
                expected=f"{role.threshold} of {len(role.keys)} keys",
                got=f"{len(good)} (of {len(self.signatures)} signatures present)",
                hint="Either the document was changed on its way, or its signers are not those that the root names.",
                step="V3",
            )
        return self.payload


def _parse_signatures(value: object) -> tuple[Signature, ...]:
    if type(value) is not list:
        raise MalformedError("signatures is not an array", expected="array", got=kind_of(value), step="P4")
    if len(value) > MAX_SIGNATURES:
        raise MalformedError("too many signatures", expected=f"at most {MAX_SIGNATURES}", got=len(value), step="V3")
    signatures = tuple(_parse_signature(entry) for entry in value)
    keyids = [entry.keyid for entry in signatures]
    if len(set(keyids)) != len(keyids):
        repeated = next(keyid for keyid in keyids if keyids.count(keyid) > 1)
        raise SignatureError("two signatures carry the same keyid", got=repr(repeated[:80]), step="V3")
    return signatures


def _parse_signature(entry: Any) -> Signature:
    if type(entry) is not dict or type(entry.get("keyid")) is not str or type(entry.get("sig")) is not str:
        raise MalformedError("signature is not an object with keyid and sig", got=kind_of(entry), step="P4")
    try:
        return Signature(entry["keyid"], decode_base64(entry["sig"], what="signature", length=_SIGNATURE_BYTES))
    except MalformedError:  # spec V3: such an entry is skipped, it does not spoil the others
        return Signature(entry["keyid"], b"")


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: DSSE v1 pre-authentication encoding, lengths in bytes."""
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def is_signature(signature: bytes, message: bytes, public: bytes) -> bool:
    """Tell whether *signature* is *public*'s over *message* (RFC 8032; libsodium refuses S >= L and small orders)."""
    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except CryptoError:
        return False
    return True


def keyid_of(public: bytes) -> str:
    """Return the name of a raw Ed25519 public key: hex SHA-256 of its 44-byte SubjectPublicKeyInfo (RFC 8410)."""
    return sha256(_ED25519_SPKI_PREFIX + public).hexdigest()


def check_public_key(public: bytes, *, keyid: str) -> bytes:
    """
    Return *public* when it may verify signatures (spec V1).

    Raises:
        SignatureError: the keyid is not its own, or the point is not canonical and of prime order.
    """
    if keyid_of(public) != keyid:
        raise SignatureError("keyid does not belong to its key", expected=keyid_of(public), got=keyid, step="V1")
    if not crypto_core_ed25519_is_valid_point(public):
        raise SignatureError(
            "key is not a point of prime order", got=public.hex(), hint="Anyone could sign for such a key.", step="V1"
        )
    return public
