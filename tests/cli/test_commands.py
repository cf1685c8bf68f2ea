"""The command as a whole: what --help imports and says, parts that are not installed, words for misuse, the docs."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import pytest

import pinwarden as sdk
from pinwarden.cli import commands, elsewhere, pinwarden

DOCS = Path(__file__).parents[2] / "docs"
CONTEXT = click.Context(pinwarden)


def own_commands() -> Iterator[tuple[str, click.Command]]:
    for name in commands.OWN:
        command = pinwarden.get_command(CONTEXT, name)
        assert command is not None
        yield name, command


def python(code: str) -> Any:
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_help_lists_every_part_and_imports_none_of_them() -> None:
    code = (
        "import json, sys; from click.testing import CliRunner; from pinwarden.cli import pinwarden;"
        "told = CliRunner().invoke(pinwarden, ['--help']);"
        "print(json.dumps([told.exit_code, told.stdout, [name for name in sys.modules if name.startswith('pinwarden_')"
        " or name in ('cryptography.x509', 'urllib3', 'pinwarden.cli.verify')]]))"
    )
    exit_code, text, loaded = python(code)
    assert (exit_code, loaded) == (0, [])
    lines = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.strip()}
    assert {"check", "init", "keys", "pin", "refresh", "root", "run", "server", "status", "verify"} <= lines


def test_importing_the_sdk_loads_no_command_line() -> None:
    code = "import json, sys, pinwarden; print(json.dumps([m for m in sys.modules if m in ('click', 'pinwarden.cli')]))"
    assert python(code) == []


@pytest.mark.parametrize("name", [*commands.OWN])
def test_the_help_of_every_command_teaches_by_example(command: Any, name: str) -> None:
    told = command(name, "--help")
    assert (told.exit_code, told.stderr) == (0, "")
    assert f"Usage: pinwarden {name} " in told.stdout
    assert "\n  Examples:\n    " in told.stdout
    for line in told.stdout.partition("  Examples:\n")[2].partition("\n\n")[0].splitlines():
        words = line.split()
        assert "pinwarden" not in words or words[words.index("pinwarden") + 1] in (*commands.OWN, "--state-dir")


def test_the_version_is_that_of_the_package(command: Any) -> None:
    assert command("--version").stdout == f"pinwarden {sdk.__version__}\n"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["nope"], ["error: No such command 'nope'.", "hint: `pinwarden --help` shows how it is used."]),
        (
            ["status", "--nope"],
            ["error: No such option '--nope'.", "hint: `pinwarden status --help` shows how it is used."],
        ),
        (
            ["pin"],
            ["error: Missing argument 'HOST[:PORT]|FILE|-'.", "hint: `pinwarden pin --help` shows how it is used."],
        ),
        (  # click spreads choices over several lines
            ["completion"],
            [
                "error: Missing argument '{bash|fish|zsh}'. Choose from: bash, fish, zsh",
                "hint: `pinwarden completion --help` shows how it is used.",
            ],
        ),
        (
            ["server", "nope"],
            ["error: No such command 'nope'.", "hint: `pinwarden server --help` shows how it is used."],
        ),
    ],
)
def test_misuse_is_two_and_two_lines(command: Any, words: list[str], lines: list[str]) -> None:
    told = command(*words)
    assert (told.exit_code, told.stdout, told.stderr.splitlines()) == (2, "", lines)


@pytest.mark.parametrize("words", [[], ["server"], ["keys"]])
def test_a_group_alone_shows_its_help_and_is_two(command: Any, words: list[str]) -> None:
    told = command(*words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(f"{' '.join(['Usage: pinwarden', *words])} [OPTIONS] COMMAND [ARGS]...\n")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that registers a command whose module has *code*; None leaves the module out."""

    def put(code: str | None, extras: str = " [server]") -> None:
        if code is not None:
            (tmp_path / "registered_part.py").write_text(code)
            monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "registered_part", raising=False)
        entry = EntryPoint("part", f"registered_part:part{extras}", commands.ENTRY_POINTS)
        monkeypatch.setattr(elsewhere, "entry_points", lambda *, group: [entry])

    return put


@pytest.mark.parametrize("words", [["part"], ["part", "--help"], ["part", "init", "--dev", "x"]])
@pytest.mark.parametrize("code", ["import no_such_library", None])
def test_a_part_that_is_not_installed_names_what_installs_it(
    command: Any, register: Any, code: str | None, words: list[str]
) -> None:
    register(code)
    told = command(*words)
    missing = "no_such_library" if code else "registered_part"
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.splitlines() == [
        f"error: `pinwarden part` needs the Python module {missing}, which is not installed",
        "hint: pip install 'pinwarden[server]'",
    ]


LAZY = """
import click
@click.group()
def part(): pass
@part.command()
def go():
    import {module}
"""


def test_a_library_that_is_missing_only_when_a_command_runs_is_named_the_same_way(command: Any, register: Any) -> None:
    register(LAZY.format(module="no_such_library"))
    told = command("part", "go")
    assert (told.exit_code, told.stderr.splitlines()[-1]) == (2, "hint: pip install 'pinwarden[server]'")


def test_a_module_of_ours_that_is_missing_is_a_defect_and_not_called_an_extra(command: Any, register: Any) -> None:
    register(LAZY.format(module="pinwarden.no_such_room"))
    assert isinstance(command("part", "go").exception, ModuleNotFoundError)


def test_an_interrupt_is_130_and_one_line(command: Any, register: Any) -> None:
    register("import click\n@click.command()\ndef part(): raise KeyboardInterrupt\n")
    told = command("part")
    assert (told.exit_code, told.stdout, told.stderr.strip()) == (130, "", "error: interrupted")


def test_a_part_that_nobody_described_is_listed_and_works(command: Any, register: Any) -> None:
    register("import click\n@click.command()\ndef part(): click.echo('went')\n", extras="")
    assert "part" in command("--help").stdout.split()
    assert command("part").stdout == "went\n"


def test_the_docs_name_every_command_and_every_option() -> None:
    text = (DOCS / "cli.md").read_text()
    for name, command in own_commands():
        section = text.partition(f"\n## pinwarden {name}\n")[2].partition("\n## ")[0]
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        missing = [option for option in options if f"`{option}" not in section and option not in text_of_shared(text)]
        assert (name, bool(section), missing) == (name, True, [])


def text_of_shared(text: str) -> str:
    """Return the section on options that several commands have."""
    return text.partition("\n## Options that name settings\n")[2].partition("\n## ")[0]


def lines_of_docs() -> list[str]:
    """Return the calls of ``pinwarden`` in the code blocks of both pages."""
    text = (DOCS / "cli.md").read_text() + (DOCS / "settings.md").read_text()
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL)
    lines = [line.partition("#")[0] for block in blocks for line in block.splitlines()]
    return [f"pinwarden {line.partition('pinwarden ')[2]}" for line in lines if re.search(r"(^|[$|] )pinwarden ", line)]


@pytest.mark.parametrize("line", lines_of_docs())
def test_the_commands_of_the_docs_exist_with_their_options(line: str) -> None:
    words = [word.strip("[]") for word in shlex.split(line)[1:]]
    before = [word for word in itertools.takewhile(lambda word: word not in commands.OWN, words) if word[:2] == "--"]
    name = next(word for word in words if word in commands.OWN)
    command = pinwarden.get_command(CONTEXT, name)
    assert command is not None
    after = [word for word in words[words.index(name) :] if word[:2] == "--" and word != "--"]
    assert set(before) <= {option for parameter in pinwarden.params for option in parameter.opts}
    assert set(after) <= {option for parameter in command.params for option in parameter.opts}


def test_the_docs_name_every_exit_code() -> None:
    from pinwarden.cli import refusals

    table = (DOCS / "cli.md").read_text().partition("\n## Exit codes\n")[2].partition("\n## ")[0]
    spoken = (refusals.WAITING, refusals.INTERRUPTED, refusals.UNREAD)
    for code in (refusals.DONE, refusals.REFUSED, refusals.USAGE, refusals.UNAVAILABLE, refusals.CONFLICT, *spoken):
        assert f"| {code} |" in table
