"""The store: who may write, what a migration makes, and that its schema is the one that the code believes in."""

import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from pinwarden.errors import ConfigError
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.store import check_schema, migrate, open_store, schema_head
from pinwarden_server.store.columns import Moment, metadata

if TYPE_CHECKING:
    from conftest import House

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_the_migrations_make_exactly_the_tables_that_queries_are_built_from(house: "House") -> None:
    with create_engine(house.site.store.url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": _same_type})
        assert compare_metadata(context, metadata) == []


def _same_type(context: object, inspected: object, column: object, found: object, wanted: object) -> bool | None:
    return False if isinstance(wanted, Moment) else None


def test_every_table_can_be_made_on_postgresql() -> None:
    for table in metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_migrating_again_changes_nothing_and_the_file_is_private(house: "House") -> None:
    before = house.dump()
    assert migrate(house.site.store.url) == schema_head()
    assert house.dump() == before
    mode = (house.folder / "store/pinwarden.db").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    check_schema(house.site.store)


def test_a_failed_migration_leaves_no_table_behind(tmp_path: Path) -> None:
    path = tmp_path / "half.db"
    with create_engine(f"sqlite:///{path}").begin() as connection:
        connection.execute(text("CREATE TABLE tokens (x int)"))  # in the way of the last but two tables
    with pytest.raises(StoreUnavailable):
        migrate(f"sqlite:///{path}")
    with create_engine(f"sqlite:///{path}").begin() as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    assert tables == ["tokens"]


def test_a_database_of_another_schema_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    create_engine(url).connect().close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreUnavailable) as refusal:
        check_schema(open_store(url))
    assert "migrate" in str(refusal.value)


def test_the_reader_cannot_write(house: "House") -> None:
    with pytest.raises(DBAPIError), house.site.store.reader.engine.begin() as connection:
        connection.execute(text("DELETE FROM roots"))
    assert len(house.site.store.reader.roots()) == 1


def test_commits_are_synced_in_write_ahead_mode(house: "House") -> None:
    with house.site.store.writer._engine.begin() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///relative.db", "sqlite:///:memory:"])
def test_a_store_needs_the_absolute_path_of_a_file(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)


def test_opening_a_store_touches_nothing(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/none/x.db")
    with pytest.raises(StoreUnavailable):
        store.reader.roots()
    with pytest.raises(StoreUnavailable):
        store.writer.reserve("x", NOW, pinset=True, room="publish")
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_given_out_once_to_however_many_ask(house: "House") -> None:
    given: list[int] = []

    def ask() -> None:
        for _ in range(10):
            given.append(house.site.store.writer.reserve("new", NOW, pinset=True, room="publish").pinset_version)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 81))
