"""
Connections: one engine that writes, one that cannot.

It may import SQLAlchemy. It never creates a database: a missing one is an outage, not an empty store.
"""

from pathlib import Path

from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from pinwarden.errors import ConfigError
from pinwarden_server.store.postgres import Listener, check_primary, open_postgres
from pinwarden_server.store.reader import Reader
from pinwarden_server.store.sqlite import check_file_writable, open_sqlite, path_of
from pinwarden_server.store.writer import Writer

_EXPECTED = "sqlite:////absolute/path.db, or postgresql://user@host/database"


class Store:
    """
    The database of one server, or of several that share it; reached at the first query: opening it touches nothing.

    Attributes:
        reader: queries, on connections that refuse to write.
        writer: transactions.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engines = (open_engine(url, mode="ro"), open_engine(url, mode="rw"))
        self.reader = Reader(self._engines[0])
        self.writer = Writer(self._engines[1])

    @property
    def is_shared(self) -> bool:
        """Whether other nodes may write to it too; SQLite has one node."""
        return self._engines[0].dialect.name == "postgresql"

    def check_writable(self) -> None:
        """
        Return when the database may be written to, as far as can be told without writing: its files, or its rank.

        Raises:
            StoreUnavailable: it may only be read, or cannot be asked.
        """
        path = sqlite_path(self.url)
        if path is not None:
            check_file_writable(path)
        else:
            check_primary(self._engines[0])

    def listen(self) -> Listener:
        """Return a new connection that hears of every node's commits; only a shared store has one."""
        return Listener(self._engines[0])

    def close(self) -> None:
        """Close every connection; the store may be used again, and then connects anew."""
        for engine in self._engines:
            engine.dispose()


def open_store(url: str) -> Store:
    """
    Return the store at *url*, ``sqlite:////absolute/path.db`` or ``postgresql://user@host/database`` for instance.

    Raises:
        ConfigError: not a database URL, neither of the two databases, SQLite without a file, psycopg is missing.
    """
    return Store(url)


def open_engine(url: str, *, mode: str) -> Engine:
    """Return an engine; *mode* is ``ro``, ``rw``, or ``rwc`` to create or migrate what is there."""
    parsed = _parsed(url)
    return open_sqlite(parsed, mode=mode) if _is_sqlite(parsed) else open_postgres(parsed, mode=mode)


def sqlite_path(url: str) -> Path | None:
    """Return the file of an SQLite URL, None for another database; ConfigError when it names no absolute file."""
    parsed = _parsed(url)
    return path_of(parsed) if _is_sqlite(parsed) else None


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not chained, not quoted: what could not be parsed may have a password anywhere.
        raise ConfigError("not a database URL", expected=_EXPECTED) from None
    if not _is_sqlite(parsed) and parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigError("no such database is known", expected=_EXPECTED, got=parsed.get_backend_name())
    return parsed


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
