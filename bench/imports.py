"""
What ``import pinwarden`` costs beside the libraries that its users import anyway.

It starts fresh interpreters and imports nothing itself. All compared packages have their bytecode in place, as an
installation by pip leaves them; it is written to a folder of this run's own.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec

from bench.measure import Action, Effort, interleaved, milliseconds
from bench.rows import Row, at_most

OURS, PEER, LIMIT = "pinwarden", "requests", 0.75
FOR_REFERENCE = ("httpx", "redis")


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    names = [OURS, PEER, *(name for name in FOR_REFERENCE if find_spec(name))]
    with tempfile.TemporaryDirectory() as bytecode:
        actions = {"": _interpreter("pass", bytecode)}
        actions |= {name: _interpreter(f"import {name}", bytecode) for name in names}
        rounds = effort.pick(full=40, quick=12, smoke=1)
        seconds = interleaved(actions, rounds=rounds, clock=_children_cpu, effort=effort)
    bare = statistics.median(seconds[""])
    net = {name: [taken - bare for taken in seconds[name]] for name in names}
    return [_row(name, net) for name in names]


def _row(name: str, net: dict[str, list[float]]) -> Row:
    ratio = statistics.median(net[name]) / statistics.median(net[PEER])
    compared = "" if name == PEER else f"{ratio:.2f} of {PEER}"
    goal = at_most(ratio, LIMIT, "at most 0.75") if name == OURS else None
    return Row(f"import {name}", milliseconds(net[name]), "ms CPU", compared, goal)


def _interpreter(code: str, bytecode: str) -> Action:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def _children_cpu(action: Callable[[], object]) -> float:
    """Return the CPU seconds of the interpreter that *action* starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
