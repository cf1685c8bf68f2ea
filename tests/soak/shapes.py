"""
Changes to structures: JSON by its nodes, DER by its elements, text by its lines.

It may import the standard library. A change leaves most of what it is given whole, because what is refused at its first
byte proves nothing about the second.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

# What parsers, comparisons and tables of other programs have fallen over.
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 - 1, 2**53, -(2**63), 10**30, 1.5, float("nan"), float("inf"),
    "", " ", "\0", "é", "☃", "\ud800", "a" * 300, "*", "**.", "..", "1", "true", "null", "AA==", "AB==",
    "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "https://", "https://[", "https://a:99999",
    "::1", "1.2.3.4", "0x7f.1", "xn--a", "ed25519", "later", [], {}, [[]], [{}], {"": None}, [None] * 40,
)  # fmt: skip

ODD_TOML = (
    b"", b"1", b"-1", b"1.5", b"nan", b"inf", b"true", b'""', b'"\\u0000"', b"[]", b"{}", b"[1]", b'["a"]', b"0x10",
    b"'x'", b'"""', b"2026-01-01", b"{a={b={c=1}}}", b"9" * 40, b"9" * 5000, b"[" * 40 + b"]" * 40, b"[" * 5000,
    b"{a=" * 5000,
)  # fmt: skip


def change_json(content: bytes, seed: int) -> bytes:
    """Return the JSON of *content* with one to three of its nodes changed, and seldom its text."""
    chance = random.Random(seed)
    value = json.loads(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        value = _change_node(value, chance)
    text = json.dumps(value, separators=chance.choice(((",", ":"), (", ", ": "))), ensure_ascii=chance.random() < 0.9)
    spelt = text.encode("utf-8", "surrogatepass")
    return _change_text(spelt, chance) if chance.random() < 0.1 else spelt


def _change_node(value: Any, chance: random.Random) -> Any:
    nodes = list(_nodes(value))
    if not nodes:
        return chance.choice(ODD)
    parent, key = chance.choice(nodes)
    member = parent[key]
    match chance.randrange(8):
        case 0 | 1:
            parent[key] = chance.choice(ODD)
        case 2:
            del parent[key]
        case 3:
            parent[key] = [member]
        case 4:
            other, name = chance.choice(nodes)
            if name in other if isinstance(other, dict) else name < len(other):
                parent[key] = json.loads(json.dumps(other[name]))
        case 5 if isinstance(parent, dict):
            parent[chance.choice(("later", "type", key.upper(), f"{key} ", ""))] = parent.pop(key)
        case 5:
            parent.insert(chance.randrange(len(parent) + 1), json.loads(json.dumps(member)))
        case 6 if type(member) is int:
            parent[key] = member + chance.choice((-1, 1, 2**32, -(2**53)))
        case 6 if type(member) is str:
            at = chance.randrange(len(member) + 1)
            parent[key] = member[:at] + chance.choice(("", "0", "A", "=", ".", "\0", "é", member)) + member[at + 1 :]
        case _ if isinstance(member, list):
            chance.shuffle(member)
        case _:
            parent[key] = {"a": member}
    return value


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of *value*: the container, and the name or number in it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _nodes(value[key])


def _change_text(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.choice((b"", b",", b'"', b"\\", b"\xff", b"{", b'"a":1,"a":1,', b"1e9")) + content[at:]


def change_der(content: bytes, seed: int) -> bytes:
    """Return *content* with one to three elements changed in tag, length or contents; lengths around them may lie."""
    chance, changed = random.Random(seed), bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        starts = list(_elements(bytes(changed), 0, len(changed)))
        at = chance.choice(starts) if starts else 0
        match chance.randrange(7):
            case 0 if changed:
                changed[at] = chance.choice((0x30, 0x02, 0xA0, 0x31, 0x05, 0x00, 0xFF, 0x1F, chance.randrange(256)))
            case 1:
                length = chance.choice(
                    (b"\x80", b"\x81\x00", b"\x82\xff\xff", b"\x84\xff\xff\xff\xff", b"\x85", b"\x00")
                )
                changed[at + 1 : at + 2] = length
            case 2 if at + 1 < len(changed):
                changed[at + 1] = (changed[at + 1] + chance.choice((-1, 1, 2, 128))) % 256
            case 3:
                del changed[at : at + chance.choice((1, 2, 40))]
            case 4:
                changed[at:at] = changed[at : at + chance.choice((2, 10, 60))]
            case 5:
                del changed[chance.randrange(len(changed) + 1) :]
            case _:
                changed[at:at] = chance.choice((b"\x05\x00", b"\x30\x00", b"\x30\x80\x00\x00", b"\xa0\x03\x02\x01\x02"))
    return bytes(changed)


def _elements(der: bytes, start: int, end: int) -> Iterator[int]:
    """Where elements begin, as far as the lengths can be believed."""
    while start + 2 <= end:
        yield start
        length, inside = der[start + 1], start + 2
        if length >= 0x80:
            size = length & 0x7F
            length, inside = int.from_bytes(der[inside : inside + size], "big"), inside + size
        if der[start] & 0x20:
            yield from _elements(der, inside, min(inside + length, end))
        start = inside + length


def change_lines(content: bytes, seed: int) -> bytes:
    """Return *content*, lines of text, with one to three of them changed."""
    chance, lines = random.Random(seed), content.split(b"\n")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                del lines[at : at + 1]
                lines = lines or [b""]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2:
                name, sign, _ = lines[at].partition(b"=")
                lines[at] = name + sign + chance.choice(ODD_TOML)
            case 3:
                place = chance.randrange(len(lines[at]) + 1)
                lines[at] = (
                    lines[at][:place] + chance.choice((b"\0", b"\xff", b"=", b'"', b"-", b" ")) + lines[at][place:]
                )
            case 4:
                lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
            case 5:
                lines[at] = lines[at].upper()
            case _:
                other = chance.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)
