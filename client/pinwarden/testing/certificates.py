"""
Private CAs in memory and what they certify: ordinary X.509, as an openssl command line would make it.

It may import cryptography and ``spki``; it is imported when a server is made. Its keys never leave the process but for
the moment in which ``ssl`` reads one from a file.
"""

import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinwarden.spki import pin_of

Key = ec.EllipticCurvePrivateKey
LIFETIME = timedelta(days=30)
_PAST = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Identity:
    """
    A TLS key with a certificate for it, ready to be presented.

    Attributes:
        certificate: DER.
        pin: 32 bytes, SHA-256 of the key's SubjectPublicKeyInfo.
        context: a server's, which presents both.
    """

    key: Key
    certificate: bytes
    pin: bytes
    context: ssl.SSLContext


def new_key() -> Key:
    """Return a fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def pin_of_key(key: Key) -> bytes:
    """Return the 32-byte pin of *key*, before any certificate for it exists."""
    return sha256(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


class PrivateCA:
    """
    A root that signs leaves directly.

    Attributes:
        certificate: the root, DER.
        pem: the same, for trust stores.
        pin: its 32-byte pin.
    """

    def __init__(self, common_name: str = "Throw-away CA of a test") -> None:
        self._key = new_key()
        self._name = _named(common_name)
        root = self._sign(self._name, self._key.public_key(), datetime.now(UTC), ca=True, names=())
        self.certificate, self.pem = root.public_bytes(Encoding.DER), root.public_bytes(Encoding.PEM)
        self.pin = pin_of(self.certificate)

    def issue(self, *names: str, key: Key | None = None, expired: bool = False) -> Identity:
        """
        Return a certificate for *names* (host names and addresses; the first is its subject).

        It is for *key*, or a fresh one; an expired one ended a month ago.
        """
        key = key or new_key()
        begin = datetime.now(UTC) - (_PAST if expired else timedelta())
        certificate = self._sign(_named(names[0]), key.public_key(), begin, ca=False, names=names)
        context = _server_context(certificate, key)
        return Identity(key, certificate.public_bytes(Encoding.DER), pin_of_key(key), context)

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, *, ca: bool, names: tuple[str, ...]
    ) -> x509.Certificate:
        first, last = begin - timedelta(hours=1), begin + LIFETIME
        builder = (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number(), first, last)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(_usage(ca=ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if not ca:
            server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(server, critical=False).add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _server_context(certificate: x509.Certificate, key: Key) -> ssl.SSLContext:
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="pinwarden-") as folder:  # mode 0700; ssl reads keys from files only
        path = Path(folder, "key-and-certificate.pem")
        path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        context.load_cert_chain(path)
    return context


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
