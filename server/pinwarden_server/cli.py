"""
``pinwarden server``: install, run and mend a server from its own machine.

It may import click and everything here. Every command says ``error:`` and ``hint:`` on stderr and ends with the
documented exit code: 0 done, 1 refused, 2 usage, 3 unavailable, 4 conflict.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import click

from pinwarden.cli.printing import print_json
from pinwarden.cli.refusals import CONFLICT, UNAVAILABLE, ExitCodes, RefusingGroup, say
from pinwarden.cli.session import JSON_OPTION
from pinwarden.cli.teaching import examples
from pinwarden.errors import ConfigError, PinwardenError
from pinwarden_server.cli_api import openapi, rights
from pinwarden_server.cli_backup import backup, restore
from pinwarden_server.cli_logins import account, grant_options, one_time_url
from pinwarden_server.doctor.cli import doctor
from pinwarden_server.errors import Conflict, NotServedYet, SignerUnavailable, StoreUnavailable
from pinwarden_server.settings import CONFIG_VARIABLE, TABLE, Settings, load_settings, shown

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


class ServerGroup(RefusingGroup):
    """A group whose commands raise PinwardenError to refuse."""

    exit_codes: ClassVar[ExitCodes] = (
        (StoreUnavailable, UNAVAILABLE),
        (SignerUnavailable, UNAVAILABLE),
        (NotServedYet, UNAVAILABLE),
        (Conflict, CONFLICT),
        *RefusingGroup.exit_codes,
    )


@click.group(cls=ServerGroup)
@click.option("--config", type=FILE, help=f"Settings file (TOML); default: ${CONFIG_VARIABLE}.")
@click.pass_context
def server(ctx: click.Context, config: Path | None) -> None:
    """Install, run and mend a Pinwarden server."""
    ctx.obj = config.absolute() if config else None


@server.command(
    "init",
    epilog=examples(
        "pinwarden server init --dev ./try",
        "pinwarden server init /var/lib/pinwarden",
        "pinwarden server init /var/lib/pinwarden --root root.json",
    ),
)
@click.argument("folder", type=FOLDER)
@click.option("--root", "root_file", type=FILE, help="The root.json of the ceremony; repeat `init` with it.")
@click.option("--bind", help="Address to listen on, HOST:NUMBER or unix:/PATH; goes into server.toml.")
@click.option(
    "--database-url-file",
    type=FILE,
    help="File (0600) with postgresql://user:password@host/name; goes into server.toml.",
)
@click.option("--dev", is_flag=True, help="Found a throw-away authority, root key included. Never for production.")
@click.option("--label", default="dev", show_default=True, help="With --dev: beginning of the authority's id.")
def init(
    folder: Path, root_file: Path | None, bind: str | None, database_url_file: Path | None, dev: bool, label: str
) -> None:
    """Make the files of a server in FOLDER: settings, keys, database, first admin token."""
    from pinwarden_server import installation as install

    if dev and root_file:
        raise click.UsageError("--dev makes its own root; --root is for production")
    database = database_url_file.absolute() if database_url_file else None
    if dev:
        made = install.init_development(folder, bind=bind, label=label, now=_now(), database_url_file=database)
        say("warning", "InsecureForProductionWarning: the root key lies on this machine; use this to develop only.")
    else:
        root_json = _read(root_file) if root_file else None
        made = install.init_production(folder, bind=bind, root_json=root_json, now=_now(), database_url_file=database)
    click.echo(f"settings     {made.config}")
    click.echo(f"admin token  {made.admin_token}")
    if made.root_json.exists():
        click.echo(f"root         {made.root_json}")
        say("hint", f"Next: pinwarden server --config {made.config} run")
        return
    click.echo("\n".join(install.plan_lines(made)))
    say("hint", "Next: put these keys into a root plan (`pinwarden root draft --help`), sign it offline, then run")
    say("hint", f"pinwarden server init {folder} --root root.json")


@server.command("run", epilog=examples("pinwarden server --config server.toml run"))
@click.pass_obj
def run(config: Path | None) -> None:
    """Serve, until SIGTERM; this process becomes gunicorn."""
    settings = load_settings(config=config)  # refuses here, with our own words, rather than inside gunicorn
    if config:
        os.environ[CONFIG_VARIABLE] = str(config)
    if not settings.signers:
        say("warning", "no signers are set: this server serves, and cannot publish or renew")
    sys.stdout.flush()
    sys.stderr.flush()
    hooks = "python:pinwarden_server.gunicorn_hooks"
    arguments = ["-m", "gunicorn", "-c", hooks, "pinwarden_server.wsgi:serve()"]
    # -P: a folder named flask where this is started must not be imported.
    os.execv(sys.executable, [sys.executable, "-P", *arguments])


@server.command("migrate", epilog=examples("pinwarden server --config server.toml migrate"))
@click.pass_obj
def migrate(config: Path | None) -> None:
    """Bring the database to this version's schema, or create it."""
    from pinwarden_server.store import migrate as migrate_store

    click.echo(migrate_store(load_settings(config=config).database_url))


@server.command("renew", epilog=examples("pinwarden server --config server.toml renew"))
@click.pass_obj
def renew(config: Path | None) -> None:
    """Renew what is due now, as the workers do by themselves."""
    from pinwarden_server.renewal import Renewer

    with _Opened(load_settings(config=config), with_signers=True) as site:
        renewer = Renewer(site, holder=f"command:{os.getpid()}", clock=_now)
        done = renewer.tick()
        renewer.stop()
    if not done.leased:
        raise Conflict("a worker renews right now", hint="Nothing is to be done: it renews what is due.")
    for name in done.renewed:
        click.echo(name)
    if done.unsigned:
        say("warning", f"the end of the audit log was not signed: {done.unsigned}")
    for number, why in done.blocked.items():
        say("warning", f"change {number}: {why}")
    if done.failed:
        for name, why in done.failed.items():
            say("warning", f"{name}: {why}")
        raise SignerUnavailable(
            f"not renewed: {', '.join(done.failed)}",
            holds="The others were, and what is published is served on.",
            hint="The warnings say why; repeat the command afterwards.",
        )


@server.command("publish-tree", epilog=examples("pinwarden server --config server.toml publish-tree"))
@click.pass_obj
def publish_tree(config: Path | None) -> None:
    """Write every public file again from the database, and tell the workers."""
    from pinwarden_server.founding import reconcile, withheld

    with _Opened(load_settings(config=config), with_signers=False) as site:
        click.echo(f"{reconcile(site, rebuild=True)} files in {site.tree.folder}")
        kept = withheld(site)
    if kept:
        raise Conflict(
            f"the published files of {', '.join(kept)} are newer than the store, which was restored from a backup",
            expected="their floors, which say what clients may hold",
            holds="Those files stayed as they were; everything else was written.",
            hint=f"Set the floors: `pinwarden server restore --floor-from {site.tree.folder}`. Then repeat this.",
        )


@server.command(
    "token",
    epilog=examples("pinwarden server --config server.toml token --role admin --days 1 --output rescue.token"),
)
@grant_options
@click.option("--label", default="", help="What the token is for.")
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="Lifetime.")
@click.option("--output", type=FILE, required=True, help="New file (0600) for the token.")
@click.pass_obj
def token(config: Path | None, role: str, names: tuple[str, ...], label: str, days: int, output: Path) -> None:
    """Issue a token without HTTP, for the day when no admin token is left."""
    from pinwarden_keys.files import write_new
    from pinwarden_server.auth import issue_token, revoke_token
    from pinwarden_server.site import Act
    from pinwarden_server.token_drafts import parse_token_draft

    lifetime = int(timedelta(days=days).total_seconds())
    body = {"role": role, "names": list(names), "label": label, "lifetime_seconds": lifetime}
    draft = parse_token_draft(json.dumps(body).encode())
    with _Opened(load_settings(config=config), with_signers=False) as site:
        issued = issue_token(site.store, draft, Act("system:command", _now()))
        try:
            write_new(output, f"{issued.token}\n".encode(), what="token file")
        except PinwardenError:
            revoke_token(site.store, issued.row.id, Act("system:command", _now()))  # nobody could ever use it
            raise
    click.echo(issued.row.id)


@server.command("revoke", epilog=examples("pinwarden server --config server.toml revoke 0123456789abcdef"))
@click.argument("token_id")
@click.pass_obj
def revoke(config: Path | None, token_id: str) -> None:
    """
    End a token, a session or a one-time link without HTTP.

    TOKEN_ID is the part between the underscores.
    """
    from pinwarden_server.auth import revoke_token
    from pinwarden_server.one_time_links import withdraw
    from pinwarden_server.sessions import end_session
    from pinwarden_server.site import Act
    from pinwarden_server.store.logins import find_link, find_session

    with _Opened(load_settings(config=config), with_signers=False) as site:
        store, by = site.store, Act("system:command", _now())
        if find_link(store.reader, token_id):
            withdraw(store, token_id, by)
        elif find_session(store.reader, token_id):
            end_session(store, token_id, by)
        else:
            revoke_token(store, token_id, by)
    click.echo(token_id)


@server.command("verify-audit", epilog=examples("pinwarden server --config server.toml verify-audit"))
@JSON_OPTION
@click.pass_obj
def verify_audit(config: Path | None, as_json: bool) -> None:
    """
    Walk the audit chain and its checkpoints.

    Prints the number of its rows and the hash of the last one. Keep them elsewhere: whoever can rewrite the whole
    database can rewrite the whole chain.
    """
    from pinwarden_server.checkpoints import verify_store

    with _Opened(load_settings(config=config), with_signers=False) as site:
        verified = verify_store(site.store.reader)
    if as_json:
        chain = {"rows": verified.chain.rows, "head": verified.chain.head}
        print_json({**chain, "checkpoints": verified.checkpoints, "waits_since": verified.waits_since})
        return
    click.echo(f"{verified.chain.rows} {verified.chain.head}")


@server.command(
    "settings",
    epilog=examples("pinwarden server --config server.toml settings", "pinwarden server settings --table"),
)
@click.option("--json", "as_json", is_flag=True, help="Print the values in effect as JSON.")
@click.option("--table", is_flag=True, help="Print every setting with its meaning instead.")
@click.pass_obj
def settings(config: Path | None, as_json: bool, table: bool) -> None:
    """Print the settings in effect; secrets are not among them."""
    if table:
        for row in TABLE:
            click.echo(f"{TABLE.variable(row.name)}\n    {row.help}")
        return
    values = shown(load_settings(config=config))
    if as_json:
        click.echo(json.dumps(values, indent=2))
        return
    for name, value in values.items():
        click.echo(f"{name} = {json.dumps(value) if value is not None else '(not set)'}")


server.add_command(doctor)
server.add_command(backup)
server.add_command(restore)
server.add_command(one_time_url)
server.add_command(account)
server.add_command(rights)
server.add_command(openapi)


class _Opened:
    """The site of a command, closed at its end."""

    def __init__(self, settings: Settings, *, with_signers: bool) -> None:
        from pinwarden_server.node import open_site

        self._site = open_site(settings, with_signers=with_signers)

    def __enter__(self) -> Any:
        return self._site

    def __exit__(self, *_: object) -> None:
        self._site.signers.close()
        self._site.store.close()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _now() -> datetime:
    return datetime.now(UTC)
