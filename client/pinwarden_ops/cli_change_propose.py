"""
``pinwarden change propose``, ``renew``, ``reject`` and ``review``: what begins a change, or ends it.

It may import click and this package. Nothing is signed here, and every proposal names the version that it replaces.
"""

from pathlib import Path
from typing import Any

import click

from pinwarden.cli.refusals import WAITING
from pinwarden.cli.teaching import examples
from pinwarden.documents import check_name
from pinwarden.strict_json import parse_object
from pinwarden_keys.files import read_public
from pinwarden_keys.prompts import FILE
from pinwarden_ops import contents
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_view import awaited
from pinwarden_ops.cli_set_write import DRY_RUN, judge_preview
from pinwarden_ops.commands import NUMBER, OpsCommand, announce, confirm_option, with_api
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.live_sets import fetch_current
from pinwarden_ops.previews import ask_preview
from pinwarden_ops.writes import REPLACES, send

MAX_DRAFT_BYTES = 2 * 1024 * 1024


@click.command(
    "reject", cls=OpsCommand, epilog=examples("pinwarden change reject $CHANGE --reason 'the backup key is not ours'")
)
@click.argument("number", type=NUMBER)
@click.option("--reason", required=True, help="Said to whoever proposed it, and audited.")
@confirm_option
@with_api
def reject(api: AdminClient, number: int, reason: str) -> None:
    """End a change for good.

    The change NUMBER can never be published then, whoever signed it.
    """
    announce(api)
    api.ask("POST", f"/changes/{number}/rejection", body={"reason": reason})
    click.echo(f"change {number} is rejected")


@click.command(
    "review",
    cls=OpsCommand,
    epilog=examples("pinwarden change review $REVIEW --verdict approved --reason 'it was' --token-file anna.token"),
)
@click.argument("number", type=NUMBER)
@click.option("--verdict", type=click.Choice(["approved", "objected"]), required=True, help="What it was worth.")
@click.option("--reason", required=True, help="What you looked at; audited.")
@confirm_option
@with_api
def review(api: AdminClient, number: int, verdict: str, reason: str) -> None:
    """Close the review of what another person published without approvals.

    The publication of change NUMBER stands, whatever you say; publish something better where it was wrong.
    """
    announce(api)
    api.ask("POST", f"/changes/{number}/review", body={"verdict": verdict, "reason": reason})
    click.echo(f"change {number} is reviewed: {verdict}")


@click.command(
    "propose",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden change propose payments payments.json --create --dry-run",
        "pinwarden change propose payments payments.json --create   # exit code 5",
    ),
)
@click.argument("name")
@click.argument("file", type=FILE)
@REPLACES
@click.option("--create", is_flag=True, help="The pin set does not exist yet.")
@DRY_RUN
@confirm_option
@with_api
@click.pass_context
def propose(
    ctx: click.Context,
    api: AdminClient,
    name: str,
    file: Path,
    replaces: str | None,
    create: bool,
    dry_run: bool,
) -> None:
    """
    Propose a draft as a pin set's next version.

    FILE holds the pin set NAME as JSON, with the fields that docs/admin-api.md lists for PUT.
    Exits with 5 when people have to sign it, 0 when the server signed and published it by itself.
    """
    if create == (replaces is not None):
        raise click.UsageError("say which version FILE replaces by --replaces, or --create")
    draft = parse_object(read_public(file, limit=MAX_DRAFT_BYTES, what="draft"), limit=MAX_DRAFT_BYTES, what=str(file))
    if dry_run:
        judge_preview(api, name, draft, ask_preview(api, name, draft, replaces=replaces), json_wanted=False)
        return
    _hand_over(ctx, api, "PUT", check_name(name), "", draft, replaces)


@click.command(
    "renew",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden change renew payments --dry-run",
        "pinwarden change renew payments --reason monthly   # exit code 5",
    ),
)
@click.argument("name")
@click.option("--reason", default="", help="Kept with the change, and audited.")
@click.option("--lifetime-seconds", type=click.IntRange(1), help="New life; default: as long as before.")
@click.option("--wait-for", multiple=True, metavar="KEYID", help="Publish only when this key signed too. Repeatable.")
@DRY_RUN
@confirm_option
@with_api
@click.pass_context
def renew(
    ctx: click.Context,
    api: AdminClient,
    name: str,
    reason: str,
    lifetime_seconds: int | None,
    wait_for: tuple[str, ...],
    dry_run: bool,
) -> None:
    """
    Propose a new life for a pin set.

    The content of the pin set NAME stays as it is.
    Exits with 5 when people have to sign it, 0 when the server signed and published it by itself.
    """
    current = fetch_current(api, check_name(name))
    if current is None:
        raise OpsRefused(f"there is no pin set {name!r}", hint="`pinwarden set list` shows those that exist.")
    body: dict[str, Any] = {"reason": reason, "wait_for": list(wait_for)}
    if lifetime_seconds:
        body["lifetime_seconds"] = lifetime_seconds
    if dry_run:
        draft = {**contents.to_json(current.contained()), **{key: body[key] for key in body if key != "wait_for"}}
        judge_preview(api, name, draft, ask_preview(api, name, draft, replaces=current.version), json_wanted=False)
        return
    _hand_over(ctx, api, "POST", name, "/renewal", body, current.version)


def _hand_over(
    ctx: click.Context, api: AdminClient, method: str, name: str, path: str, body: dict[str, Any], replaces: str | None
) -> None:
    """Send a proposal, and say whether it waits for people (exit code 5) or is published."""
    announce(api)
    outcome = send(api, method, name, path, body=body, replaces=replaces)
    if outcome.change is not None:
        click.echo(f"change {outcome.change} waits for {awaited(outcome.told)}")
        ctx.exit(WAITING)
    click.echo(f"version {outcome.version} is published")
