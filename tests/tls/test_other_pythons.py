"""The libraries and the attacks once more, on the other versions of Python that are promised."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pinned_environments import environment, part_of_lock, run_pytest
from pinned_libraries import LOCKS, PYTHONS

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
HOLES = ("test_hole_1_2_bytes.py", "test_hole_3_4_contexts.py", "test_hole_5_6_7_checks.py")
FILES = ("test_libraries.py", "test_chains.py", "test_resumption.py", "test_renegotiation.py", *HOLES)
# What the files that are run elsewhere import, and what runs them.
NEEDED = (
    *("pytest", "hypothesis", "pynacl", "cryptography", "click", "truststore", "aiohttp", "anyio", "boto3"),
    *("httpx[http2]", "pika", "pymongo", "redis", "requests", "trio", "urllib3", "uvloop", "websockets"),
)


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


@pytest.mark.where_available
@pytest.mark.parametrize("version", [version for version in PYTHONS if version != THIS])
def test_the_libraries_and_the_attacks_on_another_python(
    other_python: Callable[[str], Path], tmp_path: Path, version: str
) -> None:
    lock = part_of_lock(LOCKS.joinpath("dev.txt").read_text(), NEEDED, version)
    programs = environment(f"python{version}", lock, [other_python(version)])
    run_pytest([programs / "python", "-m", "pytest"], FILES, folder=tmp_path / "there")
