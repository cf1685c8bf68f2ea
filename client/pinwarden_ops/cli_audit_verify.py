"""
``pinwarden audit verify``: read a whole audit log, and hold it against every checkpoint that anybody kept.

It may import click and this package. It asks and changes nothing on the server; what this machine remembers moves only
when nothing was found.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from pinwarden import trust
from pinwarden.checkpoint import Checkpoint
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import REFUSED
from pinwarden.cli.sources import SOURCE, STDIN, opened, read_source
from pinwarden.cli.teaching import examples
from pinwarden.envelope import CHECKPOINT_TYPE, ENVELOPE_LIMITS, ROOT_TYPE, Envelope
from pinwarden.errors import ConfigError, UntrustedError
from pinwarden_keys.files import read_public
from pinwarden_keys.prompts import FILE
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.audit_chain import Place, Row
from pinwarden_ops.audit_ends import Ends
from pinwarden_ops.audit_files import read_rows
from pinwarden_ops.audit_judge import Kept, Walk, judge_ends, judge_removed
from pinwarden_ops.audit_memory import AuditMemory, Remembered
from pinwarden_ops.audit_pages import fetch_checkpoints, fetch_roots, fetch_rows
from pinwarden_ops.audit_verdict import Verdict, keep_finding, print_verdict
from pinwarden_ops.cli_audit_show import place
from pinwarden_ops.commands import JSON, OpsCommand, client_of, server_options, settings_of
from pinwarden_ops.memory_files import default_folder
from pinwarden_ops.settings import TABLE

SERVER = "server"


@click.command(
    "verify",
    cls=OpsCommand,
    epilog=examples("pinwarden audit verify --root root.json", "pinwarden audit verify --root root.json --json"),
)
@click.argument("file", type=SOURCE, required=False)
@click.option(
    "--root", type=FILE, required=True, envvar=TABLE.variable("root"), show_envvar=True, help="Your own root.json."
)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=FILE,
    multiple=True,
    help="A checkpoint that somebody kept, as /v1/audit/checkpoint served it. Repeatable.",
)
@click.option(
    "--after",
    type=place,
    metavar="NUMBER:HASH",
    help="A row that you know to be right: the log is judged from the next one on.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=TABLE.variable("state_dir"),
    show_envvar=True,
    help="Folder that remembers checkpoints and keeps evidence; default: one in your own state.",
)
@JSON
@server_options
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    file: Path | None,
    root: Path,
    checkpoints: tuple[Path, ...],
    after: Place | None,
    state_dir: Path | None,
    json_wanted: bool,
    **server: Any,
) -> None:
    """
    Find out whether the audit log is still the one that was signed.

    Reads every row from the server, or from FILE, an export that needs no server; computes each hash, verifies each
    checkpoint by your own root, and compares with all that this machine saw before.

    Exits with 0 when the log holds, 1 when something was found, 3 when there was no answer.
    """
    own = _begin(root)
    memory = AuditMemory(default_folder(state_dir), own.authority)
    remembered = memory.load()
    with ExitStack() as stack:
        api = None if file is not None else _client(server)
        ends, served = _collect(own, remembered, checkpoints, api)
        walk = Walk(after or Place(), [*ends.kept, *_seen_here(remembered, ends)])
        walk.through(_rows(stack, api, file, walk.end.seq))
    findings = [*ends.findings, *judge_ends(ends.kept), *walk.findings]
    if served is not None:
        findings += judge_removed((kept for kept in ends.kept if kept.source != SERVER), served, walk.whole)
    told = tuple(keep_finding(found, memory, own.authority, _now()) for found in findings)
    if not told:
        memory.keep(_remember(ends, own, walk.end, remembered))
    verdict = Verdict(
        authority=own.authority,
        end=walk.end,
        newest=max(ends.kept, key=lambda kept: kept.size, default=None),
        kept=len(ends.kept),
        served=None if served is None else len(served),
        unjudged=ends.unjudged,
        before=remembered.end,
        findings=told,
        left_out=walk.left_out,
    )
    if json_wanted:
        print_json(verdict.to_json())
    else:
        print_verdict(verdict)
    ctx.exit(REFUSED if told else 0)


def _collect(
    own: trust.TrustState, remembered: Remembered, files: Iterable[Path], api: AdminClient | None
) -> tuple[Ends, tuple[Kept, ...] | None]:
    """Return every checkpoint that counts, those of this machine first, and those that the server has."""
    ends = Ends(own)
    ends.follow_roots(remembered.roots, "memory")
    if api is not None:
        ends.follow_roots(fetch_roots(api), SERVER)
    ends.collect(remembered.checkpoints, "memory")
    for file in files:
        ends.collect([_read(file)], str(file))
    return ends, None if api is None else ends.collect(fetch_checkpoints(api), SERVER)


def _begin(root: Path) -> trust.TrustState:
    content = read_public(root, limit=ENVELOPE_LIMITS[ROOT_TYPE], what="root")
    try:
        return trust.begin(content, name="audit")
    except UntrustedError as error:
        raise ConfigError(
            f"{root} cannot begin a chain of trust: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Give your own copy of the ceremony's root.json.",
        ) from error


def _client(server: dict[str, Any]) -> AdminClient:
    given = {"url": server["server"], "token_file": server["token_file"], "ca_file": server["ca_file"]}
    return client_of(settings_of(given))


def _read(file: Path) -> Envelope:
    try:
        return Envelope.parse(read_source(file, limit=ENVELOPE_LIMITS[CHECKPOINT_TYPE]), expect=CHECKPOINT_TYPE)
    except UntrustedError as error:
        what = f"{file} is no checkpoint: {error.what}"
        raise ConfigError(what, expected=error.expected, got=error.got) from error


def _seen_here(remembered: Remembered, ends: Ends) -> Iterator[Kept]:
    """Yield the end of the log as this machine saw it last, unless that was signed: nobody else knows of it."""
    end, signed = remembered.end, {(kept.size, kept.checkpoint.hash) for kept in ends.kept}
    if remembered.seen_at is not None and (end.seq, end.hash) not in signed:
        yield Kept(Checkpoint(ends.own.authority, end.seq, end.hash, remembered.seen_at, 1), None, "memory")


def _rows(stack: ExitStack, api: AdminClient | None, file: Path | None, after: int) -> Iterator[Row]:
    if api is not None:
        return fetch_rows(api, after=after)
    stream = stack.enter_context(opened(file or STDIN))
    return (row for row in read_rows(stream) if row.seq > after)


def _remember(ends: Ends, own: trust.TrustState, end: Place, before: Remembered) -> Remembered:
    newest = max(end, before.end, key=lambda place: place.seq)
    checkpoints = sorted(ends.kept, key=lambda kept: kept.size)
    return Remembered(
        newest,
        _now() if newest == end else before.seen_at,
        ends.own.root_envelopes[len(own.root_envelopes) :],
        tuple(kept.envelope for kept in checkpoints if kept.envelope),
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
