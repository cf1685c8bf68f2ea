"""Versions that clients may hold are found whole, parsed once, and remembered within a limit."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import text

from pinwarden.trust import MAX_CLOCK_SKEW
from pinwarden_server.held_versions import HeldVersions
from pinwarden_server.safety import HeldVersion
from pinwarden_server.store import Reader, VersionKey
from tests.server.domain.conftest import House


@dataclass
class Watched(Reader):
    """A reader that notes which documents it was asked for."""

    engine: object
    asked: list[int] = field(default_factory=list)

    def envelopes(self, keys: Sequence[VersionKey]) -> dict[VersionKey, bytes]:
        self.asked += [key.version for key in keys]
        return super().envelopes(keys)


def watched(house: House) -> Watched:
    return Watched(house.site.store.reader.engine)


def documents(house: House, name: str = "payments") -> list[HeldVersion]:
    return [HeldVersion.of(row.document()) for row in house.site.store.reader.versions(name)]


def content(versions: Sequence[HeldVersion]) -> set[object]:
    return {(each.tag, each.until, each.hosts, each.deny, each.every_key, each.fingerprint) for each in versions}


def test_every_unexpired_version_of_the_name_is_found_as_it_was_published(house: House) -> None:
    for _ in range(3):
        house.publish()
        house.publish("other")
    found = HeldVersions(watched(house)).of("payments", house.now)
    assert content(found) == content(documents(house))
    assert sorted(each.tag for each in found) == [(1, 1), (1, 2), (1, 3)]


def test_a_version_counts_until_the_slowest_clock_has_seen_it_expire(house: House) -> None:
    house.publish()
    house.publish(lifetime_seconds=5 * 24 * 3600)
    held, end = HeldVersions(watched(house)), house.now + timedelta(days=5)
    assert sorted(each.tag for each in held.of("payments", end - timedelta(seconds=1))) == [(1, 1), (1, 2)]
    assert [each.tag for each in held.of("payments", end)] == [(1, 1)]
    assert {each.tag: each.until for each in held.of("payments", house.now)}[1, 2] == end + MAX_CLOCK_SKEW


def test_each_document_is_read_once_however_often_it_is_asked_for(house: House) -> None:
    reader = watched(house)
    held = HeldVersions(reader)
    for number in range(1, 41):
        house.publish()
        if number in (10, 40):
            assert content(held.of("payments", house.now)) == content(documents(house))
            assert content(held.of("payments", house.now)) == content(documents(house))
    assert sorted(reader.asked) == list(range(1, 41))


def test_what_does_not_fit_is_read_again_and_drives_out_only_what_others_left(house: House) -> None:
    for _ in range(5):
        house.publish()
        house.publish("other")
    reader = watched(house)
    held = HeldVersions(reader, most_hosts=3)
    held.of("other", house.now)
    for _ in range(2):
        reader.asked.clear()
        assert content(held.of("payments", house.now)) == content(documents(house))
    # Remembering the newest in turn would have forgotten each just before it was asked for.
    assert len(reader.asked) == 2


def test_a_document_larger_than_the_limit_is_judged_all_the_same(house: House) -> None:
    house.publish()
    reader = watched(house)
    held = HeldVersions(reader, most_hosts=0)
    assert [content(held.of("payments", house.now)) for _ in range(2)] == [content(documents(house))] * 2
    assert reader.asked == [1, 1]


def test_threads_that_ask_at_once_get_the_same(house: House) -> None:
    for _ in range(10):
        house.publish()
        house.publish("other")
    held = HeldVersions(watched(house), most_hosts=7)
    wanted = {name: content(documents(house, name)) for name in ("payments", "other")}
    with ThreadPoolExecutor(8) as threads:
        names = ["payments", "other"] * 40
        found = list(threads.map(lambda name: (name, content(held.of(name, house.now))), names))
    assert found == [(name, wanted[name]) for name in names]


def test_versions_of_one_pin_set_share_the_hosts_of_which_they_say_the_same(house: House) -> None:
    same = house.draft("api.example.com", "www.example.com")
    hosts = [same.hosts, (same.hosts[0], house.draft("www.example.com").hosts[0])]
    first, second = (HeldVersion.made_of(each, (), tag=(1, 1), until=house.now) for each in hosts)
    assert [one is other for one, other in zip(first.hosts, second.hosts, strict=True)] == [True, False]


def test_asking_which_versions_are_held_reads_no_document(house: House) -> None:
    with house.site.store.reader.engine.connect() as connection:
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT name, epoch, version, expires FROM versions WHERE name = 'a' AND expires > 1"
            )
        ).all()
    assert [row[3] for row in plan] == ["SEARCH versions USING COVERING INDEX ix_versions_held (name=? AND expires>?)"]
