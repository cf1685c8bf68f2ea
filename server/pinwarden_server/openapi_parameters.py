"""
Parameters and headers of the HTTP API, as OpenAPI describes them.

It may import the operations, and the limits that requests are held to. What a value means is said here once for all
operations that take it.
"""

from typing import Any

from pinwarden_server.admin_api.pinsets import MAX_PAGE
from pinwarden_server.changes_view import STATES
from pinwarden_server.json_schema import TEXT, Schema, word
from pinwarden_server.openapi_answers import TAG, TIME
from pinwarden_server.operation import Operation
from pinwarden_server.problems import Kind

_MAX = 2**53 - 1
_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
_NUMBER: Schema = {"type": "integer", "minimum": 1, "maximum": 10**16 - 1}
_ETAG: Schema = {"type": "string", "pattern": r'^"[1-9][0-9]{0,15}\.[1-9][0-9]{0,15}"$', "examples": ['"1.7"']}
_WORDS: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
_TAG_OR_NUMBER: Schema = {"type": "string", "pattern": r"^([1-9][0-9]{0,15}\.)?[1-9][0-9]{0,15}$"}

# By the segment of the path before the parameter where one name has two meanings.
_IN_PATH: dict[str, tuple[Schema, str]] = {
    "name": (_NAME, "Name of the pin set."),
    "versions/version": (_TAG_OR_NUMBER, "Version, as 7 or 1.7."),
    "roots/version": (_NUMBER, "Version of the root."),
    "change_id": (_NUMBER, "Number of the change."),
    "token_id": ({"type": "string", "pattern": "^[0-9a-f]{16}$"}, "The part of a token between the underscores."),
    "session_id": ({"type": "string", "pattern": "^[0-9a-f]{16}$"}, "The part of its token between the underscores."),
    "link_id": ({"type": "string", "pattern": "^[0-9a-f]{16}$"}, "The part of its code between the underscores."),
    "root": (_NUMBER, "Version of the newest root that the client holds."),
    "tag": (TAG, "Version, as 1.7."),
    "segment": (_NUMBER, "Number of the segment, from 1 on."),
}
_IN_QUERY: dict[str, tuple[Schema, str]] = {
    "limit": ({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100}, "Most that is listed."),
    "before": ({"type": "integer", "minimum": 1, "maximum": _MAX}, "Only what has a lower number."),
    "after": ({"type": "integer", "minimum": 0, "maximum": _MAX, "default": 0}, "Number of the last row you have."),
    "name": (TEXT, "Only this pin set."),
    "state": (word(*STATES), "Only changes in this state."),
    "actor": (_WORDS, "Only rows by this actor, or by those whose names begin so when it ends in *."),
    "action": (_WORDS, "Only this action, or those that begin so when it ends in *."),
    "since": (TIME, "Only rows of this time or later."),
    "until": (TIME, "Only rows before this time."),
}
_KEY: Schema = {"type": "string", "pattern": "^[!-~]{1,128}$"}

_HEADERS: dict[str, tuple[Schema, str]] = {
    "ETag": (TEXT, "Strong; to be sent back as a condition."),
    "Cache-Control": (TEXT, "How long caches may keep the answer."),
    "Location": (TEXT, "Address of the change that waits."),
    "Idempotency-Replayed": (word("true"), "This very request was answered before, and nothing was done now."),
    "Retry-After": ({"type": "integer", "minimum": 1}, "Seconds after which a repeat makes sense."),
    "WWW-Authenticate": (TEXT, "The scheme of tokens; where a recent login is needed, max_age (RFC 9470)."),
}


def parameters_of(operation: Operation) -> list[dict[str, Any]]:
    """Return what *operation* takes beside its body, as Parameter Objects."""
    segments = operation.path.split("/")
    found = []
    for name in operation.parameters:
        before = segments[segments.index(f"{{{name}}}") - 1]
        schema, text = _IN_PATH.get(f"{before}/{name}") or _IN_PATH[name]
        found.append(_parameter("path", name, schema, text, required=True))
    found += [_parameter("query", name, *_IN_QUERY[name]) for name in operation.query]
    if operation.replaces:
        text = "The version that is replaced, as in the ETag of GET."
        found.append(_parameter("header", "If-Match", _ETAG, text, required=not operation.creates))
    if operation.creates:
        found.append(_parameter("header", "If-None-Match", word("*"), "In place of If-Match: creates the pin set."))
    if operation.repeatable:
        text = "A fresh key makes a repeat safe: the same request under the same key is done once."
        found.append(_parameter("header", "Idempotency-Key", _KEY, text))
    if operation.is_published:
        found.append(_parameter("header", "If-None-Match", TEXT, "The ETag of what is held: 304 when it is in force."))
    return found


def headers_of(operation: Operation, status: int, schema: str = "") -> dict[str, Any]:
    """Return the headers of an answer that is no refusal, beside those of every HTTP answer."""
    names: list[str] = []
    if operation.is_published:
        names += ["ETag", "Cache-Control"]
    if schema in ("PinSet", "Published"):
        names.append("ETag")
    if status == 202:
        names.append("Location")
    if operation.repeatable:
        names.append("Idempotency-Replayed")
    optional = ("Idempotency-Replayed",)
    return {name: _header(name, required=name not in optional) for name in names}


def refusal_headers(kinds: list[Kind]) -> dict[str, Any]:
    """Return the headers of a refusal; *kinds* have one status."""
    status = kinds[0].status
    names = ["WWW-Authenticate"] if status == 401 else ["Retry-After"] if status == 429 or status > 500 else []
    found = {name: _header(name, required=True) for name in names}
    if status == 412:
        found["ETag"] = _header("ETag", required=False)
    return found


def _parameter(place: str, name: str, schema: Schema, text: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "description": text, "schema": schema}


def _header(name: str, *, required: bool) -> dict[str, Any]:
    schema, text = _HEADERS[name]
    return {"description": text, "required": required, "schema": schema}
