"""
Ways to run a client: as the command that docs/conformance.md describes, or its main function in this process.

It may import click's runner. A driver never looks into a client: it sees exit codes and what was printed.
"""

import io
import json
import select
import subprocess
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple, Protocol

ACCEPTED, REFUSED, UNAVAILABLE = 0, 1, 3
# Far beyond the ten seconds that a request has: it ends a client that hangs, on the slowest machine.
MAX_SECONDS = 90


class Outcome(NamedTuple):
    """How a command ended: its exit code, and what it printed for people."""

    code: int
    said: str


class Driver(Protocol):
    """Runs one command of a client; the arguments are those behind the client's name."""

    def run(self, arguments: Sequence[str]) -> Outcome: ...


class Command:
    """A client that is started anew for each command."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Start the client and wait for its end."""
        ended = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, timeout=MAX_SECONDS, check=False
        )
        return Outcome(ended.returncode, ended.stdout + ended.stderr)


class Staying:
    """A client that is started once: it reads a JSON list of arguments a line, and answers each with a JSON line."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Send one command line and wait for its answer."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None and answered is not None
        asked.write(json.dumps(list(arguments)) + "\n")
        asked.flush()
        if not select.select([answered], [], [], MAX_SECONDS)[0]:
            raise TimeoutError(f"the client did not answer {list(arguments)} within {MAX_SECONDS} seconds")
        line = answered.readline()
        if not line:
            raise EOFError(f"the client ended at {list(arguments)}, with exit code {self._process.wait()}")
        answer = json.loads(line)
        return Outcome(answer["code"], answer["said"])

    def close(self) -> None:
        """End the client."""
        self._process.kill()
        self._process.communicate()


class OwnClient:
    """Pinwarden's command line, in this process."""

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Invoke the command; an error that is no refusal is a failure of the test."""
        from click.testing import CliRunner

        from pinwarden.cli import pinwarden

        result = CliRunner().invoke(pinwarden, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.output)


class MainFunction:
    """A client in Python that offers its ``main(arguments) -> exit code``."""

    def __init__(self, main: Callable[[Sequence[str]], int]) -> None:
        self._main = main

    def run(self, arguments: Sequence[str]) -> Outcome:
        """Call it."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = self._main(arguments)
        return Outcome(code, said.getvalue())
