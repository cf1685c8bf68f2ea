"""
Environments of their own, for what cannot live in ours: niquests shadows urllib3, mitmproxy wants other versions, and
another Python needs another site-packages.

Each is made once from a lock with hashes, beside the environment that runs the tests, and named by what it was made of.
Two processes that want the same one at the same time make it once. Nothing is installed without its hash.
"""

import fcntl
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pinwarden

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(sys.prefix) / "environments"


def environment(name: str, lock: str, python: Sequence[str | Path]) -> Path:
    """
    Return the ``bin`` folder of the environment *name*, in which *lock* is installed.

    Args:
        name: what it is for.
        lock: the text of a requirements file with hashes.
        python: the command that runs the Python to make it with.
    """
    version = subprocess.run([*python, "--version", "--version"], check=True, capture_output=True, text=True).stdout
    key = sha256(f"{version}\n{lock}".encode()).hexdigest()[:16]
    made = FOLDER / f"{name}-{key}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FOLDER.joinpath(f"{name}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not made.joinpath("ready").exists():
            for older in FOLDER.glob(f"{name}-*"):
                shutil.rmtree(older)
            _make(made, lock, python)
            made.joinpath("ready").touch()
    return made / "bin"


def _make(folder: Path, lock: str, python: Sequence[str | Path]) -> None:
    subprocess.run([*python, "-m", "venv", folder], check=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(lock)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    installed = subprocess.run(
        [*pip, "install", "--require-hashes", "--requirement", requirements], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"{folder.name} cannot be installed here: {installed.stderr.strip().splitlines()[-1]}")


def surroundings(**changes: str) -> dict[str, str]:
    """Return the variables for a program in another environment: ours, with the Pinwarden that is tested here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "COVERAGE_"))}
    return {**kept, "PYTHONPATH": str(Path(pinwarden.__file__).parents[1]), **changes}


def part_of_lock(lock: str, names: Iterable[str], python: str) -> str:
    """
    Return those entries of *lock* that the distributions *names*, extras allowed, need on another version of Python.

    What needs what is read from what is installed here; which version of it, and its hashes, the lock says.
    """
    there = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    asked: set[tuple[str, str]] = set()
    queue = [Requirement(name) for name in names]
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in asked:
                asked.add((name, extra))
                queue += [one for one in _requirements(name) if _applies(one, {**there, "extra": extra})]
    wanted = {name for name, _ in asked}
    entries = re.findall(r"^\S.*\n(?:\s.*\n)*", lock, flags=re.MULTILINE)
    return "".join(entry for entry in entries if canonicalize_name(entry.partition("==")[0]) in wanted)


def _applies(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _requirements(name: str) -> list[Requirement]:
    try:
        return [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    except importlib.metadata.PackageNotFoundError:  # what only the other Python needs
        return []


def run_pytest(command: Sequence[str | Path], names: Iterable[str], *options: str, folder: Path) -> None:
    """Run these files of this folder by *command*, nothing skipped, and fail with its output unless all pass."""
    options = ("-q", "-p", "no:cacheprovider", f"--basetemp={folder}", *options)
    outcome = subprocess.run(
        [*command, *options, *(Path(__file__).with_name(name) for name in names)],
        cwd=REPOSITORY,
        env=surroundings(NO_SKIP="1", PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert outcome.returncode == 0, outcome.stdout[-20_000:]
    assert re.search(r"^\d+ passed", outcome.stdout, flags=re.MULTILINE)
