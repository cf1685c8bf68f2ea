"""The demo as its users run it: in a process of its own, in a temporary folder that must be empty afterwards."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEADLINE_SECONDS = 60.0
COMMAND = [sys.executable, "-P", "-m", "pinwarden_demo"]


@dataclass(frozen=True)
class Run:
    """One finished command."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        """What --json printed."""
        report: dict[str, Any] = json.loads(self.out)
        return report

    @property
    def steps(self) -> dict[str, Any]:
        """The steps of the report, by their names."""
        return {step["name"]: step for step in self.report["steps"]}

    @property
    def held(self) -> dict[str, bool | None]:
        """Which step held."""
        return {name: step["held"] for name, step in self.steps.items()}


class Started:
    """A command under way, all of whose files are below *folder*."""

    def __init__(self, folder: Path, *arguments: str, command: list[str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        environ = {**os.environ, "TMPDIR": str(folder), "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [*(command or COMMAND), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,
        )

    def line_with(self, text: str) -> str:
        """Read on to the line of the output that contains *text*, and return it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(f"the output ended without {text!r}: {self.finish().err}")

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Send the signal that Ctrl-C sends, or another."""
        self.process.send_signal(number)

    def finish(self) -> Run:
        """Wait for the end, and return what there was to read."""
        try:
            out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Run(self.process.returncode, out, err, self.folder)

    def remains(self) -> list[str]:
        """Return files below the folder, and processes that were started with it in their command line."""
        return [*map(str, self.folder.rglob("*")), *_processes_of(self.folder)]


def _processes_of(folder: Path) -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if f"TMPDIR={folder}\0".encode() in line:
            yield f"process {entry.name}"


Start = Callable[..., Started]
Demo = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start commands; whatever still runs after the test is stopped."""
    started: list[Started] = []

    def begin(*arguments: str, command: list[str] | None = None) -> Started:
        started.append(Started(tmp_path / "temporary", *arguments, command=command))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.interrupt(signal.SIGTERM)
            one.finish()


@pytest.fixture
def demo(start: Start) -> Demo:
    """Run the demo to its end, and check that it left nothing behind."""

    def run(*arguments: str) -> Run:
        begun = start("demo", *arguments)
        done = begun.finish()
        if "--keep" not in arguments:
            assert begun.remains() == []
        return done

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The whole demo, run once for the tests of a module."""
    begun = Started(tmp_path_factory.mktemp("whole") / "temporary", "demo", "--json")
    done = begun.finish()
    assert begun.remains() == []
    return done
