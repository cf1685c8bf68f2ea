"""
What wrong logins cost everybody else: public reads beside strangers that try passwords, and beside nobody; on request.

It may start gunicorn as the product does and a process of strangers, on loopback only. Each stranger has more addresses
than the limit of wrong attempts could hold back, so that only the limits of hashing stand between.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.measure import Effort
from bench.product import BUNDLE_ADDRESS, gunicorn, install
from bench.rows import Row

STRANGERS = 16
PAUSE_SECONDS = 0.002  # between two reads: whoever reads without a pause measures himself
KINDS = {"nobody": None, "wrong links": "link", "wrong passwords": "password"}


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    reads = effort.pick(full=3000, quick=1000, smoke=20)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        installation = install(Path(name, "server"))
        with gunicorn(installation, Path(name, "run"), workers=2) as served:
            for step, (whom, kind) in enumerate(KINDS.items()):
                with _strangers(served.port, kind) as answered:
                    seconds = _reads(served.port, reads)
                told = "{} judged, {} sent away".format(*answered) if answered else ""
                rows.append(Row(f"read beside {whom}, p50", statistics.median(seconds) * 1e3, "ms", told))
                rows.append(Row(f"read beside {whom}, p99", statistics.quantiles(seconds, n=100)[98] * 1e3, "ms"))
                effort.progress(step + 1, len(KINDS))
    return rows


def _reads(port: int, number: int) -> list[float]:
    connection, seconds = HTTPConnection("127.0.0.1", port, timeout=60), []
    for _ in range(number):
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        connection.request("GET", BUNDLE_ADDRESS)
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - began)
        if answer.status != 200:
            raise RuntimeError(f"a read was answered with {answer.status}")
    connection.close()
    return seconds


@contextmanager
def _strangers(port: int, kind: str | None) -> Iterator[list[int]]:
    """Let strangers try until the block ends; then the list has how many were judged, and how many sent away."""
    told: list[int] = []
    if kind is None:
        yield told
        return
    command = [sys.executable, "-m", "bench.strangers", str(port), kind, str(STRANGERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # each of them had an answer
        yield told
        told += map(int, process.communicate()[0].split())
