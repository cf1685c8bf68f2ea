"""
Running tests against mutants: one copy of the package and one pytest process for each.

It may import ``mutant`` and the standard library. A run that ends in anything but passed or failed tests is *broken*:
a mutant that cannot even be imported proves nothing about the tests. Nor does a test that fails on a busy machine: what
kills must fail alone under the mutant, and pass alone without it.
"""

import compileall
import json
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
from threading import Lock
from time import monotonic

from tests.mutants.mutant import PACKAGE, ROOT, Mutant, tests_for

LIMIT_SECONDS = 180.0  # what never ends was noticed, too
KILLED, SURVIVED, BROKEN = "killed", "survived", "broken"
# Which test killed each mutant last. It is asked first, and spares the rest; whatever it says, the rest would decide.
KILLERS = Path(__file__).with_name("killers.json")
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


class Runner:
    """
    Runs mutants beside one unchanged copy of the package, *jobs* at a time.

    Args:
        folder: an empty one, in which everything is copied and run.
        killers: the test to ask first, by the name of the mutant.
    """

    def __init__(self, folder: Path, *, jobs: int, killers: dict[str, str]) -> None:
        self._folder = folder
        self._jobs = jobs
        self._killers = killers
        self._whole = folder / "whole"
        shutil.copytree(PACKAGE, self._whole / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(self._whole, quiet=1)  # once, not for each of the copies
        self._passing: dict[str, bool] = {}
        self._lock = Lock()

    def check_baseline(self, rooms: Iterable[str]) -> str | None:
        """Return None when the unchanged copy is what gets tested and passes the tests of *rooms*, else the problem."""
        where = "import pinwarden; print(pinwarden.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", where], cwd=ROOT, env=_environment(self._whole), capture_output=True, text=True
        ).stdout.strip()
        if Path(found) != self._whole / PACKAGE.name / "__init__.py":
            return f"the tests would import {found}, not the copy in {self._whole}"
        parts: dict[Path, list[str]] = {}
        for test in dict.fromkeys(test for room in rooms for test in tests_for(room)):
            parts.setdefault(Path(test).parent, []).append(test)
        with ThreadPoolExecutor(self._jobs) as pool:
            for code, output in pool.map(self._pytest_whole, parts.values()):
                if code != 0:
                    return f"the tests fail without any mutant:\n{output[-4000:]}"
        return None

    def run(self, mutants: Sequence[Mutant], told: Callable[[Outcome], object]) -> list[Outcome]:
        """Run *mutants*, call *told* with each outcome as it comes, and return all in their order."""
        outcomes: dict[Mutant, Outcome] = {}
        with ThreadPoolExecutor(self._jobs) as pool:
            for done in as_completed([pool.submit(self.run_one, mutant) for mutant in mutants]):
                outcome = done.result()
                outcomes[outcome.mutant] = outcome
                told(outcome)
        return [outcomes[mutant] for mutant in mutants]

    def run_one(self, mutant: Mutant) -> Outcome:
        """Run the tests that must notice *mutant*."""
        source, began = mutant.applied(), monotonic()
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            folder = Path(name)
            copy = Path(shutil.copytree(self._whole / PACKAGE.name, folder / PACKAGE.name))
            place = copy / mutant.path.relative_to(PACKAGE)
            for stale in (place.parent / "__pycache__").glob(f"{place.stem}.*"):
                stale.unlink()
            place.write_text(source, "utf-8")
            status, by, said = self._judge(mutant, folder)
        return Outcome(mutant, status, by, monotonic() - began, said)

    def _judge(self, mutant: Mutant, folder: Path) -> tuple[str, str, str]:
        """Return status, killer, and what a broken run said."""
        last = self._killers.get(mutant.name)
        if last and self._fails_by(last, folder):
            return KILLED, last, ""
        every = tests_for(mutant.room)
        nearest = self._ask(every[:1], folder)  # alone, because loading all of them takes longer
        return self._ask(every, folder) if nearest[0] == SURVIVED else nearest

    def _ask(self, tests: list[str], folder: Path) -> tuple[str, str, str]:
        innocent: list[str] = []  # failed among others, but not alone or not because of the mutant
        while True:
            code, output = pytest(tests, folder, but=innocent)
            if code is None:
                return KILLED, f"the limit of {LIMIT_SECONDS:.0f} s", ""
            first = _FIRST.search(output)
            if code != 1 or first is None:
                return (SURVIVED, "", "") if code == 0 else (BROKEN, "", output[-2000:])
            by = first.group(1)
            if by in innocent:
                return BROKEN, "", output[-2000:]
            if self._fails_by(by, folder):
                return KILLED, by, ""
            innocent.append(by)

    def _fails_by(self, test: str, folder: Path) -> bool:
        """Tell whether *test* alone fails in *folder*, and passes alone without the mutant."""
        return pytest([test], folder)[0] == 1 and self._passes_without(test)

    def _passes_without(self, test: str) -> bool:
        with self._lock:
            known = self._passing.get(test)
        if known is None:
            known = self._pytest_whole([test])[0] == 0
            with self._lock:
                self._passing[test] = known
        return known

    def _pytest_whole(self, tests: list[str]) -> tuple[int | None, str]:
        return pytest(tests, self._whole)


def pytest(tests: list[str], folder: Path, *, but: Sequence[str] = ()) -> tuple[int | None, str]:
    """
    Run *tests*, without those in *but*, with the package in *folder*.

    Returns the exit code, or None when the time was over, and the output.
    """
    # Plugins cost half a second each time. Of those here, tests need only xdist's marks; nothing is distributed.
    options = ["-x", "-q", "--no-header", "--tb=no", "-rfE", "-p", "no:cacheprovider", "-p", "xdist.plugin"]
    options += [f"--deselect={test}" for test in but]
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, f"--basetemp={temporary}/tests", *tests],
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


def read_killers() -> dict[str, str]:
    """Return which test killed each mutant last."""
    killers: dict[str, str] = json.loads(KILLERS.read_text("utf-8")) if KILLERS.exists() else {}
    return killers


def remember_killers(outcomes: Sequence[Outcome], names: Iterable[str]) -> None:
    """Write down what killed, and forget mutants whose name is not among *names*."""
    killers = {**read_killers(), **{one.mutant.name: one.by for one in outcomes if "::" in one.by}}
    kept = {name: killers[name] for name in names if name in killers}
    KILLERS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _environment(folder: Path) -> dict[str, str]:
    # Few examples: the table asks whether a named test notices, not whether chance does.
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PINWARDEN_EXAMPLES": "20",
        "COLUMNS": "1000",
    }
