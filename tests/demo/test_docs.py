"""docs/demo.md says what the code says: steps, sabotage, options, exit codes, fields."""

import re
from pathlib import Path

import pytest

from pinwarden_demo import cli
from pinwarden_demo.sabotage import SABOTAGES
from pinwarden_demo.steps import NAMES, STEPS

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text("utf-8")


def table_after(heading: str, number: int = 0) -> list[list[str]]:
    """Return the cells of the table *number* below *heading*, without its head."""
    section = PAGE.partition(f"\n{heading}\n")[2]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in tables[number].splitlines()[2:]]


def test_every_step_is_told_with_its_promise_in_its_order():
    assert [row[:2] for row in table_after("## The steps")] == [[f"`{step.name}`", step.promise] for step in STEPS]


def test_every_sabotage_is_told_in_the_words_of_the_command():
    assert [row[:2] for row in table_after("## Sabotage")] == [[f"`{name}`", text] for name, text in SABOTAGES.items()]
    assert tuple(SABOTAGES) == NAMES


@pytest.mark.parametrize(
    ("heading", "command"), [("## Options and exit codes", cli.demo), ("# A server to develop against", cli.dev)]
)
def test_every_option_is_told_in_the_words_of_the_help(heading, command):
    told = []
    for option in command.params:
        metavar = f" {option.metavar or option.type.name.upper()}" if not option.is_flag else ""
        told.append([f"`{option.opts[0]}{metavar}`", option.help])
    assert table_after(heading) == told


def test_every_exit_code_is_told():
    codes = [int(code) for code, _ in table_after("## Options and exit codes", 1)]
    assert codes == [0, cli.NOT_HELD, 2, cli.CANNOT_START, cli.INTERRUPTED]
