"""
The one gate: every byte that comes from outside becomes a value here, or is refused (spec P1 to P6).

It may import only the standard library's pure parsing parts and ``errors``. It never opens, logs or repairs anything:
there is no lenient mode, because two parsers that disagree about one document are how signatures get bypassed.
"""

import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from pinwarden.errors import MalformedError

MAX_INTEGER = 2**53 - 1
MAX_DEPTH = 16
# So that a megabyte never costs more than 16 in Python objects. The fullest pin set needs 50,000 of these.
MAX_STRUCTURE = 51_200
_CONTAINERS = (dict, list)

_INTEGER_DIGITS = 16
# Hours end at 23 here, because Python 3.14 began to read 24:00 as the next day.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}Z", re.ASCII)


def parse_object(data: bytes, *, limit: int, what: str) -> dict[str, Any]:
    """
    Return the JSON object that *data* spells, judged by spec P1 to P3.

    Args:
        data: the bytes as received, after decompression.
        limit: the most bytes that this kind of input may have.
        what: the name of the input for messages, such as ``"pin set payload"``.

    Raises:
        MalformedError: any deviation. Types of the fields are not judged here.
    """
    if len(data) > limit:  # spec P1
        raise MalformedError(f"{what} is too large", expected=f"at most {limit} bytes", got="more", step="P1")
    try:
        text = data.decode("utf-8")  # spec P2
    except UnicodeDecodeError as error:
        raise MalformedError(f"{what} is not UTF-8 at byte {error.start}", step="P2") from None
    if text.startswith("\ufeff"):
        raise MalformedError(f"{what} starts with a byte order mark", step="P2")
    structure = text.count("[") + text.count("{") + text.count(",")
    if not text.isascii():  # one such character makes all of them up to four bytes wide in memory; signers write none
        structure *= 2
    if structure > MAX_STRUCTURE:
        raise MalformedError(
            f"{what} has too many elements", expected=f"at most {MAX_STRUCTURE}", got=structure, step="P3"
        )
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedError(f"{what} is not JSON: {error.msg} at character {error.pos}", step="P3") from None
    except RecursionError:
        raise MalformedError(f"{what} is nested too deeply", expected=f"depth {MAX_DEPTH}", step="P3") from None
    except _RefusedValue as error:
        raise MalformedError(f"{what} {error}", step="P3") from None
    if not isinstance(value, dict):
        raise MalformedError(f"{what} is not a JSON object", expected="object", got=kind_of(value), step="P4")
    _check_depth(value, what)
    if "\\" in text:  # what decoded as UTF-8 holds half a pair only where an escape spells one
        _check_text(value, what)
    return value


def encode(value: object) -> bytes:
    """
    Return the one spelling that signers use: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: *value* holds something that :func:`parse_object` would refuse, a float among others.
    """
    encoded = spell(value)
    try:
        parsed = parse_object(encoded, limit=len(encoded), what="value to be signed")
    except MalformedError as error:
        raise ValueError(str(error)) from error
    if parsed != value:
        raise ValueError("value to be signed does not survive a round trip through strict JSON")
    return encoded


def spell(value: object) -> bytes:
    """Return the same spelling of what came through the gate, or of our own making, without asking the gate again."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def decode_base64(text: object, *, what: str, length: int | None = None) -> bytes:
    """
    Return the bytes of standard, padded, canonical base64 (spec P5); *length* demands that many.

    Raises:
        MalformedError: wrong type, alphabet, padding, trailing bits or length.
    """
    if type(text) is not str:
        raise MalformedError(f"{what} is not a string", expected="base64 string", got=kind_of(text), step="P4")
    try:
        spelt = text.encode("ascii")
        decoded = binascii.a2b_base64(spelt, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        raise MalformedError(f"{what} is not base64", expected="padded standard base64", step="P5") from None
    # strict_mode tolerates non-zero trailing bits: "AB==" and "AA==" are the same byte.
    if binascii.b2a_base64(decoded, newline=False) != spelt:
        raise MalformedError(f"{what} is not canonical base64", step="P5")
    if length is not None and len(decoded) != length:
        raise MalformedError(
            f"{what} has the wrong length", expected=f"{length} bytes", got=f"{len(decoded)} bytes", step="P5"
        )
    return decoded


def encode_base64(value: bytes) -> str:
    """Return padded standard base64."""
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def parse_time(text: object, *, what: str) -> datetime:
    """
    Return the aware UTC time of ``YYYY-MM-DDTHH:MM:SSZ`` (spec P6).

    Raises:
        MalformedError: any other spelling, a leap second, or a date that does not exist.
    """
    if type(text) is not str:
        raise MalformedError(f"{what} is not a string", expected="time string", got=kind_of(text), step="P4")
    if _TIME.fullmatch(text) is None:
        raise MalformedError(f"{what} is not a time", expected="YYYY-MM-DDTHH:MM:SSZ", got=repr(text[:40]), step="P6")
    try:
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError(f"{what} is not a date that exists", got=repr(text), step="P6") from None


def format_time(moment: datetime) -> str:
    """Return *moment*, an aware time, in whole seconds as the protocol spells it."""
    if moment.tzinfo is None:
        raise ValueError("a naive time has no meaning in a signed document; pass an aware one")
    # Not strftime(), whose %Y has no leading zeros on Linux.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def kind_of(value: object) -> str:
    """Return the JSON name of *value*'s type, for messages."""
    return _KINDS.get(type(value), type(value).__name__)


_KINDS: dict[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    int: "integer",
    bool: "boolean",
    type(None): "null",
    float: "float",
}


class _RefusedValue(Exception):
    """Carries a refusal out of the decoder's hooks, which do not know what is being parsed."""


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise _RefusedValue(f"names the field {repeated[:64]!r} twice")
    return members


def _parse_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _INTEGER_DIGITS or abs(value := int(digits)) > MAX_INTEGER:
        raise _RefusedValue(f"has an integer beyond 2^53-1: {digits[:24]}")
    return value


def _refuse_float(digits: str) -> NoReturn:
    raise _RefusedValue(f"has a number that is not an integer: {digits[:24]}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates,
    parse_int=_parse_integer,
    parse_float=_refuse_float,
    parse_constant=_refuse_float,
)


def _check_depth(top: dict[str, Any], what: str) -> None:
    level: list[Any] = [top]
    for _ in range(MAX_DEPTH):
        level = [
            member
            for container in level
            for member in (container.values() if type(container) is dict else container)
            if type(member) in _CONTAINERS
        ]
        if not level:
            return
    raise MalformedError(f"{what} is nested too deeply", expected=f"depth {MAX_DEPTH}", got="more", step="P3")


def _check_text(top: dict[str, Any], what: str) -> None:
    pending: list[Any] = [top]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            pending.extend(value)
            pending.extend(value.values())
        elif type(value) is list:
            pending.extend(value)
        elif type(value) is str and not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise MalformedError(f"{what} has half a surrogate pair in a string", step="P3") from None
