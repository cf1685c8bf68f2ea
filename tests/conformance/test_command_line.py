"""The options of the suite itself: another client, its list of known failures, and clients that stay."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLAIN = f"{sys.executable} -m tests.conformance.clients.plain.client"
CHOSEN = "test_a_first_refresh_asks_for_one_bundle or test_a_folder_that_was_not_founded_is_no_client"

pytestmark = pytest.mark.own


def run_suite(*options: str) -> tuple[int, dict[str, int]]:
    """Run two tests of the suite as someone with another client would; return the exit code and what is counted."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NO_SKIP"))}
    chosen = [str(HERE / "test_first_refresh.py"), "-k", CHOSEN, "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *chosen, *options]
    ended = subprocess.run(
        command, cwd=HERE.parents[1], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    counted = re.findall(r"(\d+) (passed|failed|xfailed|errors?)", ended.stdout.splitlines()[-1])
    return ended.returncode, {outcome: int(number) for number, outcome in counted}


def test_a_client_that_is_given_is_the_only_one_that_runs():
    assert run_suite("--client", PLAIN) == (0, {"passed": 2})


@pytest.mark.parametrize("client", ["true", "false"])
def test_a_client_that_always_says_the_same_fails(client, program):
    code, counted = run_suite("--client", str(program(client)))
    assert (code, counted.get("failed", 0) > 0) == (1, True)


def test_known_failures_are_expected(tmp_path, program):
    known = tmp_path / "known.txt"
    known.write_text("# why\ntest_a_folder_that_was_not_founded_is_no_client  # because\n")
    found = run_suite("--client", str(program("true")), "--expected-failures", str(known))
    assert found == (1, {"failed": 1, "xfailed": 1})


def test_a_known_failure_that_passes_must_leave_the_list(tmp_path):
    known = tmp_path / "known.txt"
    known.write_text("test_a_folder_that_was_not_founded_is_no_client\n")
    assert run_suite("--client", PLAIN, "--expected-failures", str(known)) == (1, {"failed": 1, "passed": 1})


def test_a_client_may_stay_for_all_commands(program):
    client = f"{program('node')} {HERE / 'clients' / 'node' / 'client.mjs'}"
    assert run_suite("--client", client, "--stays") == (0, {"passed": 2})
