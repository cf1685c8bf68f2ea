"""
The line in front of what is kept, by which Redis orders writes and clients judge hints.

It may import the gate, ``envelope`` and ``trust``. Its numbers are hints: whoever reads the documents verifies them, so
a number that lies makes a client fetch, and nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pinwarden.envelope import PAYLOAD_LIMITS, Envelope
from pinwarden.errors import UntrustedError
from pinwarden.strict_json import parse_object, parse_time
from pinwarden.trust import KeptDocuments

Tag = tuple[int, int]
MARK = "pinwarden-1"
MAX_HEAD_BYTES = 99
_HEAD = re.compile(rb"pinwarden-1 (\d{1,16})\.(\d{1,16}) (\d{1,16})\.(\d{1,16}) (\d{1,16})")


@dataclass(frozen=True, slots=True)
class Head:
    """
    The highest numbers of what is kept.

    Attributes:
        pinset, timestamp: (epoch, version); (0, 0) for none.
        roots: the version of the newest root; 0 for none.
    """

    pinset: Tag = (0, 0)
    timestamp: Tag = (0, 0)
    roots: int = 0

    @classmethod
    def parse(cls, line: bytes) -> "Head | None":
        """Return what *line* says, or None when it is no such line."""
        match = _HEAD.fullmatch(line)
        if match is None:
            return None
        one, two, three, four, roots = (int(number) for number in match.groups())
        return cls((one, two), (three, four), roots)

    @classmethod
    def of(cls, kept: KeptDocuments) -> "Head":
        """Return the numbers that the documents of *kept* state themselves."""
        return cls(
            max(map(_tag, _facts(kept.pinsets)), default=(0, 0)),
            max(map(_tag, _facts(kept.timestamps)), default=(0, 0)),
            max((_integer(fact, "version") for fact in _facts(kept.roots)), default=0),
        )

    def to_bytes(self) -> bytes:
        """Return the line, without its end."""
        return b"%s %d.%d %d.%d %d" % (MARK.encode(), *self.pinset, *self.timestamp, self.roots)

    def promises_more_than(self, held: "Head") -> bool:
        """Tell whether any of the numbers is higher than in *held*."""
        return self.pinset > held.pinset or self.timestamp > held.timestamp or self.roots > held.roots


def version_of(root: Envelope) -> int:
    """Return the version that *root* states, or 0."""
    return max((_integer(fact, "version") for fact in _facts((root,))), default=0)


def ends_of(envelopes: Iterable[Envelope]) -> list[datetime]:
    """Return when the documents that say so expire."""
    found = []
    for fact in _facts(envelopes):
        try:
            found.append(parse_time(fact.get("expires"), what="expires"))
        except UntrustedError:
            continue
    return found


def _facts(envelopes: Iterable[Envelope]) -> list[dict[str, Any]]:
    found = []
    for envelope in envelopes:
        try:
            limit = PAYLOAD_LIMITS[envelope.payload_type]
            found.append(parse_object(envelope.payload, limit=limit, what="document"))
        except UntrustedError:
            continue
    return found


def _tag(fact: dict[str, Any]) -> Tag:
    return _integer(fact, "epoch"), _integer(fact, "version")


def _integer(fact: dict[str, Any], name: str) -> int:
    value = fact.get(name)
    return value if type(value) is int and value > 0 else 0
