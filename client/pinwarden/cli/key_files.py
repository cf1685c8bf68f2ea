"""
Public keys in files as people have them: PEM or DER; a certificate, a chain, a request, a bare key.

It may import ``spki`` and, for what people want to read beside a pin, cryptography's X.509. It never reads a private
key nor opens a file, and no pin here comes from anything but ``spki``: what cryptography cannot read still has its pin.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from pinwarden.errors import ConfigError, MalformedError
from pinwarden.spki import pin_of, spki_of_request
from pinwarden.strict_json import encode_base64

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_FILE_BYTES = 4 * 1024 * 1024
Kind = Literal["certificate", "request", "public key"]
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_KINDS: dict[str, Kind] = {
    "CERTIFICATE": "certificate",
    "X509 CERTIFICATE": "certificate",
    "CERTIFICATE REQUEST": "request",
    "NEW CERTIFICATE REQUEST": "request",
    "PUBLIC KEY": "public key",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """One DER value out of a file, and its base64 pin."""

    kind: Kind
    der: bytes
    pin: str

    @classmethod
    def of(cls, kind: Kind, der: bytes) -> "Encoded":
        """
        Compute the pin of *der*.

        Raises:
            MalformedError: not what it claims to be.
        """
        return cls(kind, der, encode_base64(_READERS[kind](der)))


@dataclass(frozen=True, slots=True)
class Described:
    """
    A pin, and what its certificate, request or key says about itself; nothing of that is verified.

    Attributes:
        role: leaf, intermediate or root for certificates, else the kind.
        expires: the end of a certificate; None for what has none.
    """

    role: str
    pin: str
    subject: str | None = None
    issuer: str | None = None
    key: str | None = None
    expires: datetime | None = None


def parse_encoded(content: bytes, *, where: str) -> tuple[Encoded, ...]:
    """
    Return what *content* holds, in its order; a private key beside certificates is passed over unread.

    Args:
        content: the bytes of a file.
        where: its name for messages.

    Raises:
        ConfigError: it holds nothing of the kind. MalformedError: what it holds is damaged.
    """
    blocks = [(label.decode("ascii"), body) for label, body in _BLOCK.findall(content)]
    try:
        found = tuple(Encoded.of(_KINDS[label], _decode(body)) for label, body in blocks if label in _KINDS)
        if not blocks:
            found = _parse_der(content)
    except MalformedError as error:
        raise MalformedError(f"{where} is damaged: {error.what}", got=error.got, holds=None) from None
    if found:
        return found
    labels = [label for label, _ in blocks]
    raise ConfigError(
        f"{where} holds no certificate, request or public key",
        got=", ".join(labels) or None,
        hint="A private key is never read here: openssl pkey -in FILE -pubout prints its public half."
        if any("PRIVATE KEY" in label for label in labels)
        else "Give PEM or DER: a certificate, a chain, a request (CSR), or a public key.",
    )


def describe(encoded: Encoded, *, is_first_of_chain: bool = False) -> Described:
    """
    Return the pin with what people want to see beside it.

    Args:
        encoded: a certificate, a request or a key.
        is_first_of_chain: it stands where a server puts its own certificate, whatever it says about itself.
    """
    try:
        if encoded.kind == "certificate":
            return _describe_certificate(encoded, is_first_of_chain=is_first_of_chain)
        return _describe_other(encoded)
    except Exception:  # noqa: BLE001 - cryptography refuses odd but pinnable ones in many ways; their pin stands anyway
        return Described("leaf" if is_first_of_chain else encoded.kind, encoded.pin)


def _decode(body: bytes) -> bytes:
    try:
        return b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise MalformedError("a PEM block is not base64") from None


def _parse_der(content: bytes) -> tuple[Encoded, ...]:
    # The walk through a request would take an old certificate for one, so certificates are tried first.
    for kind in _READERS:
        try:
            return (Encoded.of(kind, content),)
        except MalformedError:
            continue
    return ()


def _pin_of_request(der: bytes) -> bytes:
    return sha256(spki_of_request(der)).digest()


def _pin_of_public_key(der: bytes) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise MalformedError("not a public key that this version knows") from None
    contents = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    if der[contents] != 0x30:  # cryptography also takes RSA keys without their algorithm (PKCS #1), which have no pin
        raise MalformedError("not a SubjectPublicKeyInfo")
    return sha256(der).digest()


_READERS: dict[Kind, Callable[[bytes], bytes]] = {
    "certificate": pin_of,
    "request": _pin_of_request,
    "public key": _pin_of_public_key,
}


def _describe_certificate(encoded: Encoded, *, is_first_of_chain: bool) -> Described:
    from cryptography.x509 import BasicConstraints, ExtensionNotFound, load_der_x509_certificate

    certificate = load_der_x509_certificate(encoded.der)
    try:
        is_ca = certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except ExtensionNotFound:
        is_ca = False
    if is_first_of_chain or not is_ca:
        role = "leaf"
    else:
        role = "root" if certificate.issuer == certificate.subject else "intermediate"
    return Described(
        role,
        encoded.pin,
        _name(certificate),
        _spell_name(certificate.issuer),
        _spell_key(certificate.public_key()),
        certificate.not_valid_after_utc,
    )


def _describe_other(encoded: Encoded) -> Described:
    from cryptography.hazmat.primitives.serialization import load_der_public_key
    from cryptography.x509 import load_der_x509_csr

    if encoded.kind == "request":
        request = load_der_x509_csr(encoded.der)
        return Described("request", encoded.pin, _spell_name(request.subject), None, _spell_key(request.public_key()))
    return Described("public key", encoded.pin, key=_spell_key(load_der_public_key(encoded.der)))


def _name(certificate: "Certificate") -> str:
    """Return the subject, or the names that a certificate without one is for."""
    from cryptography.x509 import SubjectAlternativeName

    if list(certificate.subject):
        return _spell_name(certificate.subject)
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    return ", ".join(str(name.value) for name in names)


def _spell_name(name: Any) -> str:
    """Return the common name, or the whole name where there is none; control characters are shown as escapes."""
    from cryptography.x509 import NameOID

    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(common[0].value) if common else name.rfc4514_string()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _spell_key(key: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    if isinstance(key, EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    name = type(key).__name__.removesuffix("PublicKey").lstrip("_")
    return f"{name} {key.key_size}" if hasattr(key, "key_size") else name
