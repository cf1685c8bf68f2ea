"""Inputs at the limits, told in pieces: text, repeated text, numbered text, and base64 of pieces (spec P1, P3, V8)."""

import json
from typing import Any

from tests.vectors.pieces import expand
from tests.vectors.sources.author import (
    PINSET_KEY,
    PINSET_TYPE,
    ROOT_KEYS,
    ROOT_TYPE,
    STRANGER,
    TIMESTAMP_KEY,
    TIMESTAMP_TYPE,
    Json,
    bundle,
    envelope,
    host,
    pinset_payload,
    root_envelope,
    root_payload,
    spell,
    timestamp_payload,
    update,
)
from tests.vectors.sources.cases import (
    accept,
    case,
    embed,
    held,
    inputs,
    once,
    refuse,
)

BAD = "MalformedError"
MARK = "@@"
KIB = 1024


def _padded(body: Json, size: int) -> list[Any]:
    """Return a payload of exactly *size* bytes, most of which stand in an unknown member."""
    start, end = spell({**body, "padding": MARK}).decode().split(MARK)
    return [start, {"repeat": "x", "times": size - len(start) - len(end)}, end]


def _framed(frame: str, *payloads: list[Any]) -> Json:
    """Return *frame* with base64 of *payloads* in the places that are marked."""
    pieces: list[Any] = []
    for text, payload in zip(frame.split(MARK), [*payloads, None], strict=True):
        pieces.append(text)
        if payload is not None:
            pieces.append({"base64": payload})
    return {"pieces": pieces}


def _signed(payload_type: str, payload: list[Any], *keys: Any) -> Json:
    return {**envelope(payload_type, expand(payload, {}), *keys), "payload": MARK}


def _pinset(payload: list[Any], timestamp: Json | None = None) -> Json:
    stamp = envelope(TIMESTAMP_TYPE, timestamp or timestamp_payload(expand(payload, {})), TIMESTAMP_KEY)
    return _framed(bundle(stamp, _signed(PINSET_TYPE, payload, PINSET_KEY)), payload)


def _timestamp(size: int, key: Any = TIMESTAMP_KEY) -> Json:
    pinset = spell(pinset_payload())
    payload = _padded(timestamp_payload(pinset), size)
    stamp = _signed(TIMESTAMP_TYPE, payload, key)
    return _framed(bundle(stamp, envelope(PINSET_TYPE, pinset, PINSET_KEY)), payload)


def _listed(member: str, entry: str, number: int) -> list[Any]:
    """Return a pin set in which *member* lists *entry* so often, '#' numbered from 0."""
    start, end = spell(pinset_payload(**{member: MARK})).decode().split(f'"{MARK}"')
    return [start + "[", {"numbers": [1, number - 1], "text": f"{entry},"}, entry.replace("#", "0000"), f"]{end}"]


def _root(size: int) -> Json:
    payload = _padded(root_payload(2), size)
    root = _signed(ROOT_TYPE, payload, *ROOT_KEYS[:2])
    parts = json.loads(update(2))
    return _framed(bundle(parts["timestamp"], parts["pinset"], [root]), payload)


def _loose(text: str, size: int) -> Json:
    """Return *text*, an object, with white space up to *size* bytes."""
    return {"pieces": [text, {"repeat": " ", "times": size - len(text)}]}


HOST = spell(host("h#.example")).decode()
DENIED = '"#' + "A" * 39 + '="'
ENVELOPE_LIMIT = 16 * KIB * 4 // 3 + 16 * KIB
ROOT = spell(root_envelope(2)).decode()
SECOND = held("1.2", "1.2", root=2)


def _commas(number: int) -> list[Any]:
    """Return a pin set in whose text brackets, braces and commas number so many."""
    body = pinset_payload(note=MARK)
    start, end = spell(body).decode().split(MARK)
    known = sum((start + end).count(character) for character in "[{,")
    return [start, {"repeat": ",", "times": number - known}, end]


def _beyond_ascii(number: int) -> list[Any]:
    """Return a pin set as :func:`_commas` does, with a member whose name is not ASCII."""
    start, commas, end = _commas(number - 1)
    return ['{"é":1,' + start[1:], commas, end]


LIMITS = [
    once("a pin set of 1 MiB is accepted", "P1", _pinset(_padded(pinset_payload(), KIB * KIB))),
    once("a pin set of a byte more than 1 MiB is refused", "P1",
         _pinset(_padded(pinset_payload(), KIB * KIB + 1)), BAD),
    once("a timestamp of 4 KiB is accepted", "P1", _timestamp(4 * KIB)),
    once("a timestamp of a byte more than 4 KiB is refused", "P1", _timestamp(4 * KIB + 1), BAD),
    once("the size of a payload is judged before its signatures", "P1", _timestamp(4 * KIB + 1, STRANGER), BAD),
    once("a root of 16 KiB is accepted", "P1", _root(16 * KIB), then=SECOND),
    once("a root of a byte more than 16 KiB is refused", "P1", _root(16 * KIB + 1), BAD),
    once("a bundle of 2 MiB is accepted", "P1", _loose(update(), 2 * KIB * KIB)),
    once("a bundle of a byte more than 2 MiB is refused", "P1", _loose(update(), 2 * KIB * KIB + 1), BAD),
    case("a root envelope fetched alone may have 38,229 bytes", "P1", embed(),
         accept(_loose(ROOT, ENVELOPE_LIMIT), held(root=2), kind="root")),
    case("a root envelope fetched alone may not have a byte more", "P1", embed(),
         refuse(_loose(ROOT, ENVELOPE_LIMIT + 1), BAD, "P1", held(), kind="root")),
    once("2,000 hosts are accepted", "V8", _pinset(_listed("hosts", HOST, 2000))),
    once("2,001 hosts are refused", "V8", _pinset(_listed("hosts", HOST, 2001)), BAD),
    once("256 denied keys are accepted", "V8", _pinset(_listed("deny", DENIED, 256))),
    once("257 denied keys are refused", "V8", _pinset(_listed("deny", DENIED, 257)), BAD),
    once("51,200 brackets, braces and commas are accepted", "P3", _pinset(_commas(51200))),
    once("51,201 brackets, braces and commas are refused, those inside text too", "P3", _pinset(_commas(51201)), BAD,
         strict_parser_only=True),
    once("25,600 of them are accepted in a text beyond ASCII", "P3", _pinset(_beyond_ascii(25600))),
    once("25,601 of them are refused in a text beyond ASCII", "P3", _pinset(_beyond_ascii(25601)), BAD,
         strict_parser_only=True),
]  # fmt: skip

GROUPS = {"limits": ("Inputs at the limits, told in pieces (spec P1, P3, V8).", inputs(), LIMITS)}
