"""One client's judgement of connections: clocks, second looks, notices, and threads that only see whole snapshots."""

import asyncio
import itertools
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pinwarden import FetchError, PinMismatchError, PinsUnavailableError, State, guard, refresher, witness
from pinwarden.cache import MemoryCache
from pinwarden.enforce import Chain
from pinwarden.testing import ThrowawayAuthority, pinned

GOOD, BACKUP, WRONG = b"1" * 32, b"2" * 32, b"x" * 32
HOST = "api.example.com"
NOW = datetime(2030, 6, 1, tzinfo=UTC)


def admit(client: Any, *pins: bytes, host: str = HOST, may_block: bool = True) -> object:
    """Play a handshake whose verified chain has *pins*."""
    return client._guard.admit(host, lambda: Chain(pins, True), may_block=may_block)


def bootstrapped(make_client: Any, authority: Any, **options: Any) -> Any:
    return make_client(bootstrap=authority.bundle().to_bytes(), **options)


# Spec V9: documents issued at NOW, timestamp for 3 days, pin set for 30, and the system's clock moved by so much.
JUMPS = [timedelta(days=365 * years) for years in (-20, -10, -5, -2, -1)]
JUMPS += [-timedelta(days=days) for days in (60, 31, 30, 4, 3, 2, 1)] + [timedelta(0)]
JUMPS += [timedelta(days=days) for days in (1, 2, 3, 4, 30, 31, 60)]
JUMPS += [timedelta(days=365 * years) for years in (1, 2, 5, 10, 20)]
PLACES = [timedelta(days=days) for days in (0, 1, 2, 2.999, 3, 4, 15, 29, 29.999, 30, 31, 365)]


def state_after(days: timedelta) -> State:
    """Return the state at NOW + *days*, written without a look at the code."""
    if days >= timedelta(days=30):
        return State.EXPIRED
    return State.STALE if days >= timedelta(days=3) else State.FRESH


@pytest.mark.parametrize("jump", JUMPS, ids=lambda jump: f"{jump.days}d")
def test_no_jump_of_the_clock_makes_an_expired_document_trusted(jump: timedelta, make_client: Any, clock: Any) -> None:
    with pytest.warns(UserWarning, match="anyone can compute"):
        authority = ThrowawayAuthority(now=NOW)
    authority.publish({HOST: [GOOD, BACKUP]})
    client = bootstrapped(make_client, authority, root=authority.root_json, cache=MemoryCache())
    for place in PLACES:
        clock.now = NOW + place
        assert client.status().state == state_after(place)
        clock.now = NOW + place + jump
        # A clock behind what was issued counts as the time of issue: nothing lives longer than from then on.
        assert client.status().state == state_after(max(place + jump, timedelta(0)))
        clock.now = NOW + place
        assert client.status().state == state_after(place)


@pytest.mark.parametrize("days", [-7300, -365, -0.5, 365, 7300])  # within a day only V9 stands in the way
@pytest.mark.parametrize("fault", ["expired", "stale timestamp"])
def test_a_moved_clock_does_not_get_an_ended_document_accepted_from_the_network(
    days: float, fault: str, server: Any, make_client: Any, clock: Any
) -> None:
    with pytest.warns(UserWarning, match="anyone can compute"):
        authority = ThrowawayAuthority(now=NOW)
    authority.publish({HOST: [GOOD, BACKUP]})
    server.serve(authority)
    clock.now = NOW
    client = make_client(root=authority.root_json)
    client.refresh()
    # What ends before the newest issue that is held was ended then; a clock that is set back must not revive it.
    ended = {"issued": NOW - timedelta(days=2), "expires": NOW - timedelta(seconds=1)}
    if fault == "expired":
        authority.publish({HOST: [WRONG, BACKUP]}, **ended)
    else:
        pinset = authority.sign_pinset({HOST: [WRONG, BACKUP]}, version=2)
        authority.current = (authority.sign_timestamp(pinset, **ended), pinset)
    server.serve(authority)
    before = client._guard.snapshot
    clock.now = NOW + timedelta(days=days)
    with pytest.raises(Exception, match=r"expired|future|past its end"):
        client.refresh()
    assert client._guard.snapshot is before
    clock.now = NOW
    admit(client, GOOD)
    with pytest.raises(PinMismatchError):
        admit(client, WRONG, may_block=False)


@pytest.mark.parametrize(("behind", "accepted"), [(23, True), (24, True), (25, False)])
def test_a_clock_behind_the_time_of_issue_by_up_to_a_day_still_accepts(
    behind: int, accepted: bool, server: Any, authority: Any, make_client: Any, clock: Any
) -> None:
    server.serve(authority)
    clock.advance(hours=-behind)
    client = make_client()
    if accepted:
        assert client.refresh().state == State.FRESH
    else:
        with pytest.raises(Exception, match=r"was issued in the future.*Check this machine's clock, then the server's"):
            client.refresh()
        assert client.status().state == State.EMPTY


class Watcher:
    """Looks at a client from many threads, and writes down whatever no thread may ever see."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.done = threading.Event()
        self.faults: list[object] = []

    def refresh(self) -> None:
        while not self.done.is_set():
            try:
                self.client.refresh()
            except Exception as error:
                self.faults.append(error)

    def connect(self) -> None:
        seen = 1
        while not self.done.wait(0.001):
            snapshot = self.client._guard.snapshot
            version = snapshot.trust.pinset.version
            if version < seen or self.client.status().version < version:
                self.faults.append(f"{version} after {seen}")
            seen = version
            if snapshot.policy.pinset != snapshot.trust.pinset:
                self.faults.append("half an update")
            try:
                self.client._guard.verdict(snapshot, HOST, lambda version=version: Chain((pin_of(version),), True))
                admit(self.client, BACKUP)
            except Exception as error:
                self.faults.append(error)


def pin_of(version: int) -> bytes:
    """Return the pin that every host has in *version*: two mixed versions would not match."""
    return version.to_bytes(32) if version > 1 else GOOD


def test_eight_threads_that_refresh_and_eight_that_connect_see_only_whole_snapshots_and_rising_versions(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    client = make_client(cache=MemoryCache())
    client.refresh()
    watcher = Watcher(client)
    threads = [threading.Thread(target=work) for work in [watcher.refresh, watcher.connect] * 8]
    for thread in threads:
        thread.start()
    for version in range(2, 22):
        hosts = [*(f"h{n}.example.com" for n in range(8)), HOST]
        authority.publish({host: [pin_of(version), BACKUP] for host in hosts})
        server.serve(authority)
        asked = len(server.requests)
        while len(server.requests) < asked + 4:
            time.sleep(0.001)
    watcher.done.set()
    for thread in threads:
        thread.join()
    assert watcher.faults == []
    assert client.refresh().version == 21


def test_eight_threads_that_meet_a_changed_key_at_once_ask_for_it_once(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    authority.publish({HOST: [WRONG, GOOD]})
    server.serve(authority)
    barrier, tokens = threading.Barrier(8), []

    def connect() -> None:
        barrier.wait()
        tokens.append(admit(client, WRONG))

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == [client._guard.token] * 8
    assert len(server.paths) == 2


def test_a_mismatch_on_an_event_loop_is_refused_at_once_and_asks_in_the_background(
    server: Any, authority: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    client._refresher._last_attempt -= guard.SECOND_LOOK_SECONDS
    authority.publish({HOST: [WRONG, GOOD]})
    server.serve(authority)
    loop_thread = threading.get_ident()
    asked_by = []
    updater = client._refresher.updater
    real = updater.update
    monkeypatch.setattr(updater, "update", lambda *a: asked_by.append(threading.get_ident()) or real(*a))

    async def connect() -> None:
        admit(client, WRONG)

    with pytest.raises(PinMismatchError):
        asyncio.run(connect())
    wait_for_errands()
    assert len(asked_by) == 1
    assert loop_thread not in asked_by
    asyncio.run(connect())


def wait_for_errands() -> None:
    """Wait until every refresh in passing has ended."""
    while threads := [thread for thread in threading.enumerate() if thread.name == "pinwarden-refresh"]:
        threads[0].join()


def test_a_client_that_nobody_started_is_refreshed_in_passing(server: Any, authority: Any, make_client: Any) -> None:
    client = bootstrapped(make_client, authority)
    authority.publish({HOST: [GOOD, BACKUP]})
    server.serve(authority)
    admit(client, GOOD)
    wait_for_errands()
    assert client.status().version == 2
    admit(client, GOOD)
    wait_for_errands()
    assert len(server.paths) == 1  # not due again


def test_a_verdict_of_an_older_snapshot_is_judged_again_by_the_newer_one(
    server: Any, authority: Any, make_client: Any
) -> None:
    client = bootstrapped(make_client, authority)
    old = client._guard.snapshot

    def chain() -> Chain:
        if client._guard.snapshot is old:  # another thread adopts between the look-up and the verdict
            authority.publish({HOST: [WRONG, GOOD]})
            server.serve(authority)
            client.refresh()
        return Chain((WRONG,), True)

    assert client._guard.admit(HOST, chain, may_block=False) is client._guard.token


def test_a_log_handler_that_connects_itself_neither_hangs_nor_recurses(make_client: Any) -> None:
    client = make_client(url="http://127.0.0.1:1")
    refusals = []

    class Shipper(logging.Handler):
        """Ships every record over a connection that this client judges, as some do over HTTPS."""

        def emit(self, record: logging.LogRecord) -> None:
            try:
                admit(client, GOOD, host="logs.example.com")
            except PinsUnavailableError as error:
                refusals.append((record.levelname, type(error)))

    shipper = Shipper()
    logging.getLogger("pinwarden").addHandler(shipper)
    try:
        with pytest.raises(PinsUnavailableError):
            admit(client, GOOD)
    finally:
        logging.getLogger("pinwarden").removeHandler(shipper)
    # One for the refresh that failed, one for the refusal; what the shipper met itself is not told to it again.
    assert refusals == [("WARNING", PinsUnavailableError), ("ERROR", PinsUnavailableError)]


def test_a_connection_made_during_a_refresh_is_judged_without_waiting_for_it(
    server: Any, authority: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(authority)
    client = make_client()
    refusals, waits = [], []
    real, lock = client._cache.update, client._refresher._lock

    class Watched:
        """The client's lock, which nobody may ask for twice."""

        release = lock.release

        def acquire(self, timeout: float) -> bool:
            waits.append(timeout)
            return lock.acquire(blocking=False)

    def update(merge: Any) -> None:
        with pytest.raises(PinMismatchError) as refused:
            admit(client, WRONG)
        refusals.append(refused.value)
        real(merge)

    monkeypatch.setattr(client._cache, "update", update)
    monkeypatch.setattr(client._refresher, "_lock", Watched())
    assert client.refresh().version == 1
    monkeypatch.undo()
    assert len(refusals) == 1
    assert waits == [refresher.REFRESH_WAIT_SECONDS]


def test_whoever_waits_too_long_for_another_refresh_is_told(make_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refresher, "REFRESH_WAIT_SECONDS", 0.05)
    client = make_client()
    told = r"another refresh is still under way\. The pins already"
    with client._refresher._lock, pytest.raises(FetchError, match=told):
        client.refresh()


def test_one_fact_is_logged_once_per_host_and_hour(
    make_client: Any, authority: Any, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.publish([pinned(f"{name}.example.com", GOOD, BACKUP, mode="report") for name in "ab"])
    client = bootstrapped(make_client, authority, poll_seconds=3600)
    client._guard.due = float("inf")
    for host in ("a.example.com", "b.example.com") * 3:
        admit(client, WRONG, host=host)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["a.example.com", "b.example.com"]
    assert client.status().reported == 6
    monkeypatch.setattr(witness, "NOTICE_SECONDS", 0.0)
    admit(client, WRONG, host="a.example.com")
    assert len(caplog.records) == 3


def test_a_crawler_does_not_fill_the_memory_with_notices(make_client: Any, authority: Any) -> None:
    authority.publish([pinned("**.example.com", GOOD, BACKUP, mode="report")])
    client = bootstrapped(make_client, authority)
    client._guard.due = float("inf")
    logging.getLogger("pinwarden").disabled = True
    try:
        for number in range(4200):
            admit(client, WRONG, host=f"h{number}.example.com")
    finally:
        logging.getLogger("pinwarden").disabled = False
    assert len(client._guard.witness._noticed) <= 4096
    assert client.status().reported == 4200


@pytest.mark.parametrize(
    ("mode", "state", "on_stale", "on_expiry"),
    list(itertools.product(["enforce", "report"], ["fresh", "stale", "expired"], ["enforce", "refuse"], ["refuse"]))
    + [("enforce", state, "enforce", "platform") for state in ("fresh", "stale", "expired")],
)
def test_every_cell_of_the_state_table(
    mode: str, state: str, on_stale: str, on_expiry: str, make_client: Any, authority: Any, clock: Any
) -> None:
    authority.publish([pinned(HOST, GOOD, BACKUP, mode=mode, on_expiry=on_expiry)], on_stale=on_stale)
    client = bootstrapped(make_client, authority)
    client._guard.due = float("inf")
    clock.advance(days={"fresh": 0, "stale": 4, "expired": 31}[state])
    assert client.status().state == state
    unavailable = mode == "enforce" and (
        (state == "stale" and on_stale == "refuse") or (state == "expired" and on_expiry == "refuse")
    )
    judged = state != "expired"
    for pin in (GOOD, WRONG):
        if unavailable:
            with pytest.raises(PinsUnavailableError):
                admit(client, pin, may_block=False)
        elif mode == "enforce" and judged and pin == WRONG:
            with pytest.raises(PinMismatchError):
                admit(client, pin, may_block=False)
        else:
            admit(client, pin, may_block=False)
    assert client.status().reported == (mode == "report" and judged)
