"""
The change bell: how the workers of one node learn that the published tree changed, at the price of a memory read.

It may use ``mmap``, ``mapped_files`` and a file lock. A ring is lost only with the machine; it never says what the new
content is, only whose it is, and everything when in doubt.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.mapped_files import take_space

SLOTS = 1024
SLOT_BYTES = 64  # the longest pin set name
_HEADER = 64  # the counter has a cache line of its own
_SIZE = _HEADER + SLOTS * SLOT_BYTES
_EVERYTHING = "*"


class Bell:
    """
    A counter and the last 1,024 names in a file that every worker of the node maps into memory.

    The file belongs on a local file system, in the run directory; it may be deleted while nothing runs.

    Attributes:
        counter: its item 0 is the generation, for those who look at each request; nobody else writes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b") as file:
                with self._locked():
                    take_space(file.fileno(), _SIZE)
                self._memory = mmap.mmap(file.fileno(), _SIZE)
        except OSError as error:
            raise StoreUnavailable(f"the bell {path} cannot be opened: {error.strerror}") from error
        # An aligned 8-byte item is read and written in one instruction; slicing bytes would be a copy.
        self.counter = memoryview(self._memory).cast("Q")

    @classmethod
    def open(cls, path: Path) -> "Bell":
        """Return the bell at *path*, made when it is missing; StoreUnavailable when it cannot be."""
        return cls(path)

    @property
    def generation(self) -> int:
        """How often the bell was rung."""
        return self.counter[0]

    def ring(self, name: str | None) -> None:
        """Say that the files of *name*, or of everything when None, changed; the files must be in place already."""
        slot = (name or _EVERYTHING).encode("ascii").ljust(SLOT_BYTES, b"\0")
        with self._locked():
            generation = self.counter[0]
            start = _HEADER + generation % SLOTS * SLOT_BYTES
            self._memory[start : start + SLOT_BYTES] = slot
            self.counter[0] = generation + 1  # last: whoever sees it sees the name

    def rung_since(self, generation: int) -> tuple[int, frozenset[str] | None]:
        """Return the present generation, and the names rung since *generation*; None means everything."""
        present = self.counter[0]
        if not 0 <= present - generation < SLOTS:
            return present, None
        names = {self._name_of(number) for number in range(generation, present)}
        # Slots may have been reused while they were read.
        if self.counter[0] - generation >= SLOTS or _EVERYTHING in names:
            return present, None
        return present, frozenset(names)

    def close(self) -> None:
        """Let go of the file; other workers are not affected."""
        self.counter.release()
        self._memory.close()

    def _name_of(self, number: int) -> str:
        start = _HEADER + number % SLOTS * SLOT_BYTES
        return self._memory[start : start + SLOT_BYTES].rstrip(b"\0").decode("ascii", "replace")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # An own descriptor each time: flock would not keep two threads with one descriptor apart.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
