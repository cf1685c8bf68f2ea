"""
SQLite: one file, its connections, and what makes each transaction wait for its turn.

It may import SQLAlchemy. It never creates a file unless it is told to, and never writes into one that lost its name.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from pinwarden.errors import ConfigError
from pinwarden_server.errors import StoreUnavailable

BUSY_SECONDS = 10.0


def open_sqlite(url: URL, *, mode: str) -> Engine:
    """Return an engine on the file of *url*; *mode* is ``ro``, ``rw``, or ``rwc`` to create a missing file."""
    path = path_of(url)
    creator = lambda: _connect(path, mode)  # noqa: E731
    engine = create_engine("sqlite://", creator=creator, poolclass=QueuePool, pool_timeout=BUSY_SECONDS)
    event.listen(engine, "begin", _begin_deferred if mode == "ro" else _begin_immediate)
    _follow_the_name(engine, path)
    return engine


def path_of(url: URL) -> Path:
    """Return the file of an SQLite URL; ConfigError when it names no absolute one."""
    if not url.database or not Path(url.database).is_absolute():
        raise ConfigError(
            "an SQLite store needs an absolute path", expected="sqlite:////absolute/path.db", got=str(url)
        )
    return Path(url.database)


def check_file_writable(path: Path) -> None:
    """
    Return when this process may write to the file and make the files beside it; a missing file is told elsewhere.

    Raises:
        StoreUnavailable: it may not.
    """
    for each in (path, path.parent):
        # Root may write whatever the mode says, and yet neither to a read-only volume nor to an immutable file.
        if os.access(each, os.F_OK) and not os.access(each, os.W_OK):
            raise StoreUnavailable(
                "the database can be read, and not written",
                expected=f"{each} to be writable for user {os.geteuid()}",
                holds="Published pins are served on.",
                hint="Let the server's user write to the file and its folder; look whether the volume is read-only.",
            )


def _connect(path: Path, mode: str) -> sqlite3.Connection:
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
