"""
What the operator's commands share: their options, their exit codes, and the client that these make.

It may import click and this package. It never takes a token on the command line, where other users could read it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import click

from pinwarden.cli.refusals import CONFLICT, REFUSED, UNAVAILABLE, USAGE, ExitCodes, RefusingGroup
from pinwarden.errors import ConfigError, FetchError, PinwardenError
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.errors import OpsConflict, OpsUnavailable
from pinwarden_ops.settings import TABLE, ops_settings


class OpsGroup(RefusingGroup):
    """A group of the operator's commands."""

    exit_codes: ClassVar[ExitCodes] = (
        (OpsUnavailable, UNAVAILABLE),
        (FetchError, UNAVAILABLE),
        (OpsConflict, CONFLICT),
        (ConfigError, USAGE),
        (PinwardenError, REFUSED),
    )


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--server``, ``--token-file`` and ``--ca-file``, which :func:`admin_client` takes."""
    options = (
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


def admin_client(server: str | None, token_file: Path | None, ca_file: Path | None) -> AdminClient:
    """Return the client of the server that options and settings name; ConfigError when they name none."""
    options = {"url": server, "token_file": str(token_file) if token_file else None}
    options["ca_file"] = str(ca_file) if ca_file else None
    given = {name: value for name, value in options.items() if value is not None}
    values = ops_settings(given=given)
    return AdminClient(**{name: values[name] for name in ("url", "token_file", "ca_file", "allow_http")})
