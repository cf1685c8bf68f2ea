"""
The command ``pinwarden``: what an application's side needs, and the way to the commands of every other part.

It may import click, all of layer 0 and, through entry points alone, the commands of other parts. ``import pinwarden``
never loads it, answers go to stdout and everything else to stderr, and no command weakens or skips a check.
"""

from pinwarden.cli.commands import pinwarden
from pinwarden.cli.streams import prepare_streams


def main() -> None:
    """Run the command line of this process and end it; for the entry point."""
    prepare_streams()
    pinwarden.main(prog_name="pinwarden")


__all__ = ["main", "pinwarden"]
