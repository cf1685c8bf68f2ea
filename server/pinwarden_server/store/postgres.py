"""
PostgreSQL: its connections, the turn that its writers take, and the channel on which commits are heard of.

It may import SQLAlchemy, and psycopg where a store of this kind is opened. Whoever writes holds the turn from the first
statement to the end of the transaction, so writers meet each other exactly as they do in SQLite.
"""

from types import TracebackType
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from pinwarden.errors import ConfigError
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.store.failures import store_failures

CHANNEL = "pinwarden"
TURN = 0x70696E77  # "pinw"; advisory locks are numbers, and belong to one database
WAIT_SECONDS = 10
_MIGRATION_SECONDS = 600
# A frozen machine is noticed by its silence; a connection that only waits for its turn is not silent.
_CONNECTION = {
    "application_name": "pinwarden",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_READS = {
    "default_transaction_read_only": "on",
    # Several statements of one look see one moment.
    "default_transaction_isolation": r"repeatable\ read",
    "statement_timeout": "30s",
}
# None of these ends a COMMIT that waits for a synchronous standby: that would be called a success.
_WRITES = {
    "default_transaction_isolation": r"read\ committed",
    "lock_timeout": f"{WAIT_SECONDS}s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
}
# Failures after which every pooled connection is to be given up: the server ends or begins, or is a standby now.
_GONE = ("57P01", "57P02", "57P03", "25006", "25P03")


def open_postgres(url: URL, *, mode: str) -> Engine:
    """
    Return an engine on the database of *url*; *mode* is ``ro``, ``rw``, or ``rwc``, which waits longer for its turn.

    Raises:
        ConfigError: psycopg is not installed.
    """
    settings = dict(_READS if mode == "ro" else _WRITES)
    if mode == "rwc":
        settings |= dict.fromkeys(("lock_timeout", "statement_timeout"), f"{_MIGRATION_SECONDS}s")
    try:
        engine = create_engine(
            with_driver(url), connect_args=_arguments(url, settings), pool_pre_ping=True, pool_timeout=WAIT_SECONDS
        )
    except ImportError as error:
        hint = "Install it: pip install 'pinwarden[postgres]'."
        raise ConfigError("PostgreSQL needs psycopg 3, which is not installed", hint=hint) from error
    event.listen(engine, "handle_error", _recognise_the_end)
    if mode != "ro":
        event.listen(engine, "connect", _make_commits_durable)
        event.listen(engine, "begin", _take_the_turn)
    return engine


def with_driver(url: URL) -> URL:
    """Return *url* for psycopg 3, whatever driver SQLAlchemy takes by default."""
    return url.set(drivername="postgresql+psycopg")


def check_primary(engine: Engine) -> None:
    """
    Return when the server behind *engine* takes writes.

    Raises:
        StoreUnavailable: it is a standby, or cannot be asked.
    """
    with store_failures(), engine.begin() as connection:
        is_standby = connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
    if is_standby:
        raise StoreUnavailable(
            "the database can be read, and not written: it is a standby",
            holds="Published pins are served on.",
            hint="Promote it, or name the primary in database_url.",
        )


def announce(connection: Connection) -> None:
    """Let every listener hear of this transaction, at its commit and not before; nothing on another database."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


class Listener:
    """
    A connection of its own that hears of every commit to the audit log.

    It says that something happened, never what; a server behind a pooler that swallows notifications, or one that
    restarted, is why its owner looks at the audit log each time the wait ends.

    Raises:
        StoreUnavailable: from every method, when the server is away.
    """

    def __init__(self, engine: Engine) -> None:
        import psycopg

        self._error = psycopg.Error
        arguments, parameters = engine.dialect.create_connect_args(engine.url)
        try:
            parameters = {**parameters, **_arguments(engine.url, {})}
            self._connection = psycopg.connect(*arguments, autocommit=True, **parameters)
            self._connection.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error as error:
            raise _unheard(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()

    def wait(self, seconds: float) -> bool:
        """Return True as soon as there was a commit since the last wait, or False when *seconds* are over."""
        try:
            return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))
        except self._error as error:
            raise _unheard(error) from error


def _arguments(url: URL, settings: dict[str, str]) -> dict[str, Any]:
    """Return what is passed to libpq besides *url*, whose own words win."""
    arguments: dict[str, Any] = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    options = [f"-c {name}={value}" for name, value in settings.items()]
    asked = url.query.get("options", "")
    if options or asked:
        arguments["options"] = " ".join((*options, asked if isinstance(asked, str) else " ".join(asked))).strip()
    return arguments


def _take_the_turn(connection: Connection) -> None:
    # Without it, two transactions that lock the same rows in another order would end each other, and one that reads
    # what another is about to change would have to be told so by a conflict.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({TURN})")


def _make_commits_durable(connection: Any, record: ConnectionPoolEntry) -> None:
    # What a 2xx acknowledges has to be on the disk; a stronger setting, for standbys, stays as it is.
    with connection.cursor() as cursor:
        if cursor.execute("SHOW synchronous_commit").fetchone() == ("off",):
            cursor.execute("SET synchronous_commit = on")
    connection.commit()


def _recognise_the_end(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) in _GONE:
        context.is_disconnect = True


def _unheard(error: Exception) -> StoreUnavailable:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return StoreUnavailable(f"the database tells nothing of other nodes: {reason}")
