"""
``pinwarden set policy``: how many people have to approve what replaces a pin set.

It may import click and this package. A number is replaced only when it is the one that was seen.
"""

import uuid
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import WAITING, say
from pinwarden.cli.teaching import examples
from pinwarden.documents import check_name
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_policy import MOST_APPROVALS, approvals_in, left_waiting_lines
from pinwarden_ops.change_view import awaited
from pinwarden_ops.commands import JSON, OpsCommand, announce, confirm_option, with_api
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.live_sets import LOWER_POLICY, fetch_changes, fetch_current
from pinwarden_ops.writes import ACCEPTED


@click.command(
    "policy",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden set policy checkout",
        "pinwarden set policy checkout --approvals 1 --reason 'four eyes from now on'",
        "pinwarden set policy checkout --approvals 0   # exit code 5: another person has to approve that",
    ),
)
@click.argument("name")
@click.option("--approvals", type=click.IntRange(0, MOST_APPROVALS), help="Require so many people besides the author.")
@click.option("--reason", default="", help="Kept in the audit log.")
@click.option("--dry-run", is_flag=True, help="Show the number, and what a lower one leaves waiting; change nothing.")
@JSON
@confirm_option
@with_api
@click.pass_context
def policy(
    ctx: click.Context,
    api: AdminClient,
    name: str,
    approvals: int | None,
    reason: str,
    dry_run: bool,
    json_wanted: bool,
) -> None:
    """
    Show or set how many approvals the pin set NAME requires.

    A higher number holds at once; a lower one has to be approved by as many people as are required now, and exits
    with 5. It publishes nothing that waits: those changes are named, and need as many approvals as before.
    """
    now = required_now(api, name)
    if approvals is None:
        _tell(name, now, json_wanted)
        return
    if dry_run:
        _tell_before(api, name, now, approvals, json_wanted)
        return
    announce(api)
    answer = api.ask(
        "PUT",
        f"/pinsets/{check_name(name)}/policy",
        body={"approvals_required": approvals, "replaces": now, "reason": reason},
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )
    if answer.status != ACCEPTED:
        _tell(name, approvals, json_wanted)
        return
    if json_wanted:
        print_json(answer.value)
    else:
        number = Fields(answer.value, "answer").integer("id")
        click.echo(f"{name} requires {now} still: change {number} waits for {awaited(answer.value)}")
    for line in left_waiting_lines(answer.value):
        say("note", f"it lets nothing loose: {line}")
    ctx.exit(WAITING)


def required_now(api: AdminClient, name: str) -> int:
    """Return how many approvals are required, as the server says; OpsRefused when there is no such pin set."""
    current = fetch_current(api, name)
    if current is None:
        raise OpsRefused(f"there is no pin set {name!r}", hint="`pinwarden set list` shows those that exist.")
    return approvals_in(Fields(current.told, "answer"), "approvals_required")


def _tell_before(api: AdminClient, name: str, now: int, approvals: int, json_wanted: bool) -> None:
    """Print the number that is required now, and which waiting changes *approvals* would not let loose."""
    left = [row for row in fetch_changes(api, name=name, state="waiting") if _is_left(row, approvals)]
    if json_wanted:
        print_json({"name": name, "approvals_required": now, "left_waiting": left})
        return
    _tell(name, now, json_wanted=False)
    for row in left:
        fields = Fields(row, "answer")
        who, number = printable(fields.text("owner")), fields.integer("id")
        click.echo(f"change {number} by {who} would still wait for {awaited(row)}: `pinwarden change show {number}`")


def _is_left(row: dict[str, Any], approvals: int) -> bool:
    if row.get("action") == LOWER_POLICY:
        return False
    required = approvals_in(Fields(row, "answer").child("approved"), "required")
    return approvals < required and "approvals" in Fields(row, "answer").texts("waiting_for")


def _tell(name: str, number: int, json_wanted: bool) -> None:
    if json_wanted:
        print_json({"name": name, "approvals_required": number})
    else:
        click.echo(f"{printable(name)} requires {number} approval{'' if number == 1 else 's'}")
