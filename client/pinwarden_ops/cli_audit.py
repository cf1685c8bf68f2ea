"""
``pinwarden audit history``: watch a server from a second machine, and find out when it tells two stories.

It may import click and this package. It asks as clients do, needs no token, and exits with 1 for every finding. Its
siblings, which ask the admin API about its audit log, hang on the same group.
"""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import click

from pinwarden import trust
from pinwarden.answer import printable
from pinwarden.cache import Cache, DiskCache, MemoryCache
from pinwarden.cli.printing import print_facts, print_json
from pinwarden.cli.refusals import REFUSED, USAGE, ExitCodes, complain, say
from pinwarden.cli.session import logged_as_warnings
from pinwarden.cli.sources import read_source
from pinwarden.cli.teaching import examples
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE
from pinwarden.errors import CacheError, ConfigError, UntrustedError, WrongPinSetError
from pinwarden.fetch import Fetcher
from pinwarden.owned_files import replace
from pinwarden.strict_json import format_time
from pinwarden_keys.files import read_public
from pinwarden_keys.prompts import FILE
from pinwarden_ops.cli_audit_export import export
from pinwarden_ops.cli_audit_show import show
from pinwarden_ops.cli_audit_verify import verify
from pinwarden_ops.commands import OpsGroup
from pinwarden_ops.history_compare import spell
from pinwarden_ops.history_fetch import Vantage
from pinwarden_ops.history_memory import Memory
from pinwarden_ops.history_view import MAX_VIEW_BYTES, View, digest_of, parse_view
from pinwarden_ops.history_watch import Report, Watch
from pinwarden_ops.memory_files import default_folder
from pinwarden_ops.settings import TABLE

WAIT_SECONDS = 180  # twice as long as caches may show something old, and a little more


class AuditGroup(OpsGroup):
    """A group in which 1 always means a finding."""

    exit_codes: ClassVar[ExitCodes] = ((CacheError, USAGE), *OpsGroup.exit_codes)


@click.group(cls=AuditGroup)
def audit() -> None:
    """Watch a server's history from a second machine, for a second story; read its audit log."""


audit.add_command(show)
audit.add_command(export)
audit.add_command(verify)


@audit.command(
    "history",
    epilog=examples(
        "pinwarden audit history https://pins.example.com --pinset payments --root root.json",
        "pinwarden audit history https://pins.example.com --pinset payments --root root.json --compare seen.json",
    ),
)
@click.argument("url")
@click.option("--pinset", required=True, metavar="NAME", help="The pin set to watch.")
@click.option(
    "--root", type=FILE, required=True, envvar=TABLE.variable("root"), show_envvar=True, help="Your own root.json."
)
@click.option(
    "--compare",
    multiple=True,
    metavar="FILE|URL",
    help="What another place saw (a file of --save), or another address to look at now. Repeatable.",
)
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write what was seen to this file, for others."
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=TABLE.variable("state_dir"),
    show_envvar=True,
    help="Folder that remembers what was seen and keeps evidence; default: one in your own state.",
)
@click.option("--ca-file", type=FILE, help="PEM file with the CAs that may certify the servers; default: the system's.")
@click.option("--allow-http", is_flag=True, help="Accept http addresses beyond this machine.")
@click.option(
    "--wait",
    type=click.IntRange(0, 3600),
    default=WAIT_SECONDS,
    show_default=True,
    help="Seconds for which a difference that caches may explain is looked at again.",
)
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@click.pass_context
def history(
    ctx: click.Context,
    /,
    url: str,
    pinset: str,
    root: Path,
    compare: tuple[str, ...],
    save: Path | None,
    state_dir: Path | None,
    json_wanted: bool,
    **asking: Any,
) -> None:
    """
    Find out whether the server at URL tells everybody the same.

    Verifies the pin set in force by your own root and the chain of its history, and compares both with what this
    machine saw before and, with --compare, with what other places see.

    Exits with 0 when all is the same story, 1 when something was found, 3 when there was no answer.
    """
    trusted = _begin(root, pinset)
    folder = default_folder(state_dir)
    fetching = {"ca_file": asking["ca_file"] and str(asking["ca_file"]), "allow_http": asking["allow_http"]}
    with logged_as_warnings(), ExitStack() as stack:

        def place(address: str, cache: Cache) -> Vantage:
            vantage = Vantage(address, Fetcher(address, **fetching), trusted, cache)
            stack.callback(vantage.close)
            return vantage

        watch = Watch(
            place(url, DiskCache(folder, trusted.authority, pinset)),
            Memory(folder, trusted.authority, pinset),
            _now,
            saved=tuple(_read_saved(Path(name), trusted) for name in compare if not _is_address(name)),
            mirrors=tuple(place(address, MemoryCache()) for address in compare if _is_address(address)),
            wait_seconds=asking["wait"],
        )
        report = watch.run()
    if json_wanted:
        print_json(_as_json(url, pinset, report, watch))
    else:
        _print(report, watch)
    if save is not None and report.view is not None:
        _save(save, report.view, must=not report.findings)
    ctx.exit(REFUSED if report.findings else 0)


def _begin(root: Path, name: str) -> trust.TrustState:
    content = read_public(root, limit=ENVELOPE_LIMITS[ROOT_TYPE], what="root")
    try:
        return trust.begin(content, name=name)
    except UntrustedError as error:
        raise ConfigError(
            f"{root} cannot begin a chain of trust for {name!r}: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Give your own copy of the ceremony's root.json, and the name of a pin set.",
        ) from error


def _is_address(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _read_saved(file: Path, trusted: trust.TrustState) -> View:
    try:
        view = parse_view(read_source(file, limit=MAX_VIEW_BYTES))
        ours, theirs = f"{trusted.authority}/{trusted.name}", f"{view.authority}/{view.name}"
        if ours != theirs:
            raise WrongPinSetError("it is about another pin set", expected=ours, got=printable(theirs))
    except UntrustedError as error:
        raise ConfigError(
            f"{file} cannot be compared: {error.what}",
            expected=error.expected,
            got=error.got,
            hint="Give a file that `pinwarden audit history --save` wrote about the same pin set.",
        ) from error
    return view


def _save(file: Path, view: View, *, must: bool) -> None:
    try:
        replace(file, view.to_bytes())
    except OSError as error:
        problem = CacheError(f"{file} cannot be written: {error.strerror or error}", hint="Give --save another file.")
        if must:
            raise problem from error
        complain(problem)  # the exit code says that something was found


def _as_json(url: str, name: str, report: Report, watch: Watch) -> dict[str, Any]:
    view, served = report.view, report.view and report.view.served
    return {
        "result": "split view" if report.findings else "same",
        "url": url,
        "authority": watch.vantage.state.authority,
        "name": name,
        "root": watch.vantage.state.root.version,
        "served": served and {"version": spell(served.tag), "sha256": digest_of(served.pinset)},
        "entries": view and len(view.entries),
        "head": view and view.head.hash,
        "seen_before": report.before and {"entries": len(report.before.entries), "head": report.before.head.hash},
        "compared": _compared(watch),
        "findings": list(report.findings),
    }


def _compared(watch: Watch) -> list[str]:
    return [*(mirror.source for mirror in watch.mirrors), *(printable(view.source) for view in watch.saved)]


def _print(report: Report, watch: Watch) -> None:
    view, before = report.view, report.before
    if view is not None:
        served = view.served
        print_facts(
            [
                ("pin set", f"{view.authority}/{view.name}"),
                ("in force", f"{spell(served.tag)} sha256 {digest_of(served.pinset)}" if served else "refused"),
                ("history", f"{len(view.entries)} versions, the last {spell(view.head.tag)}"),
                ("head", view.head.hash),
                ("seen before", f"{len(before.entries)} versions, {format_time(before.taken_at)}" if before else None),
                ("compared with", ", ".join(_compared(watch)) or None),
            ]
        )
    if before is None:
        say("note", "nothing was remembered yet; from the next time on, this machine notices changes of the past")
    for found in report.findings:
        _print_finding(found)
    if report.findings:
        say("hint", "docs/history.md says how to read a finding; nothing that this machine remembers has moved")


def _print_finding(found: dict[str, Any]) -> None:
    say("error", f"{found['kind']}: {printable(found['what'])}")
    for name in ("here", "there"):
        side = found[name]
        proved = {True: ", signed by the authority's keys", False: ", not signed by the authority's keys", None: ""}
        digest = f", sha256 {side['sha256']}" if side["sha256"] else ""
        told = f"{printable(side['source'])} {printable(side['says'])}{digest}{proved[side['signed']]}"
        click.echo(f"  {name:<8}  {told}", err=True)
    click.echo(f"  means     {found['means']}", err=True)
    click.echo(f"  do        {found['do']}", err=True)
    click.echo(f"  evidence  {found['evidence'] or 'not kept: ' + found['not_kept']}", err=True)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
