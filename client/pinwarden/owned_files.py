"""
Files that several processes of one user share: read with suspicion, replaced as a whole under a lock (spec C3).

It may import ``failpoints`` and the standard library. It never judges a content, and never leaves half of one.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pinwarden import failpoints

# Whoever holds the lock writes one small file; longer than this it was stopped, and must not stop its siblings.
LOCK_SECONDS = 5.0
_NEVER_OURS = {
    errno.ELOOP: "it is a symbolic link",
    errno.ENXIO: "it is a socket",
    errno.EACCES: "this process may not read it",
}

failpoints.register(
    "cache.locked",
    "cache.read",
    "cache.temp-written",
    "cache.synced",
    "cache.renamed",
    "cache.folder-synced",
)


class UnusableFileError(ValueError):
    """What stands there is not read, because it could be anything."""


def read(path: Path, limit: int) -> bytes:
    """
    Return the content of *path*.

    Raises:
        OSError: there is none, or it cannot be read. UnusableFileError: it is no file of ours, or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in _NEVER_OURS:
            raise UnusableFileError(_NEVER_OURS[error.errno]) from None
        raise
    try:
        problem = _distrust(os.fstat(descriptor), limit)
        if problem:
            raise UnusableFileError(problem)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit + 1)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock that belongs to *path*; OSError when another process holds it for too long."""
    descriptor = _open_lock(path.with_suffix(".lock"))
    try:
        _lock(descriptor)
        yield
    finally:
        # Closing would not do: a child that was forked meanwhile has this descriptor too, and would keep the lock.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:  # the folder, at the first write
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def replace(path: Path, content: bytes, *, durable: bool = True) -> None:
    """
    Write *content* beside *path* and rename it there; the caller holds the lock.

    Args:
        durable: wait for the disk. Without it, a power cut may leave an empty file, or none.
    """
    temporary = path.parent / f".{path.name}.new"
    try:
        try:
            _write_new(temporary, content, durable=durable)
        except FileExistsError:  # of a process that was killed between writing and renaming
            temporary.unlink()
            _write_new(temporary, content, durable=durable)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    failpoints.hit("cache.renamed")
    if durable:
        _sync_folder(path.parent)
    failpoints.hit("cache.folder-synced")


def _lock(descriptor: int) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                reason = f"another process has held the lock for {LOCK_SECONDS:g} s"
                raise TimeoutError(errno.ETIMEDOUT, reason) from None
            time.sleep(0.01)
        else:
            return


def _distrust(facts: os.stat_result, limit: int) -> str | None:
    if not stat.S_ISREG(facts.st_mode):
        return "it is not a regular file"
    if facts.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {facts.st_uid}"
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    if facts.st_size > limit:
        return f"it has {facts.st_size} bytes"
    return None


def _write_new(path: Path, content: bytes, *, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        failpoints.hit("cache.temp-written")
        if durable:
            os.fsync(descriptor)
        failpoints.hit("cache.synced")
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
