"""Commands of other parts under `pinwarden root`: listed without being imported, and named when they are missing."""

import sys
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

from pinwarden.cli import elsewhere
from pinwarden_keys.cli_root import root

PART = "import click\n@click.command()\n@click.argument('file')\ndef publish(file): click.echo(f'published {file}')\n"
LAZY = "import click\n@click.command()\n@click.argument('file')\ndef publish(file): import no_such_library\n"


@pytest.fixture
def register(monkeypatch, tmp_path):
    """Return a function that registers `publish` with the code of its module; None leaves the module out."""

    def put(code):
        if code is not None:
            (tmp_path / "publishing_part.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "publishing_part", raising=False)
        entry = EntryPoint("publish", "publishing_part:publish [ops]", "pinwarden.commands.root")
        groups = {"pinwarden.commands.root": [entry]}
        monkeypatch.setattr(elsewhere, "entry_points", lambda *, group: groups[group])

    return put


def test_a_command_of_another_part_works_under_root(register):
    register(PART)
    assert CliRunner().invoke(root, ["publish", "root.2.json"]).stdout == "published root.2.json\n"


def test_help_lists_it_without_importing_it(register):
    register("raise RuntimeError('imported')")
    shown = CliRunner().invoke(root, ["--help"])
    assert shown.exit_code == 0
    assert "publish   Bring a signed root to the server." in shown.stdout
    assert "sign      Sign a draft: one file per person." in shown.stdout


@pytest.mark.parametrize(
    ("code", "missing"),
    [(None, "publishing_part"), ("import no_such_library", "no_such_library"), (LAZY, "no_such_library")],
)
def test_what_is_missing_is_named_with_the_extra_that_brings_it(register, code, missing):
    register(code)
    told = CliRunner().invoke(root, ["publish", "root.2.json"])
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.splitlines() == [
        f"error: `pinwarden root publish` needs the Python module {missing}, which is not installed",
        "hint: pip install 'pinwarden[ops]'",
    ]
