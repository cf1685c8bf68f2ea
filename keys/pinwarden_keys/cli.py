"""
The commands ``pinwarden keys`` and ``pinwarden root``.

It may import click and everything in this package; it is loaded only when one of the two is called. No command takes a
secret as an argument, overwrites a file or opens a network connection.
"""

import json
import os
from pathlib import Path

import click

from pinwarden.strict_json import encode_base64
from pinwarden_keys.cli_root import root
from pinwarden_keys.errors import KeyFileError
from pinwarden_keys.keyfile import KeyFile, read_key_file, write_key_file
from pinwarden_keys.passphrase import generate_passphrase, passphrase_file, write_passphrase_file
from pinwarden_keys.prompts import FILE, new_passphrase
from pinwarden_keys.refusals import RefusingGroup
from pinwarden_keys.signer_file import file_uri

__all__ = ["keys", "root"]


@click.group(cls=RefusingGroup)
def keys() -> None:
    """Make and look at signing keys."""


@keys.command("new")
@click.argument("path", type=FILE)
@click.option("--label", help="Name of the person or machine that holds the key; anyone may read it.")
@click.option("--passphrase-file", type=FILE, help="Take the passphrase from this private file; default: ask for it.")
@click.option("--generate-passphrase", type=FILE, help="Create this private file with a random passphrase.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new_key(
    path: Path, label: str | None, passphrase_file: Path | None, generate_passphrase: Path | None, as_json: bool
) -> None:
    """Create an Ed25519 signing key in the new file PATH, sealed with a passphrase."""
    if passphrase_file and generate_passphrase:
        raise click.UsageError("--passphrase-file and --generate-passphrase exclude each other")
    if path.exists():  # before anyone thinks of a passphrase; the creation itself refuses too
        raise KeyFileError(f"key file {path} exists already", holds="It was not touched.", hint="Choose another name.")
    passphrase = _passphrase_for_new_key(passphrase_file, generate_passphrase)
    key_file = write_key_file(path, os.urandom(32), passphrase, label=label)
    _print(path, key_file, as_json)
    click.echo(f"Wrote {path}. Keep a copy of it and of its passphrase in two different places.", err=True)


@keys.command("show")
@click.argument("path", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_key(path: Path, as_json: bool) -> None:
    """Print the public half of the key file PATH; the passphrase is not needed, and the seed is not proven."""
    _print(path, read_key_file(path), as_json)


def _passphrase_for_new_key(given: Path | None, generated: Path | None) -> bytes:
    if given:
        return passphrase_file(given)()
    if generated:
        passphrase = generate_passphrase(os.urandom)
        write_passphrase_file(generated, passphrase)
        return passphrase
    return new_passphrase()


def _print(path: Path, key_file: KeyFile, as_json: bool) -> None:
    public = encode_base64(key_file.public)
    if as_json:
        shown = {"uri": file_uri(path), "keyid": key_file.keyid, "public": public, "label": key_file.label}
        click.echo(json.dumps({**shown, "scheme": "ed25519"}))
        return
    click.echo(f"keyid   {key_file.keyid}")
    click.echo(f"public  {public}")
    click.echo(f"uri     {file_uri(path)}")
    click.echo(f'plan    {json.dumps(key_file.label or path.stem)} = "{public}"')
