"""
What a draft shows beside what is signed: certificates that hosts present now, and requests that prove backup keys.

It may import layer 0 and ``cryptography``. Nothing of it is stored, signed or trusted: no chain is validated here, and
what clients see may be another one; it only tells lint what to look at.
"""

from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pinwarden.errors import MalformedError
from pinwarden.spki import pin_of, spki_of_request

MAX_CERTIFICATES = 10
SMALLEST_RSA_BITS, SMALLEST_EC_BITS = 2048, 256
# Every leaf of a CA that browsers trust names a policy of the CA/Browser Forum (Baseline Requirements 7.1.6.1).
_FORUM = "2.23.140.1."


@dataclass(frozen=True, slots=True)
class Shown:
    """
    One certificate of a chain, as far as lint looks at it.

    Attributes:
        pin: of its key. digest: SHA-256 of the whole certificate, which is no pin and taken for one.
        names: DNS names that it is for.
        is_authority: it may sign others. is_public: its policy is one of the CA/Browser Forum.
        weakness: why its key is weak, or None.
    """

    pin: bytes
    digest: bytes
    names: tuple[str, ...]
    is_authority: bool
    is_public: bool
    weakness: str | None


@dataclass(frozen=True, slots=True)
class Proof:
    """A certificate request: its key's pin, whether that key signed it, and why the key is weak, or None."""

    pin: bytes
    is_signed: bool
    weakness: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is shown of one host: its chain, leaf first, and for each of its backups the proof, or None."""

    chain: tuple[Shown, ...] = ()
    proofs: tuple[Proof | None, ...] = ()

    @property
    def keys(self) -> frozenset[bytes]:
        """The pins of the chain."""
        return frozenset(each.pin for each in self.chain)


NOTHING_SHOWN = Evidence()


def read_chain(text: str) -> tuple[Shown, ...]:
    """
    Return the certificates of a PEM text such as fullchain.pem, in its order.

    Raises:
        MalformedError: none, more than ten, or not certificates.
    """
    try:
        found = x509.load_pem_x509_certificates(text.encode())
        shown = tuple(map(_shown, found))
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        expected = "certificates in PEM, the host's own first"
        raise MalformedError("not certificates in PEM", expected=expected, got=type(error).__name__) from error
    if len(shown) > MAX_CERTIFICATES:
        raise MalformedError("too many certificates", expected=f"at most {MAX_CERTIFICATES}", got=str(len(shown)))
    return shown


def read_proof(text: str) -> Proof:
    """
    Return what a certificate request in PEM proves.

    Raises:
        MalformedError: it is none.
    """
    try:
        request = x509.load_pem_x509_csr(text.encode())
        pin = sha256(spki_of_request(request.public_bytes(Encoding.DER))).digest()
        return Proof(pin, _is_signed(request), _weakness(request.public_key()))
    except (ValueError, UnsupportedAlgorithm) as error:
        expected = "the file that `pinwarden keys new --tls` or openssl wrote"
        what = "not a certificate request in PEM"
        raise MalformedError(what, expected=expected, got=type(error).__name__) from error


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except (InvalidSignature, UnsupportedAlgorithm):
        return False


def _shown(certificate: x509.Certificate) -> Shown:
    der = certificate.public_bytes(Encoding.DER)
    return Shown(
        pin=pin_of(der),
        digest=sha256(der).digest(),
        names=_names(certificate),
        is_authority=_is_authority(certificate),
        is_public=_is_public(certificate),
        weakness=_weakness_of(certificate),
    )


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_public(certificate: x509.Certificate) -> bool:
    try:
        policies = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return False
    return any(policy.policy_identifier.dotted_string.startswith(_FORUM) for policy in policies)


def _weakness_of(certificate: x509.Certificate) -> str | None:
    try:
        return _weakness(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return None  # a kind of key that the library does not know is not known to be weak


def _weakness(key: object) -> str | None:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
        return f"RSA of {key.key_size} bits, under {SMALLEST_RSA_BITS}"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < SMALLEST_EC_BITS:
        return f"{key.curve.name} of {key.curve.key_size} bits, under {SMALLEST_EC_BITS}"
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA, which TLS 1.3 does not know"
    return None
