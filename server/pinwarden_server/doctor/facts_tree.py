"""
The published files, beside what the store says they should be.

It may import the store's reader and the tree. It reads, and makes in memory what ``reconcile`` would write.
"""

from collections.abc import Iterator, Mapping
from itertools import count

from pinwarden.checkpoint import CHECKPOINT_ADDRESS
from pinwarden.documents import PinSet, Root, Timestamp
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import UntrustedError
from pinwarden.history import SEGMENT_ENTRIES
from pinwarden_server import history
from pinwarden_server.public_files import (
    checkpoint_file,
    pinset_files,
    root_files,
    segment_address,
    version_address,
    version_file,
)
from pinwarden_server.published_state import PublishedDocuments
from pinwarden_server.published_tree import PublicFile, PublishedTree
from pinwarden_server.store import Reader


def published_pairs(tree: PublishedTree) -> Iterator[PublishedDocuments]:
    """Yield the pair of every name that the files serve, by name; what cannot be read is left out."""
    for file in sorted(tree.folder.glob("v1/pinsets/*/timestamp")):
        try:
            stamp = Timestamp.parse(Envelope.parse(file.read_bytes(), expect=TIMESTAMP_TYPE).payload)
            named = tree.path_of(version_address(stamp.name, (stamp.pinset.epoch, stamp.pinset.version)))
            pinset = PinSet.parse(Envelope.parse(named.read_bytes(), expect=PINSET_TYPE).payload)
        except (OSError, UntrustedError):
            continue
        yield PublishedDocuments(pinset, stamp)


def differing(reader: Reader, tree: PublishedTree) -> Iterator[str]:
    """
    Yield the address of every file that is not what the store says, one pin set in memory at a time.

    A name that changes meanwhile is looked at once more.
    """
    roots = reader.roots()
    newest = reader.newest_checkpoint()
    common = {**root_files(roots), **({CHECKPOINT_ADDRESS: checkpoint_file(newest.envelope)} if newest else {})}
    yield from (address for address, file in common.items() if not tree.is_same(address, file))
    for current in reader.all_current():
        found = _differing(reader, tree, current.name)
        yield from _differing(reader, tree, current.name) if found else ()


def _differing(reader: Reader, tree: PublishedTree, name: str) -> list[str]:
    roots, current = reader.roots(), reader.current(name)
    authority = Root.parse(roots[0].payload).authority
    changing = pinset_files(roots, current.timestamp, current.pinset)
    wanted: Mapping[str, PublicFile] = {
        **{
            version_address(name, tag): version_file(reader.version(name, tag[1], tag[0]).envelope)
            for tag in reader.version_tags(name)
        },
        **_segments(reader, authority, name),
        **history.head_files(authority, name, reader.history_end(name)),
        **changing,
    }
    below = tree.path_of(f"/v1/bundles/{name}").glob("*")
    there = {f"/{file.relative_to(tree.folder).as_posix()}" for file in below}
    extra = sorted(address for address in there if address not in changing)
    return [*(address for address, file in wanted.items() if not tree.is_same(address, file)), *extra]


def _segments(reader: Reader, authority: str, name: str) -> dict[str, PublicFile]:
    found: dict[str, PublicFile] = {}
    for number in count(1):
        entries = reader.history(name, after=(number - 1) * SEGMENT_ENTRIES)
        if len(entries) < SEGMENT_ENTRIES:
            break
        found[segment_address(name, number)] = history.segment_file(authority, name, entries)
    return found
