"""Ways to measure that survive a noisy machine: interleaved rounds, medians, ratios."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of a report: what was measured, its figure, what it is compared with, and the goal."""

    what: str
    figure: str
    ratio: str = ""
    goal: str = ""


def thread_cpu(action: Callable[[], object]) -> float:
    """Return the CPU seconds that *action* takes of this thread alone, so that a server's work does not count."""
    start = time.thread_time()
    action()
    return time.thread_time() - start


def wall(action: Callable[[], object]) -> float:
    """Return the wall-clock seconds of *action*."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def interleaved(
    actions: Mapping[str, Callable[[], object]], *, rounds: int, clock: Callable[[Callable[[], object]], float]
) -> dict[str, list[float]]:
    """
    Run every action once per round in a shuffled order; return its seconds per round.

    Shuffling inside each round keeps drift of the machine, and whoever ran just before, out of the comparison.
    """
    shuffle = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        order = list(actions)
        shuffle.shuffle(order)
        for name in order:
            seconds[name].append(clock(actions[name]))
    return seconds


def median_ratio(figures: list[float], base: list[float]) -> float:
    """Return the ratio of the medians."""
    return statistics.median(figures) / statistics.median(base)
