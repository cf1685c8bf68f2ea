"""
Chains of certificates to check hosts with, one key for each label.

It may import ``cryptography`` only: pins are computed by another library than the client's. Nothing here is a secret,
and nothing is written but PEM.
"""

from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

# The order of P-256, less one: private keys are from 1 to this.
_LARGEST = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632550


@cache
def _key(label: str) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(sha256(label.encode()).digest(), "big") % _LARGEST + 1
    return ec.derive_private_key(number, ec.SECP256R1())


@cache
def pin(label: str) -> str:
    """Return the pin of a label's key, as documents spell it."""
    spki = _key(label).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(spki).digest()).decode()


@cache
def certificate(label: str) -> bytes:
    """Return a certificate for a label's key, in PEM; it is its own issuer."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_key(label).public_key())
        .serial_number(1)
        .not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2035, 1, 1, tzinfo=UTC))
        .sign(_key(label), hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def chain(*labels: str) -> bytes:
    """Return a chain in PEM, leaf first."""
    return b"".join(certificate(label) for label in labels)
