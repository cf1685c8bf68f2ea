"""Commands whose answer nobody can be given: the reader left, the disk is full, stdout was closed."""

import itertools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

# A help text, and a table of another part; the tests of `refresh` look at what it did besides.
SPOKEN = [["--help"], ["context", "list"]]
FULL = [
    "error: the answer cannot be written: No space left on device. What the command did is done.",
    "hint: Look at what it was meant to change before you repeat it.",
]


@pytest.fixture
def run(command: Any, publish: Any, tmp_path: Path) -> Any:
    """Return a function that runs ``pinwarden`` with stdout given, and returns its exit code and its error lines."""
    publish({"localhost": [b"1" * 32, b"2" * 32]})

    def started(words: list[str], stdout: int, shell: str = 'exec "$@"', **environ: str) -> tuple[int, list[str]]:
        given = command.words(*words, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), **environ)
        given["args"] = ["sh", "-c", shell, "sh", *given["args"]]
        done = subprocess.run(**given, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        told = done.stderr.splitlines()
        assert not any(line.startswith("Traceback") for line in told), done.stderr
        return done.returncode, [*itertools.dropwhile(lambda line: not line.startswith("error:"), told)]

    return started


@pytest.fixture
def unread() -> Any:
    """A pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("words", SPOKEN, ids=" ".join)
def test_a_reader_that_left_ends_the_command_as_sigpipe_does_and_never_as_a_refusal(
    run: Any, unread: int, words: list[str]
) -> None:
    assert run(words, unread) == (141, [])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_below_stdout_is_said_and_is_no_refusal(run: Any, unbuffered: str) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert run(["status", "--json"], full, PYTHONUNBUFFERED=unbuffered) == (3, FULL)
    finally:
        os.close(full)


def test_what_was_accepted_is_kept_though_nobody_reads_the_answer(
    run: Any, unread: int, command: Any, tmp_path: Path
) -> None:
    assert (run(["refresh"], unread), len([*(tmp_path / "cache").glob("*.json")])) == ((141, []), 1)
    assert command("status", "--exit-code").exit_code == 0


def test_misuse_stays_misuse_when_stderr_takes_nothing(run: Any, unread: int) -> None:
    assert run(["nope"], unread, 'exec "$@" 2>&1') == (141, [])
    assert run(["nope"], subprocess.DEVNULL, 'exec "$@" 2>/dev/full') == (3, [])


def test_a_process_without_stdin_and_stdout_does_its_work(run: Any, tmp_path: Path) -> None:
    closed = 'exec "$@" <&- >&-'
    assert run(["context", "list"], subprocess.DEVNULL, closed) == (0, [])
    assert run(["refresh"], subprocess.DEVNULL, closed) == (0, [])
    # No answer went into the file that would have taken the number of stdout.
    assert [b"fresh" in kept.read_bytes() for kept in tmp_path.glob("cache/*.json")] == [False]
