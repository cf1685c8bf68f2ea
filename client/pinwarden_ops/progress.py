"""
What is under way, as one line on stderr that a person watches.

It may import click. It writes nothing where stderr is no terminal, and leaves nothing behind on one.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

_CLEAR = "\r\033[K"


@contextmanager
def shown(words: str) -> Iterator[None]:
    """Show *words* for as long as the body runs, which prints nothing itself."""
    screen = sys.stderr
    if not screen.isatty():
        yield
        return
    # What went on in a second line could not be cleared again; a terminal that tells no width has 80 columns.
    room = (os.get_terminal_size(screen.fileno()).columns or 80) - 1
    try:
        click.echo(f"{_CLEAR}{words[:room]}", nl=False, file=screen)
        yield
    finally:
        click.echo(_CLEAR, nl=False, file=screen)
