"""
A warm start: from the documents of an earlier run, on the disk, to pins in force, without the network.

It may import the SDK. It is measured in this process after the imports and holds everything that the constructor of a
client does: read, parse, verify every signature, make ready for look-ups.
"""

import tempfile
from collections.abc import Callable

from bench.cold_start import PINS_FOR_4_KB, bundle_served
from bench.lookup import published
from bench.measure import Effort, interleaved, milliseconds, wall
from bench.rows import Row, at_most
from pinwarden import PinClient
from pinwarden.bundle import Bundle
from pinwarden.testing import ThrowawayAuthority

NOWHERE = "http://127.0.0.1:1"
LIMIT_SECONDS = 0.010


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    with tempfile.TemporaryDirectory() as small, tempfile.TemporaryDirectory() as large:
        authority, bundle = published(10, pins=PINS_FOR_4_KB)
        starts = {
            "warm start, 10 hosts": _warm_start(small, authority, bundle),
            "warm start, 2000 hosts": _warm_start(large, *published(2000)),
        }
        rounds = effort.pick(full=200, quick=50, smoke=1)
        seconds = interleaved(starts, rounds=rounds, clock=wall, effort=effort)
    ten, many = (milliseconds(taken) for taken in seconds.values())
    size = f"pin set of {len(bundle.pinset.payload) / 1000:.1f} kB"
    return [
        Row("warm start, 10 hosts", ten, "ms", size, at_most(ten / 1000, LIMIT_SECONDS, "below 10 ms")),
        Row("warm start, 2000 hosts", many, "ms"),
    ]


def _warm_start(folder: str, authority: ThrowawayAuthority, bundle: Bundle) -> Callable[[], None]:
    """Fetch *bundle* into the cache in *folder*, and return what starts from there."""
    with bundle_served(bundle) as url:
        _client(url, authority, folder).refresh()

    def start() -> None:
        assert _client(NOWHERE, authority, folder).status().state == "fresh"

    return start


def _client(url: str, authority: ThrowawayAuthority, folder: str) -> PinClient:
    """Return a client of *authority* with its cache in *folder*."""
    return PinClient(url, pinset=authority.name, root=authority.root_json, cache=folder)
