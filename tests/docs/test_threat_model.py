"""The threat model names steps, tests and checks that exist, and leaves no attacker without what remains."""

import re

import pytest

from tests.docs.checks import shown, table
from tests.docs.pages import REPOSITORY, tracked
from tests.mutants import MUTANTS

PAGE = (REPOSITORY / "docs" / "threat-model.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and "`test_" in line
]
# Headings of the specification without a number of their own, and what it has no say in.
OTHERS = {"State table", "section 4", "program"}
STEPS = set(re.findall(r"^### ([PVCESH]\d+) ", (REPOSITORY / "docs" / "spec.md").read_text("utf-8"), re.MULTILINE))
TESTS = {
    name
    for path in tracked("tests/*test_*.py")
    for name in re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
}
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
# The last two sections gather, and have no attacker of their own.
ATTACKERS = list(SECTIONS)[:-2]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_each_attack_names_a_step_of_the_specification_and_a_test_that_exists(row: list[str]) -> None:
    attack, steps, tests = row
    assert attack
    assert set(steps.split(", ")) - STEPS - OTHERS == set()
    assert set(re.findall(r"`(test_\w+)`", tests)) - TESTS == set()


def test_every_line_of_a_table_of_attacks_has_its_test() -> None:
    bodies = [line for part in list(SECTIONS.values())[:-1] for line in part.splitlines() if line.startswith("| ")]
    untested = [line for line in bodies if "`test_" not in line and "stopped by" not in line]
    assert untested == []


def test_every_test_that_the_page_names_anywhere_exists() -> None:
    assert set(re.findall(r"`(test_\w+)`", PAGE)) - TESTS == set()


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_each_attacker_has_attacks_and_what_remains(attacker: str) -> None:
    assert ("| tries | stopped by | test |" in SECTIONS[attacker], "**What remains.**" in SECTIONS[attacker]) == (
        True,
        True,
    )


def test_every_attacker_of_the_summary_is_the_one_of_a_section() -> None:
    summary = PAGE.partition("\n## ")[0]
    anchors = re.findall(r"\(#([a-z-]+)\)", summary)
    assert anchors != []
    assert sorted(anchors) == sorted(name.lower().replace(" ", "-") for name in ATTACKERS)


def test_every_step_of_verification_stands_against_somebody() -> None:
    named = {step for _, steps, _ in ROWS for step in steps.split(", ")}
    assert {step for step in STEPS if step[0] in "PV"} - named == set()


def test_the_page_of_checks_is_that_of_the_mutants() -> None:
    assert shown() == table(), "python -m tests.docs.checks writes the page anew"
    assert len(re.findall(r"^\| (?!step|---)", shown(), re.MULTILINE)) == len(MUTANTS)
