"""What the database's own failures mean to us. It may import SQLAlchemy and ``errors``; it never retries anything."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pinwarden_server.errors import StorageFull, StoreUnavailable, Unstorable

_HOLDS = "Published pins are served on."  # a connection lost during COMMIT leaves open whether the change was stored
_FULL_SQLSTATES = ("53100",)  # PostgreSQL: disk_full
_HINTS = {
    sqlite3.SQLITE_BUSY: "Another process keeps it locked: end that one (`fuser` names it), then repeat the request.",
    sqlite3.SQLITE_READONLY: "Let the server's user write to the file and its folder, then repeat the request.",
    sqlite3.SQLITE_NOTADB: "Put the right file back, or restore a backup (docs/backup.md).",
    sqlite3.SQLITE_CORRUPT: "Restore a backup (docs/backup.md); keep the damaged file.",
}
_HINTS_OF_STATES = {
    "25006": "It is a standby, or was switched to read only: name the primary in database_url.",
}


@contextmanager
def store_failures() -> Iterator[None]:
    """
    Turn what the driver raises into ``StoreUnavailable`` or ``StorageFull``.

    An ``IntegrityError`` passes: it means that another writer was first, and only the use case knows what follows.
    """
    try:
        yield
    except IntegrityError:
        raise
    except (SQLAlchemyError, OSError) as error:
        cause = error.orig if isinstance(error, StatementError) else error
        if isinstance(cause, Unstorable):
            raise cause from error
        if _is_full(cause):
            hint = "Free space, then repeat the request."
            raise StorageFull("the database's disk is full", holds=_HOLDS, hint=hint) from error
        what, reason = "the database cannot be used", _reason(error, cause)
        # What PostgreSQL says names its host and user, which is for the log: "got" is not told to clients.
        got = reason if hasattr(cause, "sqlstate") else None
        what = what if got else f"{what}: {reason}"
        raise StoreUnavailable(what, got=got, holds=_HOLDS, hint=_hint(cause)) from error


def _is_full(cause: BaseException | None) -> bool:
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return True
    return getattr(cause, "sqlstate", None) in _FULL_SQLSTATES


def _reason(error: Exception, cause: BaseException | None) -> str:
    if isinstance(error, PoolTimeout):
        return "all its connections are in use"
    # The driver's first line alone: what follows may quote the statement with its values.
    return (str(cause).splitlines() or [type(error).__name__])[0][:200]


def _hint(cause: BaseException | None) -> str:
    code = getattr(cause, "sqlite_errorcode", None)
    if "no such table" in str(cause) or getattr(cause, "sqlstate", None) == "42P01":
        return "Run `pinwarden server migrate`."
    # SQLite's extended codes have the kind in their lowest byte.
    told = _HINTS.get(code & 0xFF) if code is not None else _HINTS_OF_STATES.get(getattr(cause, "sqlstate", None) or "")
    return told or "Look at the database and at database_url, then repeat it; over HTTP under the same Idempotency-Key."
