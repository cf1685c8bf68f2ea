"""
``pinwarden token``: who has a key to the admin API.

It may import click and this package. A secret is written once, to a private file or to stdout when that was asked for,
and never to a terminal by accident, to a log or to an argument.
"""

import os
import re
import uuid
from pathlib import Path
from typing import Any

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError, PinwardenError
from pinwarden.fields import Fields
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.commands import JSON, OpsGroup, announce, check_id, confirm_option, time_or_none, with_api
from pinwarden_ops.errors import OpsRefused, OpsUnavailable
from pinwarden_ops.tables import ended, loose, print_table

ROLES = ("reader", "editor", "approver", "operator", "admin")
DAY = 24 * 3600
_SECRET = re.compile(r"pw_([0-9a-f]{16})_[A-Za-z0-9_-]{43}", re.ASCII)
_COLUMNS = (
    "id",
    "owner",
    "role",
    "made by",
    "expires",
    loose("pin sets"),
    "last used",
    ended("revoked"),
    loose("label"),
)
_FACTS = ("id", "owner", "role", "created_by", "expires_at")


@click.group(cls=OpsGroup)
def token() -> None:
    """List, issue and revoke tokens of the admin API."""


@token.command("list", epilog=examples("pinwarden token list", "pinwarden token list --json"))
@JSON
@with_api
def list_tokens(api: AdminClient, json_wanted: bool) -> None:
    """List every token, revoked ones included, without secrets."""
    answer = api.ask("GET", "/tokens").value
    rows = Fields(answer, "answer").each("tokens", _row)
    if json_wanted:
        print_json({"tokens": answer["tokens"]})
        return
    print_table(_COLUMNS, rows, empty="no token was issued yet: `pinwarden token create --help`")


@token.command(
    "create",
    epilog=examples(
        "pinwarden token create deploy.token --role editor --names 'pay*' --days 90 --label 'deploy job'",
        "pinwarden token create anna.token --role approver --names '*' --days 90 --owner anna",
        "(umask 077; pinwarden token create - --role reader --names '*' --days 1 > reader.token)",
    ),
)
@click.argument("file", metavar="FILE|-")
@click.option(
    "--role", type=click.Choice(ROLES), required=True, help="What it may do; docs/admin-api.md has the table."
)
@click.option("--names", multiple=True, required=True, metavar="PATTERN", help="Pin sets that it reaches. Repeatable.")
@click.option("--days", type=click.IntRange(1, 3650), required=True, help="How long it holds.")
@click.option("--label", default="", help="For people: who or what has it.")
@click.option("--owner", default="", help="Whose it is: tokens of one owner are one person. Default: its own id.")
@click.option("--dry-run", is_flag=True, help="Show what would be asked for, and issue nothing.")
@confirm_option
@with_api
def create(
    api: AdminClient,
    file: str,
    role: str,
    names: tuple[str, ...],
    days: int,
    label: str,
    owner: str,
    dry_run: bool,
) -> None:
    """
    Issue a token and write its secret to FILE, which is made with mode 0600.

    A dash prints the secret to stdout, and refuses to do so on a terminal. The server shows a secret once: when it
    cannot be written, the token is revoked again.
    """
    body = {"role": role, "names": list(names), "lifetime_seconds": days * DAY, "label": label, "owner": owner}
    if file == "-" and os.isatty(1):
        raise click.UsageError("a secret is not printed on a terminal; name a file, or pipe it on")
    if dry_run:
        print_json(body)
        return
    descriptor = None if file == "-" else _reserve(Path(file))
    try:
        announce(api)
        identity, secret = _issue(api, body)
    except BaseException:
        if descriptor is not None:
            os.close(descriptor)
            Path(file).unlink()
        raise
    _hand_out(api, identity, secret, file, descriptor)
    say("note", f"token {identity} is issued: {role} of {', '.join(names)} for {days} days")


@token.command("revoke", epilog=examples("pinwarden token revoke $ID"))
@click.argument("identity", metavar="ID")
@click.option("--dry-run", is_flag=True, help="Show the token, and revoke nothing.")
@confirm_option
@with_api
def revoke(api: AdminClient, identity: str, dry_run: bool) -> None:
    """
    End the token ID at once.

    ID is the part between the underscores, never the secret. Revoking again changes nothing.
    """
    check_id(identity, what="token", listing="pinwarden token list")
    if dry_run:
        _show_one(api, identity)
        return
    announce(api)
    revoked = Fields(api.ask("DELETE", f"/tokens/{identity}").value, "answer")
    click.echo(f"token {identity} is revoked since {printable(revoked.text('revoked_at'))}")


def _issue(api: AdminClient, body: dict[str, Any]) -> tuple[str, str]:
    """Return id and secret of a new token; OpsRefused when the answer holds none."""
    try:
        answer = api.ask("POST", "/tokens", body=body, headers={"Idempotency-Key": str(uuid.uuid4())}).value
    except OpsUnavailable as error:
        # A repeat would issue a second token beside one that nobody has.
        hint = "`pinwarden token list` shows whether one was issued; revoke it, then repeat."
        raise OpsUnavailable(error.what, holds=error.holds, hint=hint, status=error.status) from error
    secret = answer.get("token")
    match = _SECRET.fullmatch(secret) if isinstance(secret, str) else None
    if match is None or match[1] != answer.get("id"):
        raise OpsRefused(
            "the server's answer holds no token", hint="`pinwarden token list` shows whether one was issued; revoke it."
        )
    return match[1], match[0]


def _reserve(file: Path) -> int:
    """Return an open, empty, private file: a secret that nobody can write down must not be issued."""
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{file} exists already", hint="Choose another name; no token was issued, and the file was not touched."
        ) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be created: {error.strerror}", hint="No token was issued.") from None


def _hand_out(api: AdminClient, identity: str, secret: str, file: str, descriptor: int | None) -> None:
    try:
        if descriptor is None:
            click.echo(secret)
            return
        with os.fdopen(descriptor, "w") as stream:
            stream.write(f"{secret}\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if descriptor is not None:
            Path(file).unlink(missing_ok=True)
        holds = f"Token {identity} is revoked."
        try:
            api.ask("DELETE", f"/tokens/{identity}")
        except PinwardenError as refusal:
            holds = f"Token {identity} could not be revoked: {refusal}"
        raise OpsRefused(f"the secret cannot be written to {file}: {error.strerror}", holds=holds) from None


def _row(value: object, path: str) -> tuple[str, ...]:
    fields = Fields(value, path)
    told = [printable(fields.text(name)) for name in _FACTS]
    names = printable(", ".join(fields.texts("names")))
    used, revoked = (time_or_none(fields, name) for name in ("last_used_at", "revoked_at"))
    return (*told, names, used, revoked, printable(fields.text("label")))


def _show_one(api: AdminClient, identity: str) -> None:
    rows = [row for row in Fields(api.ask("GET", "/tokens").value, "answer").each("tokens", _row) if row[0] == identity]
    if not rows:
        raise OpsRefused(f"there is no token {identity}")
    print_table(_COLUMNS, rows)
