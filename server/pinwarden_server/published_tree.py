"""
The public API as plain files, for nginx, an object store, a CDN, and for our own workers.

It may import layer 0 and use files. Every file is written whole, synced and renamed into place; nothing here is the
truth: ``reconcile`` makes all of it again from the store.
"""

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pinwarden import failpoints
from pinwarden_server.errors import StorageFull, StoreUnavailable

# Temporary files and locks; beside "v1", so that renames stay within one file system and no web server offers them.
WORK = ".work"
_WHOLE = "_whole"  # no pin set can have this name
_ABANDONED_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class PublicFile:
    """Content and time of change, in seconds since 1970, of one file; the time makes nginx's ETag exact."""

    body: bytes
    mtime: int


class Staged:
    """Files on the disk that wait for their names."""

    def __init__(self, folder: Path, renames: Mapping[Path, Path]) -> None:
        self._folder = folder
        self._renames = renames

    def rename(self, room: str) -> None:
        """Give every file its name, in order, and sync the folders; the failpoints of *room* lie between."""
        with _disk_failures():
            for number, (temporary, final) in enumerate(self._renames.items()):
                os.replace(temporary, final)
                if number == 0:
                    failpoints.hit(f"{room}.first-file-renamed")
            failpoints.hit(f"{room}.tree-renamed")
            for folder in {final.parent: None for final in self._renames.values()}:
                sync_folder(folder)
        failpoints.hit(f"{room}.tree-synced")

    def discard(self) -> None:
        """Remove what was not renamed."""
        shutil.rmtree(self._folder, ignore_errors=True)


class PublishedTree:
    """The files below *folder*; made when the first one is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._work = folder / WORK

    def path_of(self, address: str) -> Path:
        """Return the file of an address such as ``/v1/roots/1``."""
        return self.folder / address.lstrip("/")

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """
        Hold the lock on the files of *name*, which every process of this node respects.

        Whoever commits and renames does both under it, so that files never appear in another order than commits.
        """
        with self._flock(_WHOLE, fcntl.LOCK_SH), self._flock(name, fcntl.LOCK_EX):
            yield

    @contextmanager
    def locked_whole(self) -> Iterator[None]:
        """Hold the lock on every file; one descriptor, however many names there are."""
        with self._flock(_WHOLE, fcntl.LOCK_EX):
            yield

    @contextmanager
    def _flock(self, name: str, operation: int) -> Iterator[None]:
        with _disk_failures():
            folder = self._work / "locks"
            _make_folders(folder)
            descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with _disk_failures():
                fcntl.flock(descriptor, operation)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def staged(self, files: Mapping[str, PublicFile]) -> Iterator[Staged]:
        """Yield *files*, by address, written and synced under temporary names; what is not renamed is removed."""
        folder = self._work / f"staged-{secrets.token_hex(8)}"
        staged = Staged(folder, {})
        try:
            with _disk_failures():
                _make_folders(folder)
                renames: dict[Path, Path] = {}
                for number, (address, file) in enumerate(files.items()):
                    final = self.path_of(address)
                    _make_folders(final.parent)
                    temporary = folder / str(number)
                    _write_synced(temporary, file)
                    renames[temporary] = final
                staged = Staged(folder, renames)
            yield staged
        finally:
            staged.discard()

    def is_same(self, address: str, file: PublicFile) -> bool:
        """Tell whether the file at *address* has that content and that time."""
        path = self.path_of(address)
        try:
            return path.read_bytes() == file.body and int(path.stat().st_mtime) == file.mtime
        except OSError:
            return False

    def keep_only(self, folder: str, addresses: Collection[str]) -> int:
        """Remove the files directly below the address *folder* that are not among *addresses*; return how many."""
        below = self.path_of(folder)
        removed = 0
        with _disk_failures():
            kept = {self.path_of(address) for address in addresses}
            for file in [path for path in below.glob("*") if path not in kept]:
                file.unlink(missing_ok=True)
                removed += 1
            if removed:
                sync_folder(below)
        return removed

    def sweep(self) -> None:
        """Remove what crashed publications left: staged files older than an hour."""
        for entry in self._work.glob("staged-*"):
            with suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(entry, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        return
    # Whatever the umask: another user's web server reads these, and nobody else the work folder.
    folder.chmod(0o700 if WORK in folder.parts else 0o755)
    sync_folder(folder.parent)


def _write_synced(path: Path, file: PublicFile) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o644)
        stream.write(file.body)
        stream.flush()
        os.utime(descriptor, (file.mtime, file.mtime))
        os.fsync(descriptor)


@contextmanager
def _disk_failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailable
        raise kind(f"the published tree cannot be written: {error.strerror}", got=error.filename) from error
