"""
Servers of the bench: each a process of its own on loopback that prints the number of its port.

It may start this interpreter, nothing else. What it started ends with the block that asked for it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SECONDS = 10


@contextmanager
def running(module: str, *arguments: str) -> Iterator[int]:
    """Run *module* of this package until the block ends; yield the port that it listens on."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} ended with exit code {process.wait()} before it listened")
        yield int(line)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
