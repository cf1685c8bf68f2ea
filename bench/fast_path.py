"""
The public read path under real gunicorn: beside a Flask route with constant bytes, and beside a bare WSGI callable.

It may start servers and send them bounded load. All three run at once and are asked in shuffled turns, so that whoever
else uses the machine disturbs all of them alike. They share one core and the load has another: one interpreter cannot
use more than one, and where its threads wander over several, the scheduler decides what a request costs.
"""

import random
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.load import Burst, burst
from bench.measure import Effort, on_core
from bench.product import BUNDLE_ADDRESS, ENTRY, HOOKS, Served, gunicorn, install
from bench.rows import Row, at_least

FLASK_GOAL, WSGI_GOAL = 1.5, 0.95
SERVERS_CORE, LOAD_CORE = 0, 1
PEERS = "python:bench.gunicorn_peers"
SERVERS = {
    "fast path": (HOOKS, ENTRY),
    "Flask": (PEERS, "bench.gunicorn_peers:flask_application()"),
    "raw WSGI": (PEERS, "bench.gunicorn_peers:wsgi_application()"),
}


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        installation = install(Path(folder, "server"))
        with on_core(SERVERS_CORE):
            served = {
                name: running.enter_context(
                    gunicorn(installation, Path(folder, f"run-{number}"), hooks=hooks, entry=entry)
                )
                for number, (name, (hooks, entry)) in enumerate(SERVERS.items())
            }
        with on_core(LOAD_CORE):
            turns = _turns(served, effort)
    return _rows(turns)


def _turns(served: dict[str, Served], effort: Effort) -> dict[str, list[Burst]]:
    rounds = effort.pick(full=80, quick=20, smoke=1)
    requests = effort.pick(full=1000, quick=500, smoke=20)
    turns: dict[str, list[Burst]] = {name: [] for name in served}
    shuffle = random.Random(0)
    for number in range(rounds + 1):
        for name in shuffle.sample(list(served), len(served)):
            turn = burst(served[name].port, BUNDLE_ADDRESS, served[name].worker, requests)
            if number:  # the first round warms up
                turns[name].append(turn)
        effort.progress(number, rounds)
    return turns


def _rows(turns: dict[str, list[Burst]]) -> list[Row]:
    rates = {name: statistics.median(turn.rate for turn in found) for name, found in turns.items()}
    costs = {name: statistics.median(turn.cpu_each for turn in found) for name, found in turns.items()}
    rows = [Row("fast path", rates["fast path"], "requests/s")]
    for peer, limit in (("Flask", FLASK_GOAL), ("raw WSGI", WSGI_GOAL)):
        ratio = rates["fast path"] / rates[peer]
        compared = f"fast path {ratio:.2f} times as many"
        rows.append(Row(f"{peer}, same bytes", rates[peer], "requests/s", compared, at_least(ratio, limit)))
    rows.append(Row("fast path, worker", costs["fast path"] * 1e6, "us CPU"))
    for peer, limit in (("Flask", FLASK_GOAL), ("raw WSGI", WSGI_GOAL)):
        ratio = costs[peer] / costs["fast path"]
        compared = f"fast path {1 / ratio:.2f} of it"
        goal = at_least(ratio, limit, f"at most {1 / limit:.2f}")
        rows.append(Row(f"{peer}, worker", costs[peer] * 1e6, "us CPU", compared, goal))
    return rows
