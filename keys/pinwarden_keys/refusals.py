"""
How the command line of this package says no: ``error:`` and ``hint:`` lines on stderr, and the documented exit codes.

It may import click and the errors. It never prints a traceback for an error that is ours, nor hides one that is not.
"""

import warnings
from typing import Any

import click

from pinwarden.errors import FetchError, PinwardenError
from pinwarden_keys.errors import MissingSignaturesError

REFUSED, UNAVAILABLE, WAITING = 1, 3, 5

# The first kind that fits decides.
_EXIT_CODES: tuple[tuple[type[PinwardenError], int], ...] = (
    (MissingSignaturesError, WAITING),
    (FetchError, UNAVAILABLE),
    (PinwardenError, REFUSED),
)


class RefusingGroup(click.Group):
    """A group whose commands raise PinwardenError to refuse."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes lines on stderr and an exit code."""
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: click.echo(f"warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except PinwardenError as error:
                complain(error)
                ctx.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))


def complain(error: PinwardenError) -> None:
    """Print *error* on stderr, what to do in a line of its own."""
    hint = error.hint or ""
    click.echo(f"error: {str(error).removesuffix(hint).rstrip()}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
