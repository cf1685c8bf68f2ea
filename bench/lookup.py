"""
Finding the rule for a host, and holding the pins: sets of 1 to 2,000 hosts.

It may import the SDK's rooms without I/O. Memory is what Python allocated, not what the process was given.
"""

import random
import timeit
import tracemalloc
import warnings

from bench.measure import Effort
from bench.rows import Row, at_most
from pinwarden.bundle import Bundle
from pinwarden.enforce import Policy
from pinwarden.hosts import canonical_host
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.trust import TrustState, advance_bundle, begin

SIZES = (1, 10, 100, 2000)
LIMIT_SECONDS = 1e-6
FLAT = 1.5


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    number = effort.pick(full=20_000, quick=5_000, smoke=50)
    seconds: dict[int, tuple[float, float]] = {}
    for done, size in enumerate(SIZES, 1):
        seconds[size] = _look_up_seconds(size, number)
        effort.progress(done, len(SIZES))
    rows = []
    for size, (first, again) in seconds.items():
        goal = at_most(again, LIMIT_SECONDS, "below 1 us") if size == SIZES[-1] else None
        rows.append(Row(f"look-up, {size} hosts", again * 1e9, "ns", f"{first * 1e9:.0f} ns for a new name", goal))
    growth = max(seconds[SIZES[-1]][kind] / seconds[1][kind] for kind in (0, 1))
    rows.append(Row("look-up, growth from 1 to 2000 hosts", growth, "times", "", at_most(growth, FLAT, "flat (1.5)")))
    return [*rows, Row("memory of a client's pins, 2000 hosts", _pins_mebibytes(), "MiB")]


def published(hosts: int, *, pins: int = 2) -> tuple[ThrowawayAuthority, Bundle]:
    """Return an authority and its bundle for *hosts* hosts with *pins* pins each, the backup included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureForProductionWarning)
        authority = ThrowawayAuthority()
    draw = random.Random(0)
    named = {f"host-{number}.example.com": [draw.randbytes(32) for _ in range(pins)] for number in range(hosts)}
    return authority, authority.publish(named)


def _trusted(authority: ThrowawayAuthority, bundle: Bundle) -> TrustState:
    return advance_bundle(begin(authority.root_json, name="app"), bundle, now=authority.now)


def _policy(state: TrustState) -> Policy:
    assert state.pinset is not None
    return Policy(state.pinset, bytes(16))


def _look_up_seconds(size: int, number: int) -> tuple[float, float]:
    """Return the seconds for a name that was never asked for, and for one that was, as each handshake asks."""
    policy = _policy(_trusted(*published(size)))
    names = [f"host-{index % size}.example.com" for index in range(100)]
    times = max(1, number // len(names))
    new = min(timeit.repeat(lambda: [policy.find(canonical_host(name)) for name in names], number=times, repeat=5))
    known = min(timeit.repeat(lambda: [policy.resolve(name) for name in names], number=times, repeat=5))
    return new / (times * len(names)), known / (times * len(names))


def _pins_mebibytes() -> float:
    authority, bundle = published(SIZES[-1])
    content, root = bundle.to_bytes(), authority.root_json
    tracemalloc.start()
    state = advance_bundle(begin(root, name="app"), Bundle.parse(content), now=authority.now)
    policy = _policy(state)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert policy.find("host-0.example.com") is not None
    return allocated / 2**20
