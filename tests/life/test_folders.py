"""Containers: a root that is read-only, a folder that is taken away, a disk that is full."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.life.conftest import PROGRAM_SECONDS

# Three updates come in, one after the other; the program says what it judges by.
LEARNER = """
    import sys
    from application import call, context_of, make, until

    pins = make().start()
    context = context_of(pins)
    for version in (1, 2, 3):
        until(lambda: pins.status().version == version)
        print(version, call(context), flush=True)
        sys.stdin.readline()
    print(pins.status().persist_failed > 0)
"""

READ_ONLY_ROOT = ["unshare", "--mount", "sh", "-c", 'mount -o remount,ro,bind / / && exec "$@"', "sh"]
FILL = 'mount -t tmpfs -o size=64k none "$PINWARDEN_CACHE" && head -c 60000 /dev/zero > "$PINWARDEN_CACHE/full"'
SMALL_DISK = ["unshare", "--mount", "sh", "-c", f'{FILL} && exec "$@"', "sh"]
SMALL_FILES = ["sh", "-c", 'ulimit -f 1 && exec "$@"', "sh"]


def works(within: list[str], cache: Path) -> bool:
    """Tell whether this machine lets its user do *within*; containers often do not."""
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PINWARDEN_CACHE": str(cache)}
    return subprocess.run([*within, "true"], env=environ, capture_output=True, check=False).returncode == 0


def learn(stage: Any, within: list[str], cache: Path) -> tuple[list[str], str]:
    """Let the program learn of three versions; return what it printed and what it complained of."""
    program = stage.start(LEARNER, within=within, PINWARDEN_CACHE=str(cache))
    told = []
    for pins in ([b"x" * 32], [stage.service.pin]):
        told.append(program.stdout.readline())
        stage.publish(*pins)
        program.stdin.write("\n")
        program.stdin.flush()
    rest, complained = program.communicate("\n", timeout=PROGRAM_SECONDS)
    assert program.returncode == 0, complained
    return [*told, *rest.splitlines(keepends=True)], complained


@pytest.mark.parametrize(
    "fault", ["a read-only root", "a full disk", "files that may not grow", "a folder nobody can make"]
)
def test_pins_are_learnt_and_enforced_from_memory_where_nothing_can_be_kept_and_that_is_said_once(
    fault: str, stage: Any, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(0o700)
    within: list[str] = []
    if fault == "a read-only root" and works(READ_ONLY_ROOT, cache):
        within = READ_ONLY_ROOT
    elif fault == "a full disk" and works(SMALL_DISK, cache):
        within = SMALL_DISK
    elif fault in ("a full disk", "files that may not grow"):
        within = SMALL_FILES
    else:  # and for a read-only root where only an administrator could make one
        cache = Path("/proc/pinwarden")
    told, complained = learn(stage, within, cache)
    assert told == ["1 ok\n", "2 PinMismatchError\n", "3 ok\n", "True\n"]
    assert complained.count("could not be kept for the next start") == 1
    assert complained.count("no installation id can be kept") <= 1
    assert len(complained.splitlines()) <= 2


def test_a_folder_that_is_emptied_under_a_running_client_is_filled_again_by_the_next_update(stage: Any) -> None:
    told = stage.run(
        """
    import os, shutil
    from application import call, context_of, make

    pins = make(poll_seconds=300)
    context = context_of(pins)
    pins.refresh()
    shutil.rmtree(os.environ["PINWARDEN_CACHE"])
    print(call(context), os.path.exists(os.environ["PINWARDEN_CACHE"]))
    print(pins.refresh().persist_failed, make().status().version)
    """
    )
    assert told == "ok False\n0 1\n"


def test_a_start_with_nothing_kept_fetches_and_a_start_without_server_refuses(stage: Any) -> None:
    """An ephemeral folder: each start is the first."""
    program = "from application import call, context_of, make\npins = make()\nprint(call(context_of(pins)))\n"
    assert stage.run(program, PINWARDEN_CACHE=str(stage.folder / "one")) == "ok\n"
    started = stage.start(program, PINWARDEN_CACHE=str(stage.folder / "two"), PINWARDEN_URL="http://127.0.0.1:1")
    told, complained = started.communicate(timeout=PROGRAM_SECONDS)
    assert (started.returncode, told) == (0, "PinsUnavailableError\n")
    assert complained.startswith("refresh failed: http://127.0.0.1:1 cannot be asked")
