"""
Man pages of every command, made from its --help: ``python -m pinwarden_ops.manual FOLDER``.

It may import click and the command line. Pages are made when a package is built and never committed, so that they
cannot say something else than --help.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import pinwarden as sdk

SECTION = "1"
_PARAGRAPH = "\b"  # click: what follows keeps its lines


def pages_of(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of the page of *command* and of every command below it; *path* is ``pinwarden set put``."""
    context = click.Context(command, info_name=path)
    children = _children(command, context)
    yield f"{path.replace(' ', '-')}.{SECTION}", _page(command, path, context, children)
    for name, child in children:
        yield from pages_of(child, f"{path} {name}")


def write_pages(command: click.Command, folder: Path) -> list[Path]:
    """Write every page into *folder*, and return their paths; pages of before are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages_of(command, "pinwarden"):
        written.append(folder / name)
        written[-1].write_text(text, "utf-8")
    return written


def main(arguments: list[str]) -> int:
    """Write the pages into the one folder that *arguments* name, and return the exit code."""
    if len(arguments) != 1:
        click.echo("usage: python -m pinwarden_ops.manual FOLDER", err=True)
        return 2
    from pinwarden.cli import pinwarden

    click.echo(f"{len(write_pages(pinwarden, Path(arguments[0])))} pages in {arguments[0]}")
    return 0


def _children(command: click.Command, context: click.Context) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return []
    found = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return [(name, child) for name, child in found if child is not None and not child.hidden]


def _page(command: click.Command, path: str, context: click.Context, children: list[tuple[str, click.Command]]) -> str:
    name = path.replace(" ", "-")
    lines = [
        f'.TH "{_escaped(name).upper()}" {SECTION} "" "pinwarden {sdk.__version__}" "Pinwarden"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(command.get_short_help_str(limit=200).rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_escaped(path)}",
        *_text(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *_prose(inspect.cleandoc(command.help or "")),
    ]
    records = [record for each in command.get_params(context) if (record := each.get_help_record(context))]
    if records:
        lines.append(".SH OPTIONS")
        for spelling, meaning in records:
            lines += [".TP", f"\\fB{_escaped(spelling)}\\fR", *_text(meaning)]
    if children:
        lines.append(".SH COMMANDS")
        for word, child in children:
            lines += [".TP", f"\\fB{_escaped(f'{name}-{word}')}\\fR({SECTION})"]
            lines += _text(child.get_short_help_str(limit=200))
    lines += _epilog(inspect.cleandoc(command.epilog or ""))
    if " " in path:
        above = path.rpartition(" ")[0].replace(" ", "-")
        lines += [".SH SEE ALSO", f"\\fB{_escaped(above)}\\fR({SECTION})"]
    return "\n".join([*lines, ""])


def _prose(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.replace(_PARAGRAPH, "").strip())):
        if number:
            yield ".PP"
        yield from _text(" ".join(paragraph.split()))


def _epilog(text: str) -> Iterator[str]:
    """Yield each part of an epilog as a section of its own, lines as they stand."""
    for part in text.split(_PARAGRAPH):
        heading, _, rest = part.strip().partition("\n")
        if heading:
            yield f".SH {_escaped(heading.partition(':')[0].partition(',')[0]).upper()}"
            yield ".nf"
            for line in inspect.cleandoc(f"\n{rest}").splitlines():
                yield from _text(line)
            yield ".fi"


def _text(text: str) -> list[str]:
    """Return *text* as a line that begins with no request, or nothing."""
    escaped = _escaped(text)
    return [f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped] if escaped else []


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
