"""Every --help teaches: an example that could be typed, and options that say what they take."""

import shlex
from collections.abc import Iterator

import click
import pytest

from pinwarden.cli import pinwarden


def commands(command: click.Command = pinwarden, path: str = "pinwarden") -> Iterator[tuple[str, click.Command]]:
    """Yield path and command of everything that can be called."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        if not child.hidden:
            yield from commands(child, f"{path} {name}")


COMMANDS = dict(commands())


def examples(command: click.Command) -> list[str]:
    """Return the lines below "Examples:" in the epilog of *command*."""
    _, _, shown = (command.epilog or "").partition("Examples:\n")
    return [line.strip() for line in shown.split("\n\n")[0].splitlines()]


def resolved(line: str) -> tuple[str, list[str]]:
    """Return the path of the command that *line* calls, and the options that it uses, which all must exist."""
    words = iter(shlex.split(line, comments=True))
    while next(words) != "pinwarden":
        pass
    command: click.Command = pinwarden
    path, options = "pinwarden", list[str]()
    for word in words:
        if word == "--":
            break
        if word.startswith("-") and len(word) > 1:
            known = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
            assert word in known, f"{path} has no {word}"
            options.append(word)
            option = known[word]
            if isinstance(option, click.Option) and not option.is_flag:
                next(words)
        elif isinstance(command, click.Group):
            child = command.get_command(click.Context(command), word)
            assert child is not None, f"{path} has no command {word}"
            command, path = child, f"{path} {word}"
    return path, options


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_teaches_by_an_example_whose_words_exist(path: str) -> None:
    lines = examples(COMMANDS[path])
    assert lines != []
    called = {resolved(line)[0] for line in lines if "pinwarden" in line}
    assert path in called


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_says_what_it_is_for(path: str) -> None:
    silent = [each.opts[0] for each in COMMANDS[path].params if isinstance(each, click.Option) and not each.help]
    assert silent == []


def test_the_line_that_a_list_shows_of_a_command_is_not_cut() -> None:
    # Those of the outermost level have a line of their own.
    inner = {path: command for path, command in COMMANDS.items() if path.count(" ") > 1}
    cut = [path for path, command in inner.items() if command.get_short_help_str(limit=95).endswith("...")]
    assert cut == []
