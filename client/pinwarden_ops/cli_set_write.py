"""
``pinwarden set put``, ``rollback`` and ``preview``: publish one pin set, or see what that would do.

It may import click and this package. Every write names the version that it replaces, so that nobody's change is
overwritten unseen; a dry run sends nothing that stores anything.
"""

from pathlib import Path
from typing import Any

import click

from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import WAITING, say
from pinwarden.cli.teaching import examples
from pinwarden.documents import check_name
from pinwarden.errors import MalformedError
from pinwarden.strict_json import format_time, parse_time
from pinwarden_keys.prompts import FILE
from pinwarden_ops import contents
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.commands import (
    JSON,
    NUMBER,
    OpsCommand,
    announce,
    confirm_option,
    violation_lines,
    with_api,
)
from pinwarden_ops.draft_files import read_draft
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.live_sets import fetch_current, fetch_version
from pinwarden_ops.previews import ask_preview, reach_lines
from pinwarden_ops.tables import print_difference
from pinwarden_ops.writes import REPLACES, Outcome, send, tag


def moment(text: str) -> str:
    """Return a time as the API spells it; a type for options."""
    try:
        return format_time(parse_time(text, what="TIME"))
    except MalformedError:
        raise click.BadParameter(f"{text[:40]!r} is not a time in UTC such as 2026-06-01T08:00:00Z") from None


def manner(at: str | None, break_glass: bool, reason: object) -> dict[str, Any]:
    """Return the fields of a body that say when and how it shall be published; UsageError."""
    if break_glass and at is not None:
        raise click.UsageError("--at and --break-glass exclude each other")
    if break_glass and not reason:
        raise click.UsageError("--break-glass needs a --reason, which is audited and reviewed")
    given: dict[str, Any] = {"not_before": at} if at is not None else {}
    return given | ({"break_glass": True} if break_glass else {})


REASON = click.option("--reason", default="", help="Kept with the version and in the audit log.")
FORCE = click.option(
    "--force",
    multiple=True,
    metavar="CODE",
    help="Publish in spite of this finding of lint; needs a reason. Repeatable.",
)
AT = click.option("--at", type=moment, metavar="TIME", help="Publish it then, in UTC: 2026-06-01T08:00:00Z.")
BREAK_GLASS = click.option(
    "--break-glass", is_flag=True, help="Publish without the approvals; needs a reason, and is reviewed afterwards."
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would happen, and publish nothing.")


@click.command(
    "preview",
    cls=OpsCommand,
    epilog=examples("pinwarden set preview shop shop.json", "pinwarden set preview shop shop.json --json"),
)
@click.argument("name")
@click.argument("file", type=FILE)
@JSON
@with_api
def preview(api: AdminClient, name: str, file: Path, json_wanted: bool) -> None:
    """
    Show what publishing FILE as the pin set NAME would do.

    Lint, difference, and who holds what until when; nothing is stored. Exits with 1 when lint would refuse it.
    """
    body = read_draft(file, name=check_name(name)).body()
    judge_preview(api, name, body, ask_preview(api, name, body), json_wanted)


@click.command(
    "put",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden set put carts carts.json --create --reason 'first pins'",
        "pinwarden set put shop shop.json --replaces 1.2 --dry-run",
        "pinwarden set put shop shop.json --replaces 1.2 --reason 'rotation of June'",
        "pinwarden set put checkout shop.json --replaces 1.3 --break-glass --reason 'the key was stolen'",
        "pinwarden set put checkout shop.json --replaces 1.4 --at $TONIGHT   # exit code 5",
    ),
)
@click.argument("name")
@click.argument("file", type=FILE)
@REPLACES
@click.option("--create", is_flag=True, help="The pin set does not exist yet.")
@REASON
@FORCE
@AT
@BREAK_GLASS
@DRY_RUN
@JSON
@confirm_option
@with_api
@click.pass_context
def put(
    ctx: click.Context,
    api: AdminClient,
    name: str,
    file: Path,
    replaces: str | None,
    create: bool,
    dry_run: bool,
    json_wanted: bool,
    reason: str,
    force: tuple[str, ...],
    at: str | None,
    break_glass: bool,
) -> None:
    """
    Publish FILE as the next version of the pin set NAME.

    FILE is JSON, or TOML when its name ends in .toml, with the fields that docs/admin-api.md lists for PUT.
    Exits with 0 when it is published, 5 when it waits for people or its time, 4 when another version is in force
    meanwhile.
    """
    if create == (replaces is not None):
        raise click.UsageError("say which version FILE replaces by --replaces, or --create")
    body = read_draft(file, name=check_name(name)).body(reason=reason, force=force)
    if body.get("force") and not body.get("reason"):
        raise click.UsageError("--force needs a --reason, which is audited")
    body |= manner(at, break_glass, body.get("reason"))
    if dry_run:
        judge_preview(api, name, body, ask_preview(api, name, body, replaces=replaces), json_wanted)
        return
    announce(api)
    _end(ctx, send(api, "PUT", name, "", body=body, replaces=replaces), json_wanted)


@click.command(
    "rollback",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden set rollback shop --to 1 --replaces 1.3 --dry-run",
        "pinwarden set rollback shop --to 1 --replaces 1.3 --reason 'the new key does not work'",
    ),
)
@click.argument("name")
@click.option("--to", type=NUMBER, required=True, help="Number of the old version.")
@click.option("--replaces", type=tag, metavar="VERSION", required=True, help="The version in force that you saw.")
@REASON
@FORCE
@AT
@BREAK_GLASS
@DRY_RUN
@JSON
@confirm_option
@with_api
@click.pass_context
def roll_back(
    ctx: click.Context,
    api: AdminClient,
    name: str,
    to: int,
    replaces: str,
    dry_run: bool,
    json_wanted: bool,
    reason: str,
    force: tuple[str, ...],
    at: str | None,
    break_glass: bool,
) -> None:
    """
    Publish an old content of the pin set NAME as a new version.

    Clients never go back to a lower number, so the old content gets the next one. Exit codes are those of put.
    """
    if force and not reason:
        raise click.UsageError("--force needs a --reason, which is audited")
    body = {"to": to, "reason": reason, "force": list(force), **manner(at, break_glass, reason)}
    if dry_run:
        old = contents.to_json(fetch_version(api, check_name(name), str(to)).contained())
        draft = {**old, "reason": reason, "force": list(force)}
        judge_preview(api, name, draft, ask_preview(api, name, draft, replaces=replaces), json_wanted)
        return
    announce(api)
    _end(ctx, send(api, "POST", check_name(name), "/rollback", body=body, replaces=replaces), json_wanted)


def _end(ctx: click.Context, outcome: Outcome, json_wanted: bool) -> None:
    """Print what came of a write, and exit with 5 when it waits."""
    if json_wanted:
        print_json(outcome.told)
    else:
        click.echo(outcome.words())
    if outcome.change is not None:
        ctx.exit(WAITING)


def judge_preview(api: AdminClient, name: str, body: dict[str, Any], shown: dict[str, Any], json_wanted: bool) -> None:
    """Print a preview; OpsRefused when lint would refuse."""
    if json_wanted:
        print_json(shown)
    else:
        current = fetch_current(api, name)
        rows = contents.rows_between(current.contained() if current else None, contents.parse_content(name, body))
        click.echo(f"{name} {current.version if current else 'nothing'} -> the next version")
        print_difference(rows, piped=contents.row_lines(rows))
        for line in reach_lines(shown):
            click.echo(line)
    for line in violation_lines(shown.get("warnings")):
        say("warning", line)
    if not shown["publishable"]:
        raise OpsRefused("lint would refuse this", problem=shown, holds="Nothing was sent to be published.")
