"""
The commands ``pinwarden signer``: make the journal of a signer process, look at its settings, run it.

It may import click and everything in this package. It takes no secret as an argument, and opens no connection but to
the process's own socket.
"""

import json
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from pinwarden import failpoints
from pinwarden.cli.printing import print_json
from pinwarden.cli.session import JSON_OPTION
from pinwarden.cli.teaching import examples
from pinwarden_keys.keyfile import read_key_file
from pinwarden_keys.passphrase import passphrase_file as passphrase_from_file
from pinwarden_keys.prompts import FILE
from pinwarden_keys.refusals import RefusingGroup
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_file import path_of
from pinwarden_keys.signer_process import FAILPOINTS, open_process
from pinwarden_keys.signer_process_config import read_config
from pinwarden_keys.signer_process_journal import Journal
from pinwarden_keys.signer_process_rules import Rule
from pinwarden_keys.signer_process_socket import Listener
from pinwarden_keys.signer_unix import ask, unix_uri

CONFIG = click.option("--config", type=FILE, required=True, help="Settings file of the signer process.")


@click.group(cls=RefusingGroup)
def signer() -> None:
    """Hold the server's signing keys in a process of its own."""


@signer.command("init", epilog=examples("pinwarden signer init --config /etc/pinwarden/signer.toml"))
@CONFIG
def init(config: Path) -> None:
    """Make the journal of a new signer process; an existing one is never touched."""
    found = read_config(config)
    Journal.create(found.journal, authority=found.root.authority)
    click.echo(f"journal  {found.journal}")


@signer.command("show", epilog=examples("pinwarden signer show --config /etc/pinwarden/signer.toml"))
@CONFIG
@JSON_OPTION
def show(config: Path, as_json: bool) -> None:
    """Print the URI of each key for the server's setting, and who approves what."""
    found = read_config(config)
    root, uris = found.root.root, [unix_uri(found.socket, _keyid_of(uri)) for uri in found.keys]
    if as_json:
        pinsets = [{"names": rule.names, **_approval_of(rule)} for rule in found.rules]
        print_json({"keys": uris, "root": {"version": root.version, "authority": root.authority}, "pinsets": pinsets})
        return
    for uri in uris:
        click.echo(f"key      {uri}")
    click.echo(f"root     {root.version} of {root.authority}")
    for rule in found.rules:
        people = rule.approvers and f"{rule.approvers.threshold} of {', '.join(rule.approvers.labels.values())}"
        click.echo(f"names    {', '.join(rule.names)}: {people or 'timestamps only'}")


@signer.command("run", epilog=examples("pinwarden signer run --config /etc/pinwarden/signer.toml"))
@CONFIG
@click.option("--passphrase-file", type=FILE, help="Private file with the passphrase of the key files.")
def run(config: Path, passphrase_file: Path | None) -> None:
    """Judge and sign, until SIGTERM."""
    failpoints.register(*FAILPOINTS)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    os.umask(0o077)
    found = read_config(config)
    passphrase = passphrase_from_file(passphrase_file) if passphrase_file else None
    process = open_process(found, passphrase=passphrase, clock=lambda: datetime.now(UTC))
    try:
        listener = Listener(process, found.socket, found.callers)
        signal.set_wakeup_fd(listener.wake_descriptor, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: listener.stop())
        logging.getLogger("pinwarden.signer").info("listening at %s", found.socket)
        listener.serve()
    finally:
        process.close()


@signer.command("status", epilog=examples("pinwarden signer status --config /etc/pinwarden/signer.toml"))
@CONFIG
def status(config: Path) -> None:
    """Ask the running process what it signed and refused since its start, as JSON."""
    path = read_config(config).socket
    answer = ask(path, {"do": "status"}, who=f"the signer process at {path}")
    refusals = answer.child("refusals")
    counts = {rule: refusals.integer(rule) for rule in sorted(refusals.names())}
    found = {"keys": answer.texts("keys"), "signed": answer.get("signed", int), "refusals": counts}
    click.echo(json.dumps(found))


def _approval_of(rule: Rule) -> dict[str, object]:
    """Return who approves the pin sets of *rule*, and how many of them; nobody where it signs timestamps only."""
    people = rule.approvers
    return {"approvals": people.threshold if people else 0, "approvers": [*people.labels.values()] if people else []}


def _keyid_of(uri: str) -> str:
    """Return the name of the key at *uri*; a key file needs no passphrase for that."""
    if uri.startswith("file:"):
        return read_key_file(path_of(uri)).keyid
    signer = open_signer(uri)
    signer.close()
    return signer.keyid
