"""The command: run the table, say what survived, and end with 1 when anything did."""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic

from tests.mutants.mutant import Mutant, Rotten
from tests.mutants.run import BROKEN, KILLED, Outcome, Runner, read_killers, remember_killers
from tests.mutants.table import MUTANTS


def main() -> int:
    """Run, report, and return the exit code: 0 all killed, 1 survivors or a rotten table, 2 nothing could be run."""
    arguments = parse_arguments()
    chosen = [mutant for mutant in MUTANTS if matches(mutant, arguments.only)]
    if not chosen:
        print(f"no mutant matches {arguments.only!r}", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(mutant.name for mutant in chosen))
        return 0
    if rotten := [problem for mutant in chosen if (problem := rot(mutant))]:
        print("\n".join(rotten), file=sys.stderr)
        return 1
    began = monotonic()
    print(f"{len(chosen)} mutants, {arguments.jobs} at a time; first the tests without any", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="pinwarden-mutants-") as folder:
        runner = Runner(Path(folder), jobs=arguments.jobs, killers=read_killers())
        if problem := runner.check_baseline(dict.fromkeys(mutant.room for mutant in chosen)):
            print(problem, file=sys.stderr)
            return 2
        outcomes = runner.run(chosen, told=Progress(len(chosen)))
    if arguments.remember:
        remember_killers(outcomes, [mutant.name for mutant in MUTANTS])
    print_json(outcomes) if arguments.json else print_table(outcomes, monotonic() - began)
    return 0 if all(outcome.status == KILLED for outcome in outcomes) else 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Take one check away at a time, and see that a test fails."
    )
    parser.add_argument("--only", default="*", metavar="PATTERN", help="part of a name, or a pattern with * and ?")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (default: per core)")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON instead of a table")
    parser.add_argument("--remember", action="store_true", help="ask what killed a mutant now first next time")
    parser.add_argument("--list", action="store_true", help="print the names and run nothing")
    return parser.parse_args()


def matches(mutant: Mutant, pattern: str) -> bool:
    """Tell whether *pattern* chooses *mutant*."""
    return pattern in mutant.name or fnmatchcase(mutant.name, pattern)


def rot(mutant: Mutant) -> str | None:
    """Return why *mutant* cannot be applied any more, or None."""
    try:
        mutant.applied()
    except Rotten as problem:
        return str(problem)
    return None


class Progress:
    """Prints a line for each outcome, on stderr, as it comes."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def __call__(self, outcome: Outcome) -> None:
        self._done += 1
        by = f"  by {outcome.by}" if outcome.by else ""
        line = f"[{self._done:3}/{self._total}] {outcome.status:8} {outcome.seconds:5.1f} s  {outcome.mutant.name}{by}"
        print(line, file=sys.stderr, flush=True)


def print_json(outcomes: list[Outcome]) -> None:
    """Print the outcomes for programs."""
    rows = [
        {
            "room": outcome.mutant.room,
            "step": outcome.mutant.step,
            "what": outcome.mutant.what,
            "status": outcome.status,
            "by": outcome.by,
            "seconds": round(outcome.seconds, 2),
        }
        for outcome in outcomes
    ]
    print(json.dumps(rows, indent=1))


def print_table(outcomes: list[Outcome], seconds: float) -> None:
    """Print what each room's mutants came to, and every one that was not killed."""
    rooms = Counter(outcome.mutant.room for outcome in outcomes)
    killed = Counter(outcome.mutant.room for outcome in outcomes if outcome.status == KILLED)
    spent: Counter[str] = Counter()
    for outcome in outcomes:
        spent[outcome.mutant.room] += outcome.seconds  # type: ignore[assignment]
    print(f"\n{'room':22} mutants  killed  seconds")
    for room, count in rooms.items():
        print(f"{room:22} {count:7} {killed[room]:7} {spent[room]:8.1f}")
    print(f"{'together':22} {len(outcomes):7} {killed.total():7}   in {seconds:.0f} s")
    for outcome in outcomes:
        if outcome.status != KILLED:
            print(f"\n{outcome.status}: {outcome.mutant.name}\n  - {outcome.mutant.old}\n  + {outcome.mutant.new}")
        if outcome.status == BROKEN:
            print(outcome.said)


if __name__ == "__main__":
    raise SystemExit(main())
