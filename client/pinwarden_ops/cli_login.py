"""
``pinwarden login`` and ``logout``: a session for a person or a job, in place of a token that lies about for months.

It may import click and this package. A link, a password or an ID token is typed unseen or piped in, and never stands
on the command line; a link is sent to the server that it names and to no other.
"""

import sys
from pathlib import Path
from typing import Any

import click

from pinwarden.address import check_address
from pinwarden.answer import printable
from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError
from pinwarden.fields import Fields
from pinwarden_ops.commands import LoneCommand, admin_client, client_of, server_options, settings_of
from pinwarden_ops.contexts import add_context, check_context_name, contexts_folder, current_context, read_contexts
from pinwarden_ops.errors import OpsError, OpsRefused
from pinwarden_ops.session_files import NewSession, check_session_file
from pinwarden_ops.settings import context_settings

MAX_SECRET_CHARACTERS = 16 * 1024
_CODE = "pwl_"


@click.command(
    cls=LoneCommand,
    epilog=examples(
        "pinwarden login --new-context mine",
        "pinwarden login --context mine --account breaker",
        "pinwarden login --context mine - < link.txt",
    ),
)
@click.argument("source", metavar="[-]", required=False)
@click.option("--account", metavar="NAME", help="Log in by the password of a local account.")
@click.option("--oidc", is_flag=True, help="Log in by the ID token of a job.")
@click.option("--new-context", metavar="NAME", help="Name the server of the link, or of --server, as a new context.")
@server_options
def login(
    source: str | None, account: str | None, oidc: bool, new_context: str | None, **server: str | Path | None
) -> None:
    """
    Begin a session, and write its token to the token file (0600).

    A one-time link is asked for, unseen; with a dash it is read from stdin. A file that holds a token which is no
    session's is never overwritten.
    """
    if source not in (None, "-"):
        # It may be the secret itself, so it is not repeated.
        raise click.UsageError("nothing secret is taken from the command line, where others can read it; pipe it to -")
    if account is not None and oidc:
        raise click.UsageError("--account and --oidc are two ways in; choose one")
    if new_context is not None:
        if server["token_file"] is not None:
            raise click.UsageError("--new-context has a token file of its own")
        _check_free(new_context)
    secret = _secret(source, "Password" if account is not None else "ID token" if oidc else "One-time link")
    base, body = _way(secret, account=account, oidc=oidc)
    values = _settings(new_context, base, server)
    if base is not None:
        _check_same(base, values)
    with NewSession(values["token_file"]) as file:
        answer = Fields(client_of(values).ask("POST", "/logins", body=body, with_token=False).value, "answer")
        file.write(answer.text("token"))
    if new_context is not None:
        _keep(new_context, values)
    owner, role, ends = (printable(answer.text(name)) for name in ("owner", "role", "expires_at"))
    say("note", f"logged in as {owner}: {role} of {printable(', '.join(answer.texts('names')))} until {ends}")


@click.command(cls=LoneCommand, epilog=examples("pinwarden logout --context mine"))
@server_options
def logout(server: str | None, token_file: Path | None, ca_file: Path | None) -> None:
    """End the session in the token file, and delete the file."""
    api = admin_client(server, token_file, ca_file)
    check_session_file(api.token_file, must_exist=True)
    try:
        api.ask("DELETE", "/sessions/current")
    except OpsError as error:
        if error.status != 401:
            raise
        say("note", "the session had ended already")
    try:
        api.token_file.unlink()
    except OSError as error:
        raise OpsRefused(
            f"{api.token_file} cannot be deleted: {error.strerror}", holds="The session in it has ended."
        ) from None
    click.echo("logged out")


def _secret(source: str | None, what: str) -> str:
    if source is None:
        typed: str = click.prompt(what, hide_input=True, err=True)
        return typed if what == "Password" else typed.strip()
    text = sys.stdin.read(MAX_SECRET_CHARACTERS + 1)
    if not text.strip() or len(text) > MAX_SECRET_CHARACTERS or len(text.strip().splitlines()) > 1:
        raise ConfigError("stdin holds nothing to log in with", expected=f"one line with the {what.lower()}")
    return text.strip("\r\n") if what == "Password" else text.strip()


def _way(secret: str, *, account: str | None, oidc: bool) -> tuple[str | None, dict[str, str]]:
    """Return the address inside a link, if there is one, and the body of the login."""
    if account is not None:
        return None, {"account": account, "password": secret}
    if oidc:
        return None, {"oidc_token": secret}
    base, _, code = secret.rpartition("#")
    if not code.startswith(_CODE):
        raise ConfigError("not a one-time link", expected="https://SERVER/#pwl_...", hint="Was all of it copied?")
    return base.rstrip("/") or None, {"link": code}


def _settings(new_context: str | None, base: str | None, server: dict[str, Any]) -> dict[str, Any]:
    if new_context is None:
        return settings_of({"url": server["server"], "token_file": server["token_file"], "ca_file": server["ca_file"]})
    url = server["server"] or base
    if url is None:
        raise ConfigError("nothing says which server the new context names", hint="Give --server, or the whole link.")
    place = _folder() / f"{new_context}.token"
    # A new context stands for its own server alone: what settings say about another one does not count here.
    ca_file = server["ca_file"] and server["ca_file"].absolute()
    return {"url": url, "token_file": place, "ca_file": ca_file, "allow_http": False, "context": None, "root": None}


def _keep(name: str, values: dict[str, Any]) -> None:
    folder = _folder()
    kept = {field: str(values[field]) for field in ("url", "token_file", "ca_file") if values[field] is not None}
    add_context(folder, name, kept)
    if current_context(folder) is None:
        say("note", f"no context is in use yet: `pinwarden context use {name}`")


def _check_same(base: str, values: dict[str, Any]) -> None:
    allow_http = bool(values["allow_http"])
    named, wanted = (check_address(url, allow_http=allow_http) for url in (base, values["url"]))
    if named != wanted:
        raise ConfigError(
            "the link is for another server than the one that is meant",
            expected=wanted.origin + wanted.prefix,
            got=printable(named.origin + named.prefix),
            holds="Nothing was sent.",
            hint="Name that server: `pinwarden login --new-context NAME`, or --context.",
        )


def _check_free(name: str) -> None:
    check_context_name(name)
    if name in read_contexts(_folder(), known=context_settings()):
        raise ConfigError(f"context {name!r} exists already", hint=f"`pinwarden login --context {name}` renews it.")


def _folder() -> Path:
    folder = contexts_folder()
    if folder is None:
        raise ConfigError("there is no place for contexts", hint="Set HOME or XDG_CONFIG_HOME.")
    return folder
