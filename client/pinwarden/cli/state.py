"""
``pinwarden status``, ``refresh`` and ``init``: what a client trusts, how it learns more, where it may live.

It may import click and this package's shared parts. ``status`` asks nobody, and no command here changes what was
trusted but through PinClient.
"""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from pinwarden.cli.printing import Fact, coloured, print_facts, print_json, spell_end
from pinwarden.cli.refusals import REFUSED, UNAVAILABLE, say
from pinwarden.cli.session import FILE, JSON_OPTION, STATE_SETTINGS, Session, with_client
from pinwarden.cli.sources import SOURCE, read_source, spell_source
from pinwarden.client import PinClient
from pinwarden.documents import check_name
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE
from pinwarden.errors import CacheError, ConfigError, MalformedError, UntrustedError
from pinwarden.settings import TABLE
from pinwarden.status import Rollout, Status
from pinwarden.strict_json import format_time
from pinwarden.trust import State, begin
from pinwarden.trust.advance import MAX_CLOCK_SKEW

_MEANING = {
    State.EMPTY: "no pin set is trusted yet: a pinned application that starts now refuses every connection",
    State.EXPIRED: "the pin set is past its end: hosts are refused, or left to CA checks where the pin set says so",
    State.STALE: "the pin set holds, but nobody confirmed lately that it is the current one",
}
_SHOWN_ROLLOUT = 10
# What a process that ends at once has nothing to say about.
_OF_A_PROCESS = (
    "last_refresh",
    "last_error",
    "failures",
    "server",
    "persist_failed",
    "split_views",
    "refused",
    "reported",
    "reports_sent",
    "reports_dropped",
    "process_wide",
    "not_covered",
)


@click.command(
    "status",
    epilog="""\b
Examples:
  pinwarden status --url https://pins.example.com --pinset app --root root.json --cache ./cache
  pinwarden status --exit-code && echo fresh
""",
)
@JSON_OPTION
@click.option("--exit-code", is_flag=True, help="Exit with 0 for fresh, 1 for stale and expired, 3 for empty.")
@with_client
@click.pass_context
def status(ctx: click.Context, client: PinClient, as_json: bool, exit_code: bool) -> None:
    """
    Print what is trusted, and for how long; asks nobody.

    What is trusted is what the cache and the bootstrap bundle prove: `pinwarden refresh` asks the pin server.
    """
    now = _now(ctx)
    found: Status = client.status()
    _print_status(found, now, as_json=as_json)
    if found.issued is not None and found.issued - now > MAX_CLOCK_SKEW:
        say("warning", f"by this machine's clock it is {format_time(now)}, before the pin set was issued")
        say("hint", "Set the clock right: until then no update is accepted, and no end of a document is noticed.")
    if found.state is not State.FRESH:
        say("warning", f"{found.state}: {_MEANING[found.state]}")
        say("hint", "`pinwarden refresh` fetches the current one, or says why it cannot.")
        if exit_code:
            ctx.exit(UNAVAILABLE if found.state is State.EMPTY else REFUSED)


@click.command(
    "refresh",
    epilog="""\b
Examples:
  pinwarden refresh --url https://pins.example.com --pinset app --root root.json --cache ./cache
  PINWARDEN_CONFIG=pinwarden.toml pinwarden refresh --json
""",
)
@JSON_OPTION
@with_client
@click.pass_context
def refresh(ctx: click.Context, client: PinClient, as_json: bool) -> None:
    """
    Fetch the pin set once, verify and keep it.

    Exits with 0 when the answer was accepted, 1 when it was refused (what was trusted stays), 3 when there was none or
    it could not be kept.
    """
    before = client.status()
    after: Status = client.refresh()
    _print_status(after, _now(ctx), as_json=as_json)
    if after.persist_failed:
        raise CacheError(
            f"the pin set was accepted, but could not be kept in {after.cache}",
            holds="The next start will fetch it again.",
            hint="The warning above says why; mend that, or name another place by --cache.",
        )
    if (before.epoch, before.version) != (after.epoch, after.version) and before.version is not None:
        say("note", f"the version before was {before.epoch}.{before.version}")


@click.command(
    "init",
    epilog="""\b
Examples:
  pinwarden --state-dir ./client init root.json --url https://pins.example.com --pinset app
  pinwarden --state-dir ./client refresh
  pinwarden --state-dir ./client check api.example.com --chain chain.pem
""",
)
@click.argument("root", type=SOURCE)
@click.option("--url", metavar="URL", envvar=TABLE.variable("url"), show_envvar=True, help="Address of the pin server.")
@click.option(
    "--pinset", metavar="NAME", envvar=TABLE.variable("pinset"), show_envvar=True, help="Name of the pin set."
)
@click.option("--ca-file", type=FILE, help="PEM file with the CAs that may certify the pin server.")
@click.pass_obj
def init(session: Session, root: Path, url: str | None, pinset: str | None, ca_file: Path | None) -> None:
    """
    Found the folder that --state-dir names: the root, the settings, and later the cache.

    Commands with the same --state-dir then use that folder and nothing else, neither variables nor other files. That is
    what tests of the protocol need: refresh and check exit with 0 for accepted, 1 for refused, 3 for unavailable.
    """
    folder = session.state_dir
    if folder is None:
        raise click.UsageError("init needs --state-dir in front: pinwarden --state-dir FOLDER init ROOT")
    content = read_source(root, limit=ENVELOPE_LIMITS[ROOT_TYPE])
    try:
        authority = begin(content, name=_checked_name(pinset) or "any").authority
    except UntrustedError as error:
        raise UntrustedError(
            f"{spell_source(root)} is no root: {error.what}", step=error.step, holds="Nothing was written."
        ) from None
    stored = {"root": "root.json", "cache": "cache", "url": url, "pinset": pinset}
    stored["ca_file"] = str(ca_file.absolute()) if ca_file else None
    settings = {name: value for name, value in stored.items() if value is not None}
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items()]
    _write(folder, {"root.json": content, STATE_SETTINGS: "".join(lines).encode()})
    print_facts([("folder", folder), ("authority", authority), ("url", url), ("pin set", pinset)])


def _print_status(status: Status, now: datetime, *, as_json: bool) -> None:
    version = None if status.version is None else f"{status.epoch}.{status.version}"
    if as_json:
        print_json({name: value for name, value in asdict(status).items() if name not in _OF_A_PROCESS})
        return
    facts: list[Fact] = [
        ("state", coloured(status.state)),
        ("pin set", f"{status.authority}/{status.name}"),
        ("version", version),
        ("hosts", status.hosts if version else None),
        *_spell_rollout(status.rollout),
        ("issued", format_time(status.issued) if status.issued else None),
        ("expires", spell_end(status.expires, now)),
        ("fresh until", spell_end(status.fresh_until, now)),
        ("root", f"version {status.root}"),
        ("cache", status.cache),
    ]
    print_facts(facts)


def _spell_rollout(rollout: tuple[Rollout, ...]) -> list[Fact]:
    facts: list[Fact] = []
    for staged in rollout[:_SHOWN_ROLLOUT]:
        here = "enforced here" if staged.enforced_here else "reported here"
        share = f"enforce {staged.enforce_percent} %, {here}" if staged.mode == "enforce" else "report only"
        facts.append(("roll-out", f"{staged.host}: {share}"))
    if len(rollout) > _SHOWN_ROLLOUT:
        facts.append(("roll-out", f"and {len(rollout) - _SHOWN_ROLLOUT} more, which --json lists"))
    return facts


def _now(ctx: click.Context) -> datetime:
    session = ctx.find_object(Session)
    return session.now if session and session.now else datetime.now(UTC)


def _checked_name(pinset: str | None) -> str | None:
    try:
        return None if pinset is None else check_name(pinset)
    except MalformedError as error:
        raise click.BadParameter(f"{pinset!r} is not a name: expected {error.expected}") from None


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write *files* into the folder, where nothing else stands under their names; the same again is no change."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            if path.exists() and path.read_bytes() != content:
                raise UntrustedError(
                    f"{path} exists already, with other content",
                    holds="Nothing was changed.",
                    hint="Take another folder: one folder is one client, and keeps its root for life.",
                )
        for name, content in files.items():
            path = folder / name
            temporary = path.with_name(f".{name}.{os.getpid()}")
            temporary.write_bytes(content)
            os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(f"folder {folder} cannot be written: {error.strerror}") from None
