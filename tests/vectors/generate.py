"""
Writes the vector files: ``python -m tests.vectors.generate``; with ``--check`` it compares and exits with 1.

It signs and frames with the product's code and states every expectation by hand, in ``sources``: what a vector expects
was never computed by the code that it judges.
"""

import json
import re
import sys
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vectors.sources import (
    adoption,
    certificates,
    contents,
    documents,
    enforcement,
    frames,
    hosts,
    large,
    parsing,
    root_roles,
    roots,
    signatures,
    signing,
    versions,
)

FORMAT = "pinwarden-vectors-1"
HERE = Path(__file__).parent
_PAYLOAD = re.compile(r'(?<="payload":")([A-Za-z0-9+/]+={0,2})(?=")')
SOURCES = (
    parsing,
    signing,
    frames,
    signatures,
    root_roles,
    roots,
    documents,
    versions,
    contents,
    large,
    adoption,
    hosts,
    certificates,
    enforcement,
)


def files() -> dict[str, str]:
    """Return the text of every vector file by its name."""
    return {f"{name}.json": _spell(*group) for source in SOURCES for name, group in sorted(source.GROUPS.items())}


def _spell(about: str, shared: dict[str, Any], cases: list[Any]) -> str:
    """Return one file, with one case per line, so that a change shows in a diff as what it is."""
    names = [case["name"] for case in cases if "name" in case and "step" in case]
    if len(set(names)) != len(names):
        raise ValueError(f"two cases have one name: {sorted(name for name in names if names.count(name) > 1)}")
    texts = [(value["text"], name) for name, value in shared.items() if set(value) == {"text"}]
    fragments = dict(sorted(texts, key=lambda pair: -len(pair[0])))
    lines = ",\n".join(json.dumps(_shorten(case, fragments)) for case in cases)
    shared = {name: _shorten(value, {}) for name, value in shared.items()}
    head = f'"format": "{FORMAT}",\n"about": {json.dumps(about)}'
    named = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in shared.items())
    return f'{{{head},\n"shared": {{\n{named}\n}},\n"cases": [\n{lines}\n]}}\n'


def _shorten(value: Any, fragments: dict[str, str]) -> Any:
    """Return *value* with its inputs told in pieces: payloads as the text that they are, and repeated parts by name."""
    if isinstance(value, list):
        return [_shorten(each, fragments) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) != {"text"} or not isinstance(value["text"], str):
        return {name: _shorten(member, fragments) for name, member in value.items()}
    pieces = _told(value["text"], fragments, lambda text: _payloads(text, fragments))
    if len(pieces) > 1 or "base64" in pieces[0]:
        return {"pieces": pieces}
    return {"text": pieces[0]} if isinstance(pieces[0], str) else pieces[0]


def _told(text: str, fragments: dict[str, str], rest: Callable[[str], list[Any]]) -> list[Any]:
    """Return *text* with what *fragments* name cut out; *rest* tells what remains."""
    for fragment, name in fragments.items():
        before, found, after = text.partition(fragment)
        if found:
            return [
                *(_told(before, fragments, rest) if before else []),
                {"named": name},
                *(_told(after, fragments, rest) if after else []),
            ]
    return rest(text)


def _payloads(text: str, fragments: dict[str, str]) -> list[Any]:
    """Return *text* with base64 of readable payloads replaced by the payloads."""
    pieces: list[Any] = []
    for number, part in enumerate(_PAYLOAD.split(text)):
        readable = _readable(part) if number % 2 else None
        pieces.append(part if readable is None else {"base64": _told(readable, fragments, lambda rest: [rest])})
    return [piece for piece in pieces if piece != ""] or [""]


def _readable(base64: str) -> str | None:
    try:
        payload = b64decode(base64, validate=True)
        return payload.decode("ascii") if b64encode(payload).decode() == base64 else None
    except ValueError:
        return None


def main(arguments: list[str]) -> int:
    """Write or compare; return the exit code."""
    wanted = files()
    committed = {path.name: path.read_text("ascii") for path in HERE.glob("*.json")}
    differing = sorted(name for name in wanted.keys() | committed.keys() if wanted.get(name) != committed.get(name))
    if arguments == ["--check"]:
        for name in differing:
            print(f"{name} is not what the generator writes", file=sys.stderr)
        return 1 if differing else 0
    for name in differing:
        if name in wanted:
            (HERE / name).write_text(wanted[name], "ascii")
        else:
            (HERE / name).unlink()
        print(f"{name} {'written' if name in wanted else 'removed'}")
    return 0


if __name__ == "__main__":
    warnings.simplefilter("error")
    sys.exit(main(sys.argv[1:]))
