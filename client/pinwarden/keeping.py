"""
What a client tells of its cache: that it fails, that it works again, and the two contents of one version seen there.

It may import ``cache``, ``split_view``, ``events`` and errors. It decides nothing: what is held stays in force,
whatever is told here.
"""

from collections.abc import Callable

from pinwarden.cache import Cache, Witness
from pinwarden.errors import CacheError
from pinwarden.events import Events
from pinwarden.split_view import SplitView

MAX_TOLD = 64


class Health:
    """
    Whether updates can be kept.

    Attributes:
        failed: how often they could not.
    """

    def __init__(self, cache: Cache, events: Events) -> None:
        self._cache = cache
        self._events = events
        self._works = True
        self.failed = 0

    def note_failure(self, error: CacheError) -> None:
        """Count *error*; the first one is told, for a folder that is read-only stays so and a busy log helps nobody."""
        self.failed += 1
        if self._works:
            self._works = False
            message = "update is in force but could not be kept for the next start: %s"
            self._events.tell("cache.failed", message, error, cache=self._cache.describe, reason=str(error))

    def note_success(self) -> None:
        """Tell that updates are kept again, where that was in doubt."""
        if not self._works:
            self._works = True
            self._events.tell("cache.recovered", "updates are kept again", cache=self._cache.describe)


class Testimony:
    """
    Tells of each split view once, and has both envelopes kept where an operator finds them (spec C6).

    Args:
        cache: keeps the evidence, if it is one that does.
        note: hears of each as well: ``"equivocation"`` or ``"split-view"``, and both envelopes.
    """

    def __init__(
        self, cache: Cache, events: Events, note: Callable[[str, tuple[bytes, bytes]], object] | None = None
    ) -> None:
        self._cache = cache
        self._events = events
        self._note = note
        self._told: dict[tuple[str, ...], str] = {}

    @property
    def count(self) -> int:
        """How many were told."""
        return len(self._told)

    def give(self, outcome: str, view: SplitView) -> str:
        """Return a sentence that says where both envelopes are."""
        key = (view.kind, *view.digests)
        if key not in self._told:
            if len(self._told) >= MAX_TOLD:
                return "There were too many of them to keep this one."
            self._told[key] = self._keep(view)
            self._events.tell(
                "split_view.found",
                "split view: %s %d.%d has two contents, SHA-256 %s is held and %s was shown. What is held stays in "
                "force. %s Treat it as an incident.",
                view.kind,
                *view.tag,
                *view.digests,
                self._told[key],
                kind=view.kind,
                epoch=view.tag[0],
                version=view.tag[1],
                held=view.digests[0],
                shown=view.digests[1],
                evidence=self._told[key],
            )
            if self._note is not None:
                self._note(outcome, (view.held.to_bytes(), view.shown.to_bytes()))
        return self._told[key]

    def _keep(self, view: SplitView) -> str:
        if not isinstance(self._cache, Witness):
            return "This cache keeps no evidence."
        try:
            where = self._cache.testify(view)
        except CacheError as error:
            return f"No evidence could be kept: {error.what}."
        return f"Both are kept in {where}." if where else "There is too much evidence already to keep this one."
