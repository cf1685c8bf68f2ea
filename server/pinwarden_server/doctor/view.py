"""
The doctor's table for people, and the same for programs.

It may import click and the room that prints tables. It judges nothing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import click

from pinwarden_ops.tables import loose, print_table, states
from pinwarden_server.doctor.checks import Check
from pinwarden_server.doctor.finding import Finding, State


def worst(findings: Sequence[Finding]) -> State:
    """Return the worst state of all."""
    return max((finding.state for finding in findings), key=list(State).index, default=State.OK)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as programs read them."""
    return {"result": worst(findings).value, "checks": [finding.to_json() for finding in findings]}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding, what to do below it, and how many there are of each state."""
    print_table(
        (states("state"), "check", loose("found")),
        [(finding.state, finding.check, finding.says) for finding in findings],
        below=[[("->", finding.do)] if _is_to_do(finding) else [] for finding in findings],
        piped=_lines(findings),
    )
    counts = [(each, sum(finding.state is each for finding in findings)) for each in State]
    click.echo(", ".join(f"{number} {each.value}" for each, number in counts))


def page_table(checks: Sequence[Check]) -> str:
    """Return the table of docs/doctor.md."""
    rows = [(check.name, check.about, check.warns or "never", check.fails or "never") for check in checks]
    head = ("check", "looks at", "warn", "bad")
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        yield f"{finding.state.value.ljust(4)}  {finding.check.ljust(width)}  {finding.says}"
        if _is_to_do(finding):
            yield f"{' ' * (width + 8)}-> {finding.do}"


def _is_to_do(finding: Finding) -> bool:
    return bool(finding.do) and finding.state is not State.OK
