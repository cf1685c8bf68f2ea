"""
``pinwarden context``: name the servers that you work with, and choose one of them.

It may import click and this package. It asks no server and reads no token; it only writes who is meant by a name.
"""

from pathlib import Path
from typing import Any

import click

from pinwarden.address import check_address
from pinwarden.answer import printable
from pinwarden.cli.printing import print_facts, print_json
from pinwarden.cli.refusals import say
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError
from pinwarden_keys.prompts import FILE
from pinwarden_ops.commands import JSON, OpsGroup
from pinwarden_ops.contexts import (
    CONFIRM,
    Context,
    add_context,
    contexts_folder,
    current_context,
    read_contexts,
    use_context,
)
from pinwarden_ops.settings import context_settings, read_token
from pinwarden_ops.tables import loose, print_table


@click.group(cls=OpsGroup)
def context() -> None:
    """Name the servers that you work with, and choose one of them."""


@context.command("list", epilog=examples("pinwarden context list"))
@JSON
def list_contexts(json_wanted: bool) -> None:
    """List the contexts; a star marks the one in use."""
    folder = contexts_folder()
    current, found = current_context(folder), read_contexts(folder, known=context_settings())
    if json_wanted:
        print_json({"contexts": [_as_json(each, current) for each in found.values()]})
        return
    rows = [
        ("*" if each.name == current else "", each.name, printable(str(each.values.get("url", ""))), _asks(each))
        for each in found.values()
    ]
    print_table(
        ("", "context", "server", loose("writes")),
        rows,
        empty="no context has a name yet: `pinwarden context add NAME --url URL --token-file FILE`",
    )


@context.command("show", epilog=examples("pinwarden context show production"))
@click.argument("name", required=False)
@JSON
def show_context(name: str | None, json_wanted: bool) -> None:
    """Show the context NAME, or the one in use."""
    folder = contexts_folder()
    current = current_context(folder)
    if name is None and current is None:
        raise ConfigError("no context is in use", hint="Choose one: `pinwarden context use NAME`.")
    found = _found(folder, name or str(current))
    if json_wanted:
        print_json(_as_json(found, current))
        return
    print_facts([("context", found.name), *found.values.items(), ("writes", _asks(found))])


@context.command("use", epilog=examples("pinwarden context use staging"))
@click.argument("name")
def use(name: str) -> None:
    """Use the context NAME in every command that names none."""
    folder = contexts_folder()
    found = _found(folder, name)
    use_context(_home(folder), found.name)
    click.echo(f"context {found.name} is in use")


@context.command(
    "add",
    epilog=examples(
        "pinwarden context add staging --url http://127.0.0.1:8750 --token-file staging.token",
        "pinwarden context add production --url https://pins.example.com:8443 --token-file production.token "
        "--root root.json --ask-before-writes",
    ),
)
@click.argument("name")
@click.option("--url", required=True, help="Address of the admin API.")
@click.option("--token-file", type=FILE, required=True, help="File (0600) with your token for this server.")
@click.option("--ca-file", type=FILE, help="PEM file with the CAs that may certify the server.")
@click.option("--root", type=FILE, help="Your own root.json; a server of another authority is refused before a write.")
@click.option("--pins-url", help="Where applications fetch, when that is another address.")
@click.option("--ask-before-writes", is_flag=True, help="Every write asks for the name of the context first.")
def add(name: str, ask_before_writes: bool, **options: Any) -> None:
    """
    Name a server.

    The context holds the place of the token file, and never a token. Nothing is asked of the server.
    """
    folder = _home(contexts_folder())
    check_address(options["url"], allow_http=False)
    read_token(options["token_file"])
    if name in read_contexts(folder, known=context_settings()):
        raise ConfigError(f"context {name!r} exists already", hint=f"Edit it in {folder / 'contexts.toml'}.")
    values: dict[str, str | bool] = {
        field: str(value.absolute()) if isinstance(value, Path) else str(value)
        for field, value in options.items()
        if value is not None
    }
    add_context(folder, name, {**values, CONFIRM: True} if ask_before_writes else values)
    click.echo(f"context {name} is added")
    if current_context(folder) is None:
        say("note", f"no context is in use yet: `pinwarden context use {name}`")


def _found(folder: Path | None, name: str) -> Context:
    known = read_contexts(folder, known=context_settings())
    if name not in known:
        raise ConfigError(f"there is no context {name!r}", expected=", ".join(known) or "one that exists")
    return known[name]


def _home(folder: Path | None) -> Path:
    if folder is None:
        raise ConfigError("there is no place for contexts", hint="Set HOME or XDG_CONFIG_HOME.")
    return folder


def _as_json(found: Context, current: str | None) -> dict[str, Any]:
    return {"name": found.name, "current": found.name == current, CONFIRM: found.confirm, "settings": found.values}


def _asks(found: Context) -> str:
    return "ask for the name" if found.confirm else ""
