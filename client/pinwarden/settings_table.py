"""
Settings as one table per part of Pinwarden: parsing, help texts and the documentation are made from its rows.

It may import ``errors`` and the standard library. No value is guessed from its looks, no secret is a setting (only the
name of its file), and an unknown name is an error, because a misspelt limit that is ignored is no limit.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden.errors import ConfigError

# What Kubernetes puts into the environment for a service whose name begins with the prefix.
_INJECTED = re.compile(r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_.*)", re.ASCII)
_FILE_SUFFIX = "_file"


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One row: how the value is spelt, what holds without it, what it does.

    Attributes:
        parse: text or TOML value to value; raises ValueError with the expectation as its message.
        default: spelt as in a TOML file; None when there is none.
        help: one sentence.
        may_be_secret: it may hold a password, so ``<name>_file`` may name a file with it, and no message shows it.
    """

    name: str
    parse: Callable[[Any], Any]
    default: Any
    help: str
    may_be_secret: bool = False

    @property
    def default_text(self) -> str | None:
        """The default as a settings file spells it."""
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return None if self.default in (None, ()) else str(self.default)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values come from: *where* for messages, *folder* from which relative paths count."""

    where: str
    values: dict[str, Any]
    folder: Path | None = None


class SettingsTable:
    """
    The settings of one part.

    Args:
        prefix: with which its environment variables begin.
        rows: one each; a row that may be secret brings a second one, whose name ends in ``_file``.
        listed_by: the command that prints them all, for hints.
        foreign: beginnings of names after *prefix* that belong to other parts, and are left to them.
    """

    def __init__(
        self, prefix: str, rows: tuple[Setting, ...], *, listed_by: str, foreign: tuple[str, ...] = ()
    ) -> None:
        self.config_variable = f"{prefix}CONFIG"
        self._prefix = prefix
        self._listed_by = listed_by
        self._foreign = foreign
        self._primary = rows
        self._rows = {row.name: row for each in rows for row in _with_twin(each)}

    def __iter__(self) -> Iterator[Setting]:
        """Every row, those that name a file with the value of another one included."""
        return iter(self._rows.values())

    def variable(self, name: str) -> str:
        """Return the environment variable of the setting *name*."""
        return self._prefix + name.upper()

    def read(
        self,
        environ: Mapping[str, str],
        *,
        config: Path | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Return the value of every setting by name, None where there is neither a value nor a default.

        Args:
            environ: the variables; one of them names the TOML file when *config* does not.
            config: TOML file; the environment wins over it, and its relative paths count from its folder.
            given: wins over both, such as what a command line says.

        Raises:
            ConfigError: an unknown name, an impossible value, a file that cannot be read; the first one found.
        """
        named = environ.get(self.config_variable)
        path = config or (Path(named) if named else None)
        sources = [_Source("the command line", dict(given or {})), self._from_environment(environ)]
        if path is not None:
            sources.append(self._from_file(path))
        return {row.name: self._value(row, sources) for row in self._primary}

    def _from_environment(self, environ: Mapping[str, str]) -> _Source:
        values: dict[str, Any] = {}
        for variable, text in environ.items():
            if not variable.startswith(self._prefix) or variable == self.config_variable:
                continue
            rest = variable.removeprefix(self._prefix)
            if variable == self.variable(rest.lower()) and rest.lower() in self._rows:
                values[rest.lower()] = text
            elif not rest.startswith(self._foreign) and not _INJECTED.fullmatch(rest):
                raise self._unknown("the environment has", variable, rest.lower(), self.variable)
        return _Source("the environment", values)

    def _from_file(self, path: Path) -> _Source:
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"settings file {path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:  # tomllib lets both out, for long integers and for deep arrays
            raise ConfigError(f"settings file {path} is not TOML: {error}") from None
        for name in values:
            if name not in self._rows:
                raise self._unknown(f"settings file {path} has", name, name.lower(), str)
        return _Source(f"settings file {path}", values, path.absolute().parent)

    def _unknown(self, where: str, name: str, bare: str, spell: Callable[[str], str]) -> ConfigError:
        near = difflib.get_close_matches(bare, self._rows, n=1)
        hint = f"Did you mean {spell(near[0])}?" if near else f"`{self._listed_by}` lists all of them."
        return ConfigError(f"{where} an unknown setting {name!r}", hint=hint)

    def _value(self, row: Setting, sources: list[_Source]) -> Any:
        """Return the value that the first source has under the name of *row*, or under that of its file."""
        twin = self._rows[row.name + _FILE_SUFFIX] if row.may_be_secret else None
        for source in sources:
            direct = row.name in source.values
            if twin is not None and twin.name in source.values:
                if direct:
                    raise ConfigError(
                        f"{row.name} and {twin.name} are both set by {source.where}", expected="one of the two"
                    )
                return _content(row, twin.name, _parsed(twin, source))
            if direct:
                return _parsed(row, source)
        return None if row.default is None else row.parse(row.default)


def _with_twin(row: Setting) -> tuple[Setting, ...]:
    if not row.may_be_secret:
        return (row,)
    return row, Setting(row.name + _FILE_SUFFIX, path, None, f"File that holds {row.name}, for one with a password.")


def _parsed(row: Setting, source: _Source) -> Any:
    value = source.values[row.name]
    try:
        parsed = row.parse(value)
    except ValueError as error:
        got = "a value that may be secret" if row.may_be_secret else repr(value)
        raise ConfigError(
            f"setting {row.name}, from {source.where}, has an impossible value", expected=error, got=got
        ) from None
    if source.folder is not None and isinstance(parsed, Path):
        return source.folder / parsed
    return parsed


def _content(row: Setting, name: str, file: Path) -> Any:
    try:
        return row.parse(file.read_text("utf-8").strip())
    except OSError as error:
        raise ConfigError(f"{name} {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} {file} is not text", expected="UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{name} {file} holds an impossible {row.name}", expected=error) from None


def text(value: Any) -> str:
    """Parse a text."""
    if type(value) is not str or not value:
        raise ValueError("a text that is not empty")
    return value


def path(value: Any) -> Path:
    """Parse a path; a relative one counts from the folder of the settings file, else from the working folder."""
    return Path(text(value))


def absolute_path(value: Any) -> Path:
    """Parse a path that means the same wherever a process runs."""
    parsed = path(value)
    if not parsed.is_absolute():
        raise ValueError("an absolute path")
    return parsed


def switch(value: Any) -> bool:
    """Parse a yes or no."""
    if type(value) is bool:
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError("true or false")


def texts(value: Any) -> tuple[str, ...]:
    """Parse a list."""
    if type(value) is str:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if type(value) in (list, tuple) and all(type(part) is str for part in value):
        return tuple(value)
    raise ValueError("a list of texts (in the environment: separated by commas)")


def integer(low: int, high: int) -> Callable[[Any], int]:
    """Return the parser of integers from *low* to *high*."""

    def parse(value: Any) -> int:
        if type(value) is str and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return parse


def number(low: float, high: float) -> Callable[[Any], float]:
    """Return the parser of decimal numbers from *low* to *high*."""

    def parse(value: Any) -> float:
        if type(value) is str and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value, re.ASCII):
            value = float(value)
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(value)

    return parse


def choice(*words: str) -> Callable[[Any], str]:
    """Return the parser of one word out of *words*."""

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError(" or ".join(words))
        return str(value)

    return parse
