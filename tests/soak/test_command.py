"""The command runs what it says, as often as it is told, and hands on whether it passed."""

import subprocess
import sys
from pathlib import Path


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command from the root of the repository."""
    command = [sys.executable, "-m", "tests.soak", *arguments]
    return subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300, check=False
    )


def test_the_command_tries_as_many_examples_as_it_is_told() -> None:
    done = run("--examples", "7", "--only", "one_kind_of_error and envelope")
    assert done.returncode == 0, done.stdout
    assert "Stopped because settings.max_examples=7" in done.stdout
    assert "1 passed" in done.stdout


def test_the_command_fails_where_nothing_was_run() -> None:
    assert run("--only", "nothing_is_called_so").returncode == 5
