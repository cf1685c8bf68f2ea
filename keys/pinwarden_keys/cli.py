"""
The commands ``pinwarden keys`` and ``pinwarden root``.

It may import click and everything in this package; it is loaded only when one of the two is called. No command takes a
secret as an argument or overwrites a file, and none opens a network connection but to the keeper that a URI names.
"""

import json
import os
from pathlib import Path
from typing import Protocol

import click

from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.strict_json import encode_base64
from pinwarden_keys.cli_root import root
from pinwarden_keys.errors import KeyFileError
from pinwarden_keys.keyfile import read_key_file, write_key_file
from pinwarden_keys.passphrase import generate_passphrase, passphrase_file, write_passphrase_file
from pinwarden_keys.prompts import FILE, new_passphrase
from pinwarden_keys.refusals import RefusingGroup
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_file import file_uri, path_of

__all__ = ["keys", "root"]


@click.group(cls=RefusingGroup)
def keys() -> None:
    """Make and look at signing keys."""


@keys.command(
    "new",
    epilog=examples(
        "pinwarden keys new alice.key --label alice", "pinwarden keys new timestamp.key --passphrase-file passphrase"
    ),
)
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
    _print(file_uri(path), key_file, as_json)
    say("note", f"wrote {path}; keep a copy of it and of its passphrase in two different places")


@keys.command("show", epilog=examples("pinwarden keys show alice.key"))
@click.argument("key", metavar="PATH|URI")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_key(key: str, as_json: bool) -> None:
    """Print the public half of the key file PATH, or of the key that a signer URI names.

    A key file needs no passphrase, and its seed is not proven. Any other keeper is asked for its key, and has to sign a
    challenge with it.
    """
    scheme = key.partition(":")[0]
    if ":" not in key or Path(key).exists():
        _print(file_uri(key), read_key_file(key), as_json)
    elif scheme == "file":
        _print(key, read_key_file(path_of(key)), as_json)
    else:
        signer = open_signer(key)
        signer.close()
        _print(key, signer, as_json)


def _passphrase_for_new_key(given: Path | None, generated: Path | None) -> bytes:
    if given:
        return passphrase_file(given)()
    if generated:
        passphrase = generate_passphrase(os.urandom)
        write_passphrase_file(generated, passphrase)
        return passphrase
    return new_passphrase()


class _Shown(Protocol):
    """What is printed of a key, wherever it lies."""

    @property
    def public(self) -> bytes: ...
    @property
    def keyid(self) -> str: ...
    @property
    def label(self) -> str | None: ...


def _print(uri: str, key: _Shown, as_json: bool) -> None:
    public = encode_base64(key.public)
    if as_json:
        shown = {"uri": uri, "keyid": key.keyid, "public": public, "label": key.label}
        click.echo(json.dumps({**shown, "scheme": "ed25519"}))
        return
    name = key.label or (path_of(uri).stem if uri.startswith("file:") else uri.partition(":")[0])
    click.echo(f"keyid   {key.keyid}")
    click.echo(f"public  {public}")
    click.echo(f"uri     {uri}")
    click.echo(f'plan    {json.dumps(name)} = "{public}"')
