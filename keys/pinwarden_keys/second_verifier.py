"""
The other crypto library's word on our own signatures (spec S2): OpenSSL through ``cryptography``, beside libsodium.

It may import ``pinwarden.envelope`` and ``cryptography``. Clients never use it: it only keeps a faulty signer, or a bug
in one library, from publishing what the other library refuses.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pinwarden.envelope import Envelope, Threshold, is_signature, keyid_of, pae
from pinwarden_keys.errors import SignerError


def check_signature(signature: bytes, message: bytes, public: bytes) -> bytes:
    """
    Return *signature* when both libraries accept it as *public*'s over *message* (RFC 8032, pure Ed25519).

    Raises:
        SignerError: one of them refuses; the message says which.
    """
    refusing = []
    if not is_signature(signature, message, public):
        refusing.append("libsodium")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        refusing.append("OpenSSL")
    if refusing:
        raise SignerError(
            f"the signature by key {keyid_of(public)[:16]} does not verify",
            expected="acceptance by libsodium and OpenSSL",
            got=f"refusal by {' and '.join(refusing)}",
            holds="Nothing was published.",
            hint="The signer is faulty, or holds another key than it states.",
        )
    return signature


def check_envelope(envelope: Envelope, role: Threshold) -> Envelope:
    """
    Return *envelope* when every one of its signatures is by a key of *role* and good, and they meet the threshold.

    Stricter than a client, which skips what it cannot use: we made these signatures ourselves (spec S2).

    Raises:
        SignerError: a stranger's or a bad signature. SignatureError: fewer than the threshold.
    """
    message = pae(envelope.payload_type, envelope.payload)
    for entry in envelope.signatures:
        public = role.keys.get(entry.keyid)
        if public is None:
            raise SignerError(
                "an envelope carries a signature by a key that the role does not name",
                expected=f"one of {', '.join(keyid[:16] for keyid in role.keys)}",
                got=entry.keyid[:16],
            )
        check_signature(entry.sig, message, public)
    envelope.verified_by(role)
    return envelope
