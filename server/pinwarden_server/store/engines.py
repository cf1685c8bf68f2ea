"""
Connections: one engine that writes, one that cannot.

It may import SQLAlchemy. It never creates a database: a missing one is an outage, not an empty store.
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from pinwarden.errors import ConfigError
from pinwarden_server.store.reader import Reader
from pinwarden_server.store.writer import Writer

BUSY_SECONDS = 10.0


class Store:
    """
    The database of one server, reached at the first query: opening it here touches nothing.

    Attributes:
        reader: queries, on connections that refuse to write.
        writer: transactions.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engines = (open_engine(url, mode="ro"), open_engine(url, mode="rw"))
        self.reader = Reader(self._engines[0])
        self.writer = Writer(self._engines[1])

    def close(self) -> None:
        """Close every connection; the store may be used again, and then connects anew."""
        for engine in self._engines:
            engine.dispose()


def open_store(url: str) -> Store:
    """
    Return the store at *url*, ``sqlite:////absolute/path.db`` for instance.

    Raises:
        ConfigError: not a database URL, or SQLite without a file.
    """
    return Store(url)


def open_engine(url: str, *, mode: str) -> Engine:
    """Return an engine; *mode* is ``ro``, ``rw``, or ``rwc`` to create a missing SQLite file."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise ConfigError("not a database URL", expected="sqlite:////absolute/path.db") from error
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(parsed, pool_pre_ping=True)
        if mode == "ro":
            return engine.execution_options(postgresql_readonly=True)
        return engine
    path = sqlite_path(url)
    engine = create_engine("sqlite://", creator=lambda: _connect(path, mode), poolclass=QueuePool)
    event.listen(engine, "begin", _begin_deferred if mode == "ro" else _begin_immediate)
    if path is not None:
        _follow_the_name(engine, path)
    return engine


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for another database; ConfigError when it names no absolute file."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database or not Path(parsed.database).is_absolute():
        raise ConfigError(
            "an SQLite store needs an absolute path", expected="sqlite:////absolute/path.db", got=str(parsed)
        )
    return Path(parsed.database)


def _connect(path: Path | None, mode: str) -> sqlite3.Connection:
    # isolation_level=None: the module's own BEGIN would come too late, as a deferred one, and never before DDL.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if mode == "ro":
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _follow_the_name(engine: Engine, path: Path) -> None:
    """Give up pooled connections whose file is not the one at *path* any more."""

    # A connection outlives the name of its file: after a restore, or with the volume gone, it would go on to write
    # into a file that nobody will ever read again, and publications would be acknowledged that are lost.
    def remember(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(path)

    def compare(connection: sqlite3.Connection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        if record.info["file"] is None or _identity(path) != record.info["file"]:
            raise DisconnectionError(f"{path} was moved or replaced")

    event.listen(engine, "connect", remember)
    event.listen(engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _begin_immediate(connection: Connection) -> None:
    # Taking the write lock at once makes concurrent writers wait; a deferred BEGIN would make them fail at the upgrade.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
