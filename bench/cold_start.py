"""
A cold start: from the embedded root to pins in force over HTTP, beside python-tuf and a target of the same bytes.

It may import the SDK and the peer. Both are imported before, ask the same kind of server, keep what they fetched in a
fresh folder, and pay for its making and removal. Pinwarden syncs its files and python-tuf does not, so the folder is in
memory where the system has one; one pair of rows shows the disk.
"""

import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench import tuf_peer
from bench.file_server import COUNT_PATH
from bench.local_server import running
from bench.lookup import published
from bench.measure import Action, Effort, interleaved, median_ratio, milliseconds, wall
from bench.rows import Goal, Row, at_most, exactly
from pinwarden import PinClient
from pinwarden.bundle import Bundle

LIMIT = 0.35
PINS_FOR_4_KB = 4
AWAY_MILLISECONDS = (1, 10)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    authority, bundle = published(10, pins=PINS_FOR_4_KB)
    root = authority.root_json  # spelt once, as python-tuf gets its own
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        tuf_root = tuf_peer.write_repository(Path(folder), bundle.pinset.payload)
        _write_bundle(Path(folder), bundle)
        near, *away = (
            f"http://127.0.0.1:{stack.enter_context(running('bench.file_server', folder, str(delay)))}"
            for delay in (0, *AWAY_MILLISECONDS)
        )

        def pairs(*places: tuple[str, str, str | None]) -> dict[str, Action]:
            starts: dict[str, Action] = {}
            for place, url, base in places:
                starts[place] = partial(cold_start, url, authority.name, root, base)
                starts[f"{place}, python-tuf"] = partial(tuf_peer.cold_start, url, tuf_root, base)
            return starts

        at_hand = pairs(("cold start", near, MEMORY), ("cold start, disk", near, None))
        far = [
            (f"cold start, server {delay} ms away", url, MEMORY)
            for delay, url in zip(AWAY_MILLISECONDS, away, strict=True)
        ]
        counts = [_requests(near, at_hand[name]) for name in ("cold start", "cold start, python-tuf")]
        rounds = effort.pick(full=100, quick=25, smoke=1)
        # Apart: a processor that has slept for ten milliseconds is slower for a while, whoever comes next.
        seconds = {
            **interleaved(at_hand, rounds=rounds, clock=wall, effort=effort),
            **interleaved(pairs(*far), rounds=rounds, clock=wall, effort=effort),
        }
    return [*_count_rows(*counts), *_time_rows(seconds)]


def cold_start(url: str, pinset: str, root: bytes, base: str | None) -> None:
    """Start once in a fresh folder inside *base*."""
    with tempfile.TemporaryDirectory(dir=base) as folder:
        started = PinClient(url, pinset=pinset, root=root, cache=folder)
        assert started.refresh().state == "fresh"
        started.close()


@contextmanager
def bundle_served(bundle: Bundle) -> Iterator[str]:
    """Serve *bundle* until the block ends; yield the address for clients."""
    with tempfile.TemporaryDirectory() as folder:
        _write_bundle(Path(folder), bundle)
        with running("bench.file_server", folder) as port:
            yield f"http://127.0.0.1:{port}"


def _write_bundle(folder: Path, bundle: Bundle) -> None:
    path = folder / "v1" / "bundles" / "app" / "1"
    path.parent.mkdir(parents=True)
    path.write_bytes(bundle.to_bytes())


def _count_rows(ours: int, theirs: int) -> list[Row]:
    return [
        Row("cold start, HTTP requests", ours, "requests", "", exactly(ours, 1)),
        Row("cold start, HTTP requests, python-tuf", theirs, "requests"),
    ]


def _time_rows(seconds: dict[str, list[float]]) -> list[Row]:
    rows = []
    for name, taken in seconds.items():
        compared, goal = "", None
        if not name.endswith("python-tuf"):
            ratio = median_ratio(taken, seconds[f"{name}, python-tuf"])
            compared, goal = f"{ratio:.2f} of python-tuf", _goal(name, ratio)
        rows.append(Row(name, milliseconds(taken), "ms", compared, goal))
    return rows


def _goal(name: str, ratio: float) -> Goal | None:
    # Of a disk, the goal says nothing: only one of the two waits for it.
    return None if name.endswith("disk") else at_most(ratio, LIMIT)


def _requests(url: str, start: Action) -> int:
    """Return how many requests *start* makes, as the server counts them."""
    before = _count(url)
    start()
    return _count(url) - before


def _count(url: str) -> int:
    with urllib.request.urlopen(url + COUNT_PATH, timeout=10) as answer:
        return int(answer.read())
