"""When the pin server is asked: jitter, backoff, Retry-After, pokes, and a thread that survives everything."""

import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pinwarden import FetchError, SignatureError, background, elapsed
from pinwarden.background import BackgroundRefresh

NO = FetchError("no")


class Refresh:
    """Something to be called, which waits for the test between calls."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.threads: list[threading.Thread] = []
        self.called = threading.Semaphore(0)

    def __call__(self) -> None:
        self.threads.append(threading.current_thread())
        outcome = self.outcomes.pop(0) if self.outcomes else None
        self.called.release()
        if outcome is not None:
            raise outcome

    def wait(self) -> None:
        """Wait for one call."""
        assert self.called.acquire(timeout=10)


@pytest.fixture
def start() -> Iterator[Callable[..., BackgroundRefresh]]:
    """Return a function that starts background refreshes; every one is closed afterwards."""
    started: list[BackgroundRefresh] = []

    def begin(refresh: Callable[[], object], **options: Any) -> BackgroundRefresh:
        started.append(BackgroundRefresh(refresh, **options))
        started[-1].start()
        return started[-1]

    yield begin
    for one in started:
        one.close()


def test_the_wait_is_the_interval_with_twenty_percent_jitter() -> None:
    waits = [BackgroundRefresh(print, interval_seconds=300).wait_seconds(0, None) for _ in range(2000)]
    assert 240 <= min(waits) < 250
    assert 350 < max(waits) <= 360


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 300), (1, 600), (2, 1200), (3, 2400), (4, 3600), (5, 3600), (40, 3600), (10**6, 3600)]
)
def test_every_failure_doubles_the_wait_up_to_an_hour(
    failures: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    assert BackgroundRefresh(print, interval_seconds=300).wait_seconds(failures, NO) == seconds


def test_an_interval_beyond_an_hour_is_not_shortened_by_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    assert BackgroundRefresh(print, interval_seconds=7200).wait_seconds(3, NO) == 7200


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 600), (0.0, 600), (10.0, 600), (1800.0, 1800), (3600.0, 3600), (1e9, 3600)]
)
def test_retry_after_lengthens_the_wait_up_to_an_hour_and_never_shortens_it(
    asked: float | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    failure = FetchError("slow down", status=429, retry_after=asked)
    assert BackgroundRefresh(print, interval_seconds=300).wait_seconds(1, failure) == seconds


def test_it_refreshes_at_once_and_again_after_the_interval(start: Any) -> None:
    refresh = Refresh()
    start(refresh, interval_seconds=0.01)
    for _ in range(3):
        refresh.wait()
    assert {thread.name for thread in refresh.threads} == {"pinwarden-refresh"}


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (FetchError("server is away"), None),  # the client's refresh has told of it
        (SignatureError("too few signatures"), None),
        (ZeroDivisionError("a defect"), "refresh failed for a reason that it should not fail for"),
        (MemoryError(), "refresh failed for a reason that it should not fail for"),
        (RecursionError(), "refresh failed for a reason that it should not fail for"),
    ],
)
def test_the_thread_survives_and_logs_what_nobody_expected(
    outcome: Exception, words: str | None, start: Any, caplog: Any
) -> None:
    refresh = Refresh(outcome, outcome)
    running = start(refresh, interval_seconds=0.001)
    for _ in range(4):
        refresh.wait()
    assert running.is_running
    assert len(set(refresh.threads)) == 1
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert logged == ([words] * 2 if words else [])


def test_a_poke_refreshes_soon_but_not_within_ten_seconds_of_the_last_one(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = Refresh()
    running = start(refresh, interval_seconds=3600)
    refresh.wait()
    running.poke()
    assert not running._wake.is_set()
    monkeypatch.setattr(background, "MIN_POKE_SECONDS", 0.0)
    running.poke()
    refresh.wait()
    assert len(refresh.threads) == 2


def test_pokes_from_many_threads_are_one_refresh(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refresh = Refresh()
    running = start(refresh, interval_seconds=3600)
    refresh.wait()
    running._last_run -= background.MIN_POKE_SECONDS
    pokers = [threading.Thread(target=running.poke) for _ in range(16)]
    for poker in pokers:
        poker.start()
    for poker in pokers:
        poker.join()
    refresh.wait()
    assert len(refresh.threads) == 2


def test_starting_twice_or_from_sixteen_threads_at_once_makes_one_thread(start: Any) -> None:
    refresh = Refresh()
    running = start(refresh, interval_seconds=3600)
    running.close()
    before = set(threading.enumerate())
    barrier = threading.Barrier(16)

    def begin() -> None:
        barrier.wait()
        running.start()

    starters = [threading.Thread(target=begin) for _ in range(16)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["pinwarden-refresh"]


def test_close_joins_and_start_starts_again(start: Any) -> None:
    refresh = Refresh()
    running = start(refresh, interval_seconds=3600)
    refresh.wait()
    running.close()
    running.close()
    assert not refresh.threads[0].is_alive()
    assert not running.is_running
    running.start()
    refresh.wait()
    assert running.is_running
    assert refresh.threads[1] is not refresh.threads[0]


def test_a_thread_whose_refresh_hangs_over_a_restart_ends_with_it(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        entered.release()
        release.wait(10)

    running = start(hang, interval_seconds=3600)
    assert entered.acquire(timeout=10)
    first = running.stop()
    running.start()
    assert entered.acquire(timeout=10)
    release.set()
    first.join(10)
    assert not first.is_alive()
    assert running.is_running


def test_a_refresh_may_close_its_own_thread(start: Any) -> None:
    closed = threading.Event()

    def refresh() -> None:
        running.close()
        closed.set()

    running = BackgroundRefresh(refresh, interval_seconds=3600)
    running.start()
    assert closed.wait(10)
    assert not running.is_running


class Sleeper:
    """The clock of a machine that can be put to sleep."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._awake = elapsed.seconds

    def __call__(self) -> float:
        return self._awake() + self.slept


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Sleeper:
    """A machine whose timers stand still while it sleeps, as those of the kernel do."""
    sleeper = Sleeper()
    monkeypatch.setattr(elapsed, "seconds", sleeper)
    return sleeper


def test_a_machine_that_slept_over_many_refreshes_makes_one_when_it_wakes(
    start: Any, machine: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_STRETCH_SECONDS", 0.01)
    refresh = Refresh()
    running = start(refresh, interval_seconds=3600)
    refresh.wait()
    machine.slept += 8 * 3600
    refresh.wait()
    for _ in range(3):
        running.poke_if_late()
    assert not refresh.called.acquire(timeout=0.1)
    assert len(refresh.threads) == 2


def test_a_connection_after_the_sleep_wakes_the_thread_before_its_own_look_at_the_clock(
    start: Any, machine: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "MAX_STRETCH_SECONDS", 3600.0)
    refresh = Refresh()
    running = start(refresh, interval_seconds=3600)
    refresh.wait()
    running.poke_if_late()
    assert not refresh.called.acquire(timeout=0.1)
    machine.slept += 8 * 3600
    running.poke_if_late()
    refresh.wait()


def fork(client: BackgroundRefresh) -> None:
    """Do to *client* what a fork does, and let the thread end that a child would not have."""
    thread, wake = client._thread, client._wake
    assert thread is not None
    client.reset_after_fork()
    client.resume()
    wake.set()
    thread.join()


def test_a_forked_child_waits_for_a_moment_of_its_own_where_its_parent_had_fresh_pins(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = Refresh()
    child = start(refresh, interval_seconds=300.0)
    refresh.wait()
    while child._failures is None:
        time.sleep(0.001)
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(background, "_random", lambda *bounds: drawn.append(bounds) or 75.0)
    monkeypatch.setattr(elapsed, "seconds", lambda: 1000.0)
    fork(child)
    assert (drawn, child._due, len(refresh.threads)) == ([(0.0, 300.0)], 1075.0, 1)


def test_a_forked_child_refreshes_at_once_where_its_parent_could_not(start: Any) -> None:
    refresh = Refresh(NO)
    child = start(refresh, interval_seconds=300.0)
    refresh.wait()
    while child._failures is None:
        time.sleep(0.001)
    fork(child)
    refresh.wait()
    assert len(refresh.threads) == 2


def test_the_clock_for_waiting_goes_on_while_the_machine_sleeps() -> None:
    assert elapsed.seconds.args == (time.CLOCK_BOOTTIME if sys.platform == "linux" else time.CLOCK_MONOTONIC,)
    assert elapsed.seconds() <= elapsed.seconds()
