"""A founded server in a temporary folder, with software keys and a clock that tests push."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pinwarden.testing import pinned
from pinwarden_keys import Founding, found_authority
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_server.bell import Bell
from pinwarden_server.drafts import Draft
from pinwarden_server.founding import found
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.publishing import publish
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act, Policy, Published, Site
from pinwarden_server.store import migrate, open_store
from pinwarden_server.store.columns import metadata

KEPT = b"the backup that every draft has."  # or the next one would lock out the holders of the one before (PIN009)


@dataclass
class House:
    """One server: its site, its authority, the present."""

    folder: Path
    site: Site
    founding: Founding
    now: datetime

    def act(self, **changes: Any) -> Act:
        return Act(**{"actor": "tester", "at": self.now, **changes})

    def draft(self, *hosts: str, **changes: Any) -> Draft:
        """Return a draft with one fresh pin for each host, and the backup that all have."""
        names = hosts or ("api.example.com",)
        return Draft(tuple(pinned(name, os.urandom(32), KEPT) for name in names), **changes)

    def publish(self, name: str = "payments", **changes: Any) -> Published:
        """Publish a fresh draft over whatever is in force."""
        current = self.site.store.reader.find_current(name)
        return publish(self.site, name, self.draft(**changes), current.tag if current else None, self.act())

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table, and every public file with its bytes."""
        rows: dict[str, list[tuple[Any, ...]]] = {}
        with self.site.store.reader.engine.begin() as connection:
            for table in metadata.sorted_tables:
                rows[table.name] = [tuple(row) for row in connection.execute(select(table))]
        public = self.site.tree.folder / "v1"
        files = sorted(path for path in public.rglob("*") if path.is_file())
        rows["files"] = [(str(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
        return rows

    def table(self) -> PublicTable:
        return PublicTable(self.site.tree, self.site.bell)

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    def without_keys(self, *, keep: str = "") -> Site:
        """Return the same site with the signer of one role only, or none."""
        seeds = {"timestamp": self.founding.timestamp_seed, "pinset": self.founding.pinset_seed}
        signers = Signers([SoftwareSigner(seeds[keep], uri="memory:kept")] if keep else [])
        return Site(self.site.store, self.site.tree, self.site.bell, signers, self.site.policy)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server with a root and no pin set yet; the pin server itself is pins.example.com."""
    now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    founding = found_authority("test", now=now, lifetime_days=720, entropy=os.urandom)
    url = f"sqlite:///{tmp_path}/store/pinwarden.db"
    migrate(url)
    keys = [SoftwareSigner(seed, uri="memory:test") for seed in (founding.timestamp_seed, founding.pinset_seed)]
    site = Site(
        open_store(url),
        PublishedTree(tmp_path / "tree"),
        Bell.open(tmp_path / "run/bell"),
        Signers(keys),
        Policy(own_hosts=("pins.example.com",)),
    )
    found(site, founding.root_json, Act("setup", now))
    yield House(tmp_path, site, founding, now)
    site.store.close()
    site.bell.close()
