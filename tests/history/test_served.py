"""The history that a server publishes: every version, once, in order, the same bytes whoever makes them."""

import hashlib
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from pinwarden.documents import PinSet
from pinwarden.envelope import PINSET_TYPE, Envelope
from pinwarden.history import End, Entry, Segment, check_chain
from pinwarden.testing import pinned
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import NotServedYet, StaleVersion
from pinwarden_server.founding import reconcile
from pinwarden_server.history import end_of, next_entry
from pinwarden_server.published_tree import Staged
from pinwarden_server.publishing import publish
from pinwarden_server.site import Act
from pinwarden_server.store import VersionRow, migrate, schema_head
from pinwarden_server.tags import format_tag
from tests.history.conftest import served_history
from tests.rotation.stage import House, pin
from tests.server.store.test_migrations import step

CHANGING = "public, max-age=60, stale-while-revalidate=60, stale-if-error=300"
FOREVER = "public, max-age=31536000, immutable"


def tags(house: House) -> list[str]:
    return [format_tag(entry.tag) for entry in served_history(house).entries]


def seed(house: House, count: int) -> None:
    """Put *count* more versions of payments into the store, as many publications would, without signing each."""
    assert house.node is not None
    store = house.node.site.store
    current = store.reader.current("payments")
    document, authority = PinSet.parse(current.pinset.payload), house.root.authority
    with store.writer.transaction() as transaction:
        last = transaction.last_entry("payments")
        end = end_of([last] if last else [], authority, "payments")
        for _ in range(count):
            document = replace(document, version=document.version + 1)
            envelope = Envelope.of(PINSET_TYPE, document.encode(), current.pinset.signatures)
            tag = document.epoch, document.version
            row = VersionRow(
                "payments", tag, envelope, document.issued, document.expires, house.clock(), "seed", "", ()
            )
            transaction.append_version(row, audit_seq=1)
            entry = next_entry(end, envelope, house.clock())
            transaction.append_entry("payments", entry)
            end = End.of(entry)
        values = {"version": document.version}
        transaction.run(text("UPDATE pinsets SET version = :version").bindparams(**values))
        transaction.run(text("UPDATE reservations SET pinset_version = :version").bindparams(**values))


def test_a_history_begins_with_the_first_version_and_says_what_that_is(house: House) -> None:
    payload = house.served().pinset.payload
    document = PinSet.parse(payload)
    (entry,) = served_history(house).entries
    assert entry == replace(
        Entry(
            seq=1,
            epoch=1,
            version=1,
            sha256=hashlib.sha256(payload).hexdigest(),
            length=len(payload),
            issued=document.issued,
            expires=document.expires,
            published_at=house.clock(),
            previous=End.begin(house.root.authority, "payments").hash,
            hash="",
        ),
        hash=entry.link(),
    )


def test_every_kind_of_publication_adds_one_entry_and_a_timestamp_adds_none(house: House) -> None:
    house.publish(word="next")
    house.clock.advance(days=2)
    assert house.renew() == ("payments",)  # its timestamp alone
    assert tags(house) == ["1.1", "1.2"]
    answer = house.ask("POST", "/pinsets/payments/rollback", {"to": 1, "reason": "back"}, If_Match='"1.2"')
    assert answer.status == 200, answer.data
    house.clock.advance(days=16)
    assert house.renew() == ("payments",)  # past half of its life
    withdrawn = house.ask("PUT", "/pinsets/payments", {"hosts": []}, If_Match='"1.4"')
    assert withdrawn.status == 200, withdrawn.data
    house.rotate(pinset=[house.add_key("pinset-2")], pinset_epoch=2)
    assert tags(house) == ["1.1", "1.2", "1.3", "1.4", "1.5", "2.6"]


def test_a_number_that_was_reserved_and_never_published_is_not_in_it(house: House) -> None:
    assert house.node is not None
    house.node.site.store.writer.reserve("payments", house.clock(), pinset=True, room="publish")
    house.publish()
    assert tags(house) == ["1.1", "1.3"]
    assert [entry.seq for entry in served_history(house).entries] == [1, 2]


def test_histories_of_two_names_are_two_chains(house: House) -> None:
    house.publish("orders")
    payments, orders = served_history(house), served_history(house, "orders")
    assert payments.entries[0].previous != orders.entries[0].previous
    assert (payments.name, orders.name) == ("payments", "orders")


def test_a_full_segment_gets_a_file_of_its_own_that_never_changes_and_the_head_always_has_the_newest(
    house: House,
) -> None:
    seed(house, 98)
    assert house.node is not None
    folder = house.node.site.tree.folder / "v1/pinsets/payments/history"
    house.publish()
    head = (house.node.site.tree.folder / "v1/history/payments").read_bytes()
    assert [file.name for file in folder.iterdir()] == ["1"]
    assert (folder / "1").read_bytes() == head
    assert len(served_history(house).entries) == 100
    house.publish()
    assert (folder / "1").read_bytes() == head
    (newest,) = served_history(house).entries
    assert (newest.seq, newest.tag) == (101, (1, 101))
    check_chain(End.of(Segment.parse(head).entries[-1]), [newest])


def test_publishing_costs_the_same_after_two_thousand_versions_as_after_the_first_hundred(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.node is not None
    statements: list[str] = []
    sizes: list[int] = []
    store, rename = house.node.site.store, Staged.rename

    def measured(staged: Staged, room: str) -> None:
        sizes.extend(file.stat().st_size for file in staged._renames)
        rename(staged, room)

    monkeypatch.setattr(Staged, "rename", measured)
    for engine in (store.reader.engine, store.writer._engine):
        event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    def cost() -> tuple[list[str], int, list[int]]:
        statements.clear()
        sizes.clear()
        house.publish()
        return list(statements), len(served_history(house).entries), [size // 1000 for size in sizes]

    def cost_after(count: int) -> tuple[list[str], int, list[int]]:
        seed(house, count)
        house.publish()  # reads, this once, what came into the store without the server
        return cost()

    first = cost_after(48)
    assert first[1] == 51
    assert cost_after(1998) == first  # as far into its segment as before
    assert served_history(house).entries[-1].seq == 2051


def test_a_tree_that_was_lost_is_made_again_byte_for_byte_with_all_its_segments(house: House) -> None:
    assert house.node is not None
    tree = house.node.site.tree.folder
    seed(house, 203)
    reconcile(house.node.site)
    house.publish()
    before = contents(tree / "v1")
    assert {path for path in before if "history" in path} == {
        "history/payments",
        "pinsets/payments/history/1",
        "pinsets/payments/history/2",
    }
    shutil.rmtree(tree / "v1")
    reconcile(house.node.site)
    assert contents(tree / "v1") == before
    (tree / "v1/pinsets/payments/history/1").write_bytes(b"{}")  # a disk that lies is put right as well
    reconcile(house.node.site)
    assert contents(tree / "v1") == before


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), int(path.stat().st_mtime)) for path in files}


def test_a_database_of_the_version_before_gets_the_same_history(house: House) -> None:
    for word in ("second", "third"):
        house.publish(word=word)
    house.publish("orders")
    before, url = rows(house), house.installation.settings().database_url
    assert len(before) == 4
    step(url, "0002", down=True)
    assert migrate(url) == schema_head()
    assert rows(house) == before


def rows(house: House) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(house.installation.folder / "pinwarden.db")) as connection:
        return connection.execute("SELECT * FROM history ORDER BY name, seq").fetchall()


def test_a_refused_publication_leaves_the_history_as_it_was(house: House) -> None:
    assert house.node is not None
    before = house.stored()
    with pytest.raises(StaleVersion):
        publish(house.node.site, "payments", a_draft(), (1, 7), Act("tester", house.clock()))
    assert house.stored() == before


def test_a_history_that_cannot_be_written_is_served_after_repair(house: House) -> None:
    assert house.node is not None
    head = house.node.site.tree.folder / "v1/history/payments"
    head.unlink()
    (head / "in-the-way").mkdir(parents=True)
    with pytest.raises(NotServedYet):
        publish(house.node.site, "payments", a_draft(), (1, 1), Act("tester", house.clock()))
    shutil.rmtree(head)
    reconcile(house.node.site)
    assert tags(house) == ["1.1", "1.2"]


def a_draft() -> Draft:
    return Draft((pinned("api.example.com", pin("live"), pin("spare")),))


@pytest.fixture
def get(house: House) -> Callable[..., Any]:
    """Ask the server, as anybody can."""
    return lambda path, **headers: house.http.request("GET", house.url + path, headers=headers)


@pytest.mark.parametrize(
    ("path", "caching"), [("/v1/history/payments", CHANGING), ("/v1/pinsets/payments/history/1", FOREVER)]
)
def test_it_is_answered_with_the_headers_of_the_protocol_and_not_sent_twice(
    house: House, get: Any, path: str, caching: str
) -> None:
    seed(house, 99)
    assert house.node is not None
    reconcile(house.node.site)
    answer = get(path)
    shown = {name: answer.headers[name] for name in ("Content-Type", "Cache-Control", "Content-Length")}
    assert shown == {
        "Content-Type": "application/vnd.pinwarden.history.v1+json",
        "Cache-Control": caching,
        "Content-Length": str(len(answer.data)),
    }
    again = get(path, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.data) == (304, b"")
    assert len(Segment.parse(answer.data).entries) == 100


@pytest.mark.parametrize(
    "path",
    [
        "/v1/history/orders",
        "/v1/history/",
        "/v1/history/payments/1",
        "/v1/pinsets/payments/history/1",
        "/v1/pinsets/payments/history/0",
        "/v1/pinsets/orders/history/1",
    ],
)
def test_nothing_else_is_found(get: Any, path: str) -> None:
    answer = get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


def test_many_pin_sets_with_long_histories_take_no_memory_of_a_worker(house: House) -> None:
    seed(house, 300)
    assert house.node is not None
    reconcile(house.node.site)
    table = house.node.table
    assert table.get("/v1/history/payments") is not None
    assert [path for path in table._entries if "history" in path] == []


def test_entries_of_one_second_have_files_of_different_times(house: House) -> None:
    assert house.node is not None
    head = house.node.site.tree.folder / "v1/history/payments"
    times = [int(head.stat().st_mtime)]
    for _ in range(3):
        house.publish()
        times.append(int(head.stat().st_mtime))
    assert times == sorted(set(times))
