"""
What one vantage point was shown: the whole history, and the pair that was served; a file that others can compare.

It may import layer 0. It opens nothing: a file of somebody else's is a claim, and passes the same gate as the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from pinwarden.bundle import MAX_BUNDLE_BYTES
from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.history import MAX_SEGMENT_BYTES, SEGMENT_ENTRIES, End, Entry, Segment, check_chain
from pinwarden.strict_json import format_time, parse_object, spell

FORMAT = "pinwarden-history-1"
# 50,000 versions: a version an hour for five years. An endless history ends here.
MAX_SEGMENTS = 500
MAX_VIEW_BYTES = MAX_BUNDLE_BYTES + MAX_SEGMENTS * (MAX_SEGMENT_BYTES + 1)


@dataclass(frozen=True, slots=True)
class Served:
    """The pair that was in force at one place; whether it was verified is for whoever made the view to know."""

    timestamp: Envelope
    pinset: Envelope

    @property
    def tag(self) -> tuple[int, int]:
        """(epoch, version) of the pin set."""
        document = PinSet.parse(self.pinset.payload)
        return document.epoch, document.version

    @property
    def timestamp_tag(self) -> tuple[int, int]:
        """(epoch, version) of the timestamp."""
        document = Timestamp.parse(self.timestamp.payload)
        return document.epoch, document.version


@dataclass(frozen=True, slots=True)
class View:
    """
    What was seen from one place at one time.

    Attributes:
        source: the address, for people.
        entries: every version from the first on, as one chain.
        served: None when clients refuse what was served.
    """

    source: str
    taken_at: datetime
    authority: str
    name: str
    entries: tuple[Entry, ...]
    served: Served | None

    @property
    def head(self) -> Entry:
        """The newest version."""
        return self.entries[-1]

    def to_bytes(self) -> bytes:
        """Return the view as a file: a line about it, then a line for each segment as it was served."""
        first: dict[str, Any] = {"format": FORMAT, "source": self.source, "taken_at": format_time(self.taken_at)}
        if self.served:
            first["timestamp"] = self.served.timestamp.to_json()
            first["pinset"] = self.served.pinset.to_json()
        return b"\n".join([spell(first), *(segment.to_bytes() for segment in self._segments()), b""])

    def _segments(self) -> list[Segment]:
        parts = range(0, len(self.entries), SEGMENT_ENTRIES)
        return [Segment(self.authority, self.name, self.entries[part : part + SEGMENT_ENTRIES]) for part in parts]


def parse_view(data: bytes) -> View:
    """
    Return the view in a file.

    Raises:
        MalformedError: it is none, or its history does not hang together.
    """
    first, *lines = data.removesuffix(b"\n").split(b"\n", MAX_SEGMENTS + 1)
    fields = Fields(parse_object(first, limit=MAX_BUNDLE_BYTES, what="saved history"), "saved history")
    if fields.text("format") != FORMAT:
        raise MalformedError("not a saved history", expected=FORMAT, got=repr(fields.text("format")[:40]))
    segments = [Segment.parse(line) for line in lines[: MAX_SEGMENTS + 1]]
    if not 1 <= len(segments) <= MAX_SEGMENTS:
        raise MalformedError("saved history of impossible length", expected=f"1 to {MAX_SEGMENTS} segments")
    served = None
    if "pinset" in fields:
        served = Served(
            Envelope.from_json(fields.get("timestamp", dict), expect=TIMESTAMP_TYPE),
            Envelope.from_json(fields.get("pinset", dict), expect=PINSET_TYPE),
        )
        _ = served.tag, served.timestamp_tag  # what cannot be parsed is refused here, not where it is compared
    whole = join(segments)
    return View(fields.text("source"), fields.time("taken_at"), segments[0].authority, segments[0].name, whole, served)


def join(segments: Sequence[Segment], *, after: Sequence[Entry] = ()) -> tuple[Entry, ...]:
    """
    Return the entries of *after* and then of *segments* as one history.

    Raises:
        MalformedError: they are not one chain of one pin set.
    """
    authority, name = segments[0].authority, segments[0].name
    end = End.of(after[-1]) if after else End.begin(authority, name)
    entries = list(after)
    for segment in segments:
        if (segment.authority, segment.name) != (authority, name):
            raise MalformedError(
                "history changes its owner",
                expected=f"{authority}/{name}",
                got=f"{segment.authority}/{segment.name}"[:140],
                step="H2",
            )
        end = check_chain(end, segment.entries)
        entries += segment.entries
    return tuple(entries)


def digest_of(envelope: Envelope) -> str:
    """Return the SHA-256 of the payload, as histories spell it."""
    return sha256(envelope.payload).hexdigest()
