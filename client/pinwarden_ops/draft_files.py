"""
Pin sets as files that people write: TOML or JSON with the fields of PUT, checked here before a server sees them.

It may import layer 0 and ``contents``. A field that nobody knows is an error, because a misspelt ``report_to`` that is
ignored reports nothing; every refusal names the file and the place in it.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinwarden.documents import PinSet, check_name
from pinwarden.errors import MalformedError, PinwardenError
from pinwarden.strict_json import kind_of, parse_object
from pinwarden_keys.files import read_public
from pinwarden_ops import contents
from pinwarden_ops.errors import DraftRefused

MAX_BYTES = 2 * 1024 * 1024
SUFFIXES = (".toml", ".json")
MAX_LIFETIME_SECONDS = 10 * 365 * 24 * 3600
MAX_REASON = 1000
_KNOWN: dict[str, tuple[str, ...]] = {
    "": (*contents.FIELDS, "lifetime_seconds"),
    "host": ("host", "pins", "backups", "mode", "enforce_percent", "on_expiry", "certificates"),
    "pins": ("sha256", "kind"),
    "backups": ("sha256", "kind", "proof"),
}
# What a command says once, and a file that is applied again and again must not say.
ONCE = ("reason", "force")
_PLACE = re.compile(r"pinset((?:\.[a-z_0-9]+|\[\d+\])*)(?: \([^)]*\))?[ .:]*")
_FIELD = re.compile(r"[a-z_0-9]+", re.ASCII)
_STEP = re.compile(r"\.([a-z_0-9]+)|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Draft:
    """
    A file that says what a pin set shall be.

    Attributes:
        content: what it says, as clients understand it; authority, version and times mean nothing.
        lifetime_seconds: the life that it wants, or None for the server's default.
        once: ``reason`` and ``force``, where the file may have them.
        shown: PEM that lint looks at and nobody signs: certificates by host, proofs by host and pin.
    """

    name: str
    file: Path
    content: PinSet
    lifetime_seconds: int | None = None
    once: Mapping[str, Any] = field(default_factory=dict)
    shown: Mapping[tuple[str, ...], str] = field(default_factory=dict)

    def body(self, *, reason: str = "", force: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the body of a PUT; what is given here wins over what the file says."""
        body = {**contents.to_json(self.content), **self.once}
        for host in body["hosts"]:
            if (chain := self.shown.get((host["host"],))) is not None:
                host["certificates"] = chain
            for pin in host["backups"]:
                if (proof := self.shown.get((host["host"], pin["sha256"]))) is not None:
                    pin["proof"] = proof
        if self.lifetime_seconds is not None:
            body["lifetime_seconds"] = self.lifetime_seconds
        if reason:
            body["reason"] = reason
        if force:
            body["force"] = list(force)
        return body


def read_draft(file: Path, *, name: str | None = None, may_say_once: bool = True) -> Draft:
    """
    Read one file; TOML when its name ends in ``.toml``, else JSON.

    Args:
        name: the pin set; default: the name of the file.
        may_say_once: whether ``reason`` and ``force`` may stand in it.

    Raises:
        DraftRefused: what the file says cannot be a pin set; with line and JSON pointer where they are known.
    """
    text = read_public(file, limit=MAX_BYTES, what="draft")
    value = _parse(file, text)
    try:
        known = check_name(name or file.stem)
        _check_fields(value, may_say_once)
        shown = _take_evidence(value)
        content = contents.parse_content(known, value)
    except MalformedError as error:
        raise _refused(file, text, value, error) from None
    once = {each: value[each] for each in ONCE if each in value}
    return Draft(known, file, content, value.get("lifetime_seconds"), once, shown)


def read_folder(folder: Path) -> list[Draft]:
    """
    Read every pin set of *folder*, by name; folders in it and names that begin with a dot are passed over.

    Raises:
        DraftRefused: a file is refused, one is neither TOML nor JSON, two mean one pin set, or there is none at all.
            All files are read first: the refusals after the first one are its ``others``.
    """
    files = sorted(each for each in _entries(folder) if not each.name.startswith(".") and not each.is_dir())
    drafts: dict[str, Draft] = {}
    refusals: list[PinwardenError] = []
    for file in files:
        try:
            draft = _read_one(file)
            if draft.name in drafts:
                raise DraftRefused(f"{file} and {drafts[draft.name].file} both mean pin set {draft.name!r}")
            drafts[draft.name] = draft
        except PinwardenError as error:
            refusals.append(error)
    if not files:
        raise DraftRefused(
            f"{folder} holds no pin set", expected="a file NAME.toml for each", hint="An empty folder deletes nothing."
        )
    if refusals:
        first, *others = refusals
        first = first if isinstance(first, DraftRefused) else DraftRefused(str(first))
        first.others = tuple(others)
        raise first
    return [drafts[name] for name in sorted(drafts)]


def to_toml(content: PinSet, lifetime_seconds: int | None = None) -> str:
    """Return the TOML file that says this, one pin per line."""
    lines = [f'on_stale = "{content.on_stale}"']
    if lifetime_seconds is not None:
        lines.append(f"lifetime_seconds = {lifetime_seconds}")
    value = contents.to_json(content)
    if "report_to" in value:
        lines.append(f"report_to = {json.dumps(value['report_to'])}")
    if "deny" in value:
        lines += ["deny = [", *(f'  "{pin}",' for pin in value["deny"]), "]"]
    for host in value["hosts"]:
        lines += ["", "[[hosts]]", f"host = {json.dumps(host['host'])}"]
        lines += [f'mode = "{host["mode"]}"', f"enforce_percent = {host['enforce_percent']}"]
        lines.append(f'on_expiry = "{host["on_expiry"]}"')
        for where in ("pins", "backups"):
            pins = [f'  {{sha256 = "{pin["sha256"]}", kind = "{pin["kind"]}"}},' for pin in host[where]]
            lines += [f"{where} = [", *pins, "]"]
    if not value["hosts"]:
        lines.insert(0, "hosts = []")
    return "\n".join([*lines, ""])


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DraftRefused(f"{folder} cannot be read: {error.strerror}") from None


def _read_one(file: Path) -> Draft:
    if file.suffix not in SUFFIXES:
        raise DraftRefused(
            f"{file} is neither TOML nor JSON",
            expected=" or ".join(f"NAME{suffix}" for suffix in SUFFIXES),
            hint="Keep other files elsewhere, so that none is taken for a pin set that was applied.",
        )
    return read_draft(file, may_say_once=False)


def _parse(file: Path, text: bytes) -> dict[str, Any]:
    if file.suffix != ".toml":
        try:
            return parse_object(text, limit=MAX_BYTES, what=str(file))
        except MalformedError as error:
            raise DraftRefused(error.what, expected=error.expected, got=error.got, step=error.step) from None
    try:
        return tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DraftRefused(f"{file} is not TOML: {error}") from None


def _check_fields(value: dict[str, Any], may_say_once: bool) -> None:
    for once in ONCE if not may_say_once else ():
        if once in value:
            raise MalformedError(
                f"pinset.{once} does not belong into a file that is applied again and again",
                hint=f"Give --{once} to the command.",
            )
    _check_known("pinset", value, (*_KNOWN[""], *(ONCE if may_say_once else ())))
    for path, entry in _each("pinset.hosts", value.get("hosts")):
        _check_known(path, entry, _KNOWN["host"])
        for where in ("pins", "backups"):
            for place, pin in _each(f"{path}.{where}", entry.get(where)):
                _check_known(place, pin, _KNOWN[where])
    _check_numbers(value)


def _take_evidence(value: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """Take what only lint looks at out of *value*, and return it by host, or host and pin."""
    shown: dict[tuple[str, ...], str] = {}
    for path, host in _each("pinset.hosts", value.get("hosts")):
        owner = str(host.get("host"))
        if "certificates" in host:
            shown[owner,] = _pem(host.pop("certificates"), f"{path}.certificates")
        for place, pin in _each(f"{path}.backups", host.get("backups")):
            if "proof" in pin:
                shown[owner, str(pin.get("sha256"))] = _pem(pin.pop("proof"), f"{place}.proof")
    return shown


def _pem(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{path} is no text", expected="PEM, as openssl writes it", got=kind_of(value))
    return value


def _check_numbers(value: dict[str, Any]) -> None:
    seconds = value.get("lifetime_seconds", 1)
    if type(seconds) is not int or not 1 <= seconds <= MAX_LIFETIME_SECONDS:
        got = seconds if type(seconds) is int else kind_of(seconds)
        expected = f"an integer from 1 to {MAX_LIFETIME_SECONDS}"
        raise MalformedError("pinset.lifetime_seconds is impossible", expected=expected, got=got)
    reason, force = value.get("reason", ""), value.get("force", [])
    if type(reason) is not str or len(reason) > MAX_REASON:
        raise MalformedError("pinset.reason is impossible", expected=f"a text of at most {MAX_REASON} characters")
    if type(force) is not list or any(type(code) is not str for code in force):
        raise MalformedError("pinset.force is impossible", expected="a list of codes, such as PIN008")


def _each(path: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list with their places; whatever is misshapen is left to the rules of clients."""
    if isinstance(value, list):
        yield from ((f"{path}[{number}]", entry) for number, entry in enumerate(value) if isinstance(entry, dict))


def _check_known(path: str, value: dict[str, Any], known: tuple[str, ...]) -> None:
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            place = f"{path}.{name}" if _FIELD.fullmatch(name) else path
            raise MalformedError(
                f"{place}: unknown field",
                expected=", ".join(known),
                got=repr(name[:64]),
                hint=f"Did you mean {near[0]}?" if near else None,
            )


def _refused(file: Path, text: bytes, value: dict[str, Any], error: MalformedError) -> DraftRefused:
    match = _PLACE.match(error.what)
    steps = [name or number for name, number in _STEP.findall(match[1])] if match else []
    line = _line_of(text.decode("utf-8", "replace"), value, steps) if file.suffix == ".toml" else None
    words = error.what[match.end() :] if match else error.what
    pointer = "".join(f"/{step}" for step in steps)
    where = f"{file}{f', line {line}' if line else ''}{f', at {pointer}' if pointer else ''}"
    return DraftRefused(
        f"{where}: {words}",
        expected=error.expected,
        got=error.got,
        hint=error.hint,
        step=error.step,
        line=line,
        pointer=pointer,
    )


def _line_of(text: str, value: dict[str, Any], steps: list[str]) -> int | None:
    """
    Return the line where *steps* lead, or None when it is not certain.

    The parser keeps no places, so headers are counted; where that comes to another number of hosts than the parser
    found, such as for hosts in one line, nothing is claimed.
    """
    lines = text.splitlines()
    headers = [number for number, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*hosts\s*\]\]", line)]
    if steps[:1] == ["hosts"] and len(steps) > 1:
        if len(headers) != len(value["hosts"]):
            return None
        first = headers[int(steps[1])]
        end = next((number for number in headers if number > first), len(lines) + 1)
        named = steps[2] if len(steps) > 2 else None
    else:
        first, end, named = 0, headers[0] if headers else len(lines) + 1, steps[0] if steps else None
    if named is None:
        return first or None
    assigned = re.compile(rf"\s*{re.escape(named)}\s*=")
    found = [number for number in range(first + 1, end) if assigned.match(lines[number - 1])]
    return found[0] if len(found) == 1 else (first or None)
