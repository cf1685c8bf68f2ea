"""
Running tests against mutants: one copy of the package and one pytest process for each.

It may import ``mutant`` and the standard library. A run that ends in anything but passed or failed tests is *broken*:
a mutant that cannot even be imported proves nothing about the tests.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.mutants.mutant import PACKAGE, ROOT, Mutant, tests_for

LIMIT_SECONDS = 180.0  # what never ends was noticed, too
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
# What -rfE prints for the first failure: "FAILED path::name - message", "ERROR path::name - message".
_FIRST = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant: killed by *by*, or not; *said* is the end of a broken run's output."""

    mutant: Mutant
    status: str
    by: str = ""
    seconds: float = 0.0
    said: str = ""


def run_mutants(mutants: Sequence[Mutant], *, jobs: int, told: Callable[[Outcome], object]) -> list[Outcome]:
    """Run *mutants*, *jobs* at a time, call *told* with each outcome as it comes, and return all in their order."""
    outcomes: dict[Mutant, Outcome] = {}
    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(run_one, mutant) for mutant in mutants]):
            outcome = done.result()
            outcomes[outcome.mutant] = outcome
            told(outcome)
    return [outcomes[mutant] for mutant in mutants]


def run_one(mutant: Mutant) -> Outcome:
    """Run the tests that must notice *mutant*."""
    source, began = mutant.applied(), monotonic()
    with tempfile.TemporaryDirectory(prefix="pinwarden-mutant-") as folder:
        copy = copy_package(Path(folder))
        (copy / mutant.path.relative_to(PACKAGE)).write_text(source, "utf-8")
        code, output = pytest(tests_for(mutant.room), Path(folder))
    first = _FIRST.search(output)
    status = {0: SURVIVED, 1: KILLED}.get(code, BROKEN)
    if code is None:
        status, first = KILLED, None
    by = first.group(1) if first else "" if code is not None else f"the limit of {LIMIT_SECONDS:.0f} s"
    return Outcome(mutant, status, by, monotonic() - began, output[-2000:] if status == BROKEN else "")


def check_baseline(rooms: Iterable[str]) -> str | None:
    """Return None when an unchanged copy is what gets tested and passes the tests of *rooms*, else what went wrong."""
    with tempfile.TemporaryDirectory(prefix="pinwarden-mutant-") as folder:
        copy = copy_package(Path(folder))
        where = "import pinwarden; print(pinwarden.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", where], cwd=ROOT, env=_environment(Path(folder)), capture_output=True, text=True
        ).stdout.strip()
        if Path(found) != copy / "__init__.py":
            return f"the tests would import {found}, not the copy in {copy}"
        tests = dict.fromkeys(test for room in rooms for test in tests_for(room))
        code, output = pytest(list(tests), Path(folder))
    return None if code == 0 else f"the tests fail without any mutant:\n{output[-4000:]}"


def copy_package(folder: Path) -> Path:
    """Copy the package into *folder* and return where it lies."""
    return Path(shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__")))


def pytest(tests: list[str], folder: Path) -> tuple[int | None, str]:
    """Run *tests* with the package in *folder*; return exit code, or None when the time was over, and the output."""
    # Plugins cost half a second each time. Of those here, tests need only xdist's marks.
    options = ["-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-p", "xdist.plugin"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=ROOT,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None, process.communicate()[0]
    return process.returncode, output


def _environment(folder: Path) -> dict[str, str]:
    # Few examples: the table asks whether a named test notices, not whether chance does.
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PINWARDEN_EXAMPLES": "20",
        "COLUMNS": "1000",
    }
