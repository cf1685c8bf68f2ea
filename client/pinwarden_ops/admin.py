"""
The admin API as an operator's program sees it: one request, one answer or one typed error.

It may import urllib3, layer 0 and this package's errors. It retries nothing by itself and never sends a token to
another origin than the one it was made for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from pinwarden.address import check_address
from pinwarden.errors import MalformedError
from pinwarden.strict_json import parse_object
from pinwarden_ops.contexts import Target
from pinwarden_ops.errors import OpsConflict, OpsError, OpsRefused, OpsUnavailable
from pinwarden_ops.settings import read_token
from pinwarden_ops.timed_http import timed_pools, within

DEADLINE_SECONDS = 60.0  # a publication waits for signers and disks
MAX_DETAIL = 2000  # characters
MAX_ANSWER_BYTES = 8 * 1024 * 1024
_READS = ("GET", "HEAD")
_NOT_SENT = (NewConnectionError, ConnectTimeoutError)
_KINDS: dict[int, type[OpsError]] = {409: OpsConflict, 412: OpsConflict, 429: OpsUnavailable}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A 2xx answer.

    Attributes:
        value: the JSON object, empty for 204.
        etag: the version that the answer shows, to be sent back as If-Match, or None.
    """

    status: int
    value: dict[str, Any]
    etag: str | None


class AdminClient:
    """
    One server's admin API, under one token.

    Args:
        url: ``https://HOST``, or ``http`` on loopback.
        token_file: file with the token, which nobody else may read; read anew for each request.
        ca_file: PEM file with the CAs that may certify the server; default: the system's.
        allow_http: accept ``http`` beyond loopback.
        target: what a person calls this server, for commands that say where they write.
        deadline_seconds: for one request, from connect to last byte; each of several has its own.

    Attributes:
        origin: scheme, host and port, for messages.  token_file: as given.

    Raises:
        ConfigError: an address that must not or cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        token_file: Path,
        ca_file: Path | None = None,
        allow_http: bool = False,
        target: Target | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        address = check_address(url, allow_http=allow_http)
        self._base = address.origin + address.prefix
        self.origin = address.origin
        self.target = target
        self.token_file = token_file
        self._deadline_seconds = deadline_seconds
        self._http = timed_pools(ca_file)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        with_token: bool = True,
    ) -> Answer:
        """
        Send one request to ``/admin/v1`` + *path*, and return its answer.

        Args:
            headers: further ones, such as If-Match and Idempotency-Key.
            with_token: False for a login, which has none yet.

        Raises:
            OpsRefused, OpsConflict, OpsUnavailable: what the server answered, or that it did not.
            ConfigError: the token file cannot be used.
        """
        sent = dict(headers or {})
        if with_token:
            sent["Authorization"] = f"Bearer {read_token(self.token_file)}"
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            with within(self._deadline_seconds):
                response = self._http.request(
                    method,
                    f"{self._base}/admin/v1{path}",
                    body=content,
                    headers=sent,
                    redirect=False,
                    preload_content=False,
                )
                data = response.read(MAX_ANSWER_BYTES + 1)
        except HTTPError as error:
            raise self._unanswered(method, error, sent.get("Idempotency-Key")) from error
        if len(data) > MAX_ANSWER_BYTES:
            response.close()  # its rest would be taken for the next answer
        response.release_conn()
        return self._judged(method, path, response.status, data, response.headers.get("ETag"))

    def _unanswered(self, method: str, error: HTTPError, key: str | None) -> OpsUnavailable:
        why = str(error)
        if isinstance(error, NewConnectionError):  # for urllib3 a kind of timeout
            why = str(error.__cause__)
        elif isinstance(error, ReadTimeoutError | ConnectTimeoutError):
            why = f"no complete answer within {self._deadline_seconds:g} s"
        holds, hint = "A change may have been made.", "Look at what it was meant to change before you repeat it."
        is_stranger = isinstance(error, SSLError) and isinstance(error.args[0], SSLCertVerificationError)
        if method in _READS or is_stranger or isinstance(error, _NOT_SENT):
            holds, hint = "Nothing was changed.", "Repeat it."
        elif key is not None:
            hint = (
                "Look before you repeat it: `pinwarden set history`, `pinwarden change list` or `pinwarden audit show` "
                f"tells what was done. For 24 hours the Idempotency-Key {key} is answered with what came of it."
            )
        return OpsUnavailable(f"{self._base} cannot be asked: {why}", holds=holds, hint=hint)

    def _judged(self, method: str, path: str, status: int, data: bytes, etag: str | None) -> Answer:
        value = _as_object(data) if data else {}
        if 200 <= status < 300:
            if value is None:
                raise OpsUnavailable(
                    f"{method} {path} was answered with {status} and something that is no answer of this API",
                    expected=f"a JSON object of at most {MAX_ANSWER_BYTES} bytes",
                    holds="Whether the request was taken is not known.",
                    hint="Is the address that of the admin API, and no proxy's page in between?",
                    status=status,
                )
            return Answer(status, value, etag)
        value = value or {}  # a proxy's page: the status says enough
        kind = _KINDS.get(status, OpsUnavailable if status >= 500 else OpsRefused)
        # The detail says everything: what happened, expected and got, what still holds, what to do.
        detail = value.get("detail") or value.get("title") or f"{method} {path} was answered with {status}"
        raise kind(one_line(str(detail)).rstrip("."), status=status, problem=value)


def one_line(text: str) -> str:
    """Return what a server says without the characters by which it could speak to the terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:MAX_DETAIL])
    return shown if len(text) <= MAX_DETAIL else f"{shown}..."


def _as_object(data: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(data, limit=MAX_ANSWER_BYTES, what="answer")
    except MalformedError:
        return None
