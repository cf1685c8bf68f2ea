"""The doctor's table for people, and the same for programs. It may import click; it judges nothing."""

from collections.abc import Sequence
from typing import Any

import click

from pinwarden_server.doctor.checks import Check
from pinwarden_server.doctor.finding import Finding, State

_COLOURS = {State.OK: "green", State.WARN: "yellow", State.BAD: "red"}


def worst(findings: Sequence[Finding]) -> State:
    """Return the worst state of all."""
    return max((finding.state for finding in findings), key=list(State).index, default=State.OK)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as programs read them."""
    return {"result": worst(findings).value, "checks": [finding.to_json() for finding in findings]}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line for each finding, what to do below it, and how many there are of each state."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        state = click.style(finding.state.value.ljust(4), fg=_COLOURS[finding.state], bold=True)
        click.echo(f"{state}  {finding.check.ljust(width)}  {finding.says}")
        if finding.do and finding.state is not State.OK:
            click.echo(f"{' ' * (width + 8)}-> {finding.do}")
    counts = [(state, sum(finding.state is state for finding in findings)) for state in State]
    click.echo(", ".join(f"{number} {state.value}" for state, number in counts))


def page_table(checks: Sequence[Check]) -> str:
    """Return the table of docs/doctor.md."""
    rows = [(check.name, check.about, check.warns or "never", check.fails or "never") for check in checks]
    head = ("check", "looks at", "warn", "bad")
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))
