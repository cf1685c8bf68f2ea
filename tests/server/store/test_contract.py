"""What a store does, method by method, whichever database it is."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy.exc import IntegrityError

from pinwarden_server import audit
from pinwarden_server.errors import NotFound, Unstorable
from pinwarden_server.store import Reservation, Store, check_schema, migrate, open_store, schema_head
from pinwarden_server.store.tables import roots
from tests.server.store.rows import (
    LATER,
    NOW,
    SIGNATURE,
    audited,
    change,
    publish,
    root,
    timestamp,
    token,
    version,
)


def test_an_empty_store_answers_every_question(store: Store) -> None:
    reader = store.reader
    reader.ping()
    check_schema(store)
    assert (reader.pinsets(), list(reader.all_current()), reader.roots(), reader.tokens()) == ([], [], (), [])
    assert (reader.audit(), reader.audit_head()) == ([], (0, "0" * 64))
    assert (reader.find_current("none"), reader.token("none"), reader.attempt("a", "k")) == (None, None, None)
    assert (reader.version_tags("none"), reader.unexpired("none", NOW), reader.due(LATER)) == ([], [], ([], []))
    assert reader.changes(now=NOW, before=None, limit=9) == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda reader: reader.current("none"),
        lambda reader: reader.versions("none"),
        lambda reader: reader.version("none", 1),
        lambda reader: reader.change(7),
    ],
)
def test_what_is_not_there_is_not_found(store: Store, ask) -> None:
    with pytest.raises(NotFound):
        ask(store.reader)


def test_a_published_version_is_read_back_in_every_form(store: Store) -> None:
    first = publish(store, "payments", (1, 1), b'{"n":1}')
    second = publish(store, "payments", (1, 2), b'{"n":2}')
    reader = store.reader
    current = reader.current("payments")
    assert (current.name, current.tag, current.timestamp_tag, current.timestamp_version) == (
        "payments",
        (1, 2),
        (1, 2),
        2,
    )
    assert (current.pinset, current.timestamp) == (second.envelope, timestamp((1, 2)).envelope)
    assert (current.published_at, current.actor, current.reason) == (NOW, "token:alice", "because")
    assert reader.find_current("payments") == current
    assert list(reader.all_current()) == [current]
    assert reader.versions("payments") == [second, first]
    assert reader.versions("payments", limit=1) == [second]
    assert reader.versions("payments", before=2) == [first]
    assert reader.versions("payments", before=1) == []
    assert reader.version("payments", 1) == reader.version("payments", 1, 1) == first
    with pytest.raises(NotFound):
        reader.version("payments", 1, 2)
    assert reader.version_tags("payments") == [(1, 1), (1, 2)]
    assert reader.unexpired("payments", LATER - timedelta(seconds=1)) == [second, first]
    assert reader.unexpired("payments", LATER) == []
    (line,) = reader.pinsets()
    assert (line.name, line.tag, line.issued, line.expires) == ("payments", (1, 2), NOW, LATER)
    assert (line.timestamp_expires, line.published_at, line.actor) == (NOW + timedelta(days=3), NOW, "token:alice")


def test_of_two_who_expect_the_same_version_the_second_moves_nothing(store: Store) -> None:
    publish(store, "payments", (1, 1))
    publish(store, "payments", (1, 2))
    before = store.reader.current("payments")
    expected = {"expected": (1, 1), "expected_timestamp": (1, 1)}
    with store.writer.transaction() as transaction:
        assert not transaction.move_pinset("payments", **expected, tag=(1, 3), timestamp=timestamp((1, 3)))
        assert not transaction.create_pinset("payments", (1, 1), timestamp((1, 1)))
        assert transaction.pair_of("payments") == ((1, 2), (1, 2))
        assert transaction.pair_of("orders") is None
    assert store.reader.current("payments") == before


@pytest.mark.parametrize("what", ["version", "root", "attempt", "change signature", "audit row"])
def test_what_exists_once_cannot_be_added_twice(store: Store, what: str) -> None:
    row = publish(store, "payments")
    with store.writer.transaction() as transaction:
        number = audited(transaction)
        transaction.append_change(change(number, "payments", signatures=(SIGNATURE,)))
        transaction.append_root(1, root(1), NOW)
        transaction.append_attempt("alice", "key", fingerprint="f", answer="{}", at=NOW)
    head = store.reader.audit_head()
    again = {
        "version": lambda transaction: transaction.append_version(row, audit_seq=number),
        "root": lambda transaction: transaction.append_root(1, root(2), NOW),
        "attempt": lambda transaction: transaction.append_attempt("alice", "key", fingerprint="g", answer="[]", at=NOW),
        "change signature": lambda transaction: transaction.append_change_signature(number, SIGNATURE),
        "audit row": lambda transaction: transaction.append_audit(store.reader.audit()[0]),
    }

    def twice() -> None:
        with store.writer.transaction() as transaction:
            audited(transaction)
            again[what](transaction)

    with pytest.raises(IntegrityError):
        twice()
    assert store.reader.audit_head() == head
    assert store.reader.roots() == (root(1),)
    assert store.reader.attempt("alice", "key") == ("f", "{}")


def test_a_version_without_its_audit_row_is_refused(store: Store) -> None:
    with pytest.raises(IntegrityError), store.writer.transaction() as transaction:
        transaction.append_version(version("payments", (1, 1)), audit_seq=99)
    assert store.reader.version_tags("payments") == []


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.writer.transaction() as transaction:
            audited(transaction)
            transaction.append_root(1, root(1), NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (store.reader.roots(), store.reader.audit(), store.reader.audit_head()[0]) == ((), [], 0)


def test_roots_come_in_order_and_the_newest_is_known_inside_a_transaction(store: Store) -> None:
    with store.writer.transaction() as transaction:
        assert (transaction.newest_root(), transaction.names()) == (0, [])
        for number in (2, 1, 10, 3):
            transaction.append_root(number, root(number), NOW)
        assert transaction.newest_root() == 10
        assert transaction.exists(roots.select())
    assert store.reader.roots() == (root(1), root(2), root(3), root(10))


def test_numbers_are_given_out_upwards_and_times_never_fall(store: Store) -> None:
    def ask(now: datetime, *, pinset: bool) -> Reservation:
        return store.writer.reserve("payments", now, pinset=pinset, room="publish")

    later = NOW + timedelta(minutes=1)
    assert ask(NOW, pinset=False) == Reservation(0, 1, NOW)
    assert ask(later + timedelta(microseconds=5), pinset=True) == Reservation(1, 2, later)
    assert ask(NOW, pinset=True) == Reservation(2, 3, later)


def test_a_lease_has_one_holder_until_its_time_is_up_or_it_is_given_back(store: Store) -> None:
    def take(holder: str, now: datetime) -> bool:
        return store.writer.take_lease("renewal", holder, now=now, until=now + timedelta(minutes=3))

    assert take("one", NOW)
    assert not take("two", NOW)
    assert take("one", NOW + timedelta(minutes=1))
    assert not take("two", NOW + timedelta(minutes=3))
    assert take("two", NOW + timedelta(minutes=4))
    store.writer.release_lease("renewal", "one")
    assert not take("one", NOW + timedelta(minutes=4))
    store.writer.release_lease("renewal", "two")
    assert take("one", NOW + timedelta(minutes=4))


def test_what_is_due_is_listed_the_longest_overdue_first(store: Store) -> None:
    for number, name in enumerate(("b", "c", "a")):
        at = NOW + timedelta(hours=number)
        publish(store, name, renew_after=at, renew_pinset_after=at + timedelta(days=1))
    assert store.reader.due(NOW - timedelta(seconds=1)) == ([], [])
    assert store.reader.due(NOW + timedelta(hours=1)) == (["b", "c"], [])
    assert store.reader.due(NOW + timedelta(days=2)) == (["b", "c", "a"], ["b", "c", "a"])
    assert store.reader.due(NOW + timedelta(days=2), limit=1) == (["b"], ["b"])


def test_answers_are_kept_for_each_actor_and_forgotten_by_age(store: Store) -> None:
    with store.writer.transaction() as transaction:
        for actor, at in (("alice", NOW), ("bob", NOW + timedelta(hours=1))):
            transaction.append_attempt(actor, "key", fingerprint=actor[0] * 64, answer='{"ü":1}', at=at)
    assert store.reader.attempt("alice", "key") == ("a" * 64, '{"ü":1}')
    assert store.reader.attempt("alice", "KEY") is None
    with store.writer.transaction() as transaction:
        assert transaction.forget_attempts(NOW + timedelta(seconds=1)) == 1
    assert store.reader.attempt("alice", "key") is None
    assert store.reader.attempt("bob", "key") == ("b" * 64, '{"ü":1}')


def test_tokens_are_kept_used_and_revoked_once(store: Store) -> None:
    with store.writer.transaction() as transaction:
        transaction.append_token(token("younger", created_at=LATER), b"\0" * 32)
        transaction.append_token(token("older"), b"\xff" * 32)
    assert store.reader.tokens() == [token("older"), token("younger", created_at=LATER)]
    assert store.reader.token("older") == (token("older"), b"\xff" * 32)
    with store.writer.transaction() as transaction:
        transaction.touch_token("older", NOW)
        assert transaction.revoke_token("older", LATER)
        assert not transaction.revoke_token("older", NOW)
        for strange in ("nobody", "x" * 33, "nul \0"):
            assert not transaction.revoke_token(strange, NOW)
    assert store.reader.token("older") == (token("older", last_used_at=NOW, revoked_at=LATER), b"\xff" * 32)


def test_changes_wait_are_signed_are_closed_once_and_grow_stale(store: Store) -> None:
    publish(store, "payments", (1, 1))
    with store.writer.transaction() as transaction:
        rows = [change(audited(transaction), name) for name in ("payments", "payments", "orders")]
        for row in rows:
            transaction.append_change(row)
        transaction.append_change_signature(rows[0].id, SIGNATURE)
    signed = change(rows[0].id, "payments", signatures=(SIGNATURE,))
    assert store.reader.change(signed.id) == signed
    with store.writer.transaction() as transaction:
        assert transaction.lock_change(signed.id) == signed
        assert transaction.lock_change(4711) is None
        assert transaction.close_change(rows[1].id, "rejected", at=NOW, by="bob", reason="no")
        assert not transaction.close_change(rows[1].id, "published", at=NOW, by="bob", reason="yes")
    listed = store.reader.changes(now=NOW, before=None, limit=9)
    assert [(row.id, row.state, row.payload) for row in listed] == [
        (rows[2].id, "waiting", b""),
        (rows[1].id, "rejected", b""),
        (rows[0].id, "waiting", b""),
    ]
    assert [row.id for row in store.reader.changes(name="orders", now=NOW, before=None, limit=9)] == [rows[2].id]
    assert [row.id for row in store.reader.changes(state="waiting", now=NOW, before=rows[2].id, limit=9)] == [signed.id]
    assert [row.id for row in store.reader.changes(state="expired", now=LATER, before=None, limit=1)] == [rows[2].id]
    publish(store, "payments", (1, 2))
    assert [store.reader.change(row.id).state for row in rows] == ["stale", "rejected", "waiting"]
    closed = store.reader.change(rows[1].id)
    assert (closed.closed_at, closed.closed_by, closed.closed_reason) == (NOW, "bob", "no")


def test_the_audit_log_is_read_in_pages_and_its_chain_holds(store: Store) -> None:
    with store.writer.transaction() as transaction:
        numbers = [audited(transaction, said="ü\u2028\U0001f512") for _ in range(5)]
    assert numbers == [1, 2, 3, 4, 5]
    assert [row.seq for row in store.reader.audit(after=2, limit=2)] == [3, 4]
    head = store.reader.audit()[-1]
    assert head.to_json()["detail"] == {"said": "ü\u2028\U0001f512"}
    assert store.reader.audit_head() == (5, head.hash)
    assert audit.verify_chain(store.reader) == audit.ChainReport(5, head.hash)


NAMES = ["0", "10", "9", "a", "a-b", "a.b", "a_b", "aa", "ab", "b"]


def test_names_are_listed_by_code_points_in_every_list(store: Store) -> None:
    for name in reversed(NAMES):
        publish(store, name)
    with store.writer.transaction() as transaction:
        assert transaction.names() == NAMES
    assert [line.name for line in store.reader.pinsets()] == NAMES
    assert [current.name for current in store.reader.all_current()] == NAMES


def test_names_that_differ_by_case_or_by_composition_are_different(store: Store) -> None:
    names = ["payments", "Payments", "PAYMENTS", "caf\u00e9", "cafe\u0301", "payments "]
    for number, name in enumerate(names, 1):
        publish(store, name, (1, number))
    assert {name: store.reader.current(name).tag for name in names} == {
        name: (1, number) for number, name in enumerate(names, 1)
    }


def test_every_page_of_many_names_is_walked_once(store: Store) -> None:
    names = sorted(f"n{number}" for number in range(401))
    with store.writer.transaction() as transaction:
        seq = audited(transaction)
        for name in names:
            assert transaction.create_pinset(name, (1, 1), timestamp((1, 1)))
            transaction.append_version(version(name, (1, 1)), audit_seq=seq)
    assert [current.name for current in store.reader.all_current()] == names


@pytest.mark.parametrize("number", [1, 2**31, 2**53 - 1, 2**63 - 1])
def test_numbers_keep_their_value(store: Store, number: int) -> None:
    row = publish(store, "payments", (number, number))
    assert store.reader.current("payments").tag == (number, number)
    assert store.reader.version("payments", number, number) == row


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70])
def test_a_number_beyond_64_bits_is_refused_by_name_and_nothing_is_stored(store: Store, number: int) -> None:
    with pytest.raises(Unstorable):
        publish(store, "payments", (1, number))
    with pytest.raises(Unstorable):
        store.reader.version("payments", number)
    assert (store.reader.find_current("payments"), store.reader.audit()) == (None, [])


@pytest.mark.parametrize("text", ["nul \0 inside", "half \ud800 a pair"])
def test_text_that_one_database_refuses_is_refused_by_both(store: Store, text: str) -> None:
    publish(store, "payments")
    with pytest.raises(Unstorable), store.writer.transaction() as transaction:
        transaction.append_version(version("payments", (1, 2), reason=text), audit_seq=audited(transaction))
    assert store.reader.version_tags("payments") == [(1, 1)]
    assert store.reader.find_current(text) is None
    assert store.reader.changes(name=text, now=NOW, before=None, limit=9) == []
    assert (store.reader.attempt(text, text), store.reader.token(text)) == (None, None)
    with pytest.raises(NotFound):
        store.reader.versions(text)


def test_text_that_is_too_long_for_its_column_is_refused_by_both(store: Store) -> None:
    publish(store, "n" * 64)
    with pytest.raises(Unstorable):
        publish(store, "n" * 65)
    assert store.reader.find_current("n" * 65) is None
    assert [line.name for line in store.reader.pinsets()] == ["n" * 64]


def test_a_document_of_the_largest_size_comes_back_byte_by_byte(store: Store) -> None:
    payload = bytes(range(256)) * 4096
    assert len(payload) == 1024 * 1024
    publish(store, "payments", (1, 1), payload)
    assert store.reader.current("payments").pinset.payload == payload


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=9, minutes=30))])
@pytest.mark.parametrize("moment", [datetime(1970, 1, 1), datetime(2026, 10, 25, 2, 30), datetime(9000, 1, 1)])
def test_a_time_is_one_moment_whatever_zone_it_was_given_in(store: Store, zone: timezone, moment: datetime) -> None:
    given = moment.replace(tzinfo=zone)
    publish(store, "payments", expires=given)
    (line,) = store.reader.pinsets()
    assert (line.timestamp_expires, line.timestamp_expires.tzinfo) == (given, UTC)


def test_a_time_without_zone_is_refused(store: Store) -> None:
    with pytest.raises(Unstorable):
        publish(store, "payments", expires=datetime(2026, 6, 1))
    assert store.reader.pinsets() == []


def test_a_store_is_used_again_after_it_was_closed(store: Store) -> None:
    publish(store, "payments")
    store.close()
    assert [line.name for line in store.reader.pinsets()] == ["payments"]
    assert migrate(store.url) == schema_head()
    again = open_store(store.url)
    assert again.reader.current("payments") == store.reader.current("payments")
    again.close()
