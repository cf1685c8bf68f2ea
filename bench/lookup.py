"""
Finding the rule for a host, and holding the pins: sets of 1 to 2,000 hosts.

It may import the SDK's rooms without I/O. Memory is what Python allocated, not what the process was given.
"""

import random
import statistics
import tracemalloc
import warnings
from collections.abc import Callable

from bench.measure import Action, Effort, interleaved, thread_cpu
from bench.rows import Row, at_most
from pinwarden.bundle import Bundle
from pinwarden.enforce import Policy
from pinwarden.hosts import canonical_host
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.trust import TrustState, advance_bundle, begin

SIZES = (1, 10, 100, 2000)
NAMES = 100
LIMIT_SECONDS = 1e-6
FLAT = 1.5


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    passes = effort.pick(full=50, quick=10, smoke=1)
    policies = {size: _policy(_trusted(*published(size))) for size in SIZES}
    actions: dict[str, Action] = {}
    for size, policy in policies.items():
        names = [f"host-{number % size}.example.com" for number in range(NAMES)]
        actions[f"new {size}"] = _passes(passes, names, lambda name, policy=policy: policy.find(canonical_host(name)))  # type: ignore[misc]
        actions[f"known {size}"] = _passes(passes, names, policy.names.__getitem__)
    rounds = effort.pick(full=50, quick=20, smoke=1)
    seconds = interleaved(actions, rounds=rounds, clock=thread_cpu, effort=effort)
    each = {name: statistics.median(taken) / (passes * NAMES) for name, taken in seconds.items()}
    rows = []
    for size in SIZES:
        known, new = each[f"known {size}"], each[f"new {size}"]
        goal = at_most(known, LIMIT_SECONDS, "below 1 us") if size == SIZES[-1] else None
        rows.append(Row(f"look-up, {size} hosts", known * 1e9, "ns CPU", f"{new * 1e9:.0f} ns for a new name", goal))
    growth = max(each[f"{kind} {SIZES[-1]}"] / each[f"{kind} 1"] for kind in ("new", "known"))
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


def _passes(times: int, names: list[str], look_up: Callable[[str], object]) -> Action:
    """Return what looks every name up *times* times."""

    def act() -> None:
        for _ in range(times):
            for name in names:
                look_up(name)

    return act


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
