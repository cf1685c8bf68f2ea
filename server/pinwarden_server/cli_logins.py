"""
``pinwarden server one-time-url`` and ``account``: let people in from the server's own machine, without HTTP.

It may import click and the ways in. It reads the store directly, like every command here; a password comes from a
terminal or a private file, and never from an argument.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pinwarden.cli.printing import print_json, print_table
from pinwarden.cli.session import JSON_OPTION
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError
from pinwarden_server.settings import load_settings

if TYPE_CHECKING:
    from pinwarden_server.site import Site

ROLES = click.Choice(["reader", "editor", "approver", "operator", "admin"])
FILE = click.Path(path_type=Path, dir_okay=False)
ROLE_HELP = "What they may do: see `pinwarden server rights`."
_NAMES = click.option(
    "--name", "names", multiple=True, default=["*"], help="Pin set or pattern such as pay-*; default: all. Repeatable."
)


def grant_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* ``--role`` and ``--name``: as what somebody gets in, and how far."""
    return click.option("--role", required=True, type=ROLES, help=ROLE_HELP)(_NAMES(command))


@click.command(
    "one-time-url",
    epilog=examples("pinwarden server --config server.toml one-time-url --role editor --name 'pay-*' --owner anna"),
)
@grant_options
@click.option("--owner", required=True, help="Whom you hand it to; the audit log will name them.")
@click.option("--expires-minutes", type=click.IntRange(1, 1440), default=15, show_default=True, help="Its life.")
@click.pass_obj
def one_time_url(config: Path | None, role: str, names: tuple[str, ...], owner: str, expires_minutes: int) -> None:
    """Print a link that lets one person in, once; `pinwarden login` takes it."""
    from pinwarden_server.login_drafts import LinkDraft
    from pinwarden_server.one_time_links import admin_url, issue_link
    from pinwarden_server.site import Act

    _check_owner(owner)
    settings = load_settings(config=config)
    base = admin_url(settings)
    draft = LinkDraft(owner, role, _checked(names), expires_minutes * 60)
    with _site(config) as site:
        click.echo(issue_link(site.store, draft, Act("system:command", _now())).url(base))


@click.group("account")
def account() -> None:
    """Accounts with a password, for the day when nothing else lets anybody in."""


_PASSWORD = click.option("--password-file", type=FILE, help="File (0600) with the password; default: asked for, twice.")


@account.command("add", epilog=examples("pinwarden server --config server.toml account add breaker --role admin"))
@click.argument("name")
@grant_options
@_PASSWORD
@click.pass_obj
def add(config: Path | None, name: str, role: str, names: tuple[str, ...], password_file: Path | None) -> None:
    """Make the account NAME."""
    from pinwarden_server.accounts import add_account
    from pinwarden_server.site import Act

    _check_owner(name)
    reached = _checked(names)
    password = _new_password(password_file)
    with _site(config) as site:
        click.echo(add_account(site.store, name, password, (role, reached), Act("system:command", _now())).name)


@account.command("password", epilog=examples("pinwarden server --config server.toml account password breaker"))
@click.argument("name")
@_PASSWORD
@click.pass_obj
def password(config: Path | None, name: str, password_file: Path | None) -> None:
    """
    Give the account NAME another password.

    All its sessions are revoked, which takes back what they approved, and its open one-time links are withdrawn.
    """
    from pinwarden_server.accounts import change_password
    from pinwarden_server.site import Act

    new = _new_password(password_file)
    with _site(config) as site:
        ended, links = change_password(site.store, name, new, Act("system:command", _now()))
    click.echo(f"{name}: {ended} sessions ended, {links} one-time links withdrawn")


@account.command("list", epilog=examples("pinwarden server --config server.toml account list"))
@JSON_OPTION
@click.pass_obj
def list_accounts(config: Path | None, as_json: bool) -> None:
    """List the accounts, without passwords."""
    from pinwarden_server.store.logins import list_accounts as accounts_of

    with _site(config) as site:
        found = accounts_of(site.store.reader)
    if as_json:
        shown = ("name", "role", "names", "created_at", "created_by")
        print_json({"accounts": [{name: getattr(row, name) for name in shown} for row in found]})
        return
    rows = [(row.name, row.role, ", ".join(row.names), row.created_by) for row in found]
    print_table(("account", "role", "pin sets", "made by"), rows)


@account.command("remove", epilog=examples("pinwarden server --config server.toml account remove breaker"))
@click.argument("name")
@click.pass_obj
def remove(config: Path | None, name: str) -> None:
    """Remove the account NAME, and end its sessions."""
    from pinwarden_server.accounts import delete_account
    from pinwarden_server.site import Act

    with _site(config) as site:
        ended = delete_account(site.store, name, Act("system:command", _now()))
    click.echo(f"{name}: {ended} sessions ended")


@contextmanager
def _site(config: Path | None) -> Iterator["Site"]:
    from pinwarden_server.node import open_site

    site = open_site(load_settings(config=config), with_signers=False)
    try:
        yield site
    finally:
        site.signers.close()
        site.store.close()


def _checked(names: tuple[str, ...]) -> tuple[str, ...]:
    from pinwarden_server.bodies import check_names

    return check_names(list(names), what="grant")


def _new_password(file: Path | None) -> bytes:
    from pinwarden_keys.errors import PassphraseError
    from pinwarden_keys.passphrase import passphrase_file
    from pinwarden_keys.prompts import MIN_TYPED_CHARACTERS, new_passphrase

    given = passphrase_file(file)() if file else new_passphrase()
    if len(given.decode("utf-8", "replace")) < MIN_TYPED_CHARACTERS:
        raise PassphraseError(
            "the password is too short",
            expected=f"at least {MIN_TYPED_CHARACTERS} characters",
            holds="Nothing was changed.",
            hint="Six random words are easy to type and hard to guess.",
        )
    return given


def _check_owner(name: str) -> None:
    from pinwarden_server.login_drafts import is_owner

    if not is_owner(name):
        expected = "letters, digits and . _ @ + : / -, at most 100"
        raise ConfigError("not the name of a person or a job", expected=expected, got=repr(name[:80]))


def _now() -> datetime:
    return datetime.now(UTC)
