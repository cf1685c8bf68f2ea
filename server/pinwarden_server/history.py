"""
The public list of versions (spec H1 to H4): the entry of a new version, and the files that show it.

It may import layer 0, the store and the files. It opens nothing: every node makes the same bytes of the same rows, and
a publication makes those of one segment, however long the history is.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from pinwarden.documents import PinSet
from pinwarden.envelope import Envelope
from pinwarden.history import SEGMENT_ENTRIES, End, Entry, Segment, segment_of
from pinwarden_server.public_files import history_address, segment_address
from pinwarden_server.published_tree import PublicFile


def next_entry(end: End, pinset: Envelope, published_at: datetime) -> Entry:
    """Return the entry of *pinset*, published at *published_at*, that goes on from *end*."""
    document = PinSet.parse(pinset.payload)
    draft = Entry(
        seq=end.seq + 1,
        epoch=document.epoch,
        version=document.version,
        sha256=sha256(pinset.payload).hexdigest(),
        length=len(pinset.payload),
        issued=document.issued,
        expires=document.expires,
        published_at=published_at.replace(microsecond=0),
        previous=end.hash,
        hash="",
    )
    return replace(draft, hash=draft.link())


def end_of(entries: Sequence[Entry], authority: str, name: str) -> End:
    """Return the end of a history whose last entries are *entries*; none: it has not begun."""
    return End.of(entries[-1]) if entries else End.begin(authority, name)


def head_files(authority: str, name: str, entries: Sequence[Entry]) -> dict[str, PublicFile]:
    """
    Return the files that show the end of a history, by address, the one that everybody asks for last.

    Args:
        entries: its last ones, at least those of the last segment.
    """
    number = segment_of(entries[-1].seq)
    file = segment_file(authority, name, [entry for entry in entries if segment_of(entry.seq) == number])
    # The last segment is the head even when it is full: whoever asks for the head then always finds the newest version.
    full = {segment_address(name, number): file} if entries[-1].seq % SEGMENT_ENTRIES == 0 else {}
    return {**full, history_address(name): file}


def segment_file(authority: str, name: str, entries: Sequence[Entry]) -> PublicFile:
    """Return the file of one segment."""
    newest = entries[-1]
    # The same time as that of the version's own file: see there.
    mtime = int(newest.issued.timestamp()) + newest.version
    return PublicFile(Segment(authority, name, tuple(entries)).to_bytes(), mtime)
