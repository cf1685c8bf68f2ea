"""
What becomes of a command whose answer nobody can be given: its reader left, the disk is full, stdout was closed.

It may import click and ``refusals``. It never lets such an end look like a verdict: exit code 1 says that something was
judged and refused.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any, NoReturn

from pinwarden.cli.refusals import UNAVAILABLE, UNREAD, say


class Unwritable(OSError):
    """Standard output or standard error takes nothing any more; no other file that a command writes raises this."""


class _Stream(FileIO):
    def write(self, content: Any) -> Any:
        try:
            return super().write(content)
        except OSError as error:
            # Python flushes once more at its end, and would complain there.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            raise Unwritable(error.errno, error.strerror) from error


def prepare_streams() -> None:
    """
    Make stdout and stderr say that it is they that fail, and letters that the terminal does not have no failure.

    A process that was started without stdin, stdout or stderr (``>&-``) gets the null device in its place: the next
    file that is opened, such as a cache, would have its number otherwise.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout, sys.stderr = _reopened(sys.stdout, 1), _reopened(sys.stderr, 2)


@contextmanager
def answering() -> Iterator[None]:
    """End the process where what the block prints cannot be written; every other error goes on as it is."""
    try:
        yield
    except Unwritable as error:
        _end(error)


def _reopened(stream: Any, number: int) -> Any:
    if stream is not None and not isinstance(stream, TextIOWrapper):
        return stream  # a test's, or that of a program which calls this one
    if stream is not None:
        stream.flush()
    return TextIOWrapper(
        BufferedWriter(_Stream(number, "w", closefd=False)),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors="backslashreplace",
        # Line by line stands for PYTHONUNBUFFERED too: whoever reads `dev` through a pipe sees each line at once.
        line_buffering=stream is not None and (stream.line_buffering or stream.write_through),
    )


def _end(error: Unwritable) -> NoReturn:
    """End as a program does that SIGPIPE ends, without a word; or say why there is no answer."""
    if error.errno == errno.EPIPE:
        sys.exit(UNREAD)
    with suppress(Unwritable):  # stderr may be the next that fails
        say("error", f"the answer cannot be written: {error.strerror}. What the command did is done.")
        say("hint", "Look at what it was meant to change before you repeat it.")
    sys.exit(UNAVAILABLE)
