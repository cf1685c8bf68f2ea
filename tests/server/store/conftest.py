"""Both stores, real ones: what is tested here is promised by either."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pinwarden_keys import found_authority
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_server.bell import Bell
from pinwarden_server.founding import found
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act, Site
from pinwarden_server.store import Store, migrate, open_store
from tests.postgres import Postgres
from tests.server.store.rows import NOW

LINGUISTIC = "ENCODING UTF8 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"


@pytest.fixture
def restartable(postgres: Postgres) -> Iterator[Postgres]:
    """The same server, for a test that ends it: it runs again afterwards."""
    yield postgres
    if postgres.process is None or postgres.process.poll() is not None:
        postgres.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return linguistic(request.getfixturevalue("postgres"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    migrate(url)
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def pg_store(postgres: Postgres) -> Iterator[Store]:
    """A store on PostgreSQL alone."""
    address = linguistic(postgres)
    migrate(address)
    opened = open_store(address)
    yield opened
    opened.close()


def linguistic(postgres: Postgres) -> str:
    """Return the URL of a database that sorts words as people do, where the server was built to: it must not matter."""
    try:
        return postgres.create(LINGUISTIC)
    except psycopg.errors.FeatureNotSupported:
        return postgres.create()


def site_on(store: Store, folder: Path) -> Site:
    """Return a founded server on *store*, with the keys of both roles and its files in *folder*."""
    founding = found_authority("test", now=NOW, lifetime_days=720, entropy=os.urandom)
    keys = [SoftwareSigner(seed, uri="memory:test") for seed in (founding.timestamp_seed, founding.pinset_seed)]
    site = Site(store, PublishedTree(folder / "tree"), Bell.open(folder / "run/bell"), Signers(keys))
    found(site, founding.root_json, Act("setup", NOW))
    return site


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[Site]:
    opened = site_on(store, tmp_path)
    yield opened
    opened.bell.close()


@pytest.fixture
def pg_site(pg_store: Store, tmp_path: Path) -> Iterator[Site]:
    opened = site_on(pg_store, tmp_path)
    yield opened
    opened.bell.close()
