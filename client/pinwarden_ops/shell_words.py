"""
All words of the command line as one table, and scripts for shells made of it.

It may import click. The scripts hold nothing but words of our own commands, so that completing runs no program.
"""

from collections.abc import Mapping
from typing import Any

import click

SHELLS = ("bash", "fish", "zsh")
Words = Mapping[str, tuple[tuple[str, str], ...]]


def words_of(command: click.Command, path: str = "pinwarden") -> Words:
    """Return for each command, spelt as ``pinwarden set put``, the words that may follow it with what they mean."""
    context = click.Context(command, info_name=path.rpartition(" ")[2])
    options = [
        (spelling, (parameter.help or "").partition(";")[0].rstrip("."))
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for spelling in (*parameter.opts, *parameter.secondary_opts)
        if spelling.startswith("--")
    ]
    names = command.list_commands(context) if isinstance(command, click.Group) else []
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    lines: list[tuple[str, str]] = []
    for name in names:
        child = command.get_command(context, name) if isinstance(command, click.Group) else None
        if child is not None and not child.hidden:
            lines.append((name, child.get_short_help_str(limit=70).rstrip(".")))
            found.update(words_of(child, f"{path} {name}"))
    choices = [
        (choice, "")
        for parameter in command.params
        if isinstance(parameter, click.Argument) and isinstance(parameter.type, click.Choice)
        for choice in map(str, parameter.type.choices)
    ]
    return {path: (*lines, *choices, *options, ("--help", "Show what it does")), **found}


def script_for(shell: str, words: Words) -> str:
    """Return the script for *shell*, one of :data:`SHELLS`."""
    makers: dict[str, Any] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
    script: str = makers[shell](words)
    return script


_WALK = """\
  local at=pinwarden word
  for word in "{previous}"; do
    case "$at $word" in
      {commands}) at="$at $word" ;;
    esac
  done
"""


def _bash(words: Words) -> str:
    cases = [
        f'    "{path}") words="{" ".join(word for word, _ in follow)}" ;;' for path, follow in sorted(words.items())
    ]
    return "\n".join(
        [
            "# Completes pinwarden in bash; made by `pinwarden completion bash`.",
            "_pinwarden() {",
            _WALK.format(previous="${COMP_WORDS[@]:1:COMP_CWORD-1}", commands=_alternatives(words)).rstrip(),
            "  local words=",
            '  case "$at" in',
            *cases,
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))',
            "}",
            "complete -o default -F _pinwarden pinwarden",
            "",
        ]
    )


def _zsh(words: Words) -> str:
    cases = [
        f"    {_quoted(path)}) follow=({' '.join(_quoted(_described(*pair)) for pair in follow)}) ;;"
        for path, follow in sorted(words.items())
    ]
    return "\n".join(
        [
            "#compdef pinwarden",
            "# Completes pinwarden in zsh; made by `pinwarden completion zsh`.",
            "_pinwarden() {",
            _WALK.format(previous="${(@)words[2,CURRENT-1]}", commands=_alternatives(words)).rstrip(),
            "  local -a follow",
            '  case "$at" in',
            *cases,
            "  esac",
            "  _describe -t words word follow || _files",
            "}",
            'if [ "$funcstack[1]" = _pinwarden ]; then _pinwarden "$@"; else compdef _pinwarden pinwarden; fi',
            "",
        ]
    )


def _fish(words: Words) -> str:
    known = " ".join(sorted(_quoted(path) for path in words))
    lines = [
        "# Completes pinwarden in fish; made by `pinwarden completion fish`.",
        "function __pinwarden_at",
        "  set -l at pinwarden",
        "  for word in (commandline -opc)[2..-1]",
        f'    contains -- "$at $word" {known}; and set at "$at $word"',
        "  end",
        '  test "$at" = "$argv[1]"',
        "end",
    ]
    for path, follow in sorted(words.items()):
        for word, meaning in follow:
            spelt = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(
                f"complete -c pinwarden -n {_quoted(f'__pinwarden_at {_quoted(path)}')} {spelt} -d {_quoted(meaning)}"
            )
    return "\n".join([*lines, ""])


def _alternatives(words: Words) -> str:
    return "|".join(f'"{path}"' for path in sorted(words) if " " in path)


def _described(word: str, meaning: str) -> str:
    return f"{word}:{meaning}" if meaning else word


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "'\\''") + "'"
