"""
What the operator's commands share: options, exit codes, the client that these make, and what precedes a write.

It may import click and this package. It never takes a token on the command line, where other users could read it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import click

from pinwarden.answer import printable
from pinwarden.cli.refusals import (
    CONFLICT,
    REFUSED,
    UNAVAILABLE,
    USAGE,
    ExitCodes,
    RefusingGroup,
    complain,
    exit_code_of,
    say,
)
from pinwarden.documents import Root
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE, Envelope
from pinwarden.errors import ConfigError, FetchError, PinwardenError, WrongPinSetError
from pinwarden.fields import Fields
from pinwarden_keys.errors import KeeperAwayError
from pinwarden_keys.files import read_public
from pinwarden_ops.admin import AdminClient, one_line
from pinwarden_ops.contexts import Target
from pinwarden_ops.errors import OpsConflict, OpsError, OpsRefused, OpsUnavailable
from pinwarden_ops.settings import TABLE, ops_settings

MAX_SHOWN = 50  # violations that a refusal prints
NUMBER = click.IntRange(1, 2**53 - 1)  # of a change or a version
JSON = click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
_CONTEXT, _CONFIRMED = "pinwarden_ops.context", "pinwarden_ops.confirmed"


class OpsCommand(click.Command):
    """A command of the operator's: what a server found wrong is printed line by line before the refusal itself."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except OpsError as error:
            for line in violation_lines(error.problem.get("violations")):
                say("error", line)
            raise


class OpsGroup(RefusingGroup):
    """A group of the operator's commands."""

    command_class = OpsCommand
    exit_codes: ClassVar[ExitCodes] = (
        (OpsUnavailable, UNAVAILABLE),
        (FetchError, UNAVAILABLE),
        (KeeperAwayError, UNAVAILABLE),
        (OpsConflict, CONFLICT),
        (ConfigError, USAGE),  # a root that cannot be used too
        (PinwardenError, REFUSED),
    )


class LoneCommand(OpsCommand):
    """A command of the operator's outside of this package's groups, with their exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes lines on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except PinwardenError as error:
            complain(error)
            ctx.exit(exit_code_of(error, OpsGroup.exit_codes))


def check_id(identity: str, *, what: str, listing: str) -> None:
    """
    Return when *identity* may be the id of a token, a session or a link; *listing* is the command that shows them.

    Raises:
        ConfigError: it cannot.
    """
    if _ID.fullmatch(identity) is None:
        # What was typed may be the whole secret, so it is not repeated.
        raise ConfigError(f"not the id of a {what}", expected="16 hex digits", hint=f"`{listing}` shows them.")


def violation_lines(violations: object) -> Iterator[str]:
    """Yield one line for each finding of a server: code, place, what is wrong, what to do."""
    found = [entry for entry in violations if isinstance(entry, dict)] if isinstance(violations, list) else []
    for entry in found[:MAX_SHOWN]:
        code, pointer, message, hint = (
            one_line(str(entry.get(name) or "")) for name in ("code", "pointer", "message", "hint")
        )
        yield f"{code} {message}. {hint}{f' (at {pointer})' if pointer else ''}".rstrip()
    if len(found) > MAX_SHOWN:
        yield f"and {len(found) - MAX_SHOWN} more"


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """
    Add ``--server``, ``--token-file`` and ``--ca-file``, which :func:`admin_client` takes.

    ``--context`` comes with them, and reaches :func:`admin_client` by itself.
    """
    options = (
        click.option(
            "--context",
            metavar="NAME",
            expose_value=False,
            callback=_remember(_CONTEXT),
            help=f"A server by its name (see `pinwarden context`); default: ${TABLE.variable('context')}.",
        ),
        click.option("--server", help=f"Address of the admin API; default: ${TABLE.variable('url')}."),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help=f"File (0600) with your token; default: ${TABLE.variable('token_file')}.",
        ),
        click.option(
            "--ca-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="PEM file with the CAs that may certify the server; default: the system's.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def with_api(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the :class:`AdminClient` that options and settings describe as its first argument."""

    @wraps(command)
    def opened(server: str | None, token_file: Path | None, ca_file: Path | None, **arguments: Any) -> Any:
        return command(admin_client(server, token_file, ca_file), **arguments)

    return server_options(opened)


def confirm_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--confirm``, which :func:`announce` finds by itself."""
    return click.option(
        "--confirm",
        metavar="CONTEXT",
        expose_value=False,
        callback=_remember(_CONFIRMED),
        help="The name of the context, for one that asks for it before a write.",
    )(command)


def settings_of(options: Mapping[str, object]) -> dict[str, Any]:
    """Return the settings under the options of this command; those that are None were not given."""
    given = {name: str(value) for name, value in options.items() if value is not None}
    named = click.get_current_context().meta.get(_CONTEXT)
    return ops_settings(given={**given, "context": named} if named else given)


def admin_client(server: str | None, token_file: Path | None, ca_file: Path | None) -> AdminClient:
    """Return the client of the server that options and settings name; ConfigError when they name none."""
    return client_of(settings_of({"url": server, "token_file": token_file, "ca_file": ca_file}))


def client_of(values: Mapping[str, Any]) -> AdminClient:
    """Return the client under the settings that :func:`settings_of` returned."""
    context = values["context"]
    target = Target(context and context.name, bool(context and context.confirm), values["root"])
    return AdminClient(**{name: values[name] for name in ("url", "token_file", "ca_file", "allow_http")}, target=target)


def announce(api: AdminClient) -> None:
    """
    Say on stderr which context, server and authority a write is about to change, and ask where the context wants that.

    Raises:
        WrongPinSetError: the server has another authority than this person's own root.
        OpsRefused: the name of the context was not typed. OpsUnavailable: no answer.
    """
    target = api.target or Target(None, False, None)
    authority = authority_of(api)
    named = f"context {target.context}, " if target.context else ""
    say("note", f"writes to {named}{api.origin}, authority {authority or 'none yet'}")
    if target.root is not None and authority is not None:
        _check_authority(target.root, authority)
    if target.confirm:
        _ask_for_name(str(target.context))


def authority_of(api: AdminClient) -> str | None:
    """Return the authority that the server says it serves, or None before its first root."""
    roots = Fields(api.ask("GET", "/roots").value, "answer").get("roots", list)
    return printable(Fields(roots[-1], "answer.roots[-1]").text("authority")) if roots else None


def time_or_none(fields: Fields, name: str) -> str:
    """Return the time under *name* as a table shows it, a dash for null; MalformedError for anything else."""
    try:
        return printable(fields.text(name))
    except PinwardenError:
        fields.get(name, type(None))
        return "-"


def _check_authority(root: Path, found: str) -> None:
    envelope = Envelope.parse(read_public(root, limit=ENVELOPE_LIMITS[ROOT_TYPE], what="root"), expect=ROOT_TYPE)
    own = Root.parse(envelope.payload).authority
    if own != found:
        raise WrongPinSetError(
            f"this server has another authority than {root}",
            expected=own,
            got=found,
            holds="Nothing was sent.",
            hint="Is this the right server? `pinwarden context list` shows which ones you know.",
        )


def _ask_for_name(name: str) -> None:
    typed = click.get_current_context().meta.get(_CONFIRMED)
    if typed is None:
        typed = click.prompt(f"Type {name} to go on", err=True)
    if typed.strip() != name:
        raise OpsRefused("not confirmed", expected=f"{name} typed", got=repr(typed[:40]), holds="Nothing was sent.")


def _remember(key: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            ctx.meta[key] = value

    return keep
