"""PostgreSQL that fails: ended in the middle of a COMMIT, restarted, locked, full, frozen for writing, misnamed."""

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from pinwarden.errors import ConfigError
from pinwarden.testing import pinned
from pinwarden_server import audit
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.publishing import publish
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act, Attempt, Published, Site
from pinwarden_server.store import Store, migrate, open_store, outcome
from pinwarden_server.store import postgres as postgres_rules
from tests.interrupted_signer import InterruptedSigner
from tests.postgres import PASSWORD, Postgres
from tests.server.domain.conftest import KEPT
from tests.server.store.rows import NOW, audited, root
from tests.server.store.rows import publish as commit_version
from tests.waiting import until

WAIT_SECONDS = 20.0
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = '{}' AND datname = '{}'"


def name_of(store: Store) -> str:
    return store.url.rpartition("/")[2]


def backends(postgres: Postgres, store: Store, event: str) -> list[int]:
    """Return the processes that serve *store* and wait for *event*."""
    return [row[0] for row in postgres.ask(WAITING.format(event, name_of(store)))]


def end_backend(postgres: Postgres, store: Store, event: str) -> None:
    """Terminate the one process that waits for *event*."""
    (pid,) = until(lambda: backends(postgres, store, event))
    assert postgres.ask(f"SELECT pg_terminate_backend({pid})") == [(True,)]


@contextmanager
def commits_wait_for_a_standby(postgres: Postgres) -> Iterator[None]:
    """Make every COMMIT wait, after its record is written, for a standby that does not exist."""
    postgres.ask("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    postgres.ask("SELECT pg_reload_conf()")
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as probe, ThreadPoolExecutor(1) as pool:
        # The setting arrives when it arrives: a session whose commits may wait tells when.
        until(lambda: _is_held(postgres, probe, pool))
    try:
        yield
    finally:
        if postgres.process is not None and postgres.process.poll() is None:
            postgres.ask("ALTER SYSTEM RESET synchronous_standby_names")
            postgres.ask("SELECT pg_reload_conf()")


def _is_held(postgres: Postgres, probe: "psycopg.Connection[Any]", pool: ThreadPoolExecutor) -> bool:
    committing = pool.submit(probe.execute, "SELECT pg_logical_emit_message(true, 'probe', 'probe')")
    cancel = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
        f"WHERE pid = {probe.info.backend_pid} AND wait_event = 'SyncRep'"
    )
    held = until(lambda: postgres.ask(cancel) or ([] if not committing.done() else [None]))
    committing.result(WAIT_SECONDS)
    return bool(held != [None])


@contextmanager
def commits_are_held(postgres: Postgres, store: Store) -> Iterator[None]:
    """Make every COMMIT with an audit row sleep before anything of it is decided."""
    name = name_of(store)
    postgres.ask(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$",
        name,
    )
    postgres.ask(
        "CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION hold()",
        name,
    )
    yield
    postgres.ask("DROP TRIGGER hold ON audit; DROP FUNCTION hold()", name)


def draft(word: bytes = b"live") -> Draft:
    return Draft((pinned("api.example.com", word.ljust(32), KEPT),))


def act(key: str = "one") -> Act:
    return Act("tester", NOW, Attempt(key, "f" * 64))


def published_meanwhile(site: Site, postgres: Postgres, what: Callable[[], None]) -> Published:
    """Return what publishing returned while *what* happened to the waiting COMMIT."""
    with ThreadPoolExecutor(1) as pool:
        running: Future[Published] = pool.submit(publish, site, "payments", draft(), None, act())
        what()
        return running.result(WAIT_SECONDS)


def test_a_publication_whose_backend_ends_after_the_commit_is_found_and_acknowledged_once(
    pg_site: Site, restartable: Postgres
) -> None:
    store = pg_site.store
    with _after_reserving(pg_site, restartable) as site:
        outcome = published_meanwhile(site, restartable, lambda: end_backend(restartable, store, "SyncRep"))
    assert (outcome.tag, outcome.replayed) == ((1, 1), False)
    assert store.reader.version_tags("payments") == [(1, 1)]
    assert audit.verify_chain(store.reader).rows == 2
    assert (pg_site.tree.folder / "v1/bundles/payments/1").exists()
    again = publish(pg_site, "payments", draft(), None, act())
    assert (again.tag, again.replayed) == ((1, 1), True)


def test_a_server_that_is_killed_after_the_commit_and_started_again_has_the_publication(
    pg_site: Site, restartable: Postgres
) -> None:
    store = pg_site.store

    def restart() -> None:
        until(lambda: backends(restartable, store, "SyncRep"))
        restartable.stop(signal.SIGQUIT)
        restartable.forget_settings()
        restartable.start()

    with _after_reserving(pg_site, restartable) as site:
        outcome = published_meanwhile(site, restartable, restart)
    assert outcome.tag == (1, 1)
    assert store.reader.version_tags("payments") == [(1, 1)]
    assert audit.verify_chain(store.reader).rows == 2


def test_a_publication_whose_backend_ends_before_the_commit_is_refused_and_not_there(
    pg_site: Site, postgres: Postgres
) -> None:
    store = pg_site.store
    with commits_are_held(postgres, store), pytest.raises(StoreUnavailable):
        published_meanwhile(pg_site, postgres, lambda: end_backend(postgres, store, "PgSleep"))
    assert store.reader.find_current("payments") is None
    assert audit.verify_chain(store.reader).rows == 1
    assert not (pg_site.tree.folder / "v1/bundles/payments").exists() or not any(
        (pg_site.tree.folder / "v1/bundles/payments").iterdir()
    )
    assert publish(pg_site, "payments", draft(), None, act()).tag == (1, 2)  # 1.1 was signed, and is never used again


def test_when_the_database_does_not_come_back_the_outcome_is_called_unknown(
    pg_site: Site, restartable: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "FIND_OUT_SECONDS", 0.3)
    store = pg_site.store

    def stop() -> None:
        until(lambda: backends(restartable, store, "SyncRep"))
        restartable.stop(signal.SIGQUIT)

    with _after_reserving(pg_site, restartable) as site, pytest.raises(StoreUnavailable) as unknown:
        published_meanwhile(site, restartable, stop)
    assert "Whether the change was stored is not known" in str(unknown.value)
    restartable.forget_settings()
    restartable.start()
    again = publish(pg_site, "payments", draft(), None, act())
    assert (again.tag, again.replayed) == ((1, 1), True)
    assert store.reader.version_tags("payments") == [(1, 1)]


@contextmanager
def _after_reserving(site: Site, postgres: Postgres) -> Iterator[Site]:
    """Yield *site*, whose commits wait for a standby from its first signature on."""
    holding = commits_wait_for_a_standby(postgres)
    once = threading.Event()

    def hold(_: bytes) -> None:  # the numbers are reserved by then, and nothing is stored yet
        if not once.is_set():
            once.set()
            holding.__enter__()

    signers = [InterruptedSigner(signer, hold) for signer in site.signers._signers.values()]
    try:
        yield Site(site.store, site.tree, site.bell, Signers(signers), site.policy)
    finally:
        holding.__exit__(None, None, None)


def test_a_restarted_server_is_used_again_without_a_word(pg_store: Store, restartable: Postgres) -> None:
    commit_version(pg_store, "payments")
    before = pg_store.reader.current("payments")
    restartable.stop()
    with pytest.raises(StoreUnavailable):
        pg_store.reader.current("payments")
    with pytest.raises(StoreUnavailable):
        commit_version(pg_store, "payments", (1, 2))
    restartable.start()
    assert pg_store.reader.current("payments") == before
    commit_version(pg_store, "payments", (1, 2))


def test_connections_that_a_restart_closed_meanwhile_fail_nobody(pg_store: Store, restartable: Postgres) -> None:
    commit_version(pg_store, "payments")
    restartable.stop()
    restartable.start()
    commit_version(pg_store, "payments", (1, 2))
    assert pg_store.reader.current("payments").tag == (1, 2)


def test_a_backend_that_ends_in_the_middle_leaves_nothing(pg_store: Store, postgres: Postgres) -> None:
    def cut_off() -> None:
        with pg_store.writer.transaction() as transaction:
            audited(transaction)
            transaction.append_root(1, root(1), NOW)
            postgres.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{name_of(pg_store)}' AND state = 'idle in transaction'"
            )
            transaction.append_root(2, root(2), NOW)

    with pytest.raises(StoreUnavailable):
        cut_off()
    assert (pg_store.reader.roots(), pg_store.reader.audit()) == ((), [])
    commit_version(pg_store, "payments")


def test_writing_to_a_database_that_only_reads_is_refused_and_works_when_it_writes_again(
    pg_store: Store, postgres: Postgres
) -> None:
    commit_version(pg_store, "payments")
    postgres.ask(f"ALTER DATABASE {name_of(pg_store)} SET default_transaction_read_only = on")
    pg_store.close()
    with pytest.raises(StoreUnavailable) as refusal:
        commit_version(pg_store, "payments", (1, 2))
    assert "read-only transaction" in str(refusal.value)
    assert pg_store.reader.current("payments").tag == (1, 1)
    postgres.ask(f"ALTER DATABASE {name_of(pg_store)} RESET default_transaction_read_only")
    commit_version(pg_store, "payments", (1, 2))  # the pooled connections that could only read were given up


def test_the_reader_cannot_write_on_postgresql_either(pg_store: Store) -> None:
    with pytest.raises(Exception, match="read-only"), pg_store.reader.engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_head"))
    assert pg_store.reader.audit_head() == (0, "0" * 64)


def test_who_waits_too_long_for_the_turn_is_told_so(pg_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres_rules._WRITES, "lock_timeout", "100ms")
    impatient = open_store(pg_store.url)
    with pg_store.writer.transaction() as transaction:
        audited(transaction)
        with pytest.raises(StoreUnavailable) as refusal:
            commit_version(impatient, "payments")
    assert "lock timeout" in str(refusal.value)
    commit_version(impatient, "payments")
    assert audit.verify_chain(pg_store.reader).rows == 2
    impatient.close()


def test_a_question_that_takes_too_long_is_ended(pg_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres_rules._READS, "statement_timeout", "50ms")
    impatient = open_store(pg_store.url)
    with pg_store.writer.transaction() as transaction:
        transaction._connection.exec_driver_sql("LOCK TABLE roots IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable) as refusal:
            impatient.reader.roots()
    assert "statement timeout" in str(refusal.value)
    assert impatient.reader.roots() == ()
    impatient.close()


def test_a_pool_with_no_connection_left_says_so(pg_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pool: Any = pg_store.reader.engine.pool
    monkeypatch.setattr(pool, "_timeout", 0.05)
    held = [pg_store.reader.engine.connect() for _ in range(pool.size() + pool._max_overflow)]
    with pytest.raises(StoreUnavailable) as refusal:
        pg_store.reader.roots()
    assert refusal.value.what == "the database cannot be used: all its connections are in use"
    for connection in held:
        connection.close()
    assert pg_store.reader.roots() == ()


def test_a_server_without_a_connection_left_says_so(pg_store: Store, postgres: Postgres) -> None:
    name = name_of(pg_store)
    postgres.ask("DROP ROLE IF EXISTS narrow")
    postgres.ask(f"CREATE ROLE narrow LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0")
    narrow = open_store(postgres.url(name).replace("pinwarden:", "narrow:"))
    with pytest.raises(StoreUnavailable) as refusal:
        narrow.reader.roots()
    assert "too many connections" in str(refusal.value)


@pytest.mark.parametrize("action", ["read", "write", "migrate", "listen"])
@pytest.mark.parametrize("wrong", ["password", "database", "port", "host"])
def test_no_failure_to_connect_tells_the_password(postgres: Postgres, action: str, wrong: str) -> None:
    url = {
        "password": postgres.url("postgres", password="canary-that-is-wrong"),
        "database": postgres.url("nowhere"),
        "port": postgres.url("postgres").replace(f":{postgres.port}/", ":1/"),
        "host": postgres.url("postgres").replace("127.0.0.1", "nowhere.invalid"),
    }[wrong]
    store = open_store(url)
    actions: dict[str, Callable[[], object]] = {
        "read": store.reader.roots,
        "write": lambda: store.writer.reserve("payments", NOW, pinset=True, room="publish"),
        "migrate": lambda: migrate(url),
        "listen": store.listen,
    }
    with pytest.raises(StoreUnavailable) as refusal:
        actions[action]()
    assert "canary" not in str(refusal.value) + repr(refusal.value)


@pytest.mark.parametrize("url", ["postgresql://u:canary@h:port/d", "mysql://u:canary@h/d", "canary", "://u:canary@h"])
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        open_store(url)
    shown = str(refusal.value) + repr(refusal.value) + repr(refusal.value.__cause__)
    assert "canary" not in shown


def test_every_spelling_of_the_address_means_the_same_driver(pg_store: Store) -> None:
    commit_version(pg_store, "payments")
    for scheme in ("postgresql", "postgresql+psycopg", "postgresql+psycopg2"):
        other = open_store(pg_store.url.replace("postgresql", scheme, 1))
        assert other.reader.current("payments").tag == (1, 1)
        other.close()


def test_commits_are_durable_even_where_the_database_says_otherwise(pg_store: Store, postgres: Postgres) -> None:
    postgres.ask(f"ALTER DATABASE {name_of(pg_store)} SET synchronous_commit = off")
    pg_store.close()
    with pg_store.writer.transaction() as transaction:
        assert transaction._connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_zone_of_the_server_moves_no_time(pg_store: Store, postgres: Postgres) -> None:
    postgres.ask(f"ALTER DATABASE {name_of(pg_store)} SET timezone = 'Pacific/Kiritimati'")
    pg_store.close()
    commit_version(pg_store, "payments")
    assert pg_store.reader.version("payments", 1).published_at == NOW


def test_a_listener_hears_of_every_commit_and_of_nothing_that_was_not(pg_store: Store) -> None:
    other = open_store(pg_store.url)
    with pg_store.listen() as listener:
        assert not listener.wait(0.01)
        commit_version(other, "payments")
        assert listener.wait(WAIT_SECONDS)
        assert not listener.wait(0.01)
        with pytest.raises(RuntimeError):
            _write_and_fail(other)
        assert not listener.wait(0.05)
    other.close()


def _write_and_fail(store: Store) -> None:
    with store.writer.transaction() as transaction:
        audited(transaction)
        raise RuntimeError
