"""What holds for timestamps and pin sets alike: form, authority, name, times (spec P4, P6, V5)."""

from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    DAY,
    MAX_INTEGER,
    NOW,
    PINSET_KEY,
    TIMESTAMP_KEY,
    Json,
    at,
    grant,
    root_envelope,
    spell,
    timestamp_role,
    update,
)
from tests.vectors.sources.cases import (
    accept,
    case,
    embed,
    fragments,
    held,
    inputs,
    once,
    refuse,
)

BAD, LATE, ELSEWHERE = "MalformedError", "ExpiredError", "WrongPinSetError"

# Name, changes to the document, error and step; without an error the document is accepted.
FORM: list[tuple[str, Json, str | None, str]] = [
    ("without a type is refused", {"type": ABSENT}, BAD, "P4"),
    ("that calls itself a root is refused", {"type": "root"}, BAD, "V5"),
    ("whose type is in upper case is refused", {"type": "TIMESTAMP"}, BAD, "V5"),
    ("without a version of the protocol is refused", {"spec": ABSENT}, BAD, "P4"),
    ("of a later minor version is understood", {"spec": "1.9999"}, None, "V5"),
    ("of version 2.0 of the protocol is refused", {"spec": "2.0"}, BAD, "V5"),
    ("of version 11.0 of the protocol is refused", {"spec": "11.0"}, BAD, "V5"),
    ("of version 1 without a minor number is refused", {"spec": "1"}, BAD, "V5"),
    ("of version '1.' is refused", {"spec": "1."}, BAD, "V5"),
    ("of version 1.x is refused", {"spec": "1.x"}, BAD, "V5"),
    ("with a minor version of five digits is refused", {"spec": "1.10000"}, BAD, "V5"),
    ("with a line end after its version is refused", {"spec": "1.0\n"}, BAD, "V5"),
    ("whose version of the protocol is a number is refused", {"spec": 1}, BAD, "P4"),
    ("that demands nothing is accepted", {"crit": []}, None, "V5"),
    ("that demands an unknown feature is refused", {"crit": ["new"]}, BAD, "V5"),
    ("that demands a feature by the name of a known member is refused", {"crit": ["expires"]}, BAD, "V5"),
    ("whose demands are text is refused", {"crit": "new"}, BAD, "P4"),
    ("whose demands are null is refused", {"crit": None}, BAD, "P4"),
    ("whose demands are numbers is refused", {"crit": [1]}, BAD, "P4"),
    ("with unknown members is accepted", {"note": {"crit": ["nested"]}, "Version": 9}, None, "V5"),
    ("without an authority is refused", {"authority": ABSENT}, BAD, "P4"),
    ("whose authority is no authority is refused", {"authority": "VECTORS-00c0ffee00c0ffee"}, BAD, "P4"),
    ("of another authority is refused", {"authority": "vectors-ffffffffffffffff"}, ELSEWHERE, "V5"),
    ("without a name is refused", {"name": ABSENT}, BAD, "P4"),
    ("whose name is no name is refused", {"name": "App"}, BAD, "P4"),
    ("with an empty name is refused", {"name": ""}, BAD, "P4"),
    ("whose name is null is refused", {"name": None}, BAD, "P4"),
    ("of another name is refused", {"name": "app2"}, ELSEWHERE, "V5"),
    ("of a name that begins like this one is refused", {"name": "ap"}, ELSEWHERE, "V5"),
    ("without a version is refused", {"version": ABSENT}, BAD, "P4"),
    ("of version 0 is refused", {"version": 0}, BAD, "P4"),
    ("of version -1 is refused", {"version": -1}, BAD, "P4"),
    ("whose version is true is refused", {"version": True}, BAD, "P4"),
    ("whose version is text is refused", {"version": "1"}, BAD, "P4"),
    ("whose version is null is refused", {"version": None}, BAD, "P4"),
    ("without an epoch is refused", {"epoch": ABSENT}, BAD, "P4"),
    ("of epoch 0 is refused", {"epoch": 0}, BAD, "P4"),
    ("whose epoch is true is refused", {"epoch": True}, BAD, "P4"),
    ("without a time of issue is refused", {"issued": ABSENT}, BAD, "P4"),
    ("without an end is refused", {"expires": ABSENT}, BAD, "P4"),
    ("whose time of issue is a number is refused", {"issued": 1767225600}, BAD, "P4"),
    ("whose end is a number is refused", {"expires": 1767312000}, BAD, "P4"),
    ("whose time of issue has an offset is refused", {"issued": "2026-01-01T00:00:00+00:00"}, BAD, "P6"),
    ("whose end is a date that does not exist is refused", {"expires": "2026-02-29T00:00:00Z"}, BAD, "P6"),
]


def _document(kind: str, sentence: str, change: Json, error: str | None, by: str, step: str, **more: Any) -> Json:
    prose, argument = kind, kind.replace("pin set", "pinset")
    what = update(1, **{argument: change})
    return once(f"a {prose} {sentence}", step, what, error, by, **more)


_TIMES: list[tuple[str, Json, str | None]] = [
    ("that ends when it begins is refused", {"issued": at(hours=1), "expires": at(hours=1)}, LATE),
    ("that ends before it begins is refused", {"issued": at(hours=2), "expires": at(hours=1)}, LATE),
    ("that was issued 24 hours ahead is accepted", {"issued": at(hours=24)}, None),
    ("that was issued a second more than 24 hours ahead is refused", {"issued": at(hours=24, seconds=1)}, LATE),
    ("that was issued long ago is accepted while it lasts", {"issued": at(days=-3)}, None),
    ("that ends now is refused", {"issued": at(days=-2), "expires": NOW}, LATE),
    ("that ended before now is refused", {"issued": at(days=-2), "expires": at(seconds=-1)}, LATE),
    ("that ends in a second is accepted", {"issued": at(days=-2), "expires": at(seconds=1)}, None),
]

_LONGEST = {"timestamp": 7 * DAY, "pin set": 90 * DAY}


def _all(kind: str) -> list[Json]:
    longest = _LONGEST[kind]
    cases = [_document(kind, sentence, change, error, step, step) for sentence, change, error, step in FORM]
    cases += [_document(kind, sentence, change, error, "V5", "V5") for sentence, change, error in _TIMES]
    cases += [
        _document(kind, "that lives as long as its role allows is accepted",
                  {"expires": at(seconds=longest)}, None, "", "V5"),
        _document(kind, "that lives a second longer than its role allows is refused",
                  {"expires": at(seconds=longest + 1)}, LATE, "V5", "V5"),
        _document(kind, "whose version is 1.5 is refused", {"version": 1.5}, BAD, "P3", "P3"),
        _document(kind, "whose version is 1.0 is refused", {"version": 1.0}, BAD, "P3", "P3", strict_parser_only=True),
        _document(kind, "whose version is 2^53 is refused", {"version": 2**53}, BAD, "P3", "P3"),
    ]  # fmt: skip
    return cases


def _raw(kind: str, sentence: str, payload: bytes, error: str, step: str, **marks: Any) -> Json:
    """The payload itself is at fault; the signature over it is good."""
    ref = {"length": max(len(payload), 1)} if kind == "pin set" else None
    what = update(1, **{kind.replace("pin set", "pinset"): payload}, ref=ref)
    return once(f"a {kind} {sentence}", step, what, error, **marks)


def _payloads(kind: str) -> list[Json]:
    return [
        _raw(kind, "that is no JSON is refused", b"{", BAD, "P3"),
        _raw(kind, "that is empty is refused", b"", BAD, "P3"),
        _raw(kind, "that is an array is refused", b"[]", BAD, "P4"),
        _raw(kind, "that is not UTF-8 is refused", b'{"note":"\xff"}', BAD, "P2"),
        _raw(kind, "with a byte order mark is refused", b"\xef\xbb\xbf{}", BAD, "P2"),
    ]


_ROLE = {"timestamp": timestamp_role(TIMESTAMP_KEY, lifetime=3600), "pinset": [grant(PINSET_KEY, lifetime=7200)]}


def _limited(name: str, timestamp: str, pinset: str, error: str | None = None) -> Json:
    what = update(1, timestamp={"expires": timestamp}, pinset={"expires": pinset})
    event = refuse(what, error, "V5") if error else accept(what)
    return case(name, "V5", embed(spell(root_envelope(roles=_ROLE)).decode()), event)


LIVES = [
    _limited("each role has a longest life of its own", at(hours=1), at(hours=2)),
    _limited("the longest life of a timestamp is not that of a pin set", at(hours=1, seconds=1), at(hours=2), LATE),
    _limited("the longest life of a pin set is the one of its grant", at(hours=1), at(hours=2, seconds=1), LATE),
]

LARGEST = [
    once("the largest version is 2^53-1", "P3", update(MAX_INTEGER),
         then=held(f"1.{MAX_INTEGER}", f"1.{MAX_INTEGER}")),
]  # fmt: skip

GROUPS = {
    "timestamp_form": (
        "Members and times that every document has, in timestamps (spec P2 to P6, V5).",
        inputs(**fragments(2)),
        [*_all("timestamp"), *_payloads("timestamp")],
    ),
    "pinset_form": (
        "Members and times that every document has, in pin sets (spec P2 to P6, V5).",
        inputs(**fragments(2)),
        [*_all("pin set"), *_payloads("pin set"), *LIVES, *LARGEST],
    ),
}
