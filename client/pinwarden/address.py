"""
The address of a pin server, as an application configures it.

It may import errors and the standard library's parsing. It never resolves a name, and never repeats a password.
"""

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from pinwarden.errors import ConfigError

_PATH = re.compile(r"[!-~]*")


class Address(NamedTuple):
    """Where a pin server answers; *prefix* stands in front of ``/v1``, without a slash at its end."""

    secure: bool
    host: str
    port: int
    prefix: str

    @property
    def origin(self) -> str:
        """Scheme, host and port, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def check_address(url: object, *, allow_http: bool) -> Address:
    """
    Return the parts of *url*.

    Raises:
        ConfigError: not ``https``, nor ``http`` on loopback or where *allow_http* accepts it; or unusable.
    """
    if not isinstance(url, str):
        raise ConfigError("url is not the address of a pin server", expected="https://HOST", got=repr(url))
    shown = repr(re.sub(r"//.*@", "//***@", url))  # a password must not end in a log
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
        (host or "").encode("idna")
    except ValueError as error:
        reason = "it cannot be read" if "@" in url else str(error)
        raise ConfigError(f"url is not usable: {reason}", expected="https://HOST", got=shown) from None
    if (
        parts.scheme not in ("https", "http")
        or not host
        or port == 0
        or not _PATH.fullmatch(parts.path)
        or not url.isprintable()
        or any(mark in url for mark in "@?# ")
    ):
        raise ConfigError(
            "url is not the address of a pin server",
            expected="https://HOST, without credentials, query or fragment",
            got=shown,
        )
    secure = parts.scheme == "https"
    if not secure and not allow_http and not _is_loopback(host):
        raise ConfigError(
            "url is plain http",
            expected="https, or http on loopback",
            got=shown,
            hint="Signatures protect the pins without TLS, but everyone on the way sees which pins this service uses; "
            "allow_http=True accepts that.",
        )
    return Address(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
