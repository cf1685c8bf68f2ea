"""
How a refusal travels: problem documents (RFC 9457), and the one table that gives each error its status.

It may import Flask and the errors. What is not in the table is shown to nobody: clients get an id, the log the rest.
"""

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from pinwarden_server import metrics
from pinwarden_server.errors import (
    ApprovalRefused,
    BadDraft,
    ChangeClosed,
    Conflict,
    Forbidden,
    IdempotencyMismatch,
    IssuerUnavailable,
    LintRefused,
    NotFound,
    NotServedYet,
    PublicationRefused,
    ServerError,
    SignatureRefused,
    SignerUnavailable,
    SigningRefused,
    StaleVersion,
    StepUpNeeded,
    StorageFull,
    StoreUnavailable,
    TooManyAttempts,
    Unauthenticated,
    Violation,
)
from pinwarden_server.tags import format_tag

PROBLEM_MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5
log = logging.getLogger("pinwarden.server.http")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: the end of its ``type`` URN, its status, its title."""

    slug: str
    status: int
    title: str


BAD_REQUEST = Kind("bad-request", 400, "The request is malformed")
MALFORMED_JSON = Kind("malformed-json", 400, "The body is not strict JSON")
UNAUTHENTICATED = Kind("unauthenticated", 401, "A valid token is needed")
STEP_UP_NEEDED = Kind("step-up-needed", 401, "A recent login is needed")
FORBIDDEN = Kind("forbidden", 403, "The token does not allow this")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The address does not take this method")
CONFLICT = Kind("conflict", 409, "The change does not go together with what is stored")
CHANGE_CLOSED = Kind("change-closed", 409, "The change does not wait any more")
SIGNING_REFUSED = Kind("signing-refused", 409, "The signer process does not sign that")
STALE_VERSION = Kind("stale-version", 412, "Someone published meanwhile")
TOO_LARGE = Kind("too-large", 413, "The body is too large")
NOT_JSON = Kind("unsupported-media-type", 415, "The body has to be application/json")
INVALID = Kind("invalid", 422, "The content is not acceptable")
LINT_REFUSED = Kind("lint-refused", 422, "Lint findings block the publication")
SIGNATURE_REFUSED = Kind("signature-refused", 422, "The signature does not count")
APPROVAL_REFUSED = Kind("approval-refused", 422, "The approval does not count")
KEY_REUSED = Kind("idempotency-key-reused", 422, "The Idempotency-Key stands for another request")
PRECONDITION_REQUIRED = Kind("precondition-required", 428, "The version that the change replaces must be named")
TOO_MANY_ATTEMPTS = Kind("too-many-attempts", 429, "Too many attempts were wrong")
INTERNAL = Kind("internal", 500, "The server failed")
PUBLICATION_REFUSED = Kind("publication-refused", 500, "The server refused its own publication")
STORE_UNAVAILABLE = Kind("store-unavailable", 503, "The database cannot be used")
SIGNER_UNAVAILABLE = Kind("signer-unavailable", 503, "No signer is available")
ISSUER_UNAVAILABLE = Kind("issuer-unavailable", 503, "The OIDC issuer cannot be asked")
NOT_SERVED_YET = Kind("not-served-yet", 503, "The change is stored, and not served yet")
STORAGE_FULL = Kind("storage-full", 507, "The disk is full")

# The first class that fits decides, so subclasses stand before their bases.
_KINDS: tuple[tuple[type[ServerError], Kind], ...] = (
    (LintRefused, LINT_REFUSED),
    (BadDraft, INVALID),
    (NotFound, NOT_FOUND),
    (StaleVersion, STALE_VERSION),
    (IdempotencyMismatch, KEY_REUSED),
    (ChangeClosed, CHANGE_CLOSED),
    (SignatureRefused, SIGNATURE_REFUSED),
    (ApprovalRefused, APPROVAL_REFUSED),
    (SigningRefused, SIGNING_REFUSED),
    (Conflict, CONFLICT),
    (Unauthenticated, UNAUTHENTICATED),
    (StepUpNeeded, STEP_UP_NEEDED),
    (TooManyAttempts, TOO_MANY_ATTEMPTS),
    (IssuerUnavailable, ISSUER_UNAVAILABLE),
    (Forbidden, FORBIDDEN),
    (StorageFull, STORAGE_FULL),
    (StoreUnavailable, STORE_UNAVAILABLE),
    (SignerUnavailable, SIGNER_UNAVAILABLE),
    (PublicationRefused, PUBLICATION_REFUSED),
    (NotServedYet, NOT_SERVED_YET),
)
_HTTP = {kind.status: kind for kind in (BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, NOT_JSON)}


class RequestRefused(ServerError):
    """
    The request itself is wrong: its headers, its length, its media type.

    Attributes:
        kind: which row of the documentation's table of problems.
    """

    def __init__(self, what: str, *, kind: Kind, **values: Any) -> None:
        super().__init__(what, **values)
        self.kind = kind


def answer_problems(app: Flask) -> None:
    """Answer every error that leaves a view of *app* with a problem document."""
    app.register_error_handler(ServerError, _of_server_error)
    app.register_error_handler(HTTPException, _of_http_exception)
    app.register_error_handler(Exception, _of_the_unexpected)


def kind_of(error: ServerError) -> Kind | None:
    """Return the kind of *error*, None when its details are not for clients."""
    if isinstance(error, RequestRefused):
        return error.kind
    if isinstance(error, BadDraft) and error.is_syntax:
        return MALFORMED_JSON
    return next((kind for cls, kind in _KINDS if isinstance(error, cls)), None)


def problem(
    kind: Kind,
    detail: str,
    *,
    expected: object = None,
    got: object = None,
    violations: tuple[Violation, ...] = (),
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, object] | None = None,
) -> Response:
    """Return the problem document; every one has the same seven members, null where there is nothing to say."""
    metrics.PROBLEMS.labels(kind.slug).inc()
    members = {
        "type": f"urn:pinwarden:problem:{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "expected": None if expected is None else str(expected),
        "got": None if got is None else str(got),
        "violations": [violation.to_json() for violation in violations],
        **(extensions or {}),
    }
    return Response(json.dumps(members), kind.status, headers, content_type=PROBLEM_MEDIA_TYPE)


def _of_server_error(error: ServerError) -> Response:
    kind = kind_of(error)
    if kind is None:
        return _of_the_unexpected(error)
    extensions: dict[str, object] = {}
    headers: dict[str, str] = {}
    if isinstance(error, StaleVersion):
        extensions["current"] = format_tag(error.current) if error.current else None
        if error.current:
            headers["ETag"] = f'"{format_tag(error.current)}"'
    if isinstance(error, ChangeClosed):
        extensions["state"] = error.state
    if kind.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="pinwarden"'
    if isinstance(error, StepUpNeeded):
        extensions["max_age"] = error.max_age
        # RFC 9470
        headers["WWW-Authenticate"] += f', error="insufficient_user_authentication", max_age="{error.max_age}"'
    if isinstance(error, TooManyAttempts):
        headers["Retry-After"] = str(error.retry_after)
    if kind.status == 413:
        headers["Connection"] = "close"  # or the rest of the body would have to be read
    if kind.status < 500:
        return problem(
            kind,
            str(error),
            expected=error.expected,
            got=error.got,
            violations=tuple(getattr(error, "violations", ())),
            headers=headers,
            extensions=extensions,
        )
    log.error("%s %s: %s", request.method, request.path, error)
    if kind.status != 500:
        headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, NotServedYet):
        extensions["version"] = error.version
    # Expected and got of a failure behind the API name files and keys of this machine: those are for the log.
    detail = " ".join(part for part in (f"{error.what}.", error.holds, error.hint) if part)
    return problem(kind, detail, headers=headers, extensions=extensions)


def _of_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    kind = _HTTP.get(status) or (INTERNAL if status >= 500 else BAD_REQUEST)
    if kind is INTERNAL:
        return _of_the_unexpected(error)
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    if kind is TOO_LARGE:
        headers["Connection"] = "close"
    expected, got = None, None
    if kind is METHOD_NOT_ALLOWED:
        expected, got = headers.get("Allow"), request.method[:40]
    elif kind is NOT_FOUND:
        got = request.path[:200]
    detail = _HTTP_DETAILS.get(kind, error.description or kind.title)
    return problem(kind, detail, expected=expected, got=got, headers=headers)


_HTTP_DETAILS = {
    NOT_FOUND: "Nothing is served at this address. Nothing stored has changed. docs/admin-api.md lists every address.",
    METHOD_NOT_ALLOWED: "The address exists, the method does not. Nothing stored has changed. Use one of the expected.",
    TOO_LARGE: "The body is larger than any document may be. Nothing stored has changed.",
}


def _of_the_unexpected(error: Exception) -> Response:
    incident = secrets.token_hex(8)
    log.error("unexpected error %s in %s %s", incident, request.method, request.path, exc_info=error)
    detail = f"An unexpected error, which the server's log has under the id {incident}."
    return problem(INTERNAL, detail, extensions={"id": incident})
