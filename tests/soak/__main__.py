"""The command: as many changed inputs as asked for, over every reader; it ends with pytest's exit code."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

PLACES = ("tests/soak", "tests/trust/test_mutated_bundles.py")


def main() -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Feed every reader with changed input.")
    parser.add_argument(
        "--examples",
        type=int,
        default=20_000,
        help="for each test (default: 20000); the test of mutated bundles makes five of each",
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="as pytest's -k, such as 'bundle' or 'settings'")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics", *PLACES]
    environment = {**os.environ, "PINWARDEN_EXAMPLES": str(arguments.examples)}
    chosen = ["-k", arguments.only] if arguments.only else []
    return subprocess.run([*command, *chosen], cwd=Path(__file__).parents[2], env=environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
