"""
The command: changed input for every reader, or faults of Redis under a fleet, for as long as one likes.

It ends with 0 when no promise was broken, else with 1, or with pytest's own exit code.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.machine import as_sentence, machine
from tests.sdk.redis.conftest import find_redis
from tests.soak.redis_run import Broken, run

PLACES = ("tests/soak/test_disk.py", "tests/soak/test_readers.py", "tests/soak/test_signed.py")
MUTATED = "tests/trust/test_mutated_bundles.py"


def main() -> int:
    """Run and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("readers", "redis"), default="readers", help="default: readers")
    parser.add_argument(
        "--examples",
        type=int,
        default=20_000,
        help="of readers, for each test (default: 20000); the test of mutated bundles makes five of each",
    )
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="of readers: as pytest's -k, such as 'bundle' or 'settings'"
    )
    parser.add_argument("--operations", type=int, default=20_000, help="of redis, in all (default: 20000)")
    parser.add_argument("--members", type=int, default=4, help="of redis: processes with a client (default: 4)")
    arguments = parser.parse_args()
    if arguments.what == "redis":
        return _redis(arguments.operations, arguments.members)
    return _readers(arguments.examples, arguments.only)


def _readers(examples: int, only: str) -> int:
    places = [*PLACES, MUTATED]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-show-statistics", *places]
    environment = {**os.environ, "PINWARDEN_EXAMPLES": str(examples)}
    chosen = ["-k", only] if only else []
    return subprocess.run([*command, *chosen], cwd=Path(__file__).parents[2], env=environment, check=False).returncode


def _redis(operations: int, members: int) -> int:
    binary = find_redis() or shutil.which("redis-server")
    if binary is None:
        print("redis-server is missing", file=sys.stderr)
        return 1
    facts = machine()
    try:
        done = run(Path(binary), operations=operations, members=members)
    except Broken as promise:
        print(f"broken: {promise}", file=sys.stderr)
        return 1
    print("\n".join([*done.lines(), as_sentence(facts)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
