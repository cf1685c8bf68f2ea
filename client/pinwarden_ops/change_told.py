"""
An opened change as a person reads it: what this machine computed, what the server claims, what deserves a look.

It may import click and the rooms beside it. It decides nothing.
"""

from pinwarden.cli.refusals import say
from pinwarden_ops.change_desk import Opened
from pinwarden_ops.change_view import as_lines, claims


def lines_of(opened: Opened) -> list[str]:
    """Return the change as lines of text, what the server claims at their end."""
    said = claims(opened.claimed)
    return as_lines(opened.review, opened.in_force) + (["", *said] if said else [])


def warn(opened: Opened) -> None:
    """Print what deserves a second look, on stderr."""
    if opened.in_force.problem:
        say("warning", f"what is in force is verified, but clients do not take it any more: {opened.in_force.problem}")
    for words in opened.review.warnings:
        say("warning", words)
