"""
Certificate chains for the tests of enforcement: root, intermediate, leaf, as a public CA would issue them.

It may import ``cryptography``. Nothing here is read from disk, and every key is thrown away with the process.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pinwarden.spki import pin_of

NAMES = ("localhost", "api.example.com", "xn--bcher-kva.example", "*.wild.example", "proxy.localhost")
ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Signed:
    """A certificate with its key, and what it may sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pin(self) -> bytes:
        return pin_of(self.der)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def issue(self, name: str, *, ca: bool = False) -> "Signed":
        """Return a certificate signed by this one: another CA, or a leaf for every name that the tests use."""
        return _issue(name, self, ca=ca)

    def forge(self, name: str, stranger: ec.EllipticCurvePrivateKey) -> "Signed":
        """Return a leaf that names this CA as its issuer, key identifier included, but was signed by a *stranger*."""
        return _issue(name, Signed(self.certificate, stranger), ca=False, claimed=self.key.public_key())


def root(name: str) -> Signed:
    """Return a self-signed CA."""
    return _issue(name, None, ca=True)


def _issue(name: str, issuer: Signed | None, *, ca: bool, claimed: ec.EllipticCurvePublicKey | None = None) -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=ca, crl_sign=ca, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(claimed or signer.public_key()), critical=False
        )
    )
    if not ca:
        names = [x509.DNSName(one) for one in NAMES]
        addresses = [x509.IPAddress(ipaddress.ip_address(one)) for one in ADDRESSES]
        builder = builder.add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
    return Signed(builder.sign(signer, hashes.SHA256()), key)


@dataclass(frozen=True)
class Chain:
    """
    A leaf, and the certificates that a server sends behind it.

    Attributes:
        extras: sent although they certify nothing here; an attacker's way to show a pinned key.
    """

    leaf: Signed
    between: tuple[Signed, ...] = ()
    extras: tuple[Signed, ...] = ()

    def write_into(self, folder: Path) -> Path:
        """Write this chain and the leaf's key as PEM, and return the file."""
        file = folder / f"{self.leaf.certificate.serial_number:x}-{len(self.extras)}.pem"
        file.write_bytes(
            b"".join([self.leaf.key_pem, self.leaf.pem, *(one.pem for one in (*self.between, *self.extras))])
        )
        return file

    def load_into(self, context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
        """Give *context* this chain and the leaf's key."""
        context.load_cert_chain(self.write_into(folder))
        return context


class World:
    """
    Two public CAs that every client trusts: one that issued the service's chain, one that an attacker can buy from.

    Attributes:
        root, intermediate, leaf: the service.
        honest, bought, padded, forged: chains as servers present them. *bought*: the attacker's trusted CA issued a
            leaf for the same names. *padded*: the same, with the service's leaf and intermediate as extras. *forged*:
            a leaf that only claims to be issued by the service's intermediate.
        cafile: PEM with both roots.
    """

    def __init__(self, folder: Path) -> None:
        self.root = root("Service Root")
        self.intermediate = self.root.issue("Service Intermediate", ca=True)
        self.leaf = self.intermediate.issue("service")
        self.other_root = root("Other Root")
        other_intermediate = self.other_root.issue("Other Intermediate", ca=True)
        bought = other_intermediate.issue("attacker")
        forged = self.intermediate.forge("forger", ec.generate_private_key(ec.SECP256R1()))
        self.honest = Chain(self.leaf, (self.intermediate,))
        self.bought = Chain(bought, (other_intermediate,))
        self.padded = Chain(bought, (other_intermediate,), (self.leaf, self.intermediate, self.root))
        self.forged = Chain(forged, (self.intermediate,))
        self.folder = folder
        self.cafile = folder / "roots.pem"
        self.cafile.write_bytes(self.root.pem + self.other_root.pem)

    def client_context(self, **changes: object) -> ssl.SSLContext:
        """Return an ordinary client context that trusts both roots; *changes* are attributes to set."""
        context = ssl.create_default_context(cafile=str(self.cafile))
        for name, value in changes.items():
            setattr(context, name, value)
        return context

    def server_context(self, chain: Chain) -> ssl.SSLContext:
        """Return a server's context that presents *chain*."""
        return chain.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.folder)
