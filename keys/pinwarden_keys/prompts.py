"""
What the commands ask of a person: a passphrase, typed unseen.

It may import click and ``passphrase``. Prompts go to stderr, so that stdout carries answers only.
"""

from pathlib import Path

import click

from pinwarden_keys.errors import PassphraseError
from pinwarden_keys.passphrase import Passphrase, check_passphrase, passphrase_file

FILE = click.Path(path_type=Path, dir_okay=False)
MIN_TYPED_CHARACTERS = 12


def passphrase_from(path: Path | None, *, what: str) -> Passphrase:
    """Return a callback that reads *path*, or asks on the terminal for the passphrase of *what*."""
    if path is not None:
        return passphrase_file(path)
    return lambda: check_passphrase(click.prompt(f"Passphrase of {what}", hide_input=True, err=True).encode())


def new_passphrase() -> bytes:
    """Ask twice for a passphrase of at least 12 characters."""
    typed: str = click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True)
    if len(typed) < MIN_TYPED_CHARACTERS:
        raise PassphraseError(
            "the passphrase is too short",
            expected=f"at least {MIN_TYPED_CHARACTERS} characters",
            got=len(typed),
            holds="Nothing was written.",
            hint="Six random words are easy to type and hard to guess.",
        )
    return check_passphrase(typed.encode())
