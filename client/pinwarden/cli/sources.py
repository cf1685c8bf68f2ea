"""
Where bytes come from that a command looks at: a file, a pipe, standard input.

It may import click and errors. It reads no more than it was told to, and judges nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Yield *path*, or standard input, to be read piece by piece; ConfigError when it cannot be read."""
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    with file:
        yield file


def spell_source(path: Path) -> str:
    """Return the name of *path* for messages."""
    return "standard input" if path == STDIN else str(path)
