"""Renewal: in time, by one worker, and never in the way of a publication."""

import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden_server.errors import Conflict
from pinwarden_server.publishing import publish, renew_timestamp
from pinwarden_server.renewal import Renewer, Round
from pinwarden_server.site import Attempt

if TYPE_CHECKING:
    from conftest import House


def renewer(house: "House", holder: str = "one") -> Renewer:
    return Renewer(house.site, holder=holder, clock=lambda: house.now, interval_seconds=60)


def test_timestamps_are_signed_again_at_a_third_of_their_life_and_pin_sets_by_half(house: "House") -> None:
    house.publish()
    one, renewed = renewer(house), []
    for hour in range(0, 16 * 24, 6):
        house.now = house.now.replace(day=1, hour=12) + timedelta(hours=hour)
        outcome = one.tick()
        assert outcome.failed == {}
        renewed += [(hour, house.site.store.reader.current("payments").tag)] if outcome.renewed else []
        house.now = house.now.replace(month=6)
    versions = house.site.store.reader.versions("payments")
    assert [row.tag for row in versions] == [(1, 2), (1, 1)]
    age = versions[0].issued - versions[1].issued
    assert timedelta(days=12) <= age <= timedelta(days=15, hours=6)  # half of 30 days, up to a tenth of them earlier
    assert renewed[0][0] == 24
    assert versions[0].document().hosts == versions[1].document().hosts


def test_a_client_goes_from_the_old_timestamp_to_the_renewed_one(house: "House") -> None:
    house.publish()
    table = house.table()
    first = table.get("/v1/bundles/payments/1")
    assert first is not None
    state = trust.begin(house.founding.root_json, name="payments")
    state = trust.advance_bundle(state, Bundle.parse(first.body), now=house.now)
    house.pass_time(days=1)
    assert renewer(house).tick().renewed == ("payments",)
    second = table.get("/v1/bundles/payments/1")
    assert second is not None
    newer = trust.advance_bundle(state, Bundle.parse(second.body), now=house.now)
    assert newer.timestamp is not None and newer.timestamp.expires == house.now + timedelta(days=3)
    assert second.etag != first.etag


def test_only_the_holder_of_the_lease_renews_until_its_time_is_up(house: "House") -> None:
    one, other = renewer(house, "one"), renewer(house, "other")
    assert one.tick().leased and not other.tick().leased
    house.pass_time(seconds=179)
    assert not other.tick().leased
    house.pass_time(seconds=1)
    assert other.tick().leased and not one.tick().leased
    other.stop()
    assert one.tick().leased


def test_where_people_hold_the_pin_set_key_timestamps_are_renewed_alone(house: "House") -> None:
    house.publish()
    house.pass_time(days=16)  # past the half life of the pin set, and past the end of the timestamp
    site = house.without_keys(keep="timestamp")
    outcome = Renewer(site, holder="x", clock=lambda: house.now).tick()
    assert outcome == Round(("payments",), {}, checkpoint=3)  # rows: the root, the pin set, its new timestamp
    current = house.site.store.reader.current("payments")
    assert (current.tag, current.timestamp_tag) == ((1, 1), (1, 2))  # no number is spent on what cannot be signed


def test_without_any_key_nothing_is_renewed_and_the_failure_is_told(house: "House") -> None:
    house.publish()
    house.pass_time(days=16)
    outcome = Renewer(house.without_keys(), holder="x", clock=lambda: house.now).tick()
    assert (outcome.renewed, list(outcome.failed)) == ((), ["payments"])


def test_one_pin_set_that_cannot_be_renewed_keeps_no_other_from_it(house: "House") -> None:
    house.publish("first")
    house.publish("second")
    house.pass_time(days=1)
    blocked = house.site.tree.folder / "v1/bundles/first/1"
    blocked.unlink()
    blocked.mkdir()
    (blocked / "full").touch()
    outcome = renewer(house).tick()
    assert (outcome.renewed, list(outcome.failed)) == (("second",), ["first"])


def test_publications_among_renewals_give_every_timestamp_a_higher_number_than_the_last(house: "House") -> None:
    house.publish()
    failures: list[BaseException] = []

    def renew() -> None:
        try:
            for _ in range(30):
                renew_timestamp(house.site, "payments", house.now)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=renew) for _ in range(2)]
    for thread in threads:
        thread.start()
    published = 1
    while published < 10:
        with suppress(Conflict):  # five renewals in a row were faster: the request is repeated
            house.publish()
            published += 1
    for thread in threads:
        thread.join()
    assert failures == []
    details = [row.to_json()["detail"] for row in house.site.store.reader.audit(after=1, limit=10_000)]
    order = [int(str(detail["timestamp"]).split(".")[1]) for detail in details if isinstance(detail, dict)]
    assert len(order) > published
    assert order == sorted(set(order))
    assert house.site.store.reader.current("payments").tag[1] >= published


def test_the_thread_renews_at_once_and_stops_when_told(house: "House") -> None:
    house.publish()
    house.pass_time(days=1)
    one, done = renewer(house), threading.Event()
    original = one.tick

    def tick() -> object:
        try:
            return original()
        finally:
            done.set()

    one.tick = tick  # type: ignore[assignment, method-assign]
    one.start()
    assert done.wait(20)
    one.stop()
    assert not one.is_running
    assert one.last_success == house.now
    assert house.site.store.reader.current("payments").timestamp_tag == (1, 2)


def test_answers_of_idempotent_requests_are_forgotten_after_a_day(house: "House") -> None:
    by = house.act(attempt=Attempt.of("k", "PUT", "/p", None, b""))
    publish(house.site, "payments", house.draft(), None, by)
    house.pass_time(hours=25)
    renewer(house).tick()
    assert house.site.store.reader.attempt("tester", "k") is None
