"""
The table of ``docs/checks.md``: every check of the verifier, and the test that notices when it is gone.

``python -m tests.docs.checks`` writes it from the table of mutants. It runs none of them: ``make mutants`` does.
"""

from itertools import groupby

from tests.docs.pages import REPOSITORY
from tests.mutants import MUTANTS, Mutant
from tests.mutants.mutant import TESTS
from tests.mutants.run import read_killers

PAGE = REPOSITORY / "docs" / "checks.md"
BEGIN, END = "<!-- checks: begin, written by python -m tests.docs.checks -->", "<!-- checks: end -->"


def table() -> str:
    """Return one table for each room, in the order of the mutants."""
    parts, killers = [], read_killers()
    for room, mutants in groupby(MUTANTS, key=lambda mutant: mutant.room):
        parts.append(f"**`{room}`**, noticed by `{TESTS[room][0]}` where no other file is named\n")
        parts[-1] += "\n| step | goes through | test that fails |\n|---|---|---|"
        parts[-1] += "".join(f"\n{_row(mutant, killers[mutant.name])}" for mutant in mutants)
    return "\n\n".join(parts)


def shown() -> str:
    """Return what the page shows now."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def _row(mutant: Mutant, killer: str) -> str:
    what = mutant.what.replace("|", "\\|").replace("*", "\\*")
    file, _, test = killer.partition("[")[0].partition("::")
    named = f"`{test}`" if file == TESTS[mutant.room][0] else f"`{file}`: `{test}`"
    return f"| {mutant.step} | {what} | {named} |"


def main() -> None:
    """Write the table between the markers of the page."""
    before, begin, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} lacks the lines {BEGIN!r} and {END!r}")
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
