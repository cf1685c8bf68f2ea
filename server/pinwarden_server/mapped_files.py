"""
Files of the run folder that workers map into memory, whose every byte is on the disk before the first is written.

It may import ``os`` alone: it runs before the counters load. A write into a hole of a mapped file ends the process when
the disk is full (SIGBUS), and with it the reads that a full disk must not stop.
"""

import os
from collections.abc import Iterable
from pathlib import Path

# The library that counts makes a file for each process and kind, of 64 KiB with holes; it doubles one that is full.
_COUNTER_BYTES = 256 * 1024
_COUNTER_KINDS = ("counter", "gauge_mostrecent")


def take_space(descriptor: int, size: int) -> None:
    """
    Make the file *size* bytes long, with zeros where it has no content, and take all of it from the disk.

    Raises:
        OSError: there is no space, and the file is shorter than that; a longer one is used as it is.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        if os.fstat(descriptor).st_size < size:
            raise


def reserve_counters(folder: Path, pid: int) -> None:
    """Make the counters' files of the process *pid* before the library does; OSError when there is no space."""
    files = [folder / f"{kind}_{pid}.db" for kind in _COUNTER_KINDS]
    try:
        for file in files:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                take_space(descriptor, _COUNTER_BYTES)
            finally:
                os.close(descriptor)
    except OSError:
        _remove(files)
        raise


def give_back_counters(folder: Path, pid: int) -> None:
    """Shorten the files of a process that has ended to what it counted, which counts on."""
    for file in folder.glob(f"*_{pid}.db"):
        used = int.from_bytes(file.read_bytes()[:4], "little", signed=True)
        os.truncate(file, max(used, 8))  # the library writes the length in use into the first four bytes


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
