"""Sessions, links, accounts and spent ID tokens in either store; of two who spend the same, one does."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from pinwarden_server.store import Store, Transaction
from pinwarden_server.store.logins import (
    KEPT_AFTER_THE_END,
    append_account,
    append_link,
    append_session,
    find_account,
    find_link,
    find_session,
    forget_logins,
    is_account,
    list_accounts,
    list_links,
    list_sessions,
    redeem_link,
    remove_account,
    revoke_session,
    revoke_sessions_of,
    set_password_hash,
    spend_id_token,
    withdraw_link,
    withdraw_links_of,
)
from tests.server.store.rows import LATER, NOW, account, link, session

DIGEST = b"\0\xff" * 16
STRANGE = ("none", "", "\0", "\ud800", "' OR 1=1 --", "x" * 500)


def test_sessions_are_kept_listed_and_ended_once(store: Store) -> None:
    first, second = session("b"), session("a", authenticated_at=LATER, names=("*",), owner="bob")
    with store.writer.transaction() as transaction:
        append_session(transaction, second, DIGEST)
        append_session(transaction, first, DIGEST)
    assert list_sessions(store.reader) == [first, second]
    assert find_session(store.reader, "b") == (first, DIGEST)
    with store.writer.transaction() as transaction:
        assert revoke_session(transaction, "b", NOW)
        assert [revoke_session(transaction, name, LATER) for name in ("b", *STRANGE)] == [False] * 7
    assert list_sessions(store.reader) == [replace(first, revoked_at=NOW), second]
    assert [find_session(store.reader, name) for name in STRANGE] == [None] * 6


def test_sessions_of_an_owner_end_together_by_the_way_they_began(store: Store) -> None:
    rows = [session("1", way="account"), session("2", way="account"), session("3"), session("4", owner="bob")]
    with store.writer.transaction() as transaction:
        for row in rows:
            append_session(transaction, row, DIGEST)
        assert revoke_sessions_of(transaction, "alice", NOW, way="account") == 2
        assert revoke_sessions_of(transaction, "alice", LATER, way="account") == 0
    assert [row.revoked_at for row in list_sessions(store.reader)] == [NOW, NOW, None, None]
    with store.writer.transaction() as transaction:
        assert [revoke_sessions_of(transaction, name, LATER) for name in ("alice", *STRANGE)] == [1] + [0] * 6
    assert [row.revoked_at for row in list_sessions(store.reader)] == [NOW, NOW, LATER, None]


def test_links_of_an_owner_are_withdrawn_together_with_those_that_sessions_of_the_owner_made(store: Store) -> None:
    theirs = [link("for-them"), link("made-by-them", owner="mallory", created_by="session:s")]
    over = [link("redeemed", redeemed_at=NOW), link("expired", expires_at=NOW)]
    others = [
        link("for-bob", owner="bob", created_by="session:t"),
        link("by-a-token", owner="bob", created_by="token:s"),
    ]
    with store.writer.transaction() as transaction:
        for begun in (session("s"), session("t", owner="bob")):
            append_session(transaction, begun, DIGEST)
        for row in theirs + over + others:
            append_link(transaction, row, DIGEST)
        assert redeem_link(transaction, "redeemed", NOW)
        at = NOW + timedelta(seconds=1)
        assert [withdraw_links_of(transaction, name, at) for name in ("alice", "alice", *STRANGE)] == [2] + [0] * 7
        assert not any(redeem_link(transaction, row.id, at) for row in theirs)
    kept = [find_link(store.reader, row.id) for row in theirs + over + others]
    withdrawn = [replace(row, expires_at=row.created_at) for row in theirs]
    assert [row for row, _ in kept if row] == withdrawn + over + others


@pytest.mark.parametrize(("seconds", "spends"), [(-1, True), (0, False), (1, False)])
def test_a_link_is_spent_before_its_end_and_once(store: Store, seconds: int, spends: bool) -> None:
    row = link("first")
    with store.writer.transaction() as transaction:
        append_link(transaction, row, DIGEST)
    at = LATER + timedelta(seconds=seconds)
    with store.writer.transaction() as transaction:
        assert [redeem_link(transaction, "first", at) for _ in range(2)] == [spends, False]
        assert not redeem_link(transaction, "another", NOW)
    assert find_link(store.reader, "first") == (replace(row, redeemed_at=at if spends else None), DIGEST)
    assert [find_link(store.reader, name) for name in STRANGE] == [None] * 6


@pytest.mark.parametrize("ends", [LATER, NOW + timedelta(seconds=1)])
def test_a_link_is_withdrawn_once_and_whatever_a_clock_says(store: Store, ends: datetime) -> None:
    row, spent = link("first", expires_at=ends), link("spent", redeemed_at=NOW)
    with store.writer.transaction() as transaction:
        append_link(transaction, row, DIGEST)
        append_link(transaction, spent, DIGEST)
        assert redeem_link(transaction, "spent", NOW)
    with store.writer.transaction() as transaction:
        withdrawn = [withdraw_link(transaction, name) for name in ("first", "first", "spent", *STRANGE)]
        assert (withdrawn, redeem_link(transaction, "first", NOW)) == ([True] + [False] * 8, False)
    assert find_link(store.reader, "first") == (replace(row, expires_at=row.created_at), DIGEST)
    assert find_link(store.reader, "spent") == (spent, DIGEST)


def test_links_are_listed_the_oldest_first_with_those_makers_that_are_still_good(store: Store) -> None:
    rows = [
        link("b", created_by="session:s"),
        link("c", created_by="session:t"),
        link("d", created_by="system:command"),
        link("a", created_at=LATER, created_by="session:unknown"),
    ]
    with store.writer.transaction() as transaction:
        for begun in (session("s"), session("t")):
            append_session(transaction, begun, DIGEST)
        assert revoke_session(transaction, "t", NOW)
        for row in reversed(rows):
            append_link(transaction, row, DIGEST)
    assert list_links(store.reader) == (rows, {"session:s", "system:command"})


def at_once(store: Store, spend: Callable[[Transaction], bool]) -> list[bool]:
    """Return what eight transactions that begin together come to."""
    together = threading.Barrier(8)

    def one(_: int) -> bool:
        together.wait()
        try:
            with store.writer.transaction() as transaction:
                return spend(transaction)
        except IntegrityError:
            return False

    with ThreadPoolExecutor(8) as people:
        return sorted(people.map(one, range(8)))


def test_of_eight_redeemers_at_once_one_spends_the_link(store: Store) -> None:
    for name in ("first", "second", "third"):
        with store.writer.transaction() as transaction:
            append_link(transaction, link(name), DIGEST)
        assert at_once(store, lambda transaction, name=name: redeem_link(transaction, name, NOW)) == [False] * 7 + [
            True
        ]


def test_of_eight_who_redeem_and_withdraw_a_link_at_once_one_has_it(store: Store) -> None:
    for name in ("first", "second", "third"):
        deeds = iter([lambda *about: redeem_link(*about, NOW), withdraw_link] * 4)
        with store.writer.transaction() as transaction:
            append_link(transaction, link(name), DIGEST)
        assert at_once(store, lambda transaction, name=name, deeds=deeds: next(deeds)(transaction, name)) == (
            [False] * 7 + [True]
        )


def test_of_eight_exchanges_at_once_one_spends_the_id_token(store: Store) -> None:
    def spend(transaction: Transaction) -> bool:
        spend_id_token(transaction, "d" * 64, LATER)
        return True

    assert at_once(store, spend) == [False] * 7 + [True]
    with pytest.raises(IntegrityError), store.writer.transaction() as transaction:
        spend_id_token(transaction, "d" * 64, LATER)


def test_accounts_have_one_name_each_and_go_when_they_are_removed(store: Store) -> None:
    alice, bob = account("alice"), account("bob", role="reader", names=("pay*", "shop"))
    with store.writer.transaction() as transaction:
        append_account(transaction, bob)
        append_account(transaction, alice)
    with pytest.raises(IntegrityError), store.writer.transaction() as transaction:
        append_account(transaction, account("alice", role="reader"))
    assert list_accounts(store.reader) == [alice, bob]
    with store.writer.transaction() as transaction:
        assert is_account(transaction, alice)
        assert not is_account(transaction, replace(alice, password_hash="$another"))
        changed = replace(alice, password_hash="$another")
        assert [set_password_hash(transaction, name, "$another") for name in ("alice", *STRANGE)] == [True] + [
            False
        ] * 6
        assert (is_account(transaction, alice), is_account(transaction, changed)) == (False, True)
        assert [remove_account(transaction, name) for name in ("alice", "alice", *STRANGE)] == [True] + [False] * 7
        assert not is_account(transaction, changed)
    assert [find_account(store.reader, name) for name in ("bob", "alice", *STRANGE)] == [bob] + [None] * 7


def test_a_session_that_begins_beside_a_new_password_is_ended_by_it(store: Store) -> None:
    alice, changed = account("alice"), threading.Event()
    with store.writer.transaction() as transaction:
        append_account(transaction, alice)

    def change() -> int:
        with store.writer.transaction() as transaction:
            assert set_password_hash(transaction, "alice", "$another")
            ended = revoke_sessions_of(transaction, "alice", NOW)
        changed.set()
        return ended

    with ThreadPoolExecutor(1) as other:
        with store.writer.transaction() as transaction:
            assert is_account(transaction, alice)
            going_on = other.submit(change)
            assert not changed.wait(0.2)
            append_session(transaction, session("s", way="account"), DIGEST)
        assert going_on.result() == 1
    assert list_sessions(store.reader) == [session("s", way="account", revoked_at=NOW)]


def test_what_ended_is_forgotten_after_a_while_and_nothing_else(store: Store) -> None:
    with store.writer.transaction() as transaction:
        for name, ends in (("old", NOW), ("new", NOW + 2 * KEPT_AFTER_THE_END)):
            append_session(transaction, session(name, expires_at=ends), DIGEST)
            append_link(transaction, link(name, expires_at=ends), DIGEST)
            spend_id_token(transaction, name, ends)
        append_account(transaction, account("alice"))
    for at, sessions, spent in (
        (NOW, ["new", "old"], ["new", "old"]),
        (NOW + timedelta(seconds=1), ["new", "old"], ["new"]),
        (NOW + KEPT_AFTER_THE_END, ["new", "old"], ["new"]),
        (NOW + KEPT_AFTER_THE_END + timedelta(seconds=1), ["new"], ["new"]),
    ):
        with store.writer.transaction() as transaction:
            forget_logins(transaction, at)
        assert sorted(row.id for row in list_sessions(store.reader)) == sessions
        assert [name for name in ("new", "old") if find_link(store.reader, name)] == sessions
        assert [name for name in ("new", "old") if is_spent(store, name)] == spent
    assert [row.name for row in list_accounts(store.reader)] == ["alice"]


def is_spent(store: Store, digest: str) -> bool:
    """Tell whether an ID token was exchanged, and leave no trace of the question."""

    class Undone(Exception):
        pass

    try:
        with store.writer.transaction() as transaction:
            spend_id_token(transaction, digest, LATER)
            raise Undone
    except Undone:
        return False
    except IntegrityError:
        return True
