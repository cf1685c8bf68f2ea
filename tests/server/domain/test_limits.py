"""Budgets of wrong attempts: whose they are, how they refill, and that no flood makes them grow or mixes them up."""

import fcntl
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from pinwarden_server.errors import StoreUnavailable, TooManyAttempts
from pinwarden_server.limits import SETS, WAYS, AttemptLimits, network_of


class Seconds:
    """A clock that tests push."""

    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def limits(tmp_path: Path, seconds: Seconds) -> Iterator[AttemptLimits]:
    """Ten wrong attempts a minute."""
    opened = AttemptLimits(tmp_path / "run/limits", per_minute=10, clock=seconds)
    yield opened
    opened.close()


def spent(limits: AttemptLimits, address: str, tries: int) -> int:
    """Return how many of *tries* wrong attempts there was a budget for."""
    found = 0
    for _ in range(tries):
        try:
            limits.spend(address)
        except TooManyAttempts:
            continue
        found += 1
    return found


def wait_of(limits: AttemptLimits, address: str) -> int | None:
    try:
        limits.check(address)
    except TooManyAttempts as refusal:
        return refusal.retry_after
    return None


def test_a_budget_is_spent_by_wrong_attempts_and_refilled_evenly(limits: AttemptLimits, seconds: Seconds) -> None:
    assert wait_of(limits, "192.0.2.1") is None
    assert (spent(limits, "192.0.2.1", 25), wait_of(limits, "192.0.2.1")) == (10, 6)
    seconds.now += 5
    assert (spent(limits, "192.0.2.1", 3), wait_of(limits, "192.0.2.1")) == (0, 1)
    seconds.now += 1
    assert spent(limits, "192.0.2.1", 3) == 1
    seconds.now += 60
    assert spent(limits, "192.0.2.1", 25) == 10


@pytest.mark.parametrize("per_minute", [1, 3, 7, 59, 61, 997])
def test_a_budget_that_does_not_divide_a_minute_is_exact_as_well(
    tmp_path: Path, seconds: Seconds, per_minute: int
) -> None:
    limits = AttemptLimits(tmp_path / "limits", per_minute=per_minute, clock=seconds)
    found = []
    for pause in (0.0, 60.0, 60.0):
        seconds.now += pause
        found.append(spent(limits, "192.0.2.1", per_minute + 5))
    assert found == [per_minute] * 3
    limits.close()


def test_attempts_that_were_refused_do_not_prolong_the_wait(limits: AttemptLimits) -> None:
    spent(limits, "192.0.2.1", 10)
    waits = [wait_of(limits, "192.0.2.1") for _ in range(2) if spent(limits, "192.0.2.1", 500) == 0]
    assert waits == [6, 6]


def test_one_address_does_not_spend_the_budget_of_another(limits: AttemptLimits) -> None:
    assert [spent(limits, f"192.0.2.{host}", 20) for host in range(1, 6)] == [10] * 5


@pytest.mark.parametrize(
    ("addresses", "together"),
    [
        (("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"), True),
        (("2001:db8:1:2::1", "2001:db8:1:3::1"), False),
        (("192.0.2.1", "::ffff:192.0.2.1"), True),
        (("192.0.2.1", "192.0.2.2"), False),
        (("fe80::1%eth0", "fe80::2"), True),
        (("unknown", ""), True),
        (("unix:", "no address, \0 and no end" * 99), True),
    ],
)
def test_addresses_that_one_customer_has_share_a_budget(
    limits: AttemptLimits, addresses: tuple[str, str], together: bool
) -> None:
    assert spent(limits, addresses[0], 10) == 10
    assert spent(limits, addresses[1], 10) == (0 if together else 10)
    assert (network_of(addresses[0]) == network_of(addresses[1])) is together


def test_the_workers_of_a_node_share_their_budgets(tmp_path: Path, limits: AttemptLimits, seconds: Seconds) -> None:
    other = AttemptLimits(tmp_path / "run/limits", per_minute=10, clock=seconds)
    assert (spent(limits, "192.0.2.1", 6), spent(other, "192.0.2.1", 9), wait_of(limits, "192.0.2.1")) == (6, 4, 6)
    other.close()


def _spend(path: Path, tries: int) -> int:
    limits = AttemptLimits(path, per_minute=100, clock=Seconds())
    with ThreadPoolExecutor(4) as threads:
        return sum(threads.map(lambda _: spent(limits, "192.0.2.1", tries), range(4)))


def test_processes_and_threads_at_once_spend_a_budget_exactly_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert sum(pool.starmap(_spend, [(tmp_path / "limits", 20)] * 3)) == 100


def test_whoever_spends_waits_for_whoever_spends_already(tmp_path: Path, limits: AttemptLimits) -> None:
    with (tmp_path / "run/limits").open("rb") as other, ThreadPoolExecutor(1) as waiting:
        fcntl.flock(other, fcntl.LOCK_EX)
        spending = waiting.submit(spent, limits, "192.0.2.1", 1)
        assert wait([spending], timeout=0.2).not_done == {spending}
        fcntl.flock(other, fcntl.LOCK_UN)
        assert spending.result(20) == 1


def test_a_flood_of_addresses_makes_nothing_grow_and_lets_strangers_try(tmp_path: Path, limits: AttemptLimits) -> None:
    before = (tmp_path / "run/limits").stat().st_size
    for number in range(SETS * WAYS // 4):
        limits.spend(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert (tmp_path / "run/limits").stat().st_size == before < 400 * 1024
    assert spent(limits, "192.0.2.1", 20) == 10


def test_whoever_has_spent_most_is_forgotten_last(limits: AttemptLimits) -> None:
    spent(limits, "192.0.2.1", 10)
    for number in range(SETS * WAYS // 2):  # half full: hardly a set has all its places taken
        limits.spend(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert wait_of(limits, "192.0.2.1") == 6


@pytest.mark.parametrize("step", [-3600.0, -61.0])
def test_a_clock_that_is_set_back_locks_nobody_out(limits: AttemptLimits, seconds: Seconds, step: float) -> None:
    spent(limits, "192.0.2.1", 20)
    seconds.now += step
    assert wait_of(limits, "192.0.2.1") is None
    assert spent(limits, "192.0.2.1", 20) == 10


def test_only_the_first_refusal_of_a_minute_is_worth_a_line_in_the_log(limits: AttemptLimits, seconds: Seconds) -> None:
    def told() -> bool:
        with pytest.raises(TooManyAttempts) as refusal:
            limits.spend("192.0.2.1")
        return refusal.value.first

    spent(limits, "192.0.2.1", 10)
    first = [told(), told(), told()]
    seconds.now += 60
    spent(limits, "192.0.2.1", 10)
    assert (first, told()) == ([True, False, False], True)


def test_limits_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for path in (tmp_path / "file/limits", tmp_path / "link"):
        with pytest.raises(StoreUnavailable):
            AttemptLimits(path, per_minute=10)


def test_the_file_is_private(tmp_path: Path, limits: AttemptLimits) -> None:
    assert (tmp_path / "run/limits").stat().st_mode & 0o777 == 0o600
