"""docs/testing.md: its files run as they stand, with every warning an error, and its tables name what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pinwarden.testing
from pinwarden.testing import plugin

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60)


def test_every_block_of_the_page_is_a_file() -> None:
    assert len(FILES) == PAGE.count("```python") == 5


def test_the_tests_of_the_page_pass(folder: Path) -> None:
    ended = run(folder, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    assert re.findall(r"^(\d+ passed)", ended.stdout, re.MULTILINE) == ["13 passed"], ended.stdout


def test_without_the_line_no_fixture_is_there(folder: Path) -> None:
    (folder / "conftest.py").unlink()
    ended = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_payments.py")
    assert "4 errors" in ended.stdout
    assert "fixture 'throwaway_pins' not found" in ended.stdout


def test_the_plain_program_prints_what_the_server_said(folder: Path) -> None:
    ended = run(folder, "plain.py")
    assert (ended.returncode, ended.stdout) == (0, "b'hello'\n"), ended.stderr
    assert "InsecureForProductionWarning" in ended.stderr


def test_the_tables_name_every_public_name_and_every_fixture() -> None:
    listed = {name for row in re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)}
    fixtures = {name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert fixtures != set()
    modules = {"pinwarden.testing.plugin", "pinwarden.testing.contracts.CacheContract"}
    assert listed == set(pinwarden.testing.__all__) | fixtures | modules
