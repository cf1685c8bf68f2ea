"""
Small files that must be whole or absent, and private ones that nobody else may read.

It may import ``os`` and this package's errors. It never overwrites anything and never follows a half-written file.
"""

import os
import secrets
import stat
import warnings
from pathlib import Path

from pinwarden_keys.errors import KeyFileError, UnreadableFileError

_MISSING = "Put it back from your copy. When a key is lost for good, see 'Lost keys' in docs/incidents.md."


class OpenToGroupWarning(UserWarning):
    """A secret file may be read by its group; Kubernetes mounts secrets so, everywhere else it is a mistake."""


def read_private(path: Path, *, limit: int, what: str) -> bytes:
    """
    Return the content of a file that holds a secret.

    Raises:
        KeyFileError: missing, no regular file, larger than *limit* bytes, or open to other users: readable by
            everybody, or writable by the group. Readable by the group is an :class:`OpenToGroupWarning`.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{what} {path} is not a regular file")
            _check_mode(stat.S_IMODE(status.st_mode), path, what)
            content = file.read(limit + 1)
    except OSError as error:
        hint = _MISSING if isinstance(error, FileNotFoundError) else ""
        raise UnreadableFileError(f"{what} {path} cannot be read: {error.strerror}", hint=hint) from None
    if len(content) > limit:
        raise KeyFileError(f"{what} {path} is too large", expected=f"at most {limit} bytes", got="more")
    return content


def read_public(path: Path, *, limit: int, what: str) -> bytes:
    """Return the content of a file that holds no secret; KeyFileError when it is missing or too large."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise UnreadableFileError(f"{what} {path} cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise KeyFileError(f"{what} {path} is too large", expected=f"at most {limit} bytes", got="more")
    return content


def write_new(path: Path, content: bytes, *, mode: int = 0o600, what: str = "file") -> None:
    """
    Create *path* with *content*, whole and on the disk, or leave nothing there.

    Raises:
        KeyFileError: *path* exists, or its folder cannot be written; an existing file is never touched.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        try:
            _write_and_sync(part, content, mode)
            _publish(part, path)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except FileExistsError:
        raise KeyFileError(
            f"{what} {path} exists already",
            holds="It was not touched.",
            hint="Choose another name, or move the old file away yourself.",
        ) from None
    except OSError as error:
        raise KeyFileError(f"{what} {path} cannot be created: {error.strerror}", holds="Nothing was written.") from None


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO would block the start of a server for ever


def _check_mode(mode: int, path: Path, what: str) -> None:
    if mode & 0o027:
        raise KeyFileError(
            f"{what} {path} is open to other users",
            expected="mode 0600",
            got=f"{mode:04o}",
            hint=f"Run: chmod 600 {path}. If others could read it, make a new key.",
        )
    if mode & 0o040:
        warnings.warn(f"{what} {path} is readable by its group (mode {mode:04o})", OpenToGroupWarning, stacklevel=4)


def _write_and_sync(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _publish(part: Path, path: Path) -> None:
    """Give the finished file its name; unlike rename, a link fails when the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # The USB sticks of a ceremony are FAT, which has no links: reserve the name, then replace the empty file.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            os.replace(part, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
