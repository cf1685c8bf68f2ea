"""
Every setting of the server, as one table: parsing, ``server settings`` and docs/server.md come from it.

It may import ``pinwarden.errors``. No value is guessed from its looks, no secret is a setting (only the name of its
file), and an unknown name is an error, because a misspelt limit that is ignored is no limit.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden.errors import ConfigError

PREFIX = "PINWARDEN_SERVER_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
DAY = 24 * 3600

# What Kubernetes puts into the environment for a service named pinwarden-server.
_INJECTED = re.compile(r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_[0-9]+_.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One row: how the value is spelt, what holds without it, what it does.

    Attributes:
        parse: text or TOML value to value; raises ValueError with the expectation as its message.
        default: text for the table; ``None`` when there is none.
    """

    name: str
    parse: Callable[[Any], Any]
    default: Any
    help: str

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return PREFIX + self.name.upper()


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one server, all present; see :data:`TABLE` for their meaning."""

    data_dir: Path
    database_url: str
    tree_dir: Path
    run_dir: Path
    bind: tuple[str, ...]
    tls_terminated_in_front: bool
    workers: int
    threads: int
    signers: tuple[str, ...]
    passphrase_file: Path | None
    metrics_token_file: Path | None
    own_hosts: tuple[str, ...]
    pinset_lifetime_seconds: int
    timestamp_lifetime_seconds: int
    renewal_interval_seconds: int
    shutdown_seconds: int
    log_level: str


def load_settings(environ: Mapping[str, str] = os.environ, *, config: Path | None = None) -> Settings:
    """
    Return the settings of *environ* over those of the TOML file *config* over the defaults.

    Args:
        environ: ``PINWARDEN_SERVER_<NAME>`` each; ``PINWARDEN_SERVER_CONFIG`` names the file when *config* does not.

    Raises:
        ConfigError: an unknown name, an impossible value, a file that cannot be read; the first one found.
    """
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    given = {**_from_file(named), **_from_environment(environ)}
    values = {row.name: _value(row, given) for row in TABLE if row.name not in _TWINS}
    values["database_url"] = _database_url(given, values)
    for name, below in (("tree_dir", "published"), ("run_dir", "run")):
        values[name] = values[name] or values["data_dir"] / below
    return _checked(Settings(**values))


def is_loopback(address: str) -> bool:
    """Tell whether a bind address can only be reached from this machine; a Unix socket is."""
    host = address.rpartition(":")[0].strip("[]")
    return address.startswith("unix:") or host in ("127.0.0.1", "localhost", "::1")


def shown(settings: Settings) -> dict[str, object]:
    """Return the settings in effect as JSON values; the password inside a database URL is left out."""
    values: dict[str, object] = {}
    for row in TABLE:
        if row.name in _TWINS:
            continue
        value = getattr(settings, row.name)
        values[row.name] = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    values["database_url"] = re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", settings.database_url)
    return values


def _checked(settings: Settings) -> Settings:
    open_to_others = [address for address in settings.bind if not is_loopback(address)]
    if open_to_others and not settings.tls_terminated_in_front:
        raise ConfigError(
            "the server would listen beyond this machine without TLS: admin tokens would travel in the clear",
            expected="a loopback address or a Unix socket",
            got=", ".join(open_to_others),
            hint="Put a TLS proxy in front and set tls_terminated_in_front = true, or bind to 127.0.0.1.",
        )
    return settings


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"settings file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} is not TOML: {error}") from None
    for name in given:
        if name not in _ROWS:
            raise _unknown(f"settings file {path} has", name, list(_ROWS))
    return given


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _ROWS:
            given[name] = text
        elif not _INJECTED.fullmatch(variable.removeprefix(PREFIX)):
            raise _unknown("the environment has", variable, [row.variable for row in TABLE])
    # The environment decides over the file whichever of the twins it names.
    return given


def _unknown(where: str, name: str, known: list[str]) -> ConfigError:
    # Without the prefix: with it, every name of the environment resembles every other.
    spelt = {each.removeprefix(PREFIX): each for each in known}
    near = difflib.get_close_matches(name.removeprefix(PREFIX), spelt, n=1)
    return ConfigError(
        f"{where} an unknown setting {name!r}",
        hint=f"Did you mean {spelt[near[0]]}?" if near else "`pinwarden server settings --table` lists all of them.",
    )


def _value(row: Setting, given: Mapping[str, Any]) -> Any:
    try:
        if row.name in given:
            return row.parse(given[row.name])
        return None if row.default is None else row.parse(row.default)
    except ValueError as error:
        raise ConfigError(f"setting {row.name} has an impossible value", expected=error, got=given[row.name]) from None


def _database_url(given: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    if "database_url" in given and "database_url_file" in given:
        raise ConfigError("database_url and database_url_file are both set", expected="one of the two")
    if "database_url_file" in given:
        path = _value(_ROWS["database_url_file"], given)
        try:
            return str(path.read_text("utf-8").strip())
        except OSError as error:
            raise ConfigError(f"database_url_file {path} cannot be read: {error.strerror}") from None
    return values["database_url"] or f"sqlite:///{(values['data_dir'] / 'pinwarden.db')}"


def _text(value: Any) -> str:
    if type(value) is not str or not value:
        raise ValueError("a text that is not empty")
    return value


def _path(value: Any) -> Path:
    path = Path(_text(value))
    if not path.is_absolute():
        raise ValueError("an absolute path")
    return path


def _switch(value: Any) -> bool:
    if type(value) is bool:
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError("true or false")


def _list(value: Any) -> tuple[str, ...]:
    if type(value) is str:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if type(value) in (list, tuple) and all(type(part) is str for part in value):
        return tuple(value)
    raise ValueError("a list of texts (in the environment: separated by commas)")


def _addresses(value: Any) -> tuple[str, ...]:
    addresses = _list(value)
    if not addresses or not all(re.fullmatch(r"unix:/.+|.+:[0-9]{1,5}", address) for address in addresses):
        raise ValueError("HOST:NUMBER or unix:/PATH, one or more")
    return addresses


def _number(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if type(value) is str and re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return value

    return parse


def _choice(*words: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError(" or ".join(words))
        return str(value)

    return parse


TABLE: tuple[Setting, ...] = (
    Setting("data_dir", _path, "/var/lib/pinwarden", "Folder of everything the server keeps."),
    Setting("database_url", _text, None, "Database; default: SQLite, pinwarden.db in data_dir."),
    Setting("database_url_file", _path, None, "File that holds database_url, for URLs with a password."),
    Setting("tree_dir", _path, None, "Folder of the published files; default: published in data_dir."),
    Setting("run_dir", _path, None, "Folder of what ends with the process, on a local disk; default: run in data_dir."),
    Setting("bind", _addresses, "127.0.0.1:8750", "Addresses to listen on: HOST:NUMBER or unix:/PATH."),
    Setting(
        "tls_terminated_in_front",
        _switch,
        False,
        "Promises that a TLS proxy stands in front; without it, only loopback and Unix sockets are bound.",
    ),
    Setting("workers", _number(1, 64), 2, "Worker processes."),
    Setting("threads", _number(1, 64), 4, "Threads of each worker; more than 4 slow the slowest answers."),
    Setting("signers", _list, (), "URIs of the timestamp and pin-set keys, file:/PATH each."),
    Setting("passphrase_file", _path, None, "File (0600) with the passphrase of the key files."),
    Setting(
        "metrics_token_file",
        _path,
        None,
        "File (0600) with a token for /metrics and /statusz alone, which works while the database is away.",
    ),
    Setting("own_hosts", _list, (), "Public names of this pin server; pin sets that pin them are refused (PIN008)."),
    Setting("pinset_lifetime_seconds", _number(3600, 90 * DAY), 30 * DAY, "Lifetime of pin sets that name none."),
    Setting("timestamp_lifetime_seconds", _number(600, 7 * DAY), 3 * DAY, "Lifetime of timestamps."),
    Setting("renewal_interval_seconds", _number(1, 3600), 60, "How often a worker looks for what is due."),
    Setting("shutdown_seconds", _number(1, 600), 30, "How long requests under way may take after SIGTERM."),
    Setting("log_level", _choice("debug", "info", "warning", "error"), "info", "Least severity that is logged."),
)
_ROWS = {row.name: row for row in TABLE}
_TWINS = {"database_url_file"}
