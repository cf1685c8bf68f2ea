"""
Inputs of vectors as bytes: the small language in which large ones are told. tests/vectors/README.md defines it.

It imports the standard library only, so that it can be read as an example for another language.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any


def expand(pieces: list[Any], named: Mapping[str, Any]) -> bytes:
    """Return the bytes that *pieces* stand for, one after the other."""
    return b"".join(_expand_one(piece, named) for piece in pieces)


def _expand_one(piece: Any, named: Mapping[str, Any]) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if "named" in piece:
        return read_input(piece, named)
    if "repeat" in piece:
        return piece["repeat"].encode() * piece["times"]
    if "numbers" in piece:
        first, last = piece["numbers"]
        return "".join(piece["text"].replace("#", f"{number:04d}") for number in range(first, last + 1)).encode()
    if "hex" in piece:
        return bytes.fromhex(expand(piece["hex"], named).decode())
    return b64encode(expand(piece["base64"], named))


def read_input(given: Mapping[str, Any], named: Mapping[str, Any]) -> bytes:
    """Return the bytes of an input; *named* are the inputs that its file names."""
    if "named" in given:
        return read_input(named[given["named"]], named)
    if "text" in given:
        return str(given["text"]).encode()
    if "base64" in given:
        return b64decode(given["base64"])
    return expand(given["pieces"], named)
