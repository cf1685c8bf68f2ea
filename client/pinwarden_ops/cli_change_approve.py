"""
``pinwarden change approve``: say yes to another person's change, after this machine has computed what it does.

It may import click and this package. What is approved is the digest of the payload that was judged and shown here, so a
server that shows one thing and publishes another is refused by its own log.
"""

import uuid
from hashlib import sha256
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import WAITING, say
from pinwarden.cli.teaching import examples
from pinwarden_ops.change_desk import Desk, Opened, desk_options, judge_claimed
from pinwarden_ops.change_policy import PolicyChange, policy_json, show_policy
from pinwarden_ops.change_signing import confirm
from pinwarden_ops.change_told import lines_of, warn
from pinwarden_ops.change_view import as_json, awaited
from pinwarden_ops.commands import JSON, NUMBER, OpsCommand, announce, confirm_option
from pinwarden_ops.errors import OpsConflict, OpsRefused
from pinwarden_ops.live_sets import LOWER_POLICY

Judged = Opened | PolicyChange


@click.command(
    "approve",
    cls=OpsCommand,
    epilog=examples(
        "pinwarden change approve $APPROVAL --dry-run",
        "pinwarden change approve $APPROVAL --reason 'compared by telephone' --yes --token-file anna.token",
    ),
)
@click.argument("number", type=NUMBER)
@click.option("--reason", default="", help="Kept with the approval, and audited.")
@click.option("--yes", is_flag=True, help="Do not ask: for somebody who has looked at it by `change show`.")
@click.option("--dry-run", is_flag=True, help="Verify and show everything; approve nothing.")
@JSON
@confirm_option
@desk_options
@click.pass_context
def approve(
    ctx: click.Context, desk: Desk, number: int, reason: str, yes: bool, dry_run: bool, json_wanted: bool
) -> None:
    """
    Verify the change NUMBER of another person, show it, and approve it.

    Exits with 0 when it was published, 5 while something is still missing, 4 when another version was published
    meanwhile, 1 when it is your own.
    """
    judged = _judge(desk, number)
    if dry_run:
        _tell(number, judged, "not approved", json_wanted)
        return
    announce(desk.api)
    if not yes and not click.confirm(f"Approve change {number}, exactly as it is shown?", err=True):
        raise OpsRefused("not approved", holds="Nothing was sent.")
    answer = desk.api.ask(
        "POST",
        f"/changes/{number}/approvals",
        body={"sha256": _digest(judged), "reason": reason},
        headers={"Idempotency-Key": str(uuid.uuid4())},
    )
    if answer.status == 200:
        _tell(number, judged, "published", json_wanted)
        if isinstance(judged, Opened):
            confirm(desk, judged.review)
        return
    _tell(number, judged, "waiting", json_wanted)
    say("note", f"claimed to wait for {awaited(answer.value)}")
    ctx.exit(WAITING)


def _judge(desk: Desk, number: int) -> Judged:
    """Fetch, verify and show the change."""
    claimed = desk.api.ask("GET", f"/changes/{number}").value
    if claimed.get("action") == LOWER_POLICY:
        if claimed.get("state") != "waiting":
            got = printable(str(claimed.get("state")))
            raise OpsConflict(f"change {number} does not wait any more", got=got, holds="Nothing was approved.")
        return show_policy(number, claimed, json_wanted=False, err=True)
    opened = judge_claimed(desk, number, claimed)
    for line in lines_of(opened):
        click.echo(line, err=True)
    warn(opened)
    return opened


def _digest(judged: Judged) -> str:
    return judged.sha256 if isinstance(judged, PolicyChange) else sha256(judged.review.payload).hexdigest()


def _tell(number: int, judged: Judged, state: str, json_wanted: bool) -> None:
    told: dict[str, Any]
    if isinstance(judged, PolicyChange):
        name, told = judged.name, policy_json(number, judged, state)
    else:
        name, told = judged.review.document.name, {**as_json(number, judged.review), "state": state}
    if json_wanted:
        print_json(told)
    else:
        click.echo(f"change {number} of {name}: {state}")
