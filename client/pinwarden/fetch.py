"""
Bundles and roots over HTTP (spec section 4).

It may import ``tls`` (only to exempt its own connection, spec E10), ``errors`` and, when the first request is made,
``http.client``. It never judges what it fetched, follows no redirect, and gives one request ten seconds in all.
"""

import ipaddress
import math
import os
import socket
import ssl
import threading
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

from pinwarden import tls
from pinwarden.bundle import MAX_BUNDLE_BYTES
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE
from pinwarden.errors import ConfigError, FetchError, MalformedError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

DEADLINE_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 3600.0
_PIECE = 64 * 1024
_GZIP = 31


class Fetched(NamedTuple):
    """A 200 answer: the body after decompression, and its ETag if it had one."""

    body: bytes
    etag: str | None


class Fetcher:
    """
    Asks one pin server.

    Proxies named in the environment are not used: the pin server must be reachable as the application reaches it.

    Args:
        base_url: ``https://pins.example.com``, or ``http`` for loopback; a path in front of ``/v1`` may follow.
        ca_file: PEM file with the CAs that may certify the server; default: the system's.
        allow_http: accept ``http`` beyond loopback.
        deadline_seconds: for one request, from connect to last byte.
        instance: 16 hex digits for ``Pinwarden-Instance``, or None to send none.

    Raises:
        ConfigError: an address that must not or cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca_file: str | None = None,
        allow_http: bool = False,
        deadline_seconds: float = DEADLINE_SECONDS,
        instance: str | None = None,
    ) -> None:
        self._address = _check_url(base_url, allow_http=allow_http)
        self._ca_file = ca_file
        self._deadline_seconds = deadline_seconds
        self._headers = {"User-Agent": "pinwarden-python", "Accept-Encoding": "gzip", "Accept": "*/*"}
        if instance:
            self._headers["Pinwarden-Instance"] = instance
        self._context: ssl.SSLContext | None = None
        self._connection: HTTPConnection | None = None

    def bundle(
        self, name: str, root_version: int, *, held: tuple[int, int] | None = None, etag: str | None = None
    ) -> Fetched | None:
        """
        Return the bundle for a client that trusts *root_version*, or None when *etag* still holds (304).

        Raises:
            FetchError: no usable answer; ``.status`` is 404 for an unknown name and for a root more than 8 behind.
            MalformedError: more bytes than a bundle may have (spec P1).
        """
        headers = {}
        if held:
            headers["Pinwarden-Held"] = f"{held[0]}.{held[1]}"
        if etag:
            headers["If-None-Match"] = etag
        return self._get(f"/v1/bundles/{name}/{root_version}", headers, MAX_BUNDLE_BYTES)

    def root(self, version: int) -> bytes | None:
        """Return the envelope of a root, or None when there is none of that version (404); errors as for bundle()."""
        try:
            fetched = self._get(f"/v1/roots/{version}", {}, ENVELOPE_LIMITS[ROOT_TYPE])
        except FetchError as error:
            if error.status == 404:
                return None
            raise
        return fetched.body if fetched else None

    def close(self) -> None:
        """Close the idle connection; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _get(self, path: str, headers: dict[str, str], limit: int) -> Fetched | None:
        from http.client import HTTPException

        reused = self._connection is not None
        with _Deadline(self._deadline_seconds) as deadline:
            try:
                try:
                    return self._exchange(path, headers, limit, deadline)
                except (HTTPException, ConnectionError):
                    if not reused or deadline.passed:
                        raise
                    self.close()  # the server closed a kept connection meanwhile, which is no failure
                    return self._exchange(path, headers, limit, deadline)
            except (HTTPException, OSError) as error:
                self.close()
                raise self._failure(error, deadline) from error
            except FetchError as error:
                if error.status == 200:  # a body that was not read to its end
                    self.close()
                raise
            except BaseException:
                self.close()
                raise

    def _exchange(self, path: str, headers: dict[str, str], limit: int, deadline: "_Deadline") -> Fetched | None:
        connection = self._connect(deadline)
        connection.request("GET", self._address.prefix + path, headers={**self._headers, **headers})
        response = connection.getresponse()
        if response.status == 304:
            response.read()
            return None
        if response.status != 200:
            response.read(_PIECE)
            if response.will_close or not response.isclosed():
                self.close()
            raise self._refusal(response, path)
        if (response.headers.get_content_type()) == "text/html":
            raise FetchError(
                f"{self._address.origin} answered with a web page",
                expected="a bundle",
                got="text/html",
                hint="A captive portal or a proxy may stand in the way.",
                status=200,
            )
        body = _read_body(response, limit)
        if response.will_close:
            self.close()
        return Fetched(body, response.headers.get("ETag"))

    def _connect(self, deadline: "_Deadline") -> "HTTPConnection":
        from http.client import HTTPConnection

        connection = self._connection
        if connection is None:
            connection = HTTPConnection(self._address.host, self._address.port)
            line = _open_socket(self._address, deadline)
            deadline.watch(line)
            if self._address.secure:
                line = self._tls_context().wrap_socket(line, server_hostname=self._address.host)
            connection.sock = line
            self._connection = connection
        else:
            deadline.watch(connection.sock)
        connection.sock.settimeout(deadline.remaining)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            try:
                context = ssl.create_default_context(cafile=self._ca_file)
            except OSError as error:
                raise ConfigError(f"ca_file {self._ca_file!r} cannot be used: {error}") from error
            self._context = tls.exempt(context)  # spec E10
        return self._context

    def _refusal(self, response: "HTTPResponse", path: str) -> FetchError:
        hint = "The server does not know this pin set, or no longer this root." if response.status == 404 else None
        if 300 <= response.status < 400:
            hint = "Redirects are not followed; configure the address that answers."
        return FetchError(
            f"{self._address.origin}{path} answered {response.status} {response.reason}",
            expected="200 or 304",
            got=response.status,
            holds="The pins already trusted stay in force.",
            hint=hint,
            status=response.status,
            retry_after=_retry_after(response.headers.get("Retry-After")),
        )

    def _failure(self, error: Exception, deadline: "_Deadline") -> FetchError:
        reason = f"no complete answer within {self._deadline_seconds:g} s" if deadline.passed else _spell(error)
        return FetchError(
            f"{self._address.origin} cannot be asked: {reason}", holds="The pins already trusted stay in force."
        )


class _Address(NamedTuple):
    secure: bool
    host: str
    port: int
    prefix: str

    @property
    def origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class _Deadline:
    """Cuts a connection when the time for the whole exchange is over, however steadily single bytes drip in."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._line: socket.socket | None = None
        self.passed = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()
        self._release()

    @property
    def remaining(self) -> float:
        """Seconds that are left; TimeoutError when none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            self.passed = True
            raise TimeoutError("the time for this request is over")
        return left

    def watch(self, line: socket.socket) -> None:
        """Cut *line* when the time is over; a duplicate descriptor survives its being wrapped in TLS."""
        self._release()
        # Not dup(), which SSLSocket forbids because a copy could not speak TLS; this one is only ever shut down.
        self._line = socket.socket(line.family, line.type, line.proto, fileno=os.dup(line.fileno()))

    def _release(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _cut(self) -> None:
        self.passed = True
        line = self._line
        if line is not None:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already


def _open_socket(address: _Address, deadline: _Deadline) -> socket.socket:
    """Connect to the first address of the host that answers, all within the deadline."""
    failure: OSError | None = None
    for family, kind, protocol, _, target in socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(deadline.remaining)
            line.connect(target)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            line.close()
            failure = error
        else:
            return line
    raise failure or OSError("the name has no address")


def _read_body(response: "HTTPResponse", limit: int) -> bytes:
    """Read to the end, counting after decompression (spec P1)."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise FetchError("the answer has a content encoding that was not asked for", got=encoding, status=200)
    inflater = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body = bytearray()
    while piece := response.read1(_PIECE):
        body += _inflate(inflater, piece, limit + 1 - len(body)) if inflater else piece
        if len(body) > limit:
            raise MalformedError("the answer is too large", expected=f"at most {limit} bytes", got="more", step="P1")
    if response.length or (inflater and not inflater.eof):
        raise FetchError("the answer ended early", got=f"{len(body)} bytes", status=200)
    response.close()  # read1() does not notice the end, and the connection would not take another request
    return bytes(body)


def _inflate(inflater: "zlib._Decompress", piece: bytes, room: int) -> bytes:
    try:
        return inflater.decompress(piece, room)
    except zlib.error as error:
        raise FetchError(f"the answer is not gzip: {error}", status=200) from None


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that Retry-After (RFC 9110 section 10.2.3) asks for, an hour at most, or None."""
    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        seconds = float(text) if len(text) < 10 else math.inf
    else:
        from email.utils import parsedate_to_datetime

        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _spell(error: Exception) -> str:
    return str(error) or type(error).__name__


def _check_url(url: str, *, allow_http: bool) -> _Address:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ConfigError(f"url is not usable: {error}", got=repr(url)) from None
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "url is not the address of a pin server",
            expected="https://HOST, without credentials, query or fragment",
            got=repr(f"{parts.scheme}://{host or ''}"),
        )
    secure = parts.scheme == "https"
    if not secure and not allow_http and not _is_loopback(host):
        raise ConfigError(
            "url is plain http",
            expected="https, or http on loopback",
            got=repr(url),
            hint="Signatures protect the pins without TLS, but everyone on the way sees which pins this service uses; "
            "allow_http=True accepts that.",
        )
    return _Address(secure, host, port or (443 if secure else 80), parts.path.rstrip("/"))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
