"""
Documents of a megabyte, made to cost as much time and memory as a parser lets them.

It may import the gate and the documents. Whether they are refused is no matter here: what counts is the work until
then. ``tests/bench`` holds the memory to its limit; time is only shown, since a busy machine is not a defect.
"""

import gc
import json
import tracemalloc
from collections.abc import Iterable

from bench.lookup import published
from bench.measure import Action, Effort, interleaved, milliseconds, thread_cpu
from bench.rows import Row, at_most
from pinwarden.documents import MAX_HOSTS, PinSet
from pinwarden.envelope import PAYLOAD_LIMITS, PINSET_TYPE
from pinwarden.errors import UntrustedError
from pinwarden.strict_json import MAX_DEPTH, MAX_STRUCTURE

SIZE = PAYLOAD_LIMITS[PINSET_TYPE]
LIMIT_MILLISECONDS, LIMIT_MEBIBYTES = 100, 16
# A character of two bytes in memory, as signers write it, and one of four, as it stands in UTF-8.
ESCAPED, RAW = "\\u1234", "\U0001f600"


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report: of all documents the one that costs most."""
    hostile = documents()
    actions = {name: _parsing(content) for name, content in hostile.items()}
    taken = interleaved(actions, rounds=effort.pick(full=20, quick=5, smoke=1), clock=thread_cpu, effort=effort)
    slowest = max(taken, key=lambda name: milliseconds(taken[name]))
    largest = max(hostile, key=lambda name: peak_mebibytes(hostile[name]))
    time, memory = milliseconds(taken[slowest]), peak_mebibytes(hostile[largest])
    return [
        Row(
            "worst document of 1 MiB, time", time, "ms CPU", slowest, at_most(time, LIMIT_MILLISECONDS, "below 100 ms")
        ),
        Row(
            "worst document of 1 MiB, memory", memory, "MiB", largest, at_most(memory, LIMIT_MEBIBYTES, "below 16 MiB")
        ),
    ]


def documents() -> dict[str, bytes]:
    """Return the documents, each of exactly :data:`SIZE` bytes or what its kind can fill, by what they are made of."""
    made: dict[str, Iterable[str]] = {"white space": (), "one long string": _listed('"x', ["x" * (SIZE - 40)], 'x"')}
    for kind, structure, letter in (("ASCII", MAX_STRUCTURE, ESCAPED), ("wide", MAX_STRUCTURE // 2, RAW)):
        some = range(structure - 20)
        made |= {
            f"{kind}, one object of many members": _object(f'"{letter}{n:x}":""' for n in some),
            f"{kind}, one object of many texts": _object(f'"{letter}{n:x}":"{letter}{n:x}"' for n in some),
            f"{kind}, a member twice at the end": _object([*(f'"{n:x}":1' for n in some[:-4]), '"0":1']),
            f"{kind}, small objects": _list(f'{{"{letter}{n:x}":"{letter}"}}' for n in some[: structure // 2 - 10]),
            f"{kind}, objects inside objects": _list(_nested(letter, n) for n in range((structure - 20) // 15)),
            f"{kind}, arrays inside arrays": _list("[" * 12 + "]" * 12 for n in range((structure - 20) // 13)),
            f"{kind}, numbers": _list(f"{10**14 + n}" for n in some),
            f"{kind}, texts": _list(f'"{letter}{n:x}"' for n in some),
        }
    return {
        "bytes that are not UTF-8": b"{" + b" " * (SIZE - 2) + b"\xff",
        "half a surrogate pair at the end": _filled('{"a":"' + "\\u1234" * 170_000, '\\ud800"}', "x"),
        "more structure than is read": _filled("[" * (SIZE - 2), "]", "["),
        "digits": _filled('{"a":9', "}", "9"),
        "a long authority": _filled('{"type":"pinset","spec":"1.0","authority":"', '"}', "A"),
        "a full pin set with a fault at its end": _full(),
        **{name: _spelt(members, wide=name.startswith("wide")) for name, members in made.items()},
    }


def _full() -> bytes:
    """Return 2,000 hosts with five pins each, all of them good, and a host that stands twice at the very end."""
    bundle = published(MAX_HOSTS - 1, pins=5)[1]
    body = json.loads(bundle.pinset.payload)
    body["hosts"].append(body["hosts"][0])
    return json.dumps(body, separators=(",", ":")).encode()


def peak_mebibytes(content: bytes) -> float:
    """Return the most that Python had allocated while *content* was parsed and refused, beyond *content* itself."""
    parse = _parsing(content)
    gc.collect()
    tracemalloc.start()
    try:
        parse()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def _parsing(content: bytes) -> Action:
    def act() -> None:
        try:
            PinSet.parse(content)
        except UntrustedError:
            return
        raise AssertionError("a hostile document was accepted")

    return act


def _list(members: Iterable[str]) -> list[str]:
    return ["[", *_between(members), "]"]


def _object(members: Iterable[str]) -> list[str]:
    return ["{", *_between(members), "}"]


def _listed(start: str, members: Iterable[str], end: str) -> list[str]:
    return [start, *members, end]


def _between(members: Iterable[str]) -> list[str]:
    """Return *members* with commas, as many as a document holds, whatever the letters weigh."""
    taken, size = [], 60
    for member in members:
        size += len(member.encode()) + 1
        if size > SIZE:
            break
        taken.append(member)
    return [",".join(taken)]


def _nested(letter: str, number: int) -> str:
    depth = MAX_DEPTH - 2
    names = (f'{{"{letter}{number * depth + level:x}":' for level in range(depth))
    return f"{''.join(names)}1{'}' * depth}"


def _spelt(members: Iterable[str], *, wide: bool) -> bytes:
    return _filled(f'{{"e":"{RAW if wide else ""}","a":{"".join(members) or 1}', "}", " ")


def _filled(start: str, end: str, filling: str) -> bytes:
    body, tail = start.encode(), end.encode()
    return body + filling.encode() * (SIZE - len(body) - len(tail)) + tail
