"""
``pinwarden session``: who is logged in to the admin API or may be by a one-time link, and how that is ended.

It may import click and this package. It never sees the token of a session nor the code of a link, and ending one asks
for its id alone.
"""

from collections.abc import Sequence

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.teaching import examples
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.commands import JSON, OpsGroup, announce, check_id, confirm_option, time_or_none, with_api
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.tables import ended, loose, print_table, states

_COLUMNS = ("id", "owner", "way", "role", loose("pin sets"), "logged in", "expires", ended("revoked"))
_LINK_COLUMNS = ("id", "for", "role", loose("pin sets"), "made by", "made", "expires", "redeemed", states("state"))


@click.group(cls=OpsGroup)
def session() -> None:
    """List and end the sessions of people and jobs, and the links that begin them."""


@session.command("list", epilog=examples("pinwarden session list", "pinwarden session list --json"))
@JSON
@with_api
def list_sessions(api: AdminClient, json_wanted: bool) -> None:
    """List every session, and for a while those that ended."""
    answer = api.ask("GET", "/sessions").value
    rows = Fields(answer, "answer").each("sessions", _row)
    if json_wanted:
        print_json({"sessions": answer["sessions"]})
        return
    print_table(_COLUMNS, rows, empty="nobody is logged in: `pinwarden login` begins a session")


@session.command("end", epilog=examples("pinwarden session end $SESSION"))
@click.argument("identity", metavar="ID")
@click.option("--dry-run", is_flag=True, help="Show the session, and end nothing.")
@confirm_option
@with_api
def end(api: AdminClient, identity: str, dry_run: bool) -> None:
    """
    End the session ID at once, and take back what it approved of changes that still wait.

    ID is the part between the underscores, never the secret. Ending again changes nothing. Your own session ends by
    `pinwarden logout`, which takes nothing back.
    """
    check_id(identity, what="session", listing="pinwarden session list")
    if dry_run:
        rows = Fields(api.ask("GET", "/sessions").value, "answer").each("sessions", _row)
        print_table(_COLUMNS, _only(rows, identity, what="session"))
        return
    announce(api)
    answer = Fields(api.ask("DELETE", f"/sessions/{identity}").value, "answer")
    since = time_or_none(answer, "revoked_at")
    click.echo(f"session {identity} of {printable(answer.text('owner'))} is ended since {since}")


@session.command("links", epilog=examples("pinwarden session links", "pinwarden session links --json"))
@JSON
@with_api
def list_links(api: AdminClient, json_wanted: bool) -> None:
    """
    List the one-time links, without their codes.

    Says who made which for whom, until when, and whether somebody is in by it.
    """
    answer = api.ask("GET", "/one-time-links").value
    rows = Fields(answer, "answer").each("links", _link_row)
    if json_wanted:
        print_json({"links": answer["links"]})
        return
    print_table(_LINK_COLUMNS, rows, empty="no link was made lately: `pinwarden server one-time-url --help`")


@session.command("withdraw", epilog=examples("pinwarden session withdraw $LINK"))
@click.argument("identity", metavar="ID")
@click.option("--dry-run", is_flag=True, help="Show the link, and withdraw nothing.")
@confirm_option
@with_api
def withdraw(api: AdminClient, identity: str, dry_run: bool) -> None:
    """
    Withdraw the one-time link ID, so that nobody gets in by it.

    ID is the part between the underscores of its code. Withdrawing again changes nothing. A link that was redeemed is
    refused with exit code 4: its session is what has to be ended.
    """
    check_id(identity, what="one-time link", listing="pinwarden session links")
    if dry_run:
        rows = Fields(api.ask("GET", "/one-time-links").value, "answer").each("links", _link_row)
        print_table(_LINK_COLUMNS, _only(rows, identity, what="one-time link"))
        return
    announce(api)
    answer = Fields(api.ask("DELETE", f"/one-time-links/{identity}").value, "answer")
    owner, state = (printable(answer.text(name)) for name in ("owner", "state"))
    click.echo(f"one-time link {identity} for {owner} is {state}")


def _only(rows: Sequence[tuple[str, ...]], identity: str, *, what: str) -> list[tuple[str, ...]]:
    found = [row for row in rows if row[0] == identity]
    if not found:
        raise OpsRefused(f"there is no {what} {identity}")
    return found


def _link_row(value: object, path: str) -> tuple[str, ...]:
    fields = Fields(value, path)
    told = [printable(fields.text(name)) for name in ("id", "owner", "role")]
    made = [printable(fields.text(name)) for name in ("created_by", "created_at", "expires_at")]
    redeemed, state = time_or_none(fields, "redeemed_at"), printable(fields.text("state"))
    return (*told, printable(", ".join(fields.texts("names"))), *made, redeemed, state)


def _row(value: object, path: str) -> tuple[str, ...]:
    fields = Fields(value, path)
    told = [printable(fields.text(name)) for name in ("id", "owner", "way", "role")]
    times = [printable(fields.text(name)) for name in ("authenticated_at", "expires_at")]
    return (*told, printable(", ".join(fields.texts("names"))), *times, time_or_none(fields, "revoked_at"))
