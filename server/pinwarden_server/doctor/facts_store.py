"""
What the database says, asked on connections that cannot write.

It may import the store's reader and the tree. It judges nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import select, text

from pinwarden.documents import Root
from pinwarden_server.checkpoints import Verified, verify_store
from pinwarden_server.doctor.facts_tree import differing
from pinwarden_server.errors import AuditBroken, StoreUnavailable
from pinwarden_server.founding import is_newer_in_tree
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.renewal import LEASE
from pinwarden_server.store import Store, TokenRow, hint_for_schema, schema_head, schema_of
from pinwarden_server.store.copying import unsettled_names
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.tables import leases

MOST_FILES = 1000
_POSTGRES = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """
    What the database says.

    Attributes:
        is_shared: PostgreSQL; else SQLite.
        schema, head: revision of the database and of this program; what the tables say is empty when they differ.
        durability: settings of the database, by name.
        ahead: by how many seconds its clock is ahead of this machine's, as far as the question allows to tell.
        lease: until when a worker holds the lease of renewal, None when nobody ever did or it was given back.
        audit: the chain with its checkpoints, or the sentence that says where it breaks.
        differing: addresses of published files that are not what the store says, a thousand at most.
        newer: names whose published files are newer than the store.
        schema_hint: what to do about a schema that is not this program's.
        read_only: why the database takes no writes, as far as this user can tell; empty when it does.
    """

    is_shared: bool
    schema: str | None
    head: str
    durability: dict[str, str]
    ahead: float
    roots: tuple[Root, ...] = ()
    tokens: tuple[TokenRow, ...] = ()
    unsettled: tuple[str, ...] = ()
    lease: datetime | None = None
    audit: Verified | str = ""
    differing: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    schema_hint: str = ""
    read_only: str = ""


def look_at_store(store: Store, tree: PublishedTree, clock: Callable[[], datetime]) -> StoreFacts:
    """Return what the database says; StoreUnavailable when it cannot be asked."""
    reader, schema, head = store.reader, schema_of(store), schema_head()
    durability, ahead = _settings(store, clock)
    if schema != head:
        return StoreFacts(store.is_shared, schema, head, durability, ahead, schema_hint=hint_for_schema(schema))
    roots = tuple(Root.parse(envelope.payload) for envelope in reader.roots())
    return StoreFacts(
        store.is_shared,
        schema,
        head,
        durability,
        ahead,
        roots=roots,
        tokens=tuple(reader.tokens()),
        unsettled=tuple(unsettled_names(reader)),
        lease=_lease(store),
        audit=_audit(store),
        differing=tuple(islice(differing(reader, tree), MOST_FILES)) if roots else (),
        read_only=_read_only(store),
        newer=tuple(one.name for one in reader.all_current() if is_newer_in_tree(tree, one)),
    )


def _settings(store: Store, clock: Callable[[], datetime]) -> tuple[dict[str, str], float]:
    with store_failures(), store.reader.engine.begin() as connection:
        before = clock()
        if not store.is_shared:
            mode = connection.execute(text("PRAGMA journal_mode")).scalar_one()
            there = float(connection.execute(text("SELECT strftime('%s', 'now')")).scalar_one())
            # A time in whole seconds lies anywhere within its second.
            return {"journal_mode": str(mode)}, _ahead(before, clock(), there, there + 1)
        found = {name: str(connection.execute(text(f"SHOW {name}")).scalar_one()) for name in _POSTGRES}
        there = float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        return found, _ahead(before, clock(), there, there)


def _ahead(before: datetime, after: datetime, low: float, high: float) -> float:
    """Return by how much a clock is ahead that said *low* to *high* between *before* and *after*; 0 within that."""
    if high < before.timestamp():
        return high - before.timestamp()
    return max(0.0, low - after.timestamp())


def _read_only(store: Store) -> str:
    try:
        store.check_writable()
    except StoreUnavailable as error:
        return str(error)
    return ""


def _lease(store: Store) -> datetime | None:
    with store_failures(), store.reader.engine.begin() as connection:
        found = connection.execute(select(leases.c.expires_at).where(leases.c.name == LEASE)).scalar()
    return found.astimezone(UTC) if found else None


def _audit(store: Store) -> Verified | str:
    try:
        return verify_store(store.reader)
    except AuditBroken as error:
        return str(error)
