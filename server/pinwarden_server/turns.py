"""
How many may do at a time what costs much memory, in all workers of a node together.

It may use file locks and ``errors``. Nobody waits for a turn, so no thread that could answer reads is held; and the
system gives a turn back when its process dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinwarden_server.errors import StoreUnavailable, TooManyAttempts


class Turns:
    """
    *at_once* turns, each of them the lock of one file.

    Args:
        path: how the files begin; on a local file system, in the run directory.
    """

    def __init__(self, path: Path, *, at_once: int) -> None:
        self._files = [path.with_name(f"{path.name}-{number}.lock") for number in range(1, at_once + 1)]

    @contextmanager
    def one(self, what: str) -> Iterator[None]:
        """
        Hold a turn in the block.

        Raises:
            TooManyAttempts: all are taken; *what* says by whom. StoreUnavailable: the files cannot be opened.
        """
        for file in self._files:
            descriptor = _locked(file)
            if descriptor is not None:
                break
        else:
            raise TooManyAttempts(what, retry_after=1, hint="Repeat the request in a second.")
        try:
            yield
        finally:
            os.close(descriptor)


def _locked(file: Path) -> int | None:
    """Return a descriptor that holds the lock of *file*, or None while another one does."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"the lock {file} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
