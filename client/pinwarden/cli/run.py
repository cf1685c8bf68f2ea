"""
``pinwarden run``: a Python program, unchanged, with every TLS connection pinned.

It may import click, ``settings`` and the standard library. It starts the program with an environment in which each
Python process pins itself or ends; it never lets a program start whose interpreter was told to ignore that environment.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import click

from pinwarden.cli.refusals import say
from pinwarden.cli.session import STATE_SETTINGS, Session, settings_options
from pinwarden.settings import TABLE
from pinwarden.settings_table import Setting

HOOK = Path(__file__).parent.parent / "run_hook"
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*(?:t|d)?", re.ASCII)
_TAKES_ARGUMENT = "WX"
_IGNORES_ENVIRONMENT = {"I": "isolated", "E": "ignoring PYTHONPATH", "S": "without site"}
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def _described(row: Setting) -> str:
    text = row.help if row.default_text is None else f"{row.help} Default: {row.default_text}."
    return f"  {TABLE.variable(row.name)}\n" + textwrap.indent(textwrap.fill(text, 72), "      ") + "\n"


_EPILOG = """\b
Examples:
  pinwarden run --url https://pins.example.com --pinset app --root root.json -- python app.py
  PINWARDEN_CONFIG=/etc/pinwarden.toml pinwarden run -- gunicorn app:app

\b
Settings, each a variable or, in lower case without PINWARDEN_, a line of the file that PINWARDEN_CONFIG names:
""" + "".join(_described(row) for row in TABLE)


@click.command(
    "run", epilog=_EPILOG, context_settings={"allow_interspersed_args": False}, options_metavar="[OPTIONS] --"
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="CMD [ARGS]...")
@settings_options
@click.pass_context
def run(ctx: click.Context, command: tuple[str, ...], config: Path | None, given: dict[str, str]) -> None:
    """
    Run the Python program CMD with every TLS connection pinned, and return its exit code.

    Each Python process that CMD starts pins itself before its first line runs, and ends with code 3 when it cannot.
    While nothing is trusted, every TLS connection is refused. Ended by signal N, the exit code is 128 + N.

    Not covered: what is not Python, TLS stacks other than Python's ssl (grpc, libpq, curl), and Python processes that
    do not get this environment (-I, -E or -S, a cleaned one, sub-interpreters); see also `pinwarden install-hook`.
    """
    session = ctx.find_object(Session) or Session()
    session.arguments(config, given)  # refuses here what every process would refuse
    program = shutil.which(command[0])
    if program is None:
        raise click.UsageError(f"{command[0]!r} is no program that can be run")
    _check_python(program, command)
    environ = _environment(session, config, given)
    ctx.exit(_run(program, command, environ))


def _environment(session: Session, config: Path | None, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which *given* and the rest of the settings hold, wherever a child's folder is."""
    environ = dict(os.environ)
    names = [row.name for row in TABLE]
    if session.state_dir is not None:
        for name in names:
            environ.pop(TABLE.variable(name), None)
        config = session.state_dir / STATE_SETTINGS
    for name, value in given.items():
        environ.pop(TABLE.variable(f"{name}_file"), None)
        environ[TABLE.variable(name)] = value
    if config is not None:
        environ[TABLE.config_variable] = str(config)
    paths = {"root", "bootstrap", "ca_file", "cache", *(name for name in names if name.endswith("_file"))}
    for variable in (TABLE.config_variable, *(TABLE.variable(name) for name in paths)):
        value = environ.get(variable, "")
        if value and "://" not in value:
            environ[variable] = os.path.abspath(value)
    before = environ.get("PYTHONPATH")
    environ["PYTHONPATH"] = f"{HOOK}{os.pathsep}{before}" if before else str(HOOK)
    return environ


def _check_python(program: str, command: Sequence[str]) -> None:
    """Refuse an interpreter that would not import the hook; say what is covered when it is none."""
    starters = [*_interpreted_by(program), program]  # a script may itself be called python, as pyenv's are
    python = next((place for place, word in enumerate(starters) if _PYTHON.fullmatch(Path(word).name)), None)
    if python is None:
        say("note", f"{command[0]} is not a Python program: only Python processes that it starts are pinned")
        return
    found = _ignoring_option([*starters[python + 1 :], *command[1:]])
    if found is not None:
        raise click.UsageError(
            f"{command[0]} would run Python {_IGNORES_ENVIRONMENT[found]} (-{found}), and so without pins"
        )


def _interpreted_by(program: str) -> list[str]:
    """Return the words of the first line of a script, ``#!/usr/bin/env python3`` for one; none for other programs."""
    try:
        with open(program, "rb") as file:
            head = file.read(512)
    except OSError:
        return []
    if not head.startswith(b"#!"):
        return []
    try:
        return shlex.split(head[2:].partition(b"\n")[0].decode("utf-8", "replace"))
    except ValueError:
        return []


def _ignoring_option(arguments: Sequence[str]) -> str | None:
    """Return the letter of the first option that makes Python ignore the hook, or None."""
    words = iter(arguments)
    for word in words:
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                next(words, None)
            continue
        if not word.startswith("-") or word == "-":
            return None
        for place, letter in enumerate(word[1:], 1):
            if letter in _IGNORES_ENVIRONMENT:
                return letter
            if letter in "cm":  # the rest is the program's
                return None
            if letter in _TAKES_ARGUMENT:
                if place == len(word) - 1:
                    next(words, None)
                break
    return None


def _run(program: str, command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the program to its end, hand signals on, and return what a shell would return."""
    early: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def hand_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif not _came_from_terminal(number):
            child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in _FORWARDED}
    try:
        sys.stdout.flush()
        child = subprocess.Popen(command, executable=program, env=environ)  # noqa: S603 - what the user asked for
        for number in early:
            child.send_signal(number)
        code = child.wait()
    except OSError as error:
        raise click.UsageError(f"{command[0]!r} cannot be run: {error.strerror}") from None
    finally:
        for number, action in before.items():
            signal.signal(number, action)
    return code if code >= 0 else 128 - code


def _came_from_terminal(number: int) -> bool:
    """Tell whether the terminal sent the signal, and so to the program as well."""
    if number not in (signal.SIGINT, signal.SIGQUIT):
        return False
    try:
        with open("/dev/tty", "rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
