"""
``pinwarden server doctor``. It may import click and this package; it changes nothing.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from pinwarden.cli.refusals import REFUSED, USAGE, complain
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError
from pinwarden_server.settings import CONFIG_VARIABLE, load_settings


@click.command(
    "doctor",
    epilog=examples(
        "pinwarden server --config server.toml doctor",
        "pinwarden server --config server.toml doctor --backup /backup --json",
    ),
)
@click.option("--backup", type=click.Path(path_type=Path), help="A backup, or the folder of backups, to be read too.")
@click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, backup: Path | None, json_wanted: bool) -> None:
    """
    Look at a whole installation, and say what is wrong with it and what to do; nothing is changed.

    Run it as the server's user, or as root. Exits with 0 when nothing is bad, 1 when something is, 2 when the settings
    cannot be read.
    """
    from pinwarden_server.doctor import State, examine, gather
    from pinwarden_server.doctor.view import as_json, print_findings, worst

    config = ctx.obj or (Path(os.environ[CONFIG_VARIABLE]) if CONFIG_VARIABLE in os.environ else None)
    try:
        settings = load_settings(config=config, checked=False)
    except ConfigError as error:
        complain(error)
        ctx.exit(USAGE)
    facts = gather(settings, environ=os.environ, clock=_now, config=config, backup=backup)
    findings = examine(facts)
    if json_wanted:
        click.echo(json.dumps(as_json(findings), indent=2))
    else:
        print_findings(findings)
    ctx.exit(REFUSED if worst(findings) is State.BAD else 0)


def _now() -> datetime:
    return datetime.now(UTC)
