"""
How often bundles are fetched, and how far the clients lag that fetch them.

It may import the metrics. A request only counts in the memory of its own process; what the workers share, and the
scrape reads, is brought up to date each second: to do that for each request would cost more than the rest of it.
"""

from collections.abc import Callable
from threading import Event, Lock, Thread

from pinwarden_server.metrics import FETCHES

PERIOD_SECONDS = 1.0


class FetchCounter:
    """
    Counts fetches by lag; called once per request, so what it looks up is bound beforehand.

    The header is what a client says about itself: it is counted, never believed.
    """

    def __init__(self) -> None:
        # A fetch is an item of a list: to append one is a step that no other thread comes between.
        self._note: dict[tuple[str, str], Callable[[None], None]] = {}
        self._noted: dict[tuple[str, str], list[None]] = {}
        self._lock = Lock()
        self._stopping = Event()

    def __call__(self, path: str, tag: str, held: str | None) -> None:
        """Count that *path* was fetched while *tag* is in force, by a client that says that it holds *held*."""
        lag = "none" if held is None else "current" if held == tag else lag_of(held, tag)
        note = self._note.get((path, lag))
        if note is None:
            note = self._begin(path, lag)
        note(None)

    def start(self) -> None:
        """Hand on each second what was counted, from a thread of its own, until :meth:`stop`."""
        Thread(target=self._keep_handing_on, name="fetch-counter", daemon=True).start()

    def stop(self) -> None:
        """End what start() began, and hand on the rest."""
        self._stopping.set()
        self.hand_on()

    def hand_on(self) -> None:
        """Bring what the scrape reads up to what was counted so far."""
        with self._lock:
            for (path, lag), noted in self._noted.items():
                number = len(noted)
                if number:
                    del noted[:number]  # those that came meanwhile stay
                    FETCHES.labels(path.split("/")[3], lag).inc(number)

    def _begin(self, path: str, lag: str) -> Callable[[None], None]:
        with self._lock:
            key = path, lag
            if key not in self._noted:
                self._noted[key] = []
                self._note[key] = self._noted[key].append
            return self._note[key]

    def _keep_handing_on(self) -> None:
        while not self._stopping.wait(PERIOD_SECONDS):
            self.hand_on()


def lag_of(held: str, tag: str) -> str:
    """Return the label for a client that holds *held* while *tag* is in force; ``other`` for what is no version."""
    try:
        held_epoch, held_version = map(int, held[:40].split("."))
    except ValueError:
        return "other"
    epoch, version = map(int, tag.split("."))
    if held_epoch != epoch:
        return "older-epoch" if held_epoch < epoch else "newer"
    behind = version - held_version
    return (
        "newer" if behind < 0 else "current" if behind == 0 else "1" if behind == 1 else "2-5" if behind <= 5 else "6+"
    )
