"""
How the price of one publication, and of a look at what is in force, grows with the number of pin sets, on SQLite and on
PostgreSQL; only on request.

It may start a PostgreSQL as tests do. Other pin sets are rows copied in bulk, with nothing in the published tree: what
is measured is one use case from the draft to the synced files, in this process, alone.
"""

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import insert, select

from bench.measure import Effort, wall
from bench.product import NAME, draft, install
from bench.rows import Row
from pinwarden_server.errors import NotFound
from pinwarden_server.node import open_site
from pinwarden_server.publishing import publish
from pinwarden_server.site import Act, Site
from pinwarden_server.store.tables import pinsets, reservations, versions
from tests.postgres import Postgres, folder_of_programs

_BATCH = 1000


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report; those of PostgreSQL only where its programs are."""
    sizes = (10, 20) if effort.name == "smoke" else (10, 100, 1000, 10_000)
    number = effort.pick(full=200, quick=40, smoke=2)
    programs = folder_of_programs()
    stores = ["SQLite", *(["PostgreSQL"] if programs else [])]
    rows: list[Row] = []
    for step, store in enumerate(stores):
        with tempfile.TemporaryDirectory() as folder, _address(store, programs) as url:
            rows += _curve(store, Path(folder), url, sizes, number)
        effort.progress(step + 1, len(stores))
    return rows


@contextmanager
def _address(store: str, programs: Path | None) -> Iterator[str | None]:
    """Yield the URL of an empty database that syncs its commits, None for SQLite."""
    durable = Postgres(programs, durable=True) if store == "PostgreSQL" and programs else nullcontext(None)
    with durable as server:
        yield server.create() if server else None


def _curve(store: str, folder: Path, url: str | None, sizes: tuple[int, ...], number: int) -> list[Row]:
    secret = folder / "database.url"
    if url:
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(url)
    installation = install(folder / "server", database_url_file=secret if url else None)
    site = open_site(installation.settings(), with_signers=True)
    rows: list[Row] = []
    firsts: dict[str, float] = {}
    try:
        for size in sizes:
            _grow(site, size)
            # One of its own for each size: lint looks at every version of a pin set that clients may still hold.
            name = f"measured-{size}"
            _publish(site, name)
            works: dict[str, Callable[[], object]] = {
                "publish over": lambda name=name: _publish(site, name),  # type: ignore[misc]
                "read what is in force among": lambda name=name: site.store.reader.current(name),  # type: ignore[misc]
            }
            for what, work in works.items():
                median = statistics.median(wall(work) for _ in range(number)) * 1e3
                first = firsts.setdefault(what, median)
                compared = f"{median / first:.2f} of that with {sizes[0]}" if size != sizes[0] else ""
                rows.append(Row(f"{what} {size} pin sets, {store}, p50", median, "ms", compared))
    finally:
        site.signers.close()
        site.store.close()
    return rows


def _publish(site: Site, name: str) -> None:
    try:
        tag = site.store.reader.current(name).tag
    except NotFound:
        tag = None
    publish(site, name, draft(10, seed=(tag or (0, 0))[1] % 3), tag, Act("bench", datetime.now(UTC)))


def _grow(site: Site, size: int) -> None:
    """Copy the rows of the one pin set under other names until there are *size*."""
    have = len(site.store.reader.pinsets())
    ours = {}
    with site.store.reader.engine.connect() as connection:
        for table in (pinsets, versions, reservations):
            newest = table.c.get("version", table.c.name).desc()
            query = select(table).where(table.c.name == NAME).order_by(newest).limit(1)
            ours[table] = dict(connection.execute(query).mappings().one())
    for start in range(have, size, _BATCH):
        names = [f"copy-{number:06}" for number in range(start, min(start + _BATCH, size))]
        with site.store.writer.transaction() as transaction:
            for table, row in ours.items():
                transaction.run(insert(table).values([{**row, "name": name} for name in names]))
