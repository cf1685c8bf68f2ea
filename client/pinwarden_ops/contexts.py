"""
Servers that a person works with side by side, such as staging and production, each under a name.

It may import the standard library and layer 0's errors. A context names the file of a token and never holds one, and
nothing of it goes to a server that somebody named otherwise.
"""

import os
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden.errors import ConfigError

FILE_NAME = "contexts.toml"
CURRENT_NAME = "current-context"
CONFIRM = "confirm"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_PATHS = ("token_file", "ca_file", "root", "state_dir", "url_file", "pins_url_file")
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Context:
    """
    One server under a name.

    Attributes:
        values: settings by name, as texts and booleans; paths are absolute.
        confirm: every write asks for the name first.
    """

    name: str
    values: Mapping[str, str | bool]
    confirm: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where a write goes, in a person's words.

    Attributes:
        context: the name of the context, or None when settings named the server.
        confirm: whether the name has to be typed.
        root: this person's own root.json, whose authority the server's must be, or None.
    """

    context: str | None
    confirm: bool
    root: Path | None


def contexts_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return ``$XDG_CONFIG_HOME/pinwarden``, else ``~/.config/pinwarden``; None where nobody has a home."""
    base = environ.get("XDG_CONFIG_HOME") or (environ.get("HOME") and f"{environ['HOME']}/.config")
    return Path(base, "pinwarden") if base else None


def read_contexts(folder: Path | None, *, known: Iterable[str]) -> dict[str, Context]:
    """
    Return every context of *folder* by name; none when there is no file.

    Args:
        known: names of settings that a context may have, besides ``confirm``.

    Raises:
        ConfigError: the file cannot be read, says what nobody understands, or may be written by others.
    """
    if folder is None:
        return {}
    file = folder / FILE_NAME
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode & 0o777
            text = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    if mode & 0o022:
        raise ConfigError(
            f"{file} may be written by others, who could send your token elsewhere",
            expected="mode 0600",
            got=f"mode {mode:04o}",
            hint=f"Run: chmod 600 {file}, and look at its addresses.",
        )
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file} is too large", expected=f"at most {MAX_BYTES} bytes")
    try:
        tables = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
    return {name: _context(file, name, table, frozenset(known)) for name, table in tables.items()}


def current_context(folder: Path | None) -> str | None:
    """Return the name that ``pinwarden context use`` wrote, or None."""
    if folder is None:
        return None
    try:
        return (folder / CURRENT_NAME).read_text("ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder / CURRENT_NAME} cannot be read: {error}") from None


def use_context(folder: Path, name: str) -> None:
    """Make *name* the context of commands that name no other; the file is replaced whole."""
    part = folder / f".{CURRENT_NAME}.{secrets.token_hex(4)}.part"
    try:
        part.touch(mode=0o600)
        part.write_text(f"{name}\n", "ascii")
        part.replace(folder / CURRENT_NAME)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise ConfigError(f"{folder / CURRENT_NAME} cannot be written: {error.strerror}") from None


def check_context_name(name: str) -> None:
    """Return when *name* may name a context; ConfigError. Whether it is taken is not judged here."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError("not a name of a context", expected="letters, digits, - and _", got=repr(name[:80]))


def add_context(folder: Path, name: str, values: Mapping[str, str | bool]) -> None:
    """
    Append a context to the file, and leave what people wrote in it as it is.

    Raises:
        ConfigError: an impossible name, or the file cannot be written. Whether the name is taken is not judged here.
    """
    check_context_name(name)
    lines = [f"{field} = {_toml(value)}" for field, value in values.items()]
    text = "\n".join([f"[{name}]", *lines, ""])
    file = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as stream:
            before = stream.read()
            gap = b"" if not before else b"\n" if before.endswith(b"\n") else b"\n\n"
            stream.write(gap + text.encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from None


def _context(file: Path, name: str, table: Any, known: frozenset[str]) -> Context:
    if type(table) is not dict:
        raise ConfigError(f"{file} has {name!r} outside of any context", hint="A context is a table: [production].")
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{file} names a context {name[:80]!r}", expected="letters, digits, - and _")
    values = dict(table)
    confirm = values.pop(CONFIRM, False)
    if type(confirm) is not bool:
        raise ConfigError(f"{file}, [{name}]: {CONFIRM} has the wrong type", expected="true or false")
    for field, value in values.items():
        if field not in known:
            raise ConfigError(
                f"{file}, [{name}]: unknown setting {field!r}", expected=", ".join(sorted(known | {CONFIRM}))
            )
        if type(value) not in (str, bool):
            raise ConfigError(f"{file}, [{name}]: {field} has the wrong type", expected="a text, or true or false")
        if field in _PATHS and type(value) is str:
            values[field] = str(file.absolute().parent / Path(value).expanduser())
    return Context(name, values, confirm)


def _toml(value: str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    escaped = "".join(
        f"\\u{ord(character):04x}" if character in '"\\' or ord(character) < 32 or ord(character) == 127 else character
        for character in value
    )
    return f'"{escaped}"'
