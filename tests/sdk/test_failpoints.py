"""Failpoints: a crash test of a point that does not exist must fail, not pass for ever."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pinwarden import cache, failpoints

assert cache  # importing it registers its points
HIT = "from pinwarden import cache, failpoints; failpoints.hit('cache.locked'); print('alive')"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    """Never leave a point armed."""
    yield
    failpoints.arm(None)


def run(armed: str) -> subprocess.CompletedProcess[str]:
    """Hit ``cache.locked`` in a process of its own that was started with *armed*."""
    environ = {name: text for name, text in os.environ.items() if name != "PINWARDEN_FAILPOINT"}
    if armed:
        environ["PINWARDEN_FAILPOINT"] = armed
    return subprocess.run([sys.executable, "-c", HIT], env=environ, capture_output=True, text=True, check=False)


def test_a_process_dies_at_the_point_that_its_environment_names() -> None:
    done = run("cache.locked")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


@pytest.mark.parametrize("armed", ["", "cache.renamed", "publish.committed"])
def test_a_process_passes_every_other_point(armed: str) -> None:
    assert run(armed).stdout == "alive\n"


def test_a_point_that_its_own_room_does_not_know_is_refused_where_the_room_is_entered() -> None:
    assert "LookupError: failpoint 'cache.no-such-step' was never registered" in run("cache.no-such-step").stderr


def test_a_point_that_nobody_registered_cannot_be_armed() -> None:
    with pytest.raises(ValueError, match=r"no failpoint 'cache\.no-such-step'; known: .*cache\.locked"):
        failpoints.arm("cache.no-such-step")


def test_hitting_an_unregistered_point_fails_whenever_anything_is_armed() -> None:
    failpoints.hit("cache.no-such-step")  # nothing is armed: this costs one comparison and no look-up
    failpoints.arm("cache.renamed")
    with pytest.raises(LookupError, match=r"failpoint 'cache\.no-such-step' was never registered"):
        failpoints.hit("cache.no-such-step")
