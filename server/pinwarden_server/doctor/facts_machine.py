"""
What the machine says: files and their owners, disks, what crashed processes left, running workers, a backup.

It may import the settings and the standard library. It opens no file for writing and takes no lock.
"""

import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pinwarden.errors import PinwardenError
from pinwarden.strict_json import parse_time
from pinwarden_keys import KeysError
from pinwarden_keys.signer_file import path_of
from pinwarden_server.backup import MAX_LINE_BYTES, read_backup
from pinwarden_server.errors import BackupRefused
from pinwarden_server.published_tree import WORK
from pinwarden_server.settings import Settings
from pinwarden_server.store.engines import sqlite_path

SECRET, OURS = 0o077, 0o022  # bits that others may not have: of secrets any, of the rest those to write
ABANDONED_SECONDS = 3600
ASK_SECONDS = 5.0
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs"})


@dataclass(frozen=True, slots=True)
class FileFact:
    """
    One file or folder.

    Attributes:
        mode, owner: None when it is not there, or cannot be looked at.
        allowed: users who may own it.  forbidden: bits of its mode that must be off.
    """

    path: Path
    what: str
    mode: int | None
    owner: int | None
    allowed: frozenset[int]
    forbidden: int


@dataclass(frozen=True, slots=True)
class DiskFact:
    """One file system: what lies on it, its kind, and how much of space and inodes is free; None without a limit."""

    path: Path
    what: str
    kind: str
    free_bytes: int
    free_share: float
    free_inodes: float | None


@dataclass(frozen=True, slots=True)
class WorkerFact:
    """What an address of this server answers to ``/readyz``; *components* is None when it gave no such answer."""

    address: str
    components: dict[str, str] | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class BackupFact:
    """A backup, read to its end; *made_at* is None when it cannot be used."""

    path: Path
    mode: int
    made_at: datetime | None
    trouble: str = ""


def look_at_files(settings: Settings, config: Path | None) -> Iterator[FileFact]:
    """Yield every file of the installation that matters, whether it is there or not."""
    owner = _owner(settings.data_dir)
    ours = frozenset({owner, 0} if owner is not None else {0})
    # Root may hand the service what the service must not be able to change.
    for path, what, forbidden in (
        (config, "settings", OURS),
        (settings.data_dir, "data folder", OURS),
        (settings.tree_dir, "published files", OURS),
        (settings.run_dir, "run folder", OURS),
        (settings.passphrase_file, "passphrase", SECRET),
        (settings.metrics_token_file, "metrics token", SECRET),
        *((path, "key file", SECRET) for path in _key_files(settings)),
        *((path, "database", SECRET) for path in _database_files(settings)),
        (_existing(settings.data_dir / "admin.token"), "first token", SECRET),
    ):
        if path is not None:
            mode, uid = _mode_and_owner(path)
            yield FileFact(path, what, mode, uid, ours, forbidden)


def look_at_disks(settings: Settings) -> Iterator[DiskFact]:
    """Yield each file system that something of the installation lies on, once."""
    database = sqlite_path(settings.database_url)
    seen: set[int] = set()
    for path, what in (
        (database.parent if database else None, "database"),
        (settings.data_dir, "data"),
        (settings.tree_dir, "published files"),
        (settings.run_dir, "run folder"),
    ):
        try:
            device = path.stat().st_dev if path else None
            if path is None or device is None or device in seen:
                continue
            seen.add(device)
            free = os.statvfs(path)
        except OSError:
            continue  # what is not there is told with the files
        inodes = free.f_favail / free.f_files if free.f_files else None
        share = free.f_bavail / free.f_blocks if free.f_blocks else 1.0
        yield DiskFact(path, what, _kind_of(path), free.f_bavail * free.f_frsize, share, inodes)


def look_at_leftovers(settings: Settings) -> Iterator[str]:
    """Yield what crashed publications and starts left, once it is an hour old."""
    work = settings.tree_dir / WORK
    for path in sorted(chain(work.glob("staged-*"), settings.run_dir.glob("addresses.[0-9]*"))):
        try:
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                yield str(path)
        except OSError:
            continue  # gone meanwhile


def look_at_workers(settings: Settings) -> Iterator[WorkerFact]:
    """Yield what each address answers that a running server says it listens on; nothing when none runs."""
    try:
        addresses = json.loads((settings.run_dir / "addresses.json").read_text("utf-8"))
    except (OSError, ValueError):
        return
    for address in addresses if isinstance(addresses, list) else []:
        yield _ask(str(address))


def look_at_backup(path: Path) -> BackupFact:
    """Return what *path* is, or the newest file in it when it is a folder."""
    newest = path
    try:
        if path.is_dir():
            files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
            if not files:
                return BackupFact(path, 0, None, "no file is in it")
            newest = max(files, key=lambda file: file.stat().st_mtime)
        mode = stat.S_IMODE(newest.stat().st_mode)
        with newest.open("rb") as file:
            head = file.readline(MAX_LINE_BYTES)
        for _ in read_backup(newest):
            pass
        return BackupFact(newest, mode, parse_time(json.loads(head).get("made_at"), what="made_at"))
    except OSError as error:
        return BackupFact(newest, 0, None, str(error.strerror))
    except (BackupRefused, PinwardenError) as error:
        return BackupFact(newest, mode, None, str(error))


def _ask(address: str) -> WorkerFact:
    try:
        connection = _connection(address)
        try:
            connection.request("GET", "/readyz", headers={"Host": "localhost", "Connection": "close"})
            value: Any = json.loads(connection.getresponse().read(64 * 1024))
        finally:
            connection.close()
        return WorkerFact(address, {str(name): str(word) for name, word in value["components"].items()})
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        return WorkerFact(address, None, str(error) or type(error).__name__)


class _OverSocket(HTTPConnection):
    """HTTP over the Unix socket *path*."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ASK_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ASK_SECONDS)
        self.sock.connect(self._path)


def _connection(address: str) -> HTTPConnection:
    if address.startswith("unix:"):
        return _OverSocket(address.removeprefix("unix:"))
    parts = urlsplit(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname or "", parts.hostname or "")  # noqa: S104  asked
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(host, parts.port, timeout=ASK_SECONDS)


def _key_files(settings: Settings) -> Iterator[Path]:
    for uri in settings.signers:
        if uri.startswith("file:"):
            try:
                path = path_of(uri)
            except KeysError:
                continue  # told with the signers
            yield path
            yield path.parent


def _database_files(settings: Settings) -> list[Path]:
    path = sqlite_path(settings.database_url)
    beside = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")] if path else []
    return [*([path] if path else []), *(file for file in beside if file.exists())]


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _owner(path: Path) -> int | None:
    return _mode_and_owner(path)[1]


def _mode_and_owner(path: Path) -> tuple[int | None, int | None]:
    try:
        found = path.stat()
    except OSError:
        return None, None
    return stat.S_IMODE(found.st_mode), found.st_uid


def _kind_of(path: Path) -> str:
    """Return the kind of the file system that *path* lies on, empty when this machine does not tell."""
    try:
        lines = Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()
        mounts = {parts[1]: parts[2] for parts in (line.split(" ") for line in lines) if len(parts) > 2}
        return next((mounts[str(one)] for one in (path.resolve(), *path.resolve().parents) if str(one) in mounts), "")
    except OSError:
        return ""
