"""
The one way in for bodies of requests: bytes become the struct of that request, or are refused with a JSON pointer.

It may import layer 0 and msgspec. Every body passes the one JSON gate, then msgspec, strictly; unknown fields are
refused. What a body means is the concern of the rooms that name its fields: ``drafts`` and their siblings.
"""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from pinwarden.errors import MalformedError
from pinwarden.strict_json import parse_object
from pinwarden_server.errors import BadDraft, Violation

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_LIFETIME_SECONDS = 10 * 365 * 24 * 3600
_NAMED_FIELD = re.compile(r"field `([^`]*)`")
# The library's names of types, in words of people who write JSON.
_WORDS = {
    "`int | null`": "an integer",
    "`str | null`": "a string",
    "`int`": "an integer",
    "`float`": "a number",
    "`str`": "a string",
    "`bool`": "true or false",
    "`array`": "an array",
    "`object`": "an object",
    "`null`": "null",
}
_JSON_PATH_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+|\.\.\.)\]")

NAME_PATTERN = r"(?:[a-z0-9][a-z0-9._-]{0,63})?\*|[a-z0-9][a-z0-9._-]{0,63}"
WITHOUT_NUL = r"^[^\x00]*\Z"  # PostgreSQL stores none
Text = Annotated[str, Meta(max_length=1000, pattern=WITHOUT_NUL)]
Seconds = Annotated[int, Meta(ge=1, le=MAX_LIFETIME_SECONDS)]
Keyid = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
# Judged by ``check_names``, in better words; msgspec only says it in the description of the API.
NameText = Annotated[str, Meta(extra_json_schema={"pattern": rf"^({NAME_PATTERN})$"})]


class RequestBody(msgspec.Struct, forbid_unknown_fields=True):
    """Base of the bodies: what is not named is refused."""


Body = TypeVar("Body", bound=RequestBody)


def bad_field(pointer: str, what: str, hint: str, **values: Any) -> BadDraft:
    """Return the error of one field that is impossible by what it says."""
    return BadDraft(what, violations=[Violation("DRAFT", pointer, what, hint)], hint=hint, **values)


def convert_body(body: bytes, kind: type[Body]) -> Body:
    """Return *body* as the struct *kind*, through the one JSON gate; BadDraft with a JSON pointer."""
    try:
        value = parse_object(body, limit=MAX_BODY_BYTES, what="body")
    except MalformedError as error:
        hint = "Send one JSON object, UTF-8, no floats, no duplicate keys."
        violation, expected = Violation("DRAFT", "", str(error.what), hint), error.expected or "strict JSON (RFC 7493)"
        raise BadDraft(
            error.what, expected=expected, got=error.got, violations=[violation], is_syntax=True, hint=hint
        ) from error
    try:
        return msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        pointer = _pointer(path.rstrip("`"))
        if field := _NAMED_FIELD.search(message):
            pointer += f"/{field[1]}"
        expected, got = _expected_and_got(message, lambda: _value_at(value, pointer))
        hint = "docs/admin-api.md lists the fields of this request."
        what = "the body does not have the form of this request"
        violation = Violation("DRAFT", pointer, f"expected {expected}, got {got}", hint)
        raise BadDraft(what, expected=expected, got=f"{got} at {pointer}", violations=[violation], hint=hint) from error


def _expected_and_got(message: str, found: Callable[[], str]) -> tuple[str, str]:
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    if "unknown field" in message:
        return "the fields of this request alone", message.removeprefix("Object contains ").replace("`", "'")
    if "missing required" in message:
        return message.removeprefix("Object missing required ").replace("`", "'"), "none"
    if "enum value" in message:
        return "one of the words for this field", found()
    expected, has_type, got = message.removeprefix("Expected ").partition(", got ")
    return expected.replace("`", "'"), got if has_type else found()


def _value_at(value: Any, pointer: str) -> str:
    for step in pointer.split("/")[1:]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _pointer(path: str) -> str:
    steps = (match[1] or match[2] for match in _JSON_PATH_STEP.finditer(path.removeprefix("$")))
    return "".join(f"/{step}" for step in steps)


def check_names(names: list[str], *, what: str) -> tuple[str, ...]:
    """Return *names* when each is a pin set's name or a pattern; BadDraft says that *what* has impossible ones."""
    violations = [
        Violation(
            "DRAFT", f"/names/{number}", f"not a pin set name or pattern: {name[:80]!r}", "Use payments or pay-*."
        )
        for number, name in enumerate(names)
        if re.fullmatch(NAME_PATTERN, name) is None
    ]
    if violations:
        expected = "names and patterns such as payments, pay-* or *"
        raise BadDraft(
            f"the {what} names impossible pin sets", violations=violations, expected=expected, got=first_of(violations)
        )
    return tuple(names)


def first_of(violations: list[Violation]) -> str:
    """Return the first of *violations* in words, and how many more there are."""
    rest = f", and {len(violations) - 1} more" if len(violations) > 1 else ""
    return f"{violations[0].message} at {violations[0].pointer}{rest}"
