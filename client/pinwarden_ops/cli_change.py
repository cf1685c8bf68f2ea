"""
``pinwarden change``: look at what waits for people, and sign it with your own key.

It may import click and this package. Nothing is signed that was not verified and shown here, and nothing that a server
says besides the payload is taken for a fact.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import WAITING, say
from pinwarden.cli.teaching import examples
from pinwarden.strict_json import encode_base64
from pinwarden_keys.prompts import FILE
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.change_desk import Desk, Opened, desk_options, judge_claimed, open_change
from pinwarden_ops.change_policy import show_policy
from pinwarden_ops.change_review import Review
from pinwarden_ops.change_signing import ask_for_version, confirm, sign_review
from pinwarden_ops.change_told import lines_of, warn
from pinwarden_ops.change_view import approvals_claimed, approved_claimed, as_json
from pinwarden_ops.cli_change_approve import approve
from pinwarden_ops.cli_change_propose import propose, reject, renew, review
from pinwarden_ops.cli_change_wait import wait
from pinwarden_ops.commands import JSON, NUMBER, OpsGroup, announce, confirm_option, with_api
from pinwarden_ops.live_sets import LOWER_POLICY, fetch_changes
from pinwarden_ops.tables import loose, print_table, states

_COLUMNS = ("id", "name", "version", "state", "waits_until")
_EVERY = "no change is so: `pinwarden change list` shows every one"


@click.group(cls=OpsGroup)
def change() -> None:
    """Propose, list, show, sign, approve and reject changes that wait for people."""


for _command in (approve, propose, reject, renew, review, wait):
    change.add_command(_command)


@change.command("list", epilog=examples("pinwarden change list --state waiting"))
@click.option("--name", help="Only this pin set.")
@click.option(
    "--state",
    type=click.Choice(["waiting", "published", "review", "rejected", "stale", "expired"]),
    help="Only those in this state.",
)
@JSON
@with_api
def list_changes(api: AdminClient, name: str | None, state: str | None, json_wanted: bool) -> None:
    """List changes as the server tells them.

    The newest comes first; `show` judges one.
    """
    found = fetch_changes(api, name=name, state=state)
    if json_wanted:
        print_json({"changes": found})
        return
    print_table(
        ("change", "pin set", "version", states("state"), "waits until", loose("signatures and approvals")),
        [[*(_claim(row, field) for field in _COLUMNS), _deeds(row)] for row in found],
        empty=_EVERY if name or state else "there is no change: `pinwarden change propose --help`",
    )


@change.command("show", epilog=examples("pinwarden change show $CHANGE"))
@click.argument("number", type=NUMBER)
@JSON
@desk_options
def show_change(desk: Desk, number: int, json_wanted: bool) -> None:
    """Verify a change by your own root, and print it.

    What the change NUMBER does is computed here; what the server says besides is marked as claimed.
    """
    claimed = desk.api.ask("GET", f"/changes/{number}").value
    if claimed.get("action") == LOWER_POLICY:
        show_policy(number, claimed, json_wanted=json_wanted)
        return
    opened = judge_claimed(desk, number, claimed)
    if json_wanted:
        print_json({**as_json(number, opened.review), "claimed": _claimed(opened)})
        return
    for line in lines_of(opened):
        click.echo(line)
    warn(opened)


@change.command(
    "sign",
    epilog=examples(
        "pinwarden change sign $CHANGE --key alice.key --passphrase-file alice.pass --dry-run",
        "pinwarden change sign $CHANGE --key alice.key --passphrase-file alice.pass   # exit code 5",
        "pinwarden change sign $CHANGE --key bob.key --passphrase-file bob.pass",
    ),
)
@click.argument("number", type=NUMBER)
@click.option("--key", required=True, help="Your key: a path, or a signer URI such as file:/path/to/key.")
@click.option("--passphrase-file", type=FILE, help="Take the passphrase from this private file; default: ask for it.")
@click.option("--approver", is_flag=True, help="Approve it for a signer process: the root need not name your key.")
@click.option("--dry-run", is_flag=True, help="Verify and show everything; sign and send nothing.")
@JSON
@confirm_option
@desk_options
@click.pass_context
def sign_change(
    ctx: click.Context,
    desk: Desk,
    number: int,
    key: str,
    passphrase_file: Path | None,
    approver: bool,
    dry_run: bool,
    json_wanted: bool,
) -> None:
    """
    Verify a change, show it, and sign it.

    Asks for the version of the change NUMBER before it signs, then hands the signature in.
    Exits with 0 when it was published, 5 while others have to sign, 4 when another version was published meanwhile.
    """
    opened = open_change(desk, number)
    for line in lines_of(opened):
        click.echo(line, err=True)
    warn(opened)
    if dry_run:
        _say_done(number, opened.review, "not signed", json_wanted)
        return
    announce(desk.api)
    ask_for_version(opened.review)
    signature = sign_review(opened.review, key, passphrase_file, as_approver=approver)
    answer = desk.api.ask(
        "POST",
        f"/changes/{number}/signatures",
        body={"keyid": signature.keyid, "sig": encode_base64(signature.sig)},
        headers={"Idempotency-Key": f"sign-{sha256(opened.review.payload + signature.sig).hexdigest()[:48]}"},
    )
    if answer.status == 200:
        _say_done(number, opened.review, "published", json_wanted, signature.keyid)
        confirm(desk, opened.review)
        return
    _say_done(number, opened.review, "waiting", json_wanted, signature.keyid)
    if awaited := answer.value.get("wait_for"):
        say("note", f"claimed to wait for {printable(', '.join(map(str, awaited)))}, whatever the threshold")
    for words in [*approvals_claimed(answer.value), *filter(None, [approved_claimed(answer.value)])]:
        say("note", f"claimed approvals: {words}")
    ctx.exit(WAITING)


def _say_done(number: int, found: Review, state: str, json_wanted: bool, *signed: str) -> None:
    approved = [keyid for keyid in signed if keyid not in found.grant.keys]
    tally = found.tally(*(keyid for keyid in signed if keyid in found.grant.keys))
    if json_wanted:
        print_json({**as_json(number, found), "tally": tally, "approved": approved, "state": state})
    else:
        # Of those who approve, the root says nothing: who else has, only the server could tell.
        words = f"approved by {approved[0][:16]}" if approved else tally
        click.echo(f"change {number}, {found.document.name} {found.version}: {state}, {words}")


def _claimed(opened: Opened) -> dict[str, str]:
    return {field: _claim(opened.claimed, field) for field in ("state", "base", "actor", "reason")}


def _claim(value: dict[str, Any], field: str) -> str:
    told = value.get(field)
    return "-" if told is None else printable(str(told))


def _deeds(row: dict[str, Any]) -> str:
    """Return who signed and approved, and what else a change waits for, as the server says."""
    tally = row.get("tally")
    signed = approvals_claimed(row) or ([printable(str(tally.get("says")))] if isinstance(tally, dict) else [])
    approved, not_before = approved_claimed(row), row.get("not_before")
    words = [*signed, approved, f"from {printable(str(not_before))} on" if not_before else ""]
    return "; ".join(word for word in words if word)
