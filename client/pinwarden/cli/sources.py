"""
Where bytes come from that a command looks at: a file, a pipe, standard input.

It may import click and errors. It reads no more than it was told to, and judges nothing.
"""

import sys
from pathlib import Path

import click

from pinwarden.errors import ConfigError

STDIN = Path("-")
# A path to something that can be read, a pipe such as <(command) too; "-" is standard input.
SOURCE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


def read_source(path: Path, *, limit: int) -> bytes:
    """
    Return the bytes of *path*, no more than *limit*.

    Raises:
        ConfigError: it cannot be read, or is larger.
    """
    try:
        if path == STDIN:
            content: bytes = sys.stdin.buffer.read(limit + 1)
        else:
            with path.open("rb") as file:
                content = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise ConfigError(f"{spell_source(path)} is too large", expected=f"at most {limit} bytes")
    return content


def spell_source(path: Path) -> str:
    """Return the name of *path* for messages."""
    return "standard input" if path == STDIN else str(path)
