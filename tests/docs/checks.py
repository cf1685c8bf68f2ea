"""
The table of ``docs/checks.md``: every check of the verifier, and the tests that must notice when it is gone.

``python -m tests.docs.checks`` writes it from the table of mutants. It runs none of them: ``make mutants`` does.
"""

from itertools import groupby

from tests.docs.pages import REPOSITORY
from tests.mutants import MUTANTS, Mutant
from tests.mutants.mutant import TESTS

PAGE = REPOSITORY / "docs" / "checks.md"
BEGIN, END = "<!-- checks: begin, written by python -m tests.docs.checks -->", "<!-- checks: end -->"


def table() -> str:
    """Return one table for each room, in the order of the mutants."""
    parts = []
    for room, mutants in groupby(MUTANTS, key=lambda mutant: mutant.room):
        parts.append(f"**`{room}`**, noticed first by `{TESTS[room][0]}`\n\n| step | goes through |\n|---|---|")
        parts[-1] += "".join(f"\n{_row(mutant)}" for mutant in mutants)
    return "\n\n".join(parts)


def shown() -> str:
    """Return what the page shows now."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def _row(mutant: Mutant) -> str:
    what = mutant.what.replace("|", "\\|").replace("*", "\\*")
    return f"| {mutant.step} | {what} |"


def main() -> None:
    """Write the table between the markers of the page."""
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} lacks the lines {BEGIN!r} and {END!r}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
