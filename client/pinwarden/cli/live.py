"""
A look at a live host: the chain that it serves, and the chain that verifies.

It may import ``ssl``, ``socket`` and ``tls`` (to exempt its probe). It sends no application byte, and a chain that does
not verify is never passed off as one that does.
"""

import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden import tls
from pinwarden.errors import ConfigError, FetchError, PinwardenError
from pinwarden.hosts import canonical_host
from pinwarden.tls.contexts import DER

DEADLINE_SECONDS = 10.0
_TARGET = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^:\s/]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A host as connections and certificates name it, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LiveChain:
    """
    DER certificates, leaf first.

    Attributes:
        served: as the host sent them.
        verified: as this machine verified them, root included; empty when they did not verify.
        problem: why they did not verify, or None.
    """

    served: tuple[bytes, ...]
    verified: tuple[bytes, ...]
    problem: str | None


def parse_target(text: str) -> Target:
    """
    Read ``HOST``, ``HOST:PORT``, ``[IPV6]:PORT`` or an address; the port is 443 when none is given.

    Raises:
        ConfigError: anything else; a URL among it.
    """
    found = _TARGET.fullmatch(text)
    if found is None:
        if _is_address(text):
            return Target(canonical_host(text), 443)
        raise ConfigError(
            f"{text!r} is not a host", expected="HOST, HOST:PORT or [IPV6]:PORT", hint="Give no scheme and no path."
        )
    port = int(found["port"] or 443)
    if not 1 <= port <= 65_535:
        raise ConfigError(f"{text!r} has no such port", expected="1 to 65535", got=port)
    return Target(canonical_host(found["v6"] or found["host"]), port)


def look(target: Target, ca_file: Path | None) -> LiveChain:
    """
    Connect, once or twice, and return the chain; pins play no part.

    Raises:
        FetchError: nobody answers there, or not with TLS.
    """
    try:
        with connected(target, tls.exempt(default_context(ca_file))) as line:
            return LiveChain(served_chain(line), verified_chain(line), None)
    except ssl.SSLCertVerificationError as error:
        problem = error.verify_message
    blind = tls.exempt(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    with connected(target, blind) as line:
        return LiveChain(served_chain(line), (), problem)


def default_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return an ordinary client context that trusts the CAs of *ca_file*, or the system's."""
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise ConfigError(f"CA file {ca_file} cannot be used: {error.strerror or error}") from None


@contextmanager
def connected(target: Target, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """
    Yield a TLS connection after its handshake.

    Raises:
        ssl.SSLCertVerificationError: refused by CA checks or by pins. FetchError: nobody answers, or not with TLS.
    """
    try:
        with (
            socket.create_connection((target.host, target.port), timeout=DEADLINE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=target.host) as line,
        ):
            yield line
    except ssl.SSLCertVerificationError:
        raise
    except ssl.SSLError as error:
        if isinstance(error, PinwardenError):
            raise
        raise FetchError(f"{target} answers, but not with TLS that this machine speaks: {error.reason}") from error
    except UnicodeError:
        raise ConfigError(f"{target.host!r} cannot be a host name") from None
    except OSError as error:
        raise FetchError(f"{target} cannot be reached: {error.strerror or error}") from error


def served_chain(line: ssl.SSLSocket) -> tuple[bytes, ...]:
    """Return the certificates as the peer sent them."""
    return _as_der(_object_of(line).get_unverified_chain())


def verified_chain(line: ssl.SSLSocket) -> tuple[bytes, ...]:
    """Return the certificates as they were verified, root included."""
    return _as_der(_object_of(line).get_verified_chain())


def _object_of(line: ssl.SSLSocket) -> Any:
    return line._sslobj  # type: ignore[attr-defined]  # SSLSocket has these methods itself only from Python 3.13


def _as_der(certificates: Any) -> tuple[bytes, ...]:
    return tuple(certificate.public_bytes(DER) for certificate in certificates or ())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
