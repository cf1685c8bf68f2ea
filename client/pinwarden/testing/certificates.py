"""
A private CA in memory and certificates for names on this machine.

It may import cryptography and ``spki``; it is imported when a server is made. Its keys never leave the process but for
the moment in which ``ssl`` reads one from a file.
"""

import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pinwarden.spki import pin_of

_LIFETIME = timedelta(days=7)


class PrivateCA:
    """
    A root that signs leaves directly.

    Attributes:
        pem: its certificate, for trust stores.
        pin: its 32-byte pin.
    """

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Throw-away CA of a test")])
        certificate = self._sign(self._name, self._key.public_key(), ca=True, names=())
        self.pem = certificate.public_bytes(Encoding.PEM)
        self.pin = pin_of(certificate.public_bytes(Encoding.DER))

    def issue(self, names: Iterable[str], context: ssl.SSLContext) -> bytes:
        """Give *context* a new key with a certificate for *names* (host names and addresses); return its pin."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Server of a test")])
        certificate = self._sign(subject, key.public_key(), ca=False, names=tuple(names))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with tempfile.TemporaryDirectory(prefix="pinwarden-testing-") as folder:  # mode 0700
            path = Path(folder, "key-and-certificate.pem")
            path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
            context.load_cert_chain(path)
        return pin_of(certificate.public_bytes(Encoding.DER))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool, names: tuple[str, ...]
    ) -> x509.Certificate:
        begin = datetime.now(UTC) - timedelta(hours=1)
        issuer = self._key.public_key()
        builder = (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number(), begin, begin + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(_usage(ca=ca), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        )
        if names:
            alternatives = [_alternative(name) for name in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256())


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
