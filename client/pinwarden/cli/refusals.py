"""
How every command line of Pinwarden says no: ``error:`` and ``hint:`` lines on stderr, and the documented exit codes.

It may import click and the errors. It never prints a traceback for an error that is ours, nor hides one that is not.
"""

import warnings
from typing import Any, ClassVar

import click

from pinwarden.errors import CacheError, ConfigError, FetchError, PinsUnavailableError, PinwardenError, UntrustedError

DONE, REFUSED, USAGE, UNAVAILABLE, CONFLICT, WAITING, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
UNREAD = 141  # 128 + SIGPIPE, as for every program whose reader left

ExitCodes = tuple[tuple[type[PinwardenError], int], ...]


class RefusingGroup(click.Group):
    """
    A group whose commands raise PinwardenError to refuse.

    Attributes:
        exit_codes: the first kind that fits decides; a subclass brings its own table.
    """

    exit_codes: ClassVar[ExitCodes] = (
        (FetchError, UNAVAILABLE),
        (CacheError, UNAVAILABLE),
        (PinsUnavailableError, UNAVAILABLE),
        (PinwardenError, REFUSED),
    )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes lines on stderr and an exit code."""
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: click.echo(f"warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except PinwardenError as error:
                complain(error)
                ctx.exit(self.exit_code(error))

    def exit_code(self, error: PinwardenError) -> int:
        """Return the exit code for *error*."""
        return exit_code_of(error, self.exit_codes)


def exit_code_of(error: PinwardenError, table: ExitCodes) -> int:
    """Return 2 where a setting or an argument is at fault, and otherwise what *table* says."""
    if is_misuse(error):
        return USAGE
    return next(code for kind, code in table if isinstance(error, kind))


def complain(error: PinwardenError) -> None:
    """Print *error* on stderr, what to do in a line of its own."""
    hint = error.hint or ""
    say("error", str(error).removesuffix(hint).rstrip())
    if hint:
        say("hint", hint)


def say(kind: str, text: str) -> None:
    """Print a line on stderr that begins with *kind*: error, warning, hint or note."""
    colour = {"error": "red", "warning": "yellow"}.get(kind)
    click.echo(f"{click.style(f'{kind}:', fg=colour, bold=True) if colour else f'{kind}:'} {text}", err=True)


def is_misuse(error: PinwardenError) -> bool:
    """Tell whether a setting or an argument is at fault, rather than documents that were refused."""
    return isinstance(error, ConfigError) and not isinstance(error.__cause__, UntrustedError)
