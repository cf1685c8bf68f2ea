"""The table of mutants stays true: each row applies once, compiles, changes something, and no refusal lacks a row."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinwarden import errors
from tests.mutants import MUTANTS, Mutant, Runner
from tests.mutants.mutant import PACKAGE, ROOT, TESTS
from tests.mutants.run import KILLED, SURVIVED, read_killers

# The rooms that judge: here a refusal that no mutant takes away is a check that could vanish unnoticed.
JUDGES = (
    "strict_json", "fields", "hosts", "spki", "envelope", "bundle", "documents/frame", "documents/root",
    "documents/pinset", "trust/advance",
    "trust/floors",
    "trust/state", "enforce",
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_row_applies_once_compiles_and_changes_the_program(mutant: Mutant) -> None:
    mutated = mutant.applied()
    compile(mutated, str(mutant.path), "exec")
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(mutant.path.read_text()))


def test_every_row_has_a_name_of_its_own_a_step_and_tests_that_must_notice() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []
    steps = {mutant.step for mutant in MUTANTS}
    assert [step for step in steps if not re.fullmatch(r"[PVCE]\d{1,2}|pin|state|HTTP|hole [1-7]", step)] == []
    assert {mutant.room for mutant in MUTANTS} <= set(TESTS)
    assert len(MUTANTS) >= 130


def test_every_row_names_a_test_that_failed_without_its_check_and_still_exists() -> None:
    killers = read_killers()
    assert list(killers) == [mutant.name for mutant in MUTANTS]
    files = {killer.partition("::")[0] for killer in killers.values()}
    tests = {file: set(re.findall(r"^def (test_\w+)", (ROOT / file).read_text(), re.MULTILINE)) for file in files}
    named = [killer.partition("[")[0].split("::") for killer in killers.values()]
    assert [f"{file}::{test}" for file, test in named if test not in tests[file]] == []


@pytest.fixture
def spki_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short file of tests for the room that mutants of the runner's own tests change."""
    monkeypatch.setitem(TESTS, "spki", ("tests/trust/test_spki.py",))


def test_a_mutant_that_changes_nothing_survives_even_where_a_test_fails_for_another_reason(
    tmp_path: Path, spki_alone: None
) -> None:
    law = (PACKAGE / "spki.py").read_text("utf-8").splitlines()[1]
    idle = Mutant("spki", "pin", "nothing", law, f"{law} ")
    broken = tmp_path / "test_broken.py"
    broken.write_text("def test_that_fails_on_a_busy_machine():\n    raise OSError\n")
    (tmp_path / "runs").mkdir()
    runner = Runner(tmp_path / "runs", jobs=1, killers={idle.name: f"{broken}::test_that_fails_on_a_busy_machine"})
    assert runner.run_one(idle).status == SURVIVED


def test_a_killer_on_record_that_notices_nothing_any_more_hands_over_to_the_others(
    tmp_path: Path, spki_alone: None
) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.room == "spki")
    idle = "tests/trust/test_spki.py::test_a_version_1_certificate_has_no_version_field"
    outcome = Runner(tmp_path, jobs=1, killers={mutant.name: idle}).run_one(mutant)
    assert outcome.status == KILLED
    assert outcome.by != idle


def refusals(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """The lines of each statement that decides on raising one of our errors: an if, an except, else the raise alone."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise) or node.exc is None:
            continue
        call = node.exc.func if isinstance(node.exc, ast.Call) else None
        if not isinstance(call, ast.Name) or not hasattr(errors, call.id):
            continue
        decides: ast.AST = node
        while not isinstance(decides, ast.If | ast.Try | ast.FunctionDef):
            decides = parents[decides]
        first = decides if isinstance(decides, ast.If | ast.Try) else node
        yield first.lineno, node.end_lineno or node.lineno


@pytest.mark.parametrize("room", JUDGES)
def test_every_refusal_of_a_judge_has_a_mutant_that_takes_it_away(room: str) -> None:
    source = (PACKAGE / f"{room}.py").read_text()
    covered = set()
    for mutant in MUTANTS:
        if mutant.room == room:
            start = source.index(mutant.old)
            first = source.count("\n", 0, start) + 1
            covered |= set(range(first, first + mutant.old.rstrip("\n").count("\n") + 1))
    bare = [(first, last) for first, last in refusals(ast.parse(source)) if not covered & set(range(first, last + 1))]
    assert bare == []
