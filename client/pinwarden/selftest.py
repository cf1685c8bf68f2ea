"""
Proof, on TLS handshakes with itself, that this Python and these libraries refuse what pins should refuse.

It may import ``tls``, ``enforce`` and, lazily, certificate building. Its sockets are a pair that leads nowhere else,
and it reads nothing from outside.
"""

import contextlib
import socket
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
_ROUNDS = 8  # a handshake takes three at most


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
        may_block: bool,
        key_at: Callable[[int], bytes | None],
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
        right, wrong = _OnePin(pin_of(_write_certificate(path))), _OnePin(bytes(32))
        for kind, passes in (("SSLSocket", _passes_sockets), ("SSLObject", _passes_objects)):
            if not passes(path, right):
                raise SelfTestError(
                    f"a connection with the right pin was refused ({kind})", hint="Pinning would break this process."
                )
            held.append(f"a connection with the right pin goes on, and data flows ({kind})")
            if passes(path, wrong):
                raise SelfTestError(
                    f"a connection with a wrong pin was let through ({kind})", hint="Do not rely on pinning here."
                )
            held.append(f"a connection with a wrong pin is refused before any application byte ({kind})")
    if process_wide:
        held += _check_process()
    return held


def _check_process() -> list[str]:
    hint = "Call enforce() again after the library that defined or changed them was imported or monkey patched."
    if uncovered := tls.uncovered_context_classes():
        raise SelfTestError("context classes escape process-wide enforcement", got=", ".join(uncovered), hint=hint)
    if not tls.is_judged(ssl.create_default_context()):
        raise SelfTestError("an ordinary context of this process is not judged", hint=hint)
    return ["every SSLContext class of this process is hooked", "an ordinary context of this process is judged"]


def _passes_sockets(server_pem: Path, guard: tls.Guard) -> bool:
    """Tell whether one byte passes from an SSLSocket under *guard* to a server over a pair of sockets."""
    server_context, client_context = _contexts(server_pem, guard)
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(one) for one in socket.socketpair()]
        for line in lines:
            line.setblocking(False)
        server = stack.enter_context(
            server_context.wrap_socket(lines[0], server_side=True, do_handshake_on_connect=False)
        )
        client = stack.enter_context(
            client_context.wrap_socket(lines[1], server_hostname=_HOST, do_handshake_on_connect=False)
        )
        return _passes(client.send, server.recv)


def _passes_objects(server_pem: Path, guard: tls.Guard) -> bool:
    """Tell whether one byte passes from an SSLObject under *guard* to a server in memory."""
    server_context, client_context = _contexts(server_pem, guard)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=_HOST)
    return _passes(client.write, server.read)


def _contexts(server_pem: Path, guard: tls.Guard) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(server_pem)
    return server_context, tls.arm_context(ssl.create_default_context(cafile=str(server_pem)), guard)


def _passes(send: Callable[[bytes], object], receive: Callable[[int], bytes]) -> bool:
    """Send one byte without asking for a handshake first, as the laziest library would, and tell whether it arrives."""
    for _ in range(_ROUNDS):
        with contextlib.suppress(ssl.SSLWantReadError, PinMismatchError):
            send(b"!")
        try:
            return receive(1) == b"!"
        except ssl.SSLWantReadError:
            continue
        except OSError:  # the client has hung up
            return False
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
