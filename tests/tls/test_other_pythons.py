"""
The attacks and the libraries once more where this process is not: under gevent, and on other versions of Python.

Each test runs pytest in a process of its own, in which nothing may be skipped.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pinned_environments import REPOSITORY, environment, part_of_lock, surroundings
from pinned_libraries import LOCKS, PYTHONS

HERE = Path(__file__).parent
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
ATTACKS = ("test_hole_1_2_bytes.py", "test_hole_5_6_7_checks.py", "test_chains.py")
CONTEXTS = "test_hole_3_4_contexts.py"  # gevent and truststore do not go together, with Pinwarden or without
# What the files that are run elsewhere import, and what runs them.
NEEDED = (
    *("pytest", "hypothesis", "pynacl", "cryptography", "click", "truststore", "aiohttp", "anyio", "boto3"),
    *("httpx[http2]", "pika", "pymongo", "redis", "requests", "trio", "urllib3", "uvloop", "websockets"),
)


def run_pytest(command: list[str | Path], files: tuple[str, ...], *options: str, folder: Path) -> None:
    """Run these test files by *command*, and fail with what they print unless all of them pass."""
    outcome = subprocess.run(
        [*command, "-q", "-p", "no:cacheprovider", f"--basetemp={folder}", *options, *(HERE / file for file in files)],
        cwd=REPOSITORY,
        env=surroundings(NO_SKIP="1", PYTHONDONTWRITEBYTECODE="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert outcome.returncode == 0, outcome.stdout[-20_000:]
    assert re.search(r"^\d+ passed", outcome.stdout, flags=re.MULTILINE)


def test_under_gevent_the_attacks_fail_as_they_do_without_it(tmp_path: Path) -> None:
    # One test puts a class of its own in the place of gevent's.
    command = [sys.executable, "-m", "gevent.monkey", "--module", "pytest"]
    run_pytest(command, ATTACKS, "-p", "no:xdist", "-k", "not whatever_the_class_beneath", folder=tmp_path / "under")


@pytest.fixture(scope="session")
def other_python() -> Callable[[str], Path]:
    """Return a function that finds Python of a version, on PATH or among pyenv's, or skips the test and names it."""

    def find(version: str) -> Path:
        for candidate in _candidates(version):
            told = subprocess.run([candidate, "--version"], capture_output=True, text=True)
            if told.returncode == 0 and told.stdout.startswith(f"Python {version}."):
                return candidate
        pytest.skip(f"python{version} is neither on PATH nor among the versions of pyenv")

    return find


def _candidates(version: str) -> Iterator[Path]:
    if on_path := shutil.which(f"python{version}"):  # of pyenv this may be a stand-in that only says where it is
        yield Path(on_path)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(root.glob(f"versions/{version}.*/bin/python{version}"), reverse=True)


@pytest.mark.parametrize("version", [version for version in PYTHONS if version != THIS])
def test_the_libraries_and_the_attacks_on_another_python(other_python, tmp_path: Path, version: str) -> None:
    lock = part_of_lock(LOCKS.joinpath("dev.txt").read_text(), NEEDED, version)
    programs = environment(f"python{version}", lock, [other_python(version)])
    run_pytest(
        [programs / "python", "-m", "pytest"], ("test_libraries.py", CONTEXTS, *ATTACKS), folder=tmp_path / version
    )
