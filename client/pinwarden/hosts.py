"""
Host names: their canonical spelling, the patterns of a pin set, and which pattern wins (spec section 3).

It may import only the standard library's parsing parts and ``errors``. It never resolves a name.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Generic, TypeVar

from pinwarden.errors import MalformedError

Entry = TypeVar("Entry")

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MAX_NAME = 253


def canonical_host(name: str) -> str:
    """
    Return the spelling under which *name*, as an application gave it, is looked up.

    One trailing dot goes, letters become lower case, a name beyond ASCII becomes A-labels (IDNA 2003, as Python's own
    ``ssl`` does it), an IP address takes its shortest form without brackets or zone. Whether the name exists, or could
    be in a document, is not judged: a name that IDNA refuses is returned as it is and will match nothing exact.
    """
    if name.isascii():
        name = name.lower()
    else:
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            name = name.lower()
    name = name.removesuffix(".")
    if ":" in name or name[-1:].isdigit():
        return _canonical_address(name.strip("[]").partition("%")[0]) or name
    return name


def check_pattern(pattern: str, *, what: str) -> str:
    """
    Return *pattern* when a pin set may contain it: an exact name or address, ``*.name`` or ``**.name``.

    Raises:
        MalformedError: upper case, a trailing dot, a label outside RFC 5890's A-labels, an address that is not in its
            canonical form, a wildcard anywhere but as the whole first label.
    """
    name = pattern.removeprefix("**.") if pattern.startswith("**.") else pattern.removeprefix("*.")
    if is_address(name):
        if name == pattern and _canonical_address(name) == name:
            return pattern
        raise MalformedError(
            f"{what} {pattern!r} is not a canonical address", expected="dotted decimal or RFC 5952", step="V8"
        )
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise MalformedError(
            f"{what} {pattern[:80]!r} is not a host pattern",
            expected="lower-case A-labels, optionally after '*.' or '**.'",
            step="V8",
        )
    return pattern


def is_address(name: str) -> bool:
    """Tell whether *name* can only be an IP address: a colon, or a last label of digits alone."""
    return ":" in name or name.rpartition(".")[2].isdigit()


def _canonical_address(text: str) -> str | None:
    if "%" in text:
        return None  # a zone (RFC 4007) has a meaning on one machine only
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        # Python before 3.13 spells these in hexadecimal, against the advice of RFC 5952 section 5.
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


class PatternIndex(Generic[Entry]):
    """
    Finds the one entry that decides for a name; the cost does not grow with the number of patterns.

    Exact wins over ``*.``, which wins over ``**.`` with the longest suffix. The winner decides alone.
    """

    __slots__ = ("_deep", "_exact", "_single")

    def __init__(self, entries: Iterable[tuple[str, Entry]]) -> None:
        self._exact: dict[str, Entry] = {}
        self._single: dict[str, Entry] = {}
        self._deep: dict[str, Entry] = {}
        for pattern, entry in entries:
            if pattern.startswith("**."):
                self._deep[pattern[3:]] = entry
            elif pattern.startswith("*."):
                self._single[pattern[2:]] = entry
            else:
                self._exact[pattern] = entry

    def find(self, name: str) -> Entry | None:
        """Return the entry for *name*, which is canonical already, or None when no pattern covers it."""
        entry = self._exact.get(name)
        if entry is not None or not (self._single or self._deep) or is_address(name):
            return entry
        label, _, parent = name.partition(".")
        if label and (entry := self._single.get(parent)) is not None:
            return entry
        suffix = name if self._deep else ""
        while suffix:
            if (entry := self._deep.get(suffix)) is not None:
                return entry
            suffix = suffix.partition(".")[2]
        return None
