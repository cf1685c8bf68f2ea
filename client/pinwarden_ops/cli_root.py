"""
``pinwarden root publish``: bring a root that people signed to a server.

It may import click, this package and the keys' package. It judges the root against the chain that clients follow before
a byte of it is sent, shows what changes, and publishes nothing whose version nobody typed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pinwarden import trust
from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.documents import Root
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import MalformedError, RollbackError, UntrustedError, WrongPinSetError
from pinwarden_keys.files import read_public
from pinwarden_keys.prompts import FILE
from pinwarden_keys.root_lint import POLICY_CODES
from pinwarden_keys.root_view import as_table, digest_groups
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.commands import LoneCommand, admin_client, announce, confirm_option, server_options
from pinwarden_ops.errors import OpsRefused

MAX_FILE_BYTES = 128 * 1024
_ANY_NAME = "any"  # roots are judged without any pin set; the trust room wants some name


@click.command(
    "publish",
    cls=LoneCommand,
    epilog=examples(
        "pinwarden root publish root.2.json --known-root root.1.json --dry-run",
        "pinwarden root publish root.2.json --known-root root.1.json --reason 'timestamp key stolen'",
    ),
)
@click.argument("file", type=FILE)
@click.option(
    "--known-root", type=FILE, help="A root that you trust, such as root.json; the server's chain must hold it."
)
@click.option("--reason", default="", help="Kept in the audit log.")
@click.option(
    "--force", multiple=True, type=click.Choice(POLICY_CODES), help="Publish in spite of this; needs a reason."
)
@click.option("--dry-run", is_flag=True, help="Show what would happen, and publish nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for the version.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the server's answer as JSON.")
@confirm_option
@server_options
def publish(
    file: Path,
    server: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    known_root: Path | None,
    dry_run: bool,
    yes: bool,
    json_wanted: bool,
    **body: Any,
) -> None:
    """Publish the signed root in FILE.

    Verifies FILE against the chain that the server serves, shows what changes and what will be signed again, and asks
    for the version. The same root again changes nothing.
    """
    client = admin_client(server, token_file, ca_file)
    envelope = _read(file)
    chain = fetch_chain(client)
    _check_known(chain, known_root)
    offer = {"root": envelope.to_json(), "reason": body["reason"], "force": list(body["force"])}
    root, previous = follow(chain, envelope)
    if previous is None:
        say("note", f"root {root.version} is published already; the server only makes sure that it is served")
    else:
        _show(previous, root, envelope)
        _show_preview(client.ask("POST", "/roots/preview", body=offer).value)
    if dry_run:
        return
    announce(client)
    if previous is not None and not yes:
        _ask_for(root.version)
    answer = client.ask("POST", "/roots", body=offer).value
    click.echo(json.dumps(answer) if json_wanted else _told(answer))


def fetch_chain(client: AdminClient) -> list[Envelope]:
    """
    Return the roots that the server serves, version 1 first, each verified after the one before it.

    That the first one is yours is not judged here.

    Raises:
        UntrustedError: they are no chain. OpsError: the server gives none.
    """
    shown = client.ask("GET", "/roots").value.get("roots")
    if type(shown) is not list or not shown:
        raise OpsRefused("the server has no root", hint="Found it: `pinwarden server init FOLDER --root root.json`.")
    chain = [Envelope.from_json(entry.get("envelope"), expect=ROOT_TYPE) for entry in shown if type(entry) is dict]
    state = trust.begin(chain[0], name=_ANY_NAME)
    for envelope in chain[1:]:
        state = trust.advance_root(state, envelope)
    return chain


def follow(chain: Sequence[Envelope], envelope: Envelope) -> tuple[Root, Root | None]:
    """
    Return the root in *envelope* and the newest of *chain*, which it follows; None when *chain* holds it already.

    Raises:
        UntrustedError: clients would not follow it.
    """
    offered = Root.parse(envelope.payload)
    if any(envelope.payload == known.payload for known in chain):
        return offered, None
    if offered.version != len(chain) + 1:
        raise RollbackError(
            "the root does not follow the newest one of the server",
            expected=f"version {len(chain) + 1}",
            got=offered.version,
            holds="Nothing was sent.",
            hint="Publish the roots between them first, or draft again from the newest one.",
            step="V4",
        )
    state = trust.advance_root(trust.begin(chain[-1], name=_ANY_NAME), envelope)
    return state.root, Root.parse(chain[-1].payload)


def _read(file: Path) -> Envelope:
    try:
        return Envelope.parse(read_public(file, limit=MAX_FILE_BYTES, what="root"), expect=ROOT_TYPE)
    except UntrustedError as error:
        raise MalformedError(
            f"{file} is no signed root: {error.what}",
            expected=error.expected,
            got=error.got,
            holds="Nothing was sent.",
            hint="Give the file that `pinwarden root assemble` wrote.",
        ) from None


def _check_known(chain: Sequence[Envelope], known_root: Path | None) -> None:
    if known_root is None:
        say("note", f"root 1 is the server's word; its digest is {digest_groups(chain[0].payload)}")
        return
    known = _read(known_root)
    if all(known.payload != envelope.payload for envelope in chain):
        ours, theirs = Root.parse(known.payload), Root.parse(chain[0].payload)
        raise WrongPinSetError(
            f"the server's chain does not hold {known_root}",
            expected=f"root {ours.version} of {ours.authority}",
            got=f"{len(chain)} roots of {theirs.authority}",
            holds="Nothing was sent.",
            hint="Is this the right server? If it is, treat the difference as an incident.",
        )


def _show(previous: Root, root: Root, envelope: Envelope) -> None:
    click.echo(as_table(root, envelope.payload, {}, (), previous=previous), err=True)


def _show_preview(preview: dict[str, Any]) -> None:
    for finding in preview.get("warnings", ()):
        say("warning", f"{finding['code']} {finding['message']}. {finding['hint']}")
    if preview.get("violations"):
        raise OpsRefused("the server would refuse this root", problem=preview, holds="Nothing was published.")
    click.echo("signed again with it:", err=True)
    for each in preview.get("pinsets", ()):
        click.echo(f"  {each['name']} {each['version']}: {' and '.join(each['signs'])}", err=True)


def _ask_for(version: int) -> None:
    typed: str = click.prompt("Type the version to publish it", err=True)
    if typed.strip() != str(version):
        raise OpsRefused("not published", expected=f"version {version} typed", got=repr(typed[:40]))


def _told(answer: dict[str, Any]) -> str:
    lines = [f"root {answer['version']} of {answer['authority']}"]
    for each in answer.get("pinsets", ()):
        lines.append(
            f"{each['name']} {each['version']}, timestamp {each['timestamp_version']}: {' and '.join(each['signed'])}"
        )
    return "\n".join(lines)
