"""
What a bench returns, and how it is shown: one aligned table, Markdown, or JSON.

It may import the standard library. It never measures, and a missed goal never becomes an error.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

HEADINGS = ("measured", "figure", "compared", "goal", "verdict")


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit in words, and whether it was met in this run."""

    text: str
    met: bool


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the report.

    Attributes:
        what: the thing measured; stable, tests and readers find a figure by it.
        value, unit: a median, unless *what* says otherwise.
        compared: what the figure is in proportion to its peer, in words.
        goal: None when the figure is for information.
    """

    what: str
    value: float
    unit: str
    compared: str = ""
    goal: Goal | None = None

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the texts of one line, under :data:`HEADINGS`."""
        goal = (self.goal.text, "met" if self.goal.met else "missed") if self.goal else ("", "")
        return (self.what, f"{spelt(self.value)} {self.unit}", self.compared, *goal)


def at_least(value: float, limit: float, text: str | None = None) -> Goal:
    """Return the goal that *value* be *limit* or more."""
    return Goal(text or f"at least {limit:g}", value >= limit)


def at_most(value: float, limit: float, text: str | None = None) -> Goal:
    """Return the goal that *value* be *limit* or less."""
    return Goal(text or f"at most {limit:g}", value <= limit)


def exactly(value: float, wanted: float) -> Goal:
    """Return the goal that *value* be *wanted*."""
    return Goal(f"exactly {wanted:g}", value == wanted)


def spelt(value: float) -> str:
    """Return *value* with three significant digits, and no more than the figure deserves."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    for limit, digits in ((100, 0), (10, 1), (1, 2)):
        if abs(value) >= limit:
            return f"{value:,.{digits}f}"
    return f"{value:.3f}"


def as_table(rows: Iterable[Row]) -> str:
    """Return an aligned table for a terminal."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    return _joined(lines, lambda line: "  ".join(_aligned(line, widths)).rstrip())


def as_markdown(rows: Iterable[Row]) -> str:
    """Return the same table for a document."""
    rule = ("---", "--:", "---", "---", "---")
    return _joined([HEADINGS, rule, *(row.cells() for row in rows)], lambda line: f"| {' | '.join(line)} |")


def as_json(rows: Iterable[Row], machine: dict[str, object]) -> str:
    """Return rows and machine for other programs."""
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2)


def _joined(lines: Iterable[tuple[str, ...]], spell: Callable[[tuple[str, ...]], str]) -> str:
    return "\n".join(spell(line) for line in lines)


def _aligned(line: tuple[str, ...], widths: list[int]) -> list[str]:
    # Figures are read downwards, so their column stands to the right.
    return [
        cell.rjust(width) if column == 1 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
