"""What workers serve: as soon as the bell rings, only what changed, and nothing outside the tree."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinwarden_server.bell import SLOTS, Bell

if TYPE_CHECKING:
    from conftest import House


def test_a_worker_in_another_process_serves_a_publication_when_publish_has_returned(house: "House") -> None:
    house.publish()
    question, answer = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            table = house.table()
            os.write(answer[1], b"r")
            os.read(question[0], 1)
            entry = table.get("/v1/bundles/payments/1")
            os.write(answer[1], (entry.tag if entry else "none").encode())
        finally:
            os._exit(0)
    assert os.read(answer[0], 1) == b"r"
    house.publish()
    os.write(question[1], b"?")
    assert os.read(answer[0], 16) == b"1.2"
    os.waitpid(child, 0)
    for descriptor in (*question, *answer):
        os.close(descriptor)


def test_entries_carry_the_headers_of_the_protocol(house: "House") -> None:
    house.publish()
    table = house.table()
    bundle, root = table.get("/v1/bundles/payments/1"), table.get("/v1/roots/1")
    version, stamp = table.get("/v1/pinsets/payments/versions/1.1"), table.get("/v1/pinsets/payments/timestamp")
    assert bundle is not None and root is not None and version is not None and stamp is not None
    assert root.body == house.founding.root_json
    assert dict(bundle.headers)["Content-Type"] == "application/vnd.pinwarden.bundle.v1+json"
    assert (
        bundle.cache_control
        == stamp.cache_control
        == "public, max-age=60, stale-while-revalidate=60, stale-if-error=300"
    )
    assert root.cache_control == version.cache_control == "public, max-age=31536000, immutable"
    assert dict(bundle.headers)["Content-Length"] == str(len(bundle.body))
    assert table.names() == ["payments"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/bundles/payments/2",
        "/v1/bundles/payments/0",
        "/v1/bundles/other/1",
        "/v1/bundles/payments/1/",
        "/v1/pinsets/payments/versions/1.2",
        "/v1/pinsets/payments/versions/../timestamp",
        "/v1/pinsets/../../store/pinwarden.db/versions/1.1",
        "/../store/pinwarden.db",
        "/.work/locks/payments",
        "/v1/roots/2",
        "/v1/roots",
        "",
        "/",
    ],
)
def test_nothing_else_is_found(house: "House", path: str) -> None:
    house.publish()
    assert house.table().get(path) is None


def test_a_new_pin_set_is_listed_before_anyone_has_asked_for_it(house: "House") -> None:
    table = house.table()
    house.publish()
    assert table.names() == ["payments"]


def test_only_the_pin_set_that_changed_is_read_again(house: "House") -> None:
    house.publish("first")
    house.publish("second")
    table = house.table()
    (house.site.tree.folder / "v1/bundles/first/1").write_bytes(b"damaged, and nobody rang for it")
    house.publish("second")
    first, second = table.get("/v1/bundles/first/1"), table.get("/v1/bundles/second/1")
    assert first is not None and second is not None
    assert (first.tag, second.tag) == ("1.1", "1.2")


def test_a_damaged_file_is_not_served_in_place_of_a_good_one(house: "House") -> None:
    house.publish()
    table = house.table()
    before = table.get("/v1/bundles/payments/1")
    (house.site.tree.folder / "v1/bundles/payments/1").write_bytes(b"{")
    house.site.bell.ring("payments")
    assert table.get("/v1/bundles/payments/1") == before


def test_a_worker_that_slept_through_more_rings_than_are_kept_reads_everything(tmp_path: Path) -> None:
    bell = Bell.open(tmp_path / "bell")
    start = bell.generation
    bell.ring("a")
    bell.ring("b")
    assert bell.rung_since(start) == (start + 2, frozenset({"a", "b"}))
    bell.ring(None)
    assert bell.rung_since(start) == (start + 3, None)
    assert bell.rung_since(start + 3) == (start + 3, frozenset())
    for _ in range(SLOTS):
        bell.ring("c")
    assert bell.rung_since(start) == (start + 3 + SLOTS, None)
    other = Bell.open(tmp_path / "bell")
    assert other.generation == bell.generation
    assert bell.rung_since(bell.generation + 5) == (bell.generation, None)  # the file was made anew
