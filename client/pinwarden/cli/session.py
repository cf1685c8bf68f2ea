"""
What the commands of an application share: where settings come from, and the client that they make.

It may import click, ``settings`` and PinClient. Under --state-dir nothing is taken from the environment, so that two
runs with the same folder say the same.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pinwarden.cli.refusals import say
from pinwarden.client import PinClient
from pinwarden.errors import ConfigError, MalformedError
from pinwarden.settings import TABLE, sdk_settings
from pinwarden.strict_json import parse_time

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
STATE_SETTINGS = "settings.toml"
OPTIONS = ("url", "pinset", "root", "cache", "ca_file")
_METAVARS = {"url": "URL", "pinset": "NAME", "root": "FILE", "cache": "FOLDER", "ca_file": "FILE"}

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def moment(text: str) -> datetime:
    """Parse a time as documents spell it; a type for options."""
    try:
        return parse_time(text, what="time")
    except MalformedError:
        raise click.BadParameter(f"{text!r} is not a time such as 2026-11-24T12:00:00Z") from None


@dataclass(frozen=True, slots=True)
class Session:
    """
    What was said before the name of the command.

    Attributes:
        state_dir: folder of a client that knows nothing else, or None.
        now: the time to pretend, or None for the machine's.
    """

    state_dir: Path | None = None
    now: datetime | None = None

    def arguments(self, config: Path | None, given: dict[str, str]) -> dict[str, Any]:
        """
        Return the arguments of PinClient.

        Raises:
            ConfigError: a setting is missing, unknown or impossible.
        """
        if self.state_dir is None:
            return sdk_settings(os.environ, config=config, given=given)
        if config is not None:
            raise click.UsageError("--config and --state-dir exclude each other")
        stored = self.state_dir / STATE_SETTINGS
        if not stored.exists():
            raise ConfigError(
                f"folder {self.state_dir} was not founded",
                expected=f"a file {STATE_SETTINGS} in it",
                hint=f"Found it by `pinwarden --state-dir {self.state_dir} init root.json --url URL --pinset NAME`.",
            )
        return sdk_settings({}, config=stored, given=given)

    @contextmanager
    def client(self, config: Path | None, given: dict[str, str]) -> Iterator[PinClient]:
        """Make a PinClient for one command; what it logs becomes ``warning:`` lines."""
        arguments = self.arguments(config, given)
        if (now := self.now) is not None:
            arguments["clock"] = lambda: now
        with logged_as_warnings():
            client = PinClient(**arguments)
            try:
                yield client
            finally:
                client.close()


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that name settings; it gets ``config`` and ``given``."""

    @wraps(command)
    def collected(**arguments: Any) -> Any:
        given = {name: arguments.pop(name) for name in OPTIONS}
        return command(given={name: value for name, value in given.items() if value is not None}, **arguments)

    rows = {row.name: row for row in TABLE}
    decorated = click.option(
        "--config", type=FILE, help=f"Settings file (TOML) with the same names.  [env var: {TABLE.config_variable}]"
    )(collected)
    for name in reversed(OPTIONS):
        text = f"{rows[name].help}  [env var: {TABLE.variable(name)}]"
        decorated = click.option(f"--{name.replace('_', '-')}", name, metavar=_METAVARS[name], help=text)(decorated)
    return decorated


def with_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that name settings, and the client that they describe as its first argument."""

    @settings_options
    @click.pass_obj
    @wraps(command)
    def opened(session: Session, /, *, config: Path | None, given: dict[str, str], **arguments: Any) -> Any:
        with session.client(config, given) as client:
            return command(client, **arguments)

    return opened


class _Warnings(logging.Handler):
    """Prints what the SDK logs; errors are left out, because each of them is also raised and told then."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            say("warning", record.getMessage())


@contextmanager
def logged_as_warnings() -> Iterator[None]:
    """Print what the SDK logs inside the block as ``warning:`` lines, but for errors, which are raised and told too."""
    log, printer = logging.getLogger("pinwarden"), _Warnings(logging.WARNING)
    before = log.propagate
    log.addHandler(printer)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = before
        log.removeHandler(printer)
