"""A safe per test with its process as an object, and one running process for all attacks of a module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pinwarden_keys.signer_process import SignerProcess
from tests.signer.safe import Clock, Safe, make_safe


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def safe(tmp_path: Path, clock: Clock) -> Safe:
    return make_safe(tmp_path / "safe", now=clock())


@pytest.fixture
def process(safe: Safe, clock: Clock) -> Iterator[SignerProcess]:
    with safe.inside(clock) as process:
        yield process
