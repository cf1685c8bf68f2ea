"""
``pinwarden session``: who is logged in to the admin API, and how that is ended.

It may import click and this package. It never sees the token of a session, and ending one asks for its id alone.
"""

import re

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.commands import JSON, OpsGroup, announce, confirm_option, time_or_none, with_api
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.tables import ended, loose, print_table

_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_COLUMNS = ("id", "owner", "way", "role", loose("pin sets"), "logged in", "expires", ended("revoked"))


@click.group(cls=OpsGroup)
def session() -> None:
    """List and end the sessions of people and jobs."""


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
    if _ID.fullmatch(identity) is None:
        # What was typed may be the whole secret, so it is not repeated.
        hint = "`pinwarden session list` shows them."
        raise ConfigError("not the id of a session", expected="16 hex digits", hint=hint)
    if dry_run:
        rows = Fields(api.ask("GET", "/sessions").value, "answer").each("sessions", _row)
        found = [row for row in rows if row[0] == identity]
        if not found:
            raise OpsRefused(f"there is no session {identity}")
        print_table(_COLUMNS, found)
        return
    announce(api)
    answer = Fields(api.ask("DELETE", f"/sessions/{identity}").value, "answer")
    since = time_or_none(answer, "revoked_at")
    click.echo(f"session {identity} of {printable(answer.text('owner'))} is ended since {since}")


def _row(value: object, path: str) -> tuple[str, ...]:
    fields = Fields(value, path)
    told = [printable(fields.text(name)) for name in ("id", "owner", "way", "role")]
    times = [printable(fields.text(name)) for name in ("authenticated_at", "expires_at")]
    return (*told, printable(", ".join(fields.texts("names"))), *times, time_or_none(fields, "revoked_at"))
