"""
What a signer process has signed: one row each, on the disk before the signature leaves, never changed afterwards.

It may import sqlite3 and this package's errors. It judges nothing; that no version gets two contents is a constraint of
the table as well. One process has it open at a time.
"""

import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pinwarden_keys.errors import KeeperAwayError, SignerError

Tag = tuple[int, int]

FORMAT = "1"
DAY = timedelta(days=1)
PINSET, TIMESTAMP, CHECKPOINT = "pinset", "timestamp", "checkpoint"
LOG = "*"  # stands for the audit log where pin sets have their name; none is spelt so
APPROVED, ALONE = "approved", "alone"
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE signatures (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,           -- seconds since 1970
    kind TEXT NOT NULL,            -- pinset, timestamp, checkpoint
    how TEXT NOT NULL,             -- approved by people, or alone
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    sha256 BLOB NOT NULL,          -- of the payload
    length INTEGER NOT NULL,
    keyid TEXT NOT NULL,
    approvers TEXT NOT NULL,       -- keyids, separated by spaces
    content BLOB,                  -- pin sets: SHA-256 of what renewals leave as it is
    life INTEGER,                  -- pin sets: seconds
    approved_life INTEGER,         -- pin sets: what people approved for this content
    named_epoch INTEGER,           -- timestamps: which pin set they name
    named_version INTEGER,
    named_sha256 BLOB,
    UNIQUE (kind, name, epoch, version)
);
CREATE INDEX by_time ON signatures (kind, name, at);
CREATE TRIGGER rows_stay BEFORE UPDATE ON signatures BEGIN SELECT RAISE(ABORT, 'rows are never changed'); END;
CREATE TRIGGER rows_remain BEFORE DELETE ON signatures BEGIN SELECT RAISE(ABORT, 'rows are never removed'); END;
"""


@dataclass(frozen=True, slots=True)
class Signed:
    """
    One signature; *approvers* are keyids.

    Attributes:
        how: ``approved`` by people, or signed ``alone``.
        content: of pin sets, the digest of what a renewal leaves as it is; empty for timestamps.
        approved_life: of pin sets, the seconds of life that people approved for this content.
        named: of timestamps, (epoch, version) of the pin set, and the digest of its payload in *named_sha256*; of
            checkpoints, *version* is the number of the last row, and *named_sha256* its hash.
    """

    kind: str
    how: str
    name: str
    epoch: int
    version: int
    sha256: bytes
    length: int
    approvers: tuple[str, ...] = ()
    content: bytes = b""
    life: int = 0
    approved_life: int = 0
    named: Tag | None = None
    named_sha256: bytes = b""

    @property
    def tag(self) -> Tag:
        """(epoch, version)."""
        return self.epoch, self.version


@dataclass(frozen=True, slots=True)
class Past:
    """
    What the journal says about one name.

    Attributes:
        pinset, timestamp: the highest of each kind that was signed, or None.
        stamped: the pin set that the highest timestamp names, when it was signed here: it may be in force.
        named: the pin set that a timestamp under judgement names, when it was signed here.
        checkpoint: of the audit log, the longest end that was signed, or None.
        pinsets_alone, timestamps_alone, checkpoints_alone: how many were signed without people within a day.
    """

    pinset: Signed | None = None
    timestamp: Signed | None = None
    stamped: Signed | None = None
    named: Signed | None = None
    checkpoint: Signed | None = None
    pinsets_alone: int = 0
    timestamps_alone: int = 0
    checkpoints_alone: int = 0


class Journal:
    """
    The journal in the file *path*.

    Raises:
        SignerError: there is none, it is not ours, of another format, or open in another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _check_file(path)
        self._lock = _lock(path)
        try:
            with _failures(path):
                self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
                self._connection.row_factory = sqlite3.Row
                self._connection.execute("PRAGMA synchronous = FULL")  # a row that was committed is on the disk
            if self.fact("format") != FORMAT:
                raise SignerError(f"{path} is not a journal of this version", expected=FORMAT, got=self.fact("format"))
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, path: Path, *, authority: str) -> None:
        """Make the journal of a new signer process; SignerError when there is something already."""
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise SignerError(
                f"journal {path} exists already",
                holds="It was not touched.",
                hint="A process that forgot what it signed would sign replaced versions again: keep the journal.",
            ) from None
        except OSError as error:
            raise SignerError(f"journal {path} cannot be created: {error.strerror}") from None
        with _failures(path):
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                facts = [("format", FORMAT), ("authority", authority), ("root", "0")]
                connection.execute("PRAGMA journal_mode = WAL")  # one flush for each row, not four
                connection.executescript(f"BEGIN; {_SCHEMA}")
                connection.executemany("INSERT INTO facts VALUES (?, ?)", facts)
                connection.execute("COMMIT")
            finally:
                connection.close()

    def fact(self, name: str) -> str | None:
        """Return what stands under *name*: ``format``, ``authority``, or ``root``, the newest version worked under."""
        with _failures(self.path):
            row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def raise_root(self, version: int) -> None:
        """Remember that this process worked under root *version*."""
        with _failures(self.path):
            self._connection.execute("UPDATE facts SET value = ? WHERE name = 'root'", (str(version),))

    def past(self, name: str, *, now: datetime, named: Tag | None = None) -> Past:
        """Return what was signed for *name* until *now*, an aware time, and about the pin set *named*."""
        with _failures(self.path):
            timestamp = self._newest(TIMESTAMP, name)
            return Past(
                pinset=self._newest(PINSET, name),
                timestamp=timestamp,
                stamped=self._find(name, timestamp.named if timestamp else None),
                named=self._find(name, named),
                checkpoint=self._newest(CHECKPOINT, name),
                pinsets_alone=self._count_alone(PINSET, name, now - DAY),
                timestamps_alone=self._count_alone(TIMESTAMP, name, now - DAY),
                checkpoints_alone=self._count_alone(CHECKPOINT, name, now - DAY),
            )

    def append(self, signed: Signed, *, keyid: str, at: datetime) -> None:
        """Add a row; when this returns it is on the disk, and before that no signature may leave."""
        values = asdict(signed) | {"keyid": keyid, "at": int(at.timestamp()), "approvers": " ".join(signed.approvers)}
        values["named_epoch"], values["named_version"] = values.pop("named") or (None, None)
        with _failures(self.path):
            self._connection.execute(_INSERT, values)

    def close(self) -> None:
        """Close the file and let another process have it."""
        if connection := getattr(self, "_connection", None):
            connection.close()
        os.close(self._lock)

    def _find(self, name: str, tag: Tag | None) -> Signed | None:
        if tag is None:
            return None
        query = "SELECT * FROM signatures WHERE kind = ? AND name = ? AND epoch = ? AND version = ?"
        return _as_signed(self._connection.execute(query, (PINSET, name, *tag)).fetchone())

    def _newest(self, kind: str, name: str) -> Signed | None:
        query = "SELECT * FROM signatures WHERE kind = ? AND name = ? ORDER BY epoch DESC, version DESC LIMIT 1"
        return _as_signed(self._connection.execute(query, (kind, name)).fetchone())

    def _count_alone(self, kind: str, name: str, since: datetime) -> int:
        query = "SELECT count(*) FROM signatures WHERE kind = ? AND name = ? AND how = ? AND at > ?"
        row = self._connection.execute(query, (kind, name, ALONE, int(since.timestamp()))).fetchone()
        return int(row[0])


_INSERT = """
INSERT INTO signatures (
    at, kind, how, name, epoch, version, sha256, length, keyid, approvers, content, life, approved_life,
    named_epoch, named_version, named_sha256
) VALUES (
    :at, :kind, :how, :name, :epoch, :version, :sha256, :length, :keyid, :approvers, :content, :life, :approved_life,
    :named_epoch, :named_version, :named_sha256
)
"""


def _as_signed(row: sqlite3.Row | None) -> Signed | None:
    if row is None:
        return None
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Signed) if field.name != "named"}
    values["approvers"] = tuple(values["approvers"].split())
    named = None if row["named_epoch"] is None else (row["named_epoch"], row["named_version"])
    return Signed(**values, named=named)


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise KeeperAwayError(
            f"journal {path} cannot be used: {error}",
            holds="Nothing was signed.",
            hint="Look at the disk and at the owner of the file; never start with an older copy.",
        ) from error


def _check_file(path: Path) -> None:
    try:
        facts = path.lstat()
    except OSError as error:
        raise SignerError(
            f"journal {path} cannot be opened: {error.strerror}",
            hint="A new signer process gets one by `pinwarden signer init`; one that signed before needs its own back.",
        ) from None
    open_to_others = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or open_to_others:
        raise SignerError(
            f"journal {path} is not this user's own",
            expected=f"a file of user {os.geteuid()}, mode 0600",
            got=f"user {facts.st_uid}, mode {stat.S_IMODE(facts.st_mode):04o}",
        )


def _lock(path: Path) -> int:
    place = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SignerError(f"{place} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SignerError(f"journal {path} is open in another signer process", hint="One process has one.") from None
    return descriptor
