"""
Ways to measure that survive a noisy machine: interleaved rounds, medians, ratios.

It may import the standard library. It never compares figures of different runs: whoever else used the machine then
would be part of the result.
"""

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

Action = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Effort:
    """
    How much a run takes upon itself, and whom it tells how far it is.

    Attributes:
        name: ``full``, ``quick``, or ``smoke``: the smallest that still yields every row.
    """

    name: str
    progress: Callable[[int, int], None] = lambda done, total: None

    def pick(self, *, full: int, quick: int, smoke: int) -> int:
        """Return the number for this effort."""
        return {"full": full, "quick": quick, "smoke": smoke}[self.name]


def thread_cpu(action: Action) -> float:
    """Return the CPU seconds that *action* takes of this thread alone, so that a server's work does not count."""
    start = time.thread_time()
    action()
    return time.thread_time() - start


def wall(action: Action) -> float:
    """Return the wall-clock seconds of *action*."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(
    actions: Mapping[str, Action], *, rounds: int, clock: Callable[[Action], float], effort: Effort
) -> dict[str, list[float]]:
    """
    Run every action once per round in a shuffled order; return its seconds per round.

    Shuffling inside each round keeps drift of the machine, and whoever ran just before, out of the comparison. One
    round before the first is not counted: it fills caches, opens files and imports what is imported late.
    """
    shuffle = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        order = list(actions)
        shuffle.shuffle(order)
        for name in order:
            taken = clock(actions[name])
            if number:
                seconds[name].append(taken)
        effort.progress(number, rounds)
    return seconds


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """
    Keep this thread, and the processes that it starts in the block, on the core *number* of those that it may use.

    Where there are fewer cores, or a system without such a choice, nothing is kept anywhere.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if number >= len(cores):
        yield
        return
    os.sched_setaffinity(0, {cores[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(cores))


def median_ratio(figures: list[float], base: list[float]) -> float:
    """Return the ratio of the medians."""
    return statistics.median(figures) / statistics.median(base)


def microseconds(figures: list[float]) -> float:
    """Return the median in microseconds."""
    return statistics.median(figures) * 1e6


def milliseconds(figures: list[float]) -> float:
    """Return the median in milliseconds."""
    return statistics.median(figures) * 1e3
