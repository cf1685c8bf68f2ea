"""Every step of the schema, up and down, with rows in it, on both stores."""

import subprocess
import sys
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, MetaData, String, Table, inspect, select

from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.store import Store, check_schema, migrate, open_store
from pinwarden_server.store.columns import Moment, Whole, Words, metadata
from pinwarden_server.store.engines import open_engine
from pinwarden_server.store.logins import append_account, append_link, append_session, spend_id_token
from pinwarden_server.store.schema import _config
from tests.postgres import Postgres
from tests.server.store.rows import (
    APPROVAL,
    NOW,
    REVIEW,
    SIGNATURE,
    account,
    audited,
    change,
    checkpoint,
    link,
    publish,
    root,
    session,
    token,
)

REVISIONS = [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
LAST = REVISIONS[-1]
MIGRATE = "import sys; from pinwarden_server.store import migrate; print(migrate(sys.argv[1]))"


def step(url: str, revision: str, *, down: bool = False) -> None:
    """Bring the database at *url* to *revision*, as an operator does who takes a version back."""
    engine = open_engine(url, mode="rwc")
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
    engine.dispose()


Rows = dict[str, list[dict[str, Any]]]


def rows(url: str) -> Rows:
    """Return every row of every table that the database has, whatever its schema, in the order of its values."""
    engine = open_engine(url, mode="ro")
    found = MetaData()
    with engine.begin() as connection:
        names = inspect(connection).get_table_names()
        tables = [Table(name, found, autoload_with=connection) for name in names if name != "alembic_version"]
        content = {
            table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for table in tables
        }
    engine.dispose()
    return content


def known_to(kept: Rows, content: Rows) -> Rows:
    """Return of *content* the tables and columns that *kept* has."""
    return {
        table: [{column: row[column] for column in known[0]} for row in content[table]]
        for table, known in kept.items()
        if known
    } | {table: content[table] for table, known in kept.items() if not known}


def fill(store: Store) -> None:
    """Put rows into every table that a server writes."""
    publish(store, "payments", (1, 1), b"\0\xff" * 1000)
    publish(store, "payments", (1, 2))
    store.writer.reserve("payments", NOW, pinset=True, room="publish")
    store.writer.take_lease("renewal", "one", now=NOW, until=NOW)
    with store.writer.transaction() as transaction:
        transaction.append_root(1, root(1), NOW)
        transaction.append_token(token("first"), b"\xff" * 32)
        append_session(transaction, session("first"), b"\xff" * 32)
        append_link(transaction, link("first"), b"\xff" * 32)
        append_account(transaction, account("alice"))
        spend_id_token(transaction, "d" * 64, NOW)
        transaction.append_attempt("alice", "key", fingerprint="f", answer="{}", at=NOW)
        transaction.append_checkpoint(checkpoint(1))
        number = audited(transaction)
        transaction.append_change(change(number, "payments", signatures=(SIGNATURE,), approvals=(APPROVAL,)))
        number = audited(transaction)
        transaction.append_change(change(number, "payments", state="review"))
        assert transaction.append_review(number, REVIEW)


def test_the_steps_have_one_line_of_descent() -> None:
    assert REVISIONS == [
        "0001",
        "0002",
        "0003",
        "0004",
        "0005",
        "0006_logins",
        "0007_checkpoints",
        "0008_held_versions",
        "0009_approvals_asked",
    ]


def test_the_steps_make_exactly_the_tables_that_queries_are_built_from(store: Store) -> None:
    def same_type(context: Any, inspected: Any, column: Any, found: Any, wanted: Any) -> bool | None:
        # What alembic cannot see: our own types stand for these.
        return False if isinstance(wanted, (Moment, Whole, Words)) else None

    with store.reader.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": same_type})
        assert compare_metadata(context, metadata) == []


def test_every_column_has_the_type_that_our_own_types_stand_for(store: Store) -> None:
    inspector = inspect(store.reader.engine)
    wanted, found = {}, {}
    for table in metadata.sorted_tables:
        for there in inspector.get_columns(table.name):
            ours, where = table.c[there["name"]].type, f"{table.name}.{there['name']}"
            if isinstance(ours, (Moment, Whole, Words)):
                wanted[where] = (ours.length, True) if isinstance(ours, Words) else (None, False)
                found[where] = getattr(there["type"], "length", None), isinstance(there["type"], String)
                assert isinstance(there["type"], (String, BigInteger)), where
    assert len(wanted) > 50
    assert found == wanted


def test_names_are_sorted_by_code_points_in_every_table_of_postgresql(postgres: Postgres, pg_store: Store) -> None:
    found = postgres.ask(
        "SELECT table_name FROM information_schema.columns WHERE collation_name = 'C' AND table_schema = 'public'",
        pg_store.url.rpartition("/")[2],
    )
    bytewise = {
        table.name
        for table in metadata.sorted_tables
        for column in table.c
        if isinstance(column.type, Words) and column.type.bytewise
    }
    assert {row[0] for row in found} == bytewise == {"pinsets", "versions", "history", "reservations", "changes"}


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_down_to_a_step_and_up_again_loses_only_what_that_step_did_not_know(store: Store, revision: str) -> None:
    fill(store)
    before = rows(store.url)
    assert all(before[table] for table in before.keys() - {"unsettled", "history"})
    store.close()
    step(store.url, revision, down=True)
    with pytest.raises(StoreUnavailable):
        check_schema(store)
    kept = rows(store.url)
    assert known_to(kept, before) == kept
    assert migrate(store.url) == LAST
    after = rows(store.url)
    assert after.keys() == before.keys()
    assert known_to(kept, after) == kept
    assert all(after[table] == [] for table in after.keys() - kept.keys() - {"history"})
    check_schema(store)


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_database_of_each_step_comes_up_with_its_rows(url: str, revision: str) -> None:
    step(url, revision)
    engine = open_engine(url, mode="rw")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO audit VALUES (1, 5, 'a', 'b', 'c', '{}', 'd', 'e'), (2, 6, 'a', 'b', 'c', '{}', 'd', 'f')"
        )
        connection.exec_driver_sql("INSERT INTO reservations VALUES ('payments', 7, 9, 5)")
        connection.exec_driver_sql("INSERT INTO leases VALUES ('renewal', 'one', 5)")
    engine.dispose()
    before = rows(url)
    assert migrate(url) == LAST
    after = rows(url)
    assert known_to(before, after) == before


def test_processes_that_migrate_at_once_make_the_tables_once(url: str) -> None:
    command_line = [sys.executable, "-P", "-c", MIGRATE, url]
    running = [subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = [process.communicate(timeout=60) for process in running]
    assert [(process.returncode, out) for process, (out, _) in zip(running, ended, strict=True)] == [
        (0, f"{LAST}\n".encode())
    ] * 3, ended
    opened = open_store(url)
    check_schema(opened)
    assert opened.reader.audit_head() == (0, "0" * 64)
    opened.close()


def test_a_schema_of_a_newer_version_is_refused_and_left_as_it_is(url: str) -> None:
    migrate(url)
    stamp(url, "9999_of_next_year")
    before = rows(url)
    with pytest.raises(StoreUnavailable) as refusal:
        migrate(url)
    assert (refusal.value.expected, refusal.value.got) == (f"{LAST} or older", "9999_of_next_year")
    assert refusal.value.hint.startswith("A newer version of the server made it: install that one again")
    assert rows(url) == before


@pytest.mark.parametrize(
    ("revision", "hint"),
    [(REVISIONS[0], "Run `pinwarden server migrate`."), ("9999_of_next_year", "A newer version of the server made it")],
)
def test_a_server_says_of_another_schema_whether_to_migrate_it_or_to_bring_its_own_version(
    url: str, revision: str, hint: str
) -> None:
    migrate(url)
    stamp(url, revision)
    store = open_store(url)
    with pytest.raises(StoreUnavailable) as refusal:
        check_schema(store)
    store.close()
    assert refusal.value.got == revision
    assert refusal.value.hint.startswith(hint)


def stamp(url: str, revision: str) -> None:
    """Let the database at *url* say that it has *revision*."""
    engine = open_engine(url, mode="rwc")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    engine.dispose()
