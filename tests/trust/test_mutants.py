"""The table of mutants stays true: each row applies once, compiles, changes something, and no refusal lacks a row."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from pinwarden import errors
from tests.mutants import MUTANTS, Mutant
from tests.mutants.mutant import PACKAGE, TESTS

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
