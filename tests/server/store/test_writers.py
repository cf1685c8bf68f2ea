"""Many writers at once, each with connections of its own as separate processes have them: one wins, none is lost."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from pinwarden.testing import pinned
from pinwarden_server import audit
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import StaleVersion, Tag
from pinwarden_server.publishing import publish
from pinwarden_server.site import Act, Attempt, Published, Site
from pinwarden_server.store import Store, open_store
from pinwarden_server.store.tables import pinsets
from tests.server.domain.conftest import KEPT
from tests.server.store.rows import NOW, audited, change, timestamp
from tests.server.store.rows import publish as commit_version

WRITERS = 8


def at_once(work: Callable[[int], Any], number: int = WRITERS) -> list[Any]:
    """Return what each of so many threads returned, all of which began together."""
    together = threading.Barrier(number)

    def begin(which: int) -> Any:
        together.wait()
        return work(which)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(begin, range(number)))


def elsewhere(site: Site) -> Site:
    """Return the same server on connections of its own."""
    return Site(open_store(site.store.url), site.tree, site.bell, site.signers, site.policy)


def draft() -> Draft:
    return Draft((pinned("api.example.com", os.urandom(32), KEPT),))


def attempt(site: Site, expected: Tag | None, by: Act) -> Published | StaleVersion:
    try:
        return publish(site, "payments", draft(), expected, by)
    except StaleVersion as error:
        return error


@pytest.mark.parametrize("created", [False, True])
def test_of_many_who_publish_over_the_same_version_one_wins_and_the_others_learn_its_version(
    site: Site, created: bool
) -> None:
    if created:
        publish(site, "payments", draft(), None, Act("tester", NOW))
    expected, sites = (1, 1) if created else None, [elsewhere(site) for _ in range(WRITERS)]
    outcomes = at_once(lambda number: attempt(sites[number], expected, Act("tester", NOW)))
    won = [outcome for outcome in outcomes if isinstance(outcome, Published)]
    assert len(won) == 1
    assert {outcome.current for outcome in outcomes if isinstance(outcome, StaleVersion)} == {won[0].tag}
    assert site.store.reader.current("payments").tag == won[0].tag
    assert len(site.store.reader.version_tags("payments")) == 1 + created
    for each in sites:
        each.store.close()


def test_one_request_that_comes_many_times_at_once_is_done_once(site: Site) -> None:
    sites, wanted = [elsewhere(site) for _ in range(WRITERS)], draft()
    by = Act("tester", NOW, Attempt("one", "f" * 64))
    outcomes = at_once(lambda number: publish(sites[number], "payments", wanted, None, by))
    assert {outcome.tag for outcome in outcomes} == {site.store.reader.current("payments").tag}
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert len(site.store.reader.version_tags("payments")) == 1
    for each in sites:
        each.store.close()


def test_the_audit_chain_of_many_writers_has_no_fork(store: Store) -> None:
    stores = [open_store(store.url) for _ in range(WRITERS)]

    def append(number: int) -> None:
        for turn in range(10):
            with stores[number].writer.transaction() as transaction:
                audited(transaction, f"{number}-{turn}")

    at_once(append)
    assert audit.verify_chain(store.reader).rows == WRITERS * 10
    wanted = {f"{number}-{turn}" for number in range(WRITERS) for turn in range(10)}
    assert {row.subject for row in store.reader.audit()} == wanted
    for each in stores:
        each.close()


def test_numbers_are_given_out_once_to_writers_everywhere(store: Store) -> None:
    stores = [open_store(store.url) for _ in range(WRITERS)]

    def ask(number: int) -> list[int]:
        reserve = stores[number].writer.reserve
        return [reserve("new", NOW, pinset=True, room="publish").pinset_version for _ in range(10)]

    given = [number for numbers in at_once(ask) for number in numbers]
    assert sorted(given) == list(range(1, WRITERS * 10 + 1))
    for each in stores:
        each.close()


def test_a_lease_that_many_want_goes_to_one(store: Store) -> None:
    stores = [open_store(store.url) for _ in range(WRITERS)]
    for turn in range(5):
        now = NOW + timedelta(minutes=10 * turn)
        until = now + timedelta(minutes=3)
        took = at_once(lambda n, now=now, until=until: stores[n].writer.take_lease("it", str(n), now=now, until=until))
        assert sum(took) == 1
    for each in stores:
        each.close()


def test_writers_that_touch_the_same_rows_in_another_order_do_not_end_each_other(store: Store) -> None:
    """One publishes and outdates the change that waits; the other closes the change and then publishes it."""
    commit_version(store, "payments", (1, 1))
    with store.writer.transaction() as transaction:
        number = audited(transaction)
        transaction.append_change(change(number, "payments"))
    stores = [open_store(store.url) for _ in range(2)]
    first_step = threading.Barrier(2, timeout=0.2)

    def pause() -> None:
        try:
            first_step.wait()
        except threading.BrokenBarrierError:
            return  # the other one waits for its turn, as it should

    def move(which: int) -> bool:
        with stores[which].writer.transaction() as transaction:
            if which == 1:
                transaction.close_change(number, "published", at=NOW, by="bob", reason="")
            elif transaction.pair_of("payments") == ((1, 1), (1, 1)):
                transaction.count(pinsets.update().values(renew_pinset_after=NOW))
            pause()
            moved = transaction.move_pinset(
                "payments",
                expected=(1, 1),
                expected_timestamp=(1, 1),
                tag=(1, 2 + which),
                timestamp=timestamp((1, 2 + which)),
            )
            audited(transaction)
            return moved

    assert sorted(at_once(move, 2)) == [False, True]
    for each in stores:
        each.close()


def test_a_reader_sees_one_moment_while_others_write(store: Store) -> None:
    over = threading.Event()
    commit_version(store, "payments", (1, 1))

    def write(_: int) -> None:
        for number in range(2, 60):
            commit_version(store, "payments", (1, number))
        over.set()

    def read(_: int) -> int:
        looks = 0
        while not over.is_set():
            current = store.reader.current("payments")
            assert current.tag[1] == current.timestamp_tag[1]
            looks += 1
        return looks

    with ThreadPoolExecutor(3) as pool:
        writing, *reading = pool.submit(write, 0), pool.submit(read, 1), pool.submit(read, 2)
        writing.result()
        assert all(each.result() > 0 for each in reading)
