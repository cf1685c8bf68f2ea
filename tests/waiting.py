"""Waiting for what no event tells of: a thread inside the product, or another process."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

WAIT_SECONDS = 60.0  # how long a busy machine may take before a test gives up; no test is about it
_PAUSE_SECONDS = 0.005

Found = TypeVar("Found")


def until(holds: Callable[[], Found], check: Callable[[], object] = lambda: None) -> Found:
    """Return what *holds* returns once that is true; *check* fails when it can never be."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := holds()):
        check()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(_PAUSE_SECONDS)
    return found


class Watched:
    """
    What tests do with a process of the product, whose log says why when it ends too early.

    Attributes:
        process: the process; a class that starts one sets it.
    """

    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        raise NotImplementedError

    def wait_until(self, holds: Callable[[], Found]) -> Found:
        """Return what *holds* returns once that is true; another process has no event to wait for."""
        return until(holds, self._check_runs)

    @contextmanager
    def silenced(self, pid: int) -> Iterator[None]:
        """Stop the worker *pid* for the length of the block: only the others can answer."""
        os.kill(pid, signal.SIGSTOP)
        try:
            # The signal takes effect a moment later; until then the worker may still accept a connection.
            stat = Path(f"/proc/{pid}/stat")
            self.wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _check_runs(self) -> None:
        assert self.process.poll() is None, self.log
