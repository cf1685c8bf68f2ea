"""The table of docs/conformance.md names tests that exist, and leaves out none that is not our own."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "conformance.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(test_\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
OURS = re.compile(r"`(test_\w+)`")

pytestmark = pytest.mark.own


def names_here() -> dict[str, bool]:
    """Return the names of all tests of this folder, and whether each is marked as our own."""
    found = {}
    for path in sorted(HERE.glob("test_*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        whole = any("pytestmark = pytest.mark.own" in ast.unparse(node) for node in tree.body)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marked = "pytest.mark.own" in [ast.unparse(each) for each in node.decorator_list]
                assert node.name not in found, f"two tests are called {node.name}"
                found[node.name] = whole or marked
    return found


def test_every_test_that_the_table_names_exists():
    named = {name for _, cell in ROWS for name in OURS.findall(cell)}
    assert named - set(names_here()) == set()


def test_every_test_is_in_the_table_or_our_own_and_never_both():
    named = {name for _, cell in ROWS for name in OURS.findall(cell)}
    here = names_here()
    assert {name for name, own in here.items() if not own and name not in named} == set()
    assert {name for name, own in here.items() if own and name in named} == set()


def test_the_table_has_the_rows_that_the_page_promises():
    promised = re.search(r"All (\d+) test functions of tuf-conformance and the (\d+) of python-tuf", PAGE)
    first, second = PAGE.split("### python-tuf")
    counted = [len(re.findall(r"^\| `test_\w+` \|", part, re.MULTILINE)) for part in (first, second)]
    assert [int(number) for number in promised.groups()] == counted


def test_every_row_names_a_test_or_says_why_there_is_none():
    assert [name for name, cell in ROWS if not OURS.search(cell) and not re.match(r"no counterpart: \w", cell)] == []
