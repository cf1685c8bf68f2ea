"""The page for whoever is on call: what it says is printed is what is printed."""

import re

import pytest

from tests.docs.pages import REPOSITORY, tracked

RUNBOOK = REPOSITORY / "docs/runbook.md"
ROWS = re.findall(r"(?m)^\| (`.+?) \|", RUNBOOK.read_text("utf-8"))
PHRASES = [phrase for row in ROWS for phrase in re.findall(r"`([^`]+)`", row)]
# Strings are broken over lines, and hold values in braces.
BROKEN = re.compile(r'"\s+f?"')


@pytest.fixture(scope="module")
def source() -> str:
    """Everything that this repository may print, and what tests saw libraries print."""
    paths = (*tracked("client/*.py", "keys/*.py", "server/*.py"), *tracked("tests/*.py"))
    own = [path for path in paths if path.name != "test_runbook.py"]
    return BROKEN.sub("", "\n".join(path.read_text("utf-8") for path in own))


@pytest.mark.parametrize("phrase", PHRASES)
def test_what_the_page_is_searched_for_is_what_is_printed(phrase: str, source: str) -> None:
    pieces = [piece.strip(" ;()") for piece in re.split(r"\.\.\.|: (?:expected|got|No such|Address)", phrase)]
    missing = [piece for piece in pieces if len(piece) > 3 and piece not in source]
    assert missing == []


def test_the_page_speaks_of_the_server_and_of_applications() -> None:
    assert len(ROWS) > 25
