"""
Proof, on TLS handshakes in memory, that this Python and these libraries refuse what pins should refuse.

It may import ``tls``, ``enforce`` and, lazily, certificate building. It opens no socket and reads nothing from outside.
"""

import ssl
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pinwarden import tls
from pinwarden.enforce import Chain
from pinwarden.errors import PinMismatchError, PinwardenError
from pinwarden.spki import pin_of

_HOST = "selftest.invalid"


class SelfTestError(PinwardenError):
    """A promise of enforcement does not hold in this process."""


class _OnePin:
    """A guard that expects one key and nothing else."""

    def __init__(self, pin: bytes) -> None:
        self.token: object = self
        self._pin = pin

    def expects(self, host: str | None) -> bool:
        return True

    def admit(
        self,
        host: str | None,
        chain: Callable[[], Chain],
        *,
        may_block: bool,
        leaf: Callable[[], bytes | None] | None = None,
    ) -> object:
        if self._pin not in chain().pins:
            raise PinMismatchError(
                "self-test: the presented key is not pinned",
                host=host or "",
                presented=(),
                expected_pins=(),
                document="self-test",
            )
        return self.token


def run_selftest(*, process_wide: bool) -> list[str]:
    """
    Return one line per promise that held.

    Raises:
        SelfTestError: a wrong pin was let through, a right one refused, or a context class escapes the hooks.
    """
    held = []
    with tempfile.TemporaryDirectory(prefix="pinwarden-selftest-") as folder:
        path = Path(folder, "server.pem")
        certificate = _write_certificate(path)
        if not _handshake(path, _OnePin(pin_of(certificate))):
            raise SelfTestError("a connection with the right pin was refused", hint="Pinning would break this process.")
        held.append("a connection with the right pin goes on, and data flows")
        if _handshake(path, _OnePin(bytes(32))):
            raise SelfTestError("a connection with a wrong pin was let through", hint="Do not rely on pinning here.")
        held.append("a connection with a wrong pin is refused before any application byte")
    if process_wide:
        uncovered = tls.uncovered_context_classes()
        if uncovered:
            raise SelfTestError(
                "context classes escape process-wide enforcement",
                got=", ".join(uncovered),
                hint="Call enforce() again after the library that defined them was imported or monkey patched.",
            )
        held.append("every SSLContext class of this process is hooked")
    return held


def _handshake(server_pem: Path, guard: tls.Guard) -> bool:
    """Tell whether one byte passes from a client under *guard* to a server in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(server_pem)
    client_context = tls.arm_context(ssl.create_default_context(cafile=str(server_pem)), guard)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=_HOST)
    try:
        for step in (client.do_handshake, server.do_handshake, client.do_handshake, server.do_handshake):
            try:
                step()
            except ssl.SSLWantReadError:
                continue
        client.write(b"!")
    except PinMismatchError:
        pass
    try:
        return server.read(1) == b"!"
    except ssl.SSLError:
        return False


def _write_certificate(path: Path) -> bytes:
    """Write a throw-away key and certificate for the self-test's host; return the certificate as DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return certificate.public_bytes(serialization.Encoding.DER)
