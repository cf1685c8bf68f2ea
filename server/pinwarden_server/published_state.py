"""
The published documents as values, read back from what this worker serves.

It may import layer 0 and the public table. It needs no database, so health and metrics speak even while it is away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pinwarden.documents import PinSet, Root, Timestamp
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden_server.public_files import version_address
from pinwarden_server.public_table import PublicTable


@dataclass(frozen=True, slots=True)
class PublishedDocuments:
    """The pair in force for one name."""

    pinset: PinSet
    timestamp: Timestamp


def published_documents(table: PublicTable) -> Iterator[PublishedDocuments]:
    """Yield the pair of every name that is served, by name; signatures are not verified here, clients do that."""
    for name in table.names():
        stamp = table.get(f"/v1/pinsets/{name}/timestamp")
        if stamp is None:
            continue
        timestamp = Timestamp.parse(Envelope.parse(stamp.body, expect=TIMESTAMP_TYPE).payload)
        named = table.get(version_address(name, (timestamp.pinset.epoch, timestamp.pinset.version)))
        if named is not None:
            yield PublishedDocuments(PinSet.parse(Envelope.parse(named.body, expect=PINSET_TYPE).payload), timestamp)


def published_root(table: PublicTable) -> Root | None:
    """Return the newest root that is served, None before the first."""
    version, newest = 1, None
    while (entry := table.get(f"/v1/roots/{version}")) is not None:
        newest, version = entry, version + 1
    return None if newest is None else Root.parse(Envelope.parse(newest.body, expect=ROOT_TYPE).payload)
