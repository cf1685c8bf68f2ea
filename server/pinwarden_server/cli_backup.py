"""
``pinwarden server backup`` and ``restore``: what leaves the store, what comes back, and from which versions on.

It may import click and the rooms of the backup. Neither command needs a key, and neither asks a running server.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pinwarden.cli.teaching import examples
from pinwarden.documents import check_name
from pinwarden.errors import ConfigError, FetchError, PinwardenError, UntrustedError
from pinwarden_server.settings import load_settings

if TYPE_CHECKING:
    from pinwarden_server.store import Store
    from pinwarden_server.store.copying import Floor

FILE = click.Path(path_type=Path, dir_okay=False)
_FLOOR = re.compile(r"(?:(?P<name>[^=]+)=)?(?P<version>[0-9]{1,15})(?:/(?P<timestamp>[0-9]{1,15}))?", re.ASCII)


@click.command("backup", epilog=examples("pinwarden server --config server.toml backup /backup/pinwarden.jsonl"))
@click.argument("path", type=FILE)
@click.option(
    "--with-tokens",
    is_flag=True,
    help="Keep the digests of API tokens and the hashes of accounts too, so that these work again.",
)
@click.pass_obj
def backup(config: Path | None, path: Path, with_tokens: bool) -> None:
    """
    Write the whole store to the new file PATH (0600).

    It shows the store as it is at one moment; the server may run meanwhile. No key is in it (docs/backup.md).
    """
    from pinwarden_server.backup import make_backup
    from pinwarden_server.store import open_store

    store = open_store(load_settings(config=config).database_url)
    try:
        made = make_backup(store.reader, path.absolute(), now=datetime.now(UTC), tokens=with_tokens)
    finally:
        store.close()
    click.echo(f"{made.rows.get('versions', 0)} versions, {made.rows.get('audit', 0)} audit rows, sha256 {made.sha256}")


@click.command(
    "restore",
    epilog=examples(
        "pinwarden server --config server.toml restore /backup/pinwarden.jsonl --floor-from https://pins.example.com",
        "pinwarden server --config server.toml restore --floor payments=5000",
    ),
)
@click.argument("path", type=FILE, required=False)
@click.option(
    "--floor",
    "floors",
    multiple=True,
    metavar="[NAME=]VERSION[/TIMESTAMP]",
    help="Highest version that clients may hold; without NAME: of every pin set that has no floor yet. Repeatable.",
)
@click.option(
    "--floor-from",
    "sources",
    multiple=True,
    metavar="FOLDER|URL",
    help="Take floors from what is served: a published folder, or the public address. Repeatable.",
)
@click.pass_obj
def restore(config: Path | None, path: Path | None, floors: tuple[str, ...], sources: tuple[str, ...]) -> None:
    """
    Bring the backup PATH into an empty store, and set floors; without PATH: set floors alone.

    No pin set can be published after a restore until its floor is set: clients may hold versions that the backup does
    not know, and no number may ever get a second content.
    """
    from pinwarden_server.restore import restore_backup, set_floors
    from pinwarden_server.site import Act
    from pinwarden_server.store import open_store

    if path is None and not floors and not sources:
        raise click.UsageError("give a backup, or floors, or both")
    asked = [_parsed(text) for text in floors]
    by = Act("system:command", datetime.now(UTC))
    store = open_store(load_settings(config=config).database_url)
    try:
        if path is not None:
            done = restore_backup(store, path.absolute(), by)
            click.echo(f"{len(done.names)} pin sets; audit chain: {done.chain.rows} {done.chain.head}")
        found = _higher(_served(store, sources), _named(store, asked))
        for name in set_floors(store, found, by) if found else _waiting(store):
            what = "names that the backup does not know" if name == "*" else name
            click.echo(f"waits for a floor: {what}", err=True)
    finally:
        store.close()


def _parsed(text: str) -> tuple[str, int, int | None]:
    match = _FLOOR.fullmatch(text)
    name = match["name"] if match else None
    try:
        if match is None or (name is not None and not check_name(name)):
            raise ValueError(text)
    except (ValueError, PinwardenError):
        raise click.UsageError(f"--floor {text}: not [NAME=]VERSION[/TIMESTAMP]") from None
    return name or "*", int(match["version"]), int(match["timestamp"]) if match["timestamp"] else None


def _named(store: "Store", asked: list[tuple[str, int, int | None]]) -> "dict[str, Floor]":
    from pinwarden_server.restore import floor_at
    from pinwarden_server.store.copying import Floor, highest_numbers

    known = highest_numbers(store.reader)
    # A floor for many has to be above the timestamps of each of them.
    known["*"] = Floor(0, max((each.timestamp_version for each in known.values()), default=0))
    floors: dict[str, Floor] = {}
    for name, version, timestamp in asked:
        floors = _higher(floors, {name: floor_at(version, timestamp, known.get(name))})
    return floors


def _higher(one: "dict[str, Floor]", other: "dict[str, Floor]") -> "dict[str, Floor]":
    """Return the floors of both, the higher number of each: whoever names a low one has not seen what is served."""
    from pinwarden_server.store.copying import Floor

    none = Floor(0, 0)
    return {
        name: Floor(
            max(one.get(name, none).pinset_version, other.get(name, none).pinset_version),
            max(one.get(name, none).timestamp_version, other.get(name, none).timestamp_version),
            max(one.get(name, none).issued, other.get(name, none).issued),
        )
        for name in one.keys() | other.keys()
    }


def _waiting(store: "Store") -> list[str]:
    from pinwarden_server.store.copying import unsettled_names

    return unsettled_names(store.reader)


def _served(store: "Store", sources: tuple[str, ...]) -> "dict[str, Floor]":
    """Return the highest floor that any source proves for each name; what a source does not have is told."""
    from pinwarden_server.restore import floor_of

    found: dict[str, Floor] = {}
    roots = store.reader.roots()
    for source in sources if roots else ():
        for name, body in _bundles(store, source, len(roots)):
            try:
                floor = floor_of(roots, name, body)
            except UntrustedError as error:
                click.echo(f"warning: {source} has no bundle of {name} that proves anything: {error}", err=True)
                continue
            found = _higher(found, {name: floor})
            click.echo(f"{name}: version {floor.pinset_version}, timestamp {floor.timestamp_version} from {source}")
    return found


def _bundles(store: "Store", source: str, root: int) -> "list[tuple[str, bytes]]":
    """Return the bundles that *source* serves to clients that hold *root*, by name."""
    from pinwarden.fetch import Fetcher

    if not source.startswith(("https://", "http://")):
        folder = Path(source) / "v1/bundles"
        if not folder.is_dir():
            raise ConfigError(f"{source} is no published folder", expected="a folder with v1/bundles")
        return [(file.parent.name, file.read_bytes()) for file in sorted(folder.glob(f"*/{root}"))]
    found = []
    fetcher = Fetcher(source)
    try:
        for name in [line.name for line in store.reader.pinsets()]:
            try:
                answer = fetcher.bundle(name, root)
            except FetchError as error:
                click.echo(f"warning: {error}", err=True)
            else:
                found += [(name, answer.body)] if answer else []
    finally:
        fetcher.close()
    return found
