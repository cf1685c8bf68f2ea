"""Completion scripts and man pages know every command and option, and run nothing of ours to say so."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pinwarden.cli import pinwarden
from pinwarden_ops.manual import main, pages_of
from pinwarden_ops.shell_words import SHELLS, Words, script_for, words_of


@pytest.fixture(scope="module")
def words() -> Words:
    return words_of(pinwarden)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, as the command prints it."""
    file = tmp_path_factory.mktemp("completion") / "pinwarden.bash"
    done = CliRunner().invoke(pinwarden, ["completion", "bash"])
    assert (done.exit_code, done.stderr) == (0, "")
    file.write_text(done.stdout)
    return file


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("pinwarden se", ["server", "session", "set"]),
        ("pinwarden set ro", ["rollback"]),
        ("pinwarden set put shop shop.json --re", ["--replaces", "--reason"]),
        ("pinwarden set put shop rollback --repl", ["--replaces"]),
        ("pinwarden --state-dir folder chec", ["check"]),
        ("pinwarden root pub", ["publish"]),
        ("pinwarden completion f", ["fish"]),
        ("pinwarden context use --", ["--help"]),
        ("pinwarden set show $(touch x) --dr", ["--draft"]),
        ("pinwarden nonsense nothing", []),
    ],
)
def test_bash_offers_what_may_follow_and_runs_no_program(
    script: Path, tmp_path: Path, typed: str, offered: list[str]
) -> None:
    before = typed.split(" ")
    code = f"source {script}; COMP_WORDS=({shlex.join(before)}); COMP_CWORD={len(before) - 1}; _pinwarden; "
    code += 'printf "%s\\n" "${COMPREPLY[@]}"'
    # With an empty PATH no program can be found, ours included.
    done = subprocess.run(
        ["/bin/bash", "-c", code], capture_output=True, text=True, env={"PATH": ""}, cwd=tmp_path, timeout=30
    )
    assert (done.stdout.split(), done.stderr) == (offered, "")
    assert list(tmp_path.iterdir()) == []


def test_every_script_holds_every_command_and_option(words: Words) -> None:
    assert {"pinwarden", "pinwarden set put", "pinwarden root publish", "pinwarden change wait"} <= words.keys()
    for shell in SHELLS:
        text = script_for(shell, words)
        for path, follow in words.items():
            assert path in text
            for word, _ in follow:
                assert (word if shell != "fish" else word.removeprefix("--")) in text, (shell, path, word)


def test_no_help_text_ends_a_quotation_in_any_script() -> None:
    evil = click.Group("pinwarden")

    @evil.command(help="It's $(touch x) `touch y` \\ 'quoted'.")
    @click.option("--of", help="Don't; $(touch z)")
    def child(of: str) -> None:
        """Never run."""

    for shell in SHELLS:
        unquoted = re.sub(r"'[^']*'|\\'", "", script_for(shell, words_of(evil)))
        assert "touch" not in unquoted
    assert "touch" in script_for("fish", words_of(evil))
    made = subprocess.run(
        ["/bin/bash", "-n"], input=script_for("bash", words_of(evil)), capture_output=True, text=True, timeout=30
    )
    assert (made.returncode, made.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["", "tcsh", "bash; ls"])
def test_a_shell_that_is_not_known_is_misuse(shell: str) -> None:
    assert CliRunner().invoke(pinwarden, ["completion", shell]).exit_code == 2


def every_path(command: click.Command, path: str) -> Iterator[str]:
    yield path.replace(" ", "-")
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from every_path(child, f"{path} {name}")


def test_there_is_a_man_page_for_every_command_and_each_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "man1")]) == 0
    pages = {file.stem: file.read_text() for file in (tmp_path / "man1").iterdir()}
    assert sorted(pages) == sorted(every_path(pinwarden, "pinwarden"))
    assert capsys.readouterr().out == f"{len(pages)} pages in {tmp_path / 'man1'}\n"
    for name, text in pages.items():
        assert text.startswith(".TH ")
        for section in (".SH NAME\n", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", ".SH OPTIONS\n"):
            assert section in text, (name, section)
    assert "pinwarden set apply \\-f pinsets \\-\\-plan\n" in pages["pinwarden-set-apply"]
    assert "\\fBpinwarden\\-set\\-put\\fR(1)" in pages["pinwarden-set"]
    assert main([]) == 2


def test_no_text_becomes_a_request_of_the_typesetter() -> None:
    command = click.Command("evil", help=".so /etc/passwd\n\n'br \\n\n\\fBx", epilog="\b\nExamples:\n  .sy reboot")
    [(_, page)] = pages_of(command, "evil")
    requests = {line.split()[0] for line in page.splitlines() if line[:1] in (".", "'")}
    assert requests <= {".TH", ".SH", ".B", ".PP", ".TP", ".nf", ".fi"}
    assert "\\&.so /etc/passwd" in page
