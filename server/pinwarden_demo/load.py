"""
A steady load: callers that never pause for long, while something changes beneath them.

It may import ``threading`` and the calls. Every call opens a connection of its own, so that none rides on an old
handshake, and every failure is kept by its name.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Self

from pinwarden_demo.libraries import Call

PAUSE_SECONDS = 0.01
PATIENCE_SECONDS = 30.0


class SteadyLoad:
    """
    Calls every one of *callers* again and again, each in a thread of its own, until the block ends.

    Attributes:
        sent: calls that have ended.
        failed: those that were not answered with 200, by the name of their error.
    """

    def __init__(self, callers: Mapping[str, Call]) -> None:
        self._threads = [
            threading.Thread(target=self._run, args=(name, call), name="demo-load", daemon=True)
            for name, call in callers.items()
        ]
        self._sent = dict.fromkeys(callers, 0)
        self._progress = threading.Condition()
        self._over = False
        self.failed: Counter[str] = Counter()

    @property
    def sent(self) -> int:
        """How many calls have ended."""
        return sum(self._sent.values())

    def wait_for(self, more: int) -> None:
        """Return when every caller has made *more* whole calls from now on, or when that takes too long."""
        with self._progress:
            goal = {name: count + more + 1 for name, count in self._sent.items()}  # one may be under way
            self._progress.wait_for(
                lambda: all(self._sent[name] >= wanted for name, wanted in goal.items()), PATIENCE_SECONDS
            )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over = True
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def _run(self, name: str, call: Call) -> None:
        while not self._over:
            result = call()
            with self._progress:
                self._sent[name] += 1
                if result.status != 200:
                    self.failed[result.error or f"HTTP {result.status}"] += 1
                self._progress.notify_all()
            time.sleep(PAUSE_SECONDS)
