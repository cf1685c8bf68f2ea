"""
Bundles and roots over HTTP (spec section 4).

It may import ``tls`` (only to exempt its own connection, spec E10), its parts ``address``, ``answer`` and ``deadline``,
and errors. It never judges what it fetched, follows no redirect, and gives one request ten seconds in all. It is
imported when a client is made, because it brings ``http.client``.
"""

import math
import os
import re
import ssl
import time
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, responses
from typing import NamedTuple

from pinwarden import elapsed, tls
from pinwarden.address import check_address
from pinwarden.answer import PIECE, PINS_STAY, BoundedResponse, printable, read_body
from pinwarden.bundle import MAX_BUNDLE_BYTES
from pinwarden.deadline import Deadline, open_socket
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE
from pinwarden.errors import ConfigError, FetchError

DEADLINE_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 3600.0
# Some firewalls forget an idle connection without a word to either side, and the next request would wait in vain.
MAX_IDLE_SECONDS = 30.0
# Whatever else stands in that header would be sent with every later request, and some server might refuse them all.
_ETAG = re.compile(r'(W/)?"[!#-~]{1,128}"')


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
        ConfigError: an address that must not or cannot be used, or a *ca_file* without certificates.
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
        self._address = check_address(base_url, allow_http=allow_http)
        self._deadline_seconds = deadline_seconds
        self._headers = {"User-Agent": "pinwarden-python", "Accept-Encoding": "gzip", "Accept": "*/*"}
        if instance:
            self._headers["Pinwarden-Instance"] = instance
        self._context = own_context(ca_file) if ca_file else None
        self._connection: HTTPConnection | None = None
        self._idle_since = 0.0

    @property
    def origin(self) -> str:
        """Scheme, host and port of the server, for messages."""
        return self._address.origin

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
        return self.document(f"/v1/roots/{version}", ENVELOPE_LIMITS[ROOT_TYPE])

    def document(self, path: str, limit: int) -> bytes | None:
        """Return the body at *path*, at most *limit* bytes, or None when there is none (404); errors as bundle()."""
        try:
            fetched = self._get(path, {}, limit)
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

    def reset_after_fork(self, instance: str | None) -> None:
        """In the child: let go of the connection, which only the parent may go on using, and be another *instance*."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            # Not close(): it would wait for the lock of a buffer that some thread of the parent was reading from.
            descriptor = connection.sock.detach()
            if descriptor >= 0:
                os.close(descriptor)
        if instance:
            self._headers["Pinwarden-Instance"] = instance

    def _get(self, path: str, headers: dict[str, str], limit: int) -> Fetched | None:
        if elapsed.seconds() - self._idle_since > MAX_IDLE_SECONDS:
            self.close()
        try:
            return self._exchange_twice(path, headers, limit, Deadline(self._deadline_seconds))
        except (HTTPException, OSError) as error:
            self.close()
            raise self._failure(error) from error
        except FetchError:
            raise  # of an answer that was read to its end; _exchange() knows about others
        except BaseException:
            self.close()
            raise

    def _exchange_twice(self, path: str, headers: dict[str, str], limit: int, deadline: Deadline) -> Fetched | None:
        reused = self._connection is not None
        try:
            return self._exchange(path, headers, limit, deadline)
        except (HTTPException, ConnectionError, ssl.SSLError):
            if not reused:
                raise
            self.close()  # the server closed a kept connection meanwhile, which is no failure
            return self._exchange(path, headers, limit, deadline)

    def _exchange(self, path: str, headers: dict[str, str], limit: int, deadline: Deadline) -> Fetched | None:
        connection = self._connect(deadline)
        connection.request("GET", self._address.prefix + path, headers={**self._headers, **headers})
        response = connection.getresponse()
        try:
            if response.status == 200:
                return self._read_answer(response, limit)
            if response.status == 304:
                response.close()  # without reading: it has no body, whatever its headers say
                if "If-None-Match" in headers:
                    return None
            else:
                with suppress(TimeoutError):  # the status tells more
                    response.read(PIECE)
            raise self._refusal(response, path)
        finally:
            # What was not read to its end, or announces another answer, would be taken for the next answer.
            self._idle_since = elapsed.seconds()
            if response.will_close or not response.isclosed() or response.status < 200:
                self.close()
                response.close()  # an error that somebody keeps would keep the socket open

    def _read_answer(self, response: HTTPResponse, limit: int) -> Fetched:
        if response.headers.get_content_type() == "text/html":
            raise FetchError(
                f"{self._address.origin} answered with a web page",
                expected="a bundle",
                got="text/html",
                holds=PINS_STAY,
                hint="A captive portal or a proxy may stand in the way.",
                status=200,
            )
        body = read_body(response, limit)
        etag = response.headers.get("ETag")
        return Fetched(body, etag if etag and _ETAG.fullmatch(etag) else None)

    def _connect(self, deadline: Deadline) -> HTTPConnection:
        connection = self._connection
        if connection is None:
            connection = HTTPConnection(self._address.host, self._address.port)
            line = open_socket(self._address.host, self._address.port, deadline)
            try:
                if self._address.secure:
                    self._context = self._context or own_context(None)
                    line = self._context.wrap_socket(line, server_hostname=self._address.host)
            except BaseException:
                line.close()
                raise
            connection.sock = line
            self._connection = connection
        connection.response_class = partial(BoundedResponse, deadline=deadline)  # type: ignore[assignment]
        connection.sock.settimeout(deadline.check())
        return connection

    def _refusal(self, response: HTTPResponse, path: str) -> FetchError:
        status, expected = response.status, "200"
        hint = "The server does not know this pin set, or no longer this root." if status == 404 else None
        if status == 304:
            expected, hint = "200, because nothing was asked to be compared", "A cache may stand in the way."
        elif 300 <= status < 400:
            hint = "Redirects are not followed; configure the address that answers."
        return FetchError(
            f"{self._address.origin}{self._address.prefix}{path} has no usable answer",
            expected=expected,
            got=f"{status} {responses.get(status, '')}".rstrip(),  # never the reason as it was sent
            holds=PINS_STAY,
            hint=hint,
            status=response.status,
            retry_after=parse_retry_after(response.headers.get("Retry-After")),
        )

    def _failure(self, error: Exception) -> FetchError:
        reason, hint = _spell(error), None
        if isinstance(error, TimeoutError):
            reason = f"no complete answer within {self._deadline_seconds:g} s"
        elif not isinstance(error, OSError):
            reason = f"its answer is not HTTP ({reason})"
        elif isinstance(error, ssl.SSLCertVerificationError):
            hint = "If a private CA certifies the pin server, name the CA's file with ca_file."
        return FetchError(f"{self._address.origin} cannot be asked: {reason}", holds=PINS_STAY, hint=hint)


def own_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that checks chain and name, by the CAs of *ca_file* or the system's, and that no pins judge."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(
            f"ca_file {ca_file!r} cannot be used: {error.strerror or error}",
            hint="Give a PEM file with the certificates of the CAs that certify the pin server.",
        ) from error
    return tls.exempt(context)  # spec E10


def parse_retry_after(text: str | None) -> float | None:
    """Return the seconds that Retry-After (RFC 9110 section 10.2.3) asks for, an hour at most, or None."""
    if not text:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        seconds = float(text) if len(text) < 10 else math.inf
    else:
        from email.utils import parsedate_to_datetime

        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _spell(error: Exception) -> str:
    return printable(str(error) or type(error).__name__)
