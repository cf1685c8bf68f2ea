"""
What a request says besides its address: who asks, for which version, with which body.

It may import Flask and ``auth``. It refuses what is unclear rather than choose a meaning.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog
from flask import g, request

from pinwarden.errors import MalformedError
from pinwarden.strict_json import parse_time
from pinwarden_server import metrics
from pinwarden_server.auth import Principal, Right, require, verify_token
from pinwarden_server.bodies import MAX_BODY_BYTES
from pinwarden_server.errors import Tag, TooManyAttempts, Unauthenticated
from pinwarden_server.node import Node
from pinwarden_server.problems import BAD_REQUEST, NOT_JSON, PRECONDITION_REQUIRED, TOO_LARGE, RequestRefused
from pinwarden_server.site import Act, Attempt
from pinwarden_server.step_up import check_recent_login, needs_recent_login
from pinwarden_server.tags import parse_tag

log = structlog.stdlib.get_logger("pinwarden.server.http")

_ETAG = re.compile(r'"([1-9][0-9]{0,15}\.[1-9][0-9]{0,15})"', re.ASCII)
DRAINED_BYTES = 4 * MAX_BODY_BYTES
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)  # as many digits as 2^53 - 1 has


def caller(node: Node) -> Principal:
    """
    Return who asks. Asked of the store at each request, so a revoked token ends at once.

    Raises:
        Unauthenticated: no valid token. TooManyAttempts: none, once too often from this address.
    """
    with counting_attempts(node, "token"):
        principal = verify_token(node.site.store, request.headers.get("Authorization"), node.clock())
    g.actor = principal.actor
    structlog.contextvars.bind_contextvars(actor=principal.actor)
    return principal


def allowed(node: Node, right: Right, name: str | None = None) -> Principal:
    """
    Return who asks when *right* is theirs, for the pin set *name* if one is meant.

    Raises:
        Unauthenticated, TooManyAttempts, Forbidden: it is not.
        StepUpNeeded: it is, and the table of operations wants a more recent login for this request.
    """
    principal = require(caller(node), right, name)
    if request.url_rule is not None and needs_recent_login(request.method, request.url_rule.rule):
        check_recent_login(principal, node.clock(), max_age=node.settings.step_up_seconds)
    return principal


@contextmanager
def counting_attempts(node: Node, way: str) -> Iterator[None]:
    """
    Take whoever is refused inside from the budget of the address.

    Raises:
        TooManyAttempts: in place of Unauthenticated, when the budget is empty.
    """
    try:
        yield
    except Unauthenticated:
        metrics.WRONG_ATTEMPTS.labels(way).inc()
        try:
            node.limits.spend(remote_address() or "")
        except TooManyAttempts as refusal:
            if refusal.first:
                log.warning("wrong attempts are answered with 429 for now", way=way, remote=remote_address())
            raise
        raise


def remote_address() -> str | None:
    """
    Return the address that the request came from, as far as it can be known.

    Whoever may open the Unix socket is the web server of this machine, and says whom it speaks for: the last entry is
    its own. Over TCP the same header is anyone's claim, and the connection itself tells.
    """
    said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    return request.remote_addr or said[:64] or None


def read_body() -> bytes:
    """
    Return the body.

    Raises:
        RequestRefused: not declared as JSON, or larger than any draft may be.
    """
    if request.mimetype != "application/json":
        raise RequestRefused(
            "the body is not declared as JSON",
            kind=NOT_JSON,
            expected="Content-Type: application/json",
            got=request.mimetype[:80] or "no Content-Type",
        )
    if request.content_length is not None and request.content_length > MAX_BODY_BYTES:
        raise _too_large(f"{request.content_length} bytes")
    body: bytes = request.stream.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise _too_large("more")
    return body


def act(node: Node, principal: Principal, body: bytes = b"") -> Act:
    """Return who asks, when, and under which Idempotency-Key; BadDraft for an impossible key."""
    key = request.headers.get("Idempotency-Key")
    attempt = None
    if key is not None:
        condition = request.headers.get("If-Match")
        attempt = Attempt.of(key, request.method, request.path, condition, body)
    return Act(principal.actor, node.clock(), attempt, principal.owner)


def creates() -> bool:
    """Tell whether the request says ``If-None-Match: *``: the pin set must not exist; RequestRefused when unclear."""
    none_match = request.headers.get("If-None-Match")
    if none_match is None:
        return False
    if "If-Match" in request.headers:
        what = "If-Match and If-None-Match are both there"
        raise RequestRefused(what, kind=BAD_REQUEST, expected="one of the two", got="both")
    if none_match.strip() != "*":
        expected = "*, which creates"
        raise RequestRefused("If-None-Match names something", kind=BAD_REQUEST, expected=expected, got=none_match[:80])
    return True


def replaced_version(*, or_create: bool = False) -> Tag:
    """
    Return the version that ``If-Match`` names; RequestRefused when it names none, or is missing.

    Args:
        or_create: creating is possible here too, which the refusal then says.
    """
    match = request.headers.get("If-Match")
    if match is None:
        raise RequestRefused(
            "the request does not say which version it replaces",
            kind=PRECONDITION_REQUIRED,
            expected='If-Match: "<epoch>.<version>"' + (", or If-None-Match: * to create it" if or_create else ""),
            got="no If-Match",
            hint="GET the pin set and send its ETag back as If-Match, so that nobody's change is overwritten unseen.",
        )
    found = _ETAG.fullmatch(match.strip())
    if found is None:
        raise RequestRefused(
            "If-Match names no version",
            kind=BAD_REQUEST,
            expected='"<epoch>.<version>", quoted, as in the ETag of GET',
            got=match[:80],
        )
    return parse_tag(found[1])


def number_of(name: str, *, default: int, low: int, high: int) -> int:
    """Return the query parameter *name*; RequestRefused when it is no integer from *low* to *high*."""
    text = request.args.get(name)
    if text is None:
        return default
    if _NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
        expected = f"an integer from {low} to {high}"
        raise RequestRefused(
            f"query parameter {name!r} is impossible", kind=BAD_REQUEST, expected=expected, got=text[:40]
        )
    return int(text)


def text_of(name: str, *, longest: int) -> str | None:
    """Return the query parameter *name*, None when it is not there; RequestRefused for an empty or endless one."""
    text = request.args.get(name)
    if text is not None and not 1 <= len(text) <= longest:
        expected, got = f"1 to {longest} characters", f"{len(text)} characters"
        raise RequestRefused(f"query parameter {name!r} is impossible", kind=BAD_REQUEST, expected=expected, got=got)
    return text


def time_of(name: str) -> datetime | None:
    """Return the query parameter *name* as an aware time, None when it is not there; RequestRefused."""
    text = request.args.get(name)
    try:
        return None if text is None else parse_time(text, what=f"query parameter {name!r}")
    except MalformedError as error:
        raise RequestRefused(error.what, kind=BAD_REQUEST, expected="YYYY-MM-DDTHH:MM:SSZ", got=text) from None


def check_query(*known: str) -> None:
    """Return when the query has only parameters that are known here; a misspelt filter must not match everything."""
    unknown = sorted(set(request.args) - set(known))
    repeated = sorted(name for name in set(request.args) if len(request.args.getlist(name)) > 1)
    if unknown or repeated:
        raise RequestRefused(
            "the query has parameters that are unknown or repeated",
            kind=BAD_REQUEST,
            expected=", ".join(known) or "no query",
            got=", ".join(unknown + repeated)[:200],
        )


def _too_large(got: str) -> RequestRefused:
    # A connection closed on unread bytes is reset, and the client would see that instead of the answer.
    left = DRAINED_BYTES
    while left > 0 and (piece := request.stream.read(min(left, 65536))):
        left -= len(piece)
    return RequestRefused("the body is too large", kind=TOO_LARGE, expected=f"at most {MAX_BODY_BYTES} bytes", got=got)
