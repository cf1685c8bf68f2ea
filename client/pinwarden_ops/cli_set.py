"""
``pinwarden set``: look at pin sets and their versions, and compare them with each other and with files.

It may import click and this package; the commands that publish live beside it. What is printed here is the server's
word: what people sign, `pinwarden change show` verifies.
"""

import re
from pathlib import Path

import click

from pinwarden.answer import printable
from pinwarden.cli.printing import print_facts, print_json
from pinwarden.cli.teaching import examples
from pinwarden.documents import PinSet, check_name
from pinwarden.errors import ConfigError
from pinwarden_ops import contents
from pinwarden_ops.admin import AdminClient
from pinwarden_ops.cli_set_apply import apply
from pinwarden_ops.cli_set_policy import policy
from pinwarden_ops.cli_set_write import preview, put, roll_back
from pinwarden_ops.commands import JSON, OpsGroup, with_api
from pinwarden_ops.draft_files import read_draft, to_toml
from pinwarden_ops.errors import OpsRefused
from pinwarden_ops.live_sets import Version, fetch_current, fetch_history, fetch_list, fetch_version
from pinwarden_ops.tables import loose, print_difference, print_table, states

_VERSION = re.compile(r"(?:[1-9][0-9]{0,15}\.)?[1-9][0-9]{0,15}", re.ASCII)
MAX_HISTORY = 10_000


@click.group("set", cls=OpsGroup)
def pinset() -> None:
    """List, compare, publish and roll back pin sets; apply a folder of them."""


for _command in (apply, policy, preview, put, roll_back):
    pinset.add_command(_command)


@pinset.command("list", epilog=examples("pinwarden set list", "pinwarden set list --json"))
@JSON
@with_api
def list_sets(api: AdminClient, json_wanted: bool) -> None:
    """List the pin sets that your token reaches, with the version in force."""
    found = fetch_list(api)
    if json_wanted:
        shown = [{field: getattr(line, field) for field in line.__slots__} for line in found]
        print_json({"pinsets": shown})
        return
    print_table(
        ("pin set", "version", "expires", "published", "by"),
        [(line.name, line.version, line.expires, line.published_at, line.actor) for line in found],
        empty="your token reaches no pin set: `pinwarden set put NAME FILE --create` publishes one",
    )


@pinset.command(
    "show",
    epilog=examples(
        "pinwarden set show shop",
        "pinwarden set show shop --version 1.1 --json",
        "pinwarden set show shop --draft > pinsets/shop.toml",
    ),
)
@click.argument("name")
@click.option("--version", metavar="VERSION", help="A version, 7 or 1.7; default: the one in force.")
@click.option("--draft", is_flag=True, help="Print the file that `set apply` would take for it.")
@JSON
@with_api
def show(api: AdminClient, name: str, version: str | None, draft: bool, json_wanted: bool) -> None:
    """Show what the pin set NAME says."""
    if draft and json_wanted:
        raise click.UsageError("--draft and --json exclude each other")
    found = _version(api, name, version) if version else _current(api, name)
    if json_wanted:
        print_json(found.told)
    elif draft:
        click.echo(to_toml(found.contained(), found.lifetime_seconds), nl=False)
    else:
        _print(found)


@pinset.command("history", epilog=examples("pinwarden set history shop", "pinwarden set history shop --limit 1 --json"))
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, MAX_HISTORY), default=20, show_default=True, help="Versions at most.")
@JSON
@with_api
def history(api: AdminClient, name: str, limit: int, json_wanted: bool) -> None:
    """List the versions of the pin set NAME, newest first: who published what, and why."""
    found = fetch_history(api, check_name(name), limit=limit)
    if json_wanted:
        print_json({"versions": [each.told for each in found]})
        return
    print_table(
        ("version", "published", "expires", "by", "forced", loose("reason")),
        [
            (each.version, each.published_at, each.expires, each.actor, " ".join(each.forced), each.reason)
            for each in found
        ],
    )


@pinset.command(
    "diff",
    epilog=examples(
        "pinwarden set diff shop                  # the version before, and the one in force",
        "pinwarden set diff shop shop.json    # the one in force, and a file",
        "pinwarden set diff shop 1.1 1.2 --json",
    ),
)
@click.argument("name")
@click.argument("before", required=False, metavar="[VERSION|FILE")
@click.argument("after", required=False, metavar="[VERSION|FILE]]")
@JSON
@with_api
def diff(api: AdminClient, name: str, before: str | None, after: str | None, json_wanted: bool) -> None:
    """
    Show what differs between two contents of the pin set NAME.

    Each is a version, 7 or 1.7, or a file. One of them alone is compared with what is in force.
    """
    check_name(name)
    (was, old), (becomes, new) = _sides(api, name, before, after)
    rows = contents.rows_between(old, new)
    if json_wanted:
        print_json({"name": name, "from": was, "to": becomes, "difference": contents.rows_json(rows)})
        return
    click.echo(f"{name} {was or 'nothing'} -> {becomes}")
    print_difference(rows, piped=contents.row_lines(rows) if rows else ("  no difference",))


Side = tuple[str | None, PinSet | None]


def _sides(api: AdminClient, name: str, before: str | None, after: str | None) -> tuple[Side, tuple[str, PinSet]]:
    """Return both sides with their names; the older one is nothing where no version comes before the first."""
    if before is not None and after is not None:
        return _side(api, name, before), _side(api, name, after)
    current = _current(api, name)
    in_force = current.version, current.contained()
    if before is None:
        earlier = fetch_history(api, name, limit=2)[1:]
        return (_side(api, name, earlier[0].version) if earlier else (None, None)), in_force
    given = _side(api, name, before)
    return (given, in_force) if _VERSION.fullmatch(before) else (in_force, given)


def _side(api: AdminClient, name: str, spelt: str) -> tuple[str, PinSet]:
    if _VERSION.fullmatch(spelt):
        found = fetch_version(api, name, spelt)
        return found.version, found.contained()
    return spelt, read_draft(Path(spelt), name=name).content


def _current(api: AdminClient, name: str) -> Version:
    found = fetch_current(api, name)
    if found is None:
        raise OpsRefused(f"there is no pin set {name!r}", hint="`pinwarden set list` shows those that exist.")
    return found


def _version(api: AdminClient, name: str, version: str) -> Version:
    if _VERSION.fullmatch(version) is None:
        raise ConfigError("not a version", expected="7 or 1.7", got=repr(version[:40]))
    return fetch_version(api, name, version)


def _print(found: Version) -> None:
    content = found.contained()
    print_facts(
        [
            ("pin set", found.name),
            ("version", found.version),
            ("issued", found.issued),
            ("expires", found.expires),
            ("published", f"{found.published_at} by {found.actor}"),
            ("reason", found.reason or None),
            ("forced", ", ".join(found.forced) or None),
            ("approvals", _or_none(found.told.get("approvals_required"))),
            ("to review", _or_none(", ".join(map(str, found.told.get("open_reviews") or [])))),
            ("on_stale", content.on_stale),
            ("report_to", content.report_to),
            ("deny", ", ".join(contents.to_json(content).get("deny", [])) or None),
        ]
    )
    rows = [
        (host.host, host.mode, host.enforce_percent, host.on_expiry, role, str(pin), pin.kind)
        for host in content.hosts
        for role, pins in (("pin", host.pins), ("backup", host.backups))
        for pin in pins
    ]
    click.echo()
    print_table(
        ("host", states("mode"), "percent", "on_expiry", "role", "key", "kind"), rows, empty="this version pins no host"
    )


def _or_none(value: object) -> str | None:
    return printable(str(value)) if value else None
