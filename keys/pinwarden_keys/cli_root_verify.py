"""
The command ``pinwarden root verify``: roots as a client would judge them.

It may import click and everything in this package. It reads files and writes none.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from pinwarden.cli.teaching import examples
from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError
from pinwarden_keys.ceremony import verify_chain
from pinwarden_keys.cli_root_files import PREVIOUS, read_envelope
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.prompts import FILE


@click.command("verify", epilog=examples("pinwarden root verify root.*.json"))
@click.argument("files", type=FILE, nargs=-1, required=True)
@PREVIOUS
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
def verify_files(files: tuple[Path, ...], previous: Path | None, json_wanted: bool) -> None:
    """Judge roots as a client would.

    One root by itself, or a chain of any length, each root as the one that follows; the files may be named in any
    order, as `root.*.json`. With --previous the first of them must follow that root.
    """
    chain = _chain(files, previous)
    roots = chain if previous is None else chain[1:]
    newest = roots[-1][1]
    expired = newest.expires <= datetime.now(UTC)
    checked = previous is not None or len(roots) > 1
    if json_wanted:
        links = [{"file": path.name, "version": root.version} for path, root in roots]
        answer = {"authority": newest.authority, "version": newest.version, "expired": expired}
        click.echo(json.dumps({**answer, "previous_checked": checked, "roots": links}))
    else:
        for place, (path, root) in enumerate(roots):
            follows = place > 0 or previous is not None
            link = f"follows root {root.version - 1}" if follows else "is signed by its own threshold"
            named = f"{path}: " if len(roots) > 1 else ""
            click.echo(f"{named}root {root.version} of {root.authority} {link}")
    if expired:
        click.echo("warning: it is past its end; clients refuse newer documents under it", err=True)
    if previous is None and roots[0][1].version > 1:
        click.echo(
            f"warning: that root {roots[0][1].version} follows the root before was not checked; "
            "name that with --previous",
            err=True,
        )


def _chain(files: tuple[Path, ...], previous: Path | None) -> list[tuple[Path, Root]]:
    """Return every root with its file, oldest first, once each follows the one before."""
    links = sorted(((path, read_envelope(path)) for path in files), key=lambda link: _version(*link))
    if previous is not None:
        links.insert(0, (previous, read_envelope(previous)))
    chain: list[tuple[Path, Root]] = []
    judged = verify_chain(envelope for _, envelope in links)
    for path, _ in links:
        try:
            chain.append((path, next(judged)))
        except UntrustedError as error:
            if len(links) == 1 or path == previous:
                raise
            raise CeremonyError(
                f"the chain breaks at {path}: {error.what}",
                expected=error.expected,
                got=error.got,
                step=error.step,
                holds=f"The {len(chain)} before it hold{'s' if len(chain) == 1 else ''}.",
                hint=error.hint,
            ) from error
    return chain


def _version(path: Path, envelope: Envelope) -> int:
    """Return the version that the root states; used to put files in order, and judged afterwards."""
    try:
        return Root.parse(envelope.payload).version
    except UntrustedError as error:
        raise CeremonyError(f"{path} is no root: {error.what}", expected=error.expected, got=error.got) from error
