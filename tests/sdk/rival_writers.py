"""Processes that write into one cache at once, each of which must never read less than it has written."""

import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

WRITE_SECONDS = 60.0
WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from pinwarden.bundle import Bundle
    from pinwarden.arguments import open_cache
    from pinwarden.trust import KeptDocuments, absorb, begin
    folder, where, versions = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
    if where.startswith("redis://"):
        from pinwarden.cache_redis import limits
        limits.CONNECT_SECONDS = limits.ANSWER_SECONDS = limits.CALL_SECONDS = 60.0
    empty = begin((folder / "root").read_bytes(), name="app")
    cache = open_cache(where, authority=empty.authority, name="app")
    bundles = [Bundle.parse((folder / version).read_bytes()) for version in versions]
    print("ready", flush=True)
    sys.stdin.readline()
    highest = 0
    for bundle in bundles:
        kept = KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))
        cache.update(lambda found: absorb(absorb(empty, found), kept).kept())
        version = absorb(empty, cache.load()).adopted_pinset.document.version
        assert version >= highest, (version, highest)
        highest = version
    print(highest)
    """
)


def write_at_once(where: str, folder: Path, orders: Sequence[str]) -> list[int]:
    """
    Return the highest version that each writer saw.

    Args:
        where: the cache, as ``open_cache`` takes it.
        folder: has a file ``root``, and a bundle in a file for each version.
        orders: for each writer, the versions that it writes one after the other, with commas between.
    """
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), where, order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in orders
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    highest = [int(writer.communicate(timeout=WRITE_SECONDS)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * len(writers)
    return highest
