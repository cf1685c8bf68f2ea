"""
Answers as people and programs read them: aligned lines, tables, JSON.

It may import click and the standard library. It prints to stdout only, and what it prints to programs holds no text
that was made for people.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from pinwarden.strict_json import format_time

Fact = tuple[str, object]


def print_facts(facts: Sequence[Fact]) -> None:
    """Print one fact per line, values aligned; None is left out."""
    shown = [(name, value) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name.ljust(width)}  {value}")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings, columns aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headings), *cells]) for column in range(len(headings))]
    click.echo(click.style(_line(headings, widths), bold=True))
    for row in cells:
        click.echo(_line(row, widths))


def print_json(value: Any) -> None:
    """Print *value* as one JSON document; times become text in UTC."""
    click.echo(json.dumps(value, indent=2, default=_spell_json))


def spell_end(end: datetime | None, now: datetime) -> str | None:
    """Return an end with how far away it is: ``2026-12-24T12:00:00Z (30 days left)``."""
    if end is None:
        return None
    return f"{format_time(end)} ({spell_left(end, now)})"


def spell_left(end: datetime, now: datetime) -> str:
    """Return how far away *end* is, in the largest unit that is at least two."""
    seconds = (end - now).total_seconds()
    amount, unit = abs(seconds), "seconds"
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if amount >= 2 * size:
            amount, unit = amount / size, name
            break
    return f"{int(amount)} {unit} left" if seconds > 0 else f"ended {int(amount)} {unit} ago"


def coloured(state: str) -> str:
    """Return a state or verdict in its colour; click leaves colours out where no terminal reads them."""
    good, bad = ("fresh", "matched"), ("refused", "expired", "empty")
    return click.style(state, fg="green" if state in good else "red" if state in bad else "yellow", bold=True)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _spell_json(value: object) -> str:
    if isinstance(value, datetime):
        return format_time(value.astimezone(UTC))
    raise TypeError(f"no JSON for {type(value).__name__}")
