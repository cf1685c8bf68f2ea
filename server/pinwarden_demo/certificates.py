"""
Private CAs and what they certify: ordinary X.509, as an openssl command line would make it.

It may import ``cryptography`` and write key files (0600) into the folder that it is given. It knows nothing of pins but
how to compute one.
"""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinwarden_keys.files import write_new

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
    A root certificate that signs leaves directly.

    Attributes:
        certificate: the root, DER.
        pem: the same, for a trust store.
    """

    def __init__(self, folder: Path, common_name: str) -> None:
        self._folder = folder
        self._key = new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        self._ski = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = _usage(sign_certificates=True)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key, datetime.now(UTC))
        builder = builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)
        root = builder.sign(self._key, hashes.SHA256())
        self.certificate, self.pem = root.public_bytes(Encoding.DER), root.public_bytes(Encoding.PEM)

    def issue(self, name: str, key: Key | None = None, *, expired: bool = False) -> Identity:
        """Return a certificate for the host *name* and *key*, or a fresh key; an expired one ended a month ago."""
        key = key or new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begin = datetime.now(UTC) - (_PAST if expired else timedelta())
        builder = (
            self._builder(subject, key, begin)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        context = self._server_context(certificate, key)
        return Identity(key, certificate.public_bytes(Encoding.DER), pin_of_key(key), context)

    def _builder(self, subject: x509.Name, key: Key, begin: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin - timedelta(hours=1))
            .not_valid_after(begin + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._ski), critical=False)
        )

    def _server_context(self, certificate: x509.Certificate, key: Key) -> ssl.SSLContext:
        # ssl reads keys from files only.
        file = self._folder / f"{certificate.serial_number:x}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_new(file, secret + certificate.public_bytes(Encoding.PEM), what="TLS key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
