"""
One address, looked at as clients do: the bundle first, so that no server can tell an observer from a client, then the
history.

It may import layer 0 and views. What it returns hangs together; whether it is the same story as elsewhere is not judged
here.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pinwarden.bundle import Bundle
from pinwarden.cache import Cache
from pinwarden.envelope import Envelope
from pinwarden.errors import FetchError, MalformedError, UntrustedError, WrongPinSetError
from pinwarden.fetch import Fetched, Fetcher
from pinwarden.history import MAX_SEGMENT_BYTES, SEGMENT_ENTRIES, Entry, Segment, segment_of
from pinwarden.trust import TrustState, absorb
from pinwarden.update import Updater
from pinwarden_ops.history_view import MAX_SEGMENTS, Served, View, join

HISTORY_SECONDS = 300.0
NOT_FOUND = 404


@dataclass
class Sighting:
    """
    What came of one look.

    Attributes:
        view: None when the history was refused.
        refused, broken: what refused the bundle, and the history.
        body: the bundle as it was served.
        offered: the documents in it, refused or not.
    """

    view: View | None = None
    refused: UntrustedError | None = None
    broken: UntrustedError | None = None
    body: bytes = b""
    offered: tuple[Envelope, ...] = ()


class Vantage:
    """
    A place from which one pin set is watched.

    Args:
        source: the address, for people; *fetcher* asks it.
        trust: what is trusted to begin with; *cache* keeps what is added.

    Attributes:
        state: what is trusted now.
    """

    def __init__(self, source: str, fetcher: Fetcher, trust: TrustState, cache: Cache) -> None:
        self.source = source
        self._line = _Recorder(fetcher)
        self.state = absorb(trust, cache.load())
        self._updater = Updater(self._line, cache, adopt=self._adopt)

    def look(self, before: View | None, now: datetime) -> Sighting:
        """
        Fetch bundle and history once; of the history only what *before* does not have.

        Raises:
            FetchError: no usable answer.
        """
        sighting = Sighting()
        served = self._bundle(sighting, now)
        try:
            entries = self._history(before.entries if before else ())
        except UntrustedError as error:
            sighting.broken = error
        else:
            sighting.view = View(self.source, now, self.state.authority, self.state.name, entries, served)
        return sighting

    def document(self, path: str, limit: int) -> bytes | None:
        """Return what stands at *path*, or None."""
        return self._line.fetcher.document(path, limit)

    def close(self) -> None:
        """Close the connection."""
        self._line.fetcher.close()

    def _adopt(self, state: TrustState) -> None:
        self.state = state

    def _bundle(self, sighting: Sighting, now: datetime) -> Served | None:
        """Return the pair that clients take from here, or None; the refusal goes into *sighting*."""
        try:
            self.state = self._updater.update(self.state, now)
        except UntrustedError as error:
            sighting.refused = error
        sighting.body = self._line.body
        try:
            bundle = Bundle.parse(sighting.body)
        except UntrustedError:
            return None  # refused for the same reason a moment ago
        sighting.offered = (bundle.timestamp, bundle.pinset)
        return None if sighting.refused else Served(*sighting.offered)

    def _history(self, known: Sequence[Entry]) -> tuple[Entry, ...]:
        end = time.monotonic() + HISTORY_SECONDS
        head = self._segment(f"/v1/history/{self.state.name}", "no history is served")
        if head.number > MAX_SEGMENTS:
            raise MalformedError(
                "history is too long for this command",
                expected=f"at most {MAX_SEGMENTS * SEGMENT_ENTRIES} versions",
                got=head.entries[-1].seq,
            )

        def rest(first: int) -> list[Segment]:
            return [*(self._full(number, end) for number in range(first, head.number)), head]

        first = min(segment_of(known[-1].seq), head.number) if known else 1
        kept = known[: (first - 1) * SEGMENT_ENTRIES]
        segments = rest(first)
        try:
            return join(segments, after=kept)
        except MalformedError:
            if not kept:
                raise
        # It does not go on from what is known: all of it is needed to see where the two part.
        return join([*(self._full(number, end) for number in range(1, first)), *segments])

    def _full(self, number: int, end: float) -> Segment:
        if time.monotonic() > end:
            raise FetchError(f"the history of {self.source} did not come within {HISTORY_SECONDS:g} s")
        path = f"/v1/pinsets/{self.state.name}/history/{number}"
        segment = self._segment(path, f"segment {number} of the history is missing")
        if (segment.number, len(segment.entries)) != (number, SEGMENT_ENTRIES):
            raise MalformedError(
                f"{path} is not that segment of the history",
                expected=f"the {SEGMENT_ENTRIES} entries of segment {number}",
                got=f"{len(segment.entries)} of segment {segment.number}",
                step="H3",
            )
        return segment

    def _segment(self, path: str, missing: str) -> Segment:
        body = self._line.fetcher.document(path, MAX_SEGMENT_BYTES)
        if body is None:
            raise FetchError(
                f"{missing} at {self.source}",
                got=str(NOT_FOUND),
                hint="Is it a server without histories, or with another pin set?",
                status=NOT_FOUND,
            )
        segment = Segment.parse(body)
        ours, theirs = f"{self.state.authority}/{self.state.name}", f"{segment.authority}/{segment.name}"
        if ours != theirs:
            raise WrongPinSetError("history of another pin set", expected=ours, got=theirs[:140], step="H1")
        return segment


class _Recorder:
    """Passes on to a fetcher, and keeps the last bundle as it was served."""

    def __init__(self, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self.body = b""

    def bundle(self, name: str, root_version: int, *, held: tuple[int, int] | None, etag: str | None) -> Fetched | None:
        # Without the ETag: a 304 would leave nothing to compare.
        fetched = self.fetcher.bundle(name, root_version, held=held)
        self.body = fetched.body if fetched else b""
        return fetched

    def root(self, version: int) -> bytes | None:
        return self.fetcher.root(version)
