"""What a store does with approvals, reviews, schedules and policies, and what two nodes do with them at once."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pinwarden.testing import pinned
from pinwarden_server import audit
from pinwarden_server.approvals import approve_change
from pinwarden_server.bell import Bell
from pinwarden_server.change_drafts import ApprovalDraft, PolicyDraft
from pinwarden_server.changes import submit
from pinwarden_server.changes_answered import Waiting
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import Conflict, Tag
from pinwarden_server.planning import plan_publication
from pinwarden_server.policies import set_policy
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.publishing import publish, renew_pinset
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import ChangeApproval, ChangeRow, Store, migrate, open_store
from pinwarden_server.store.change_rows import LOWER_POLICY
from pinwarden_server.store.copying import read_everything, write_row
from tests.server.store.rows import APPROVAL, LATER, NOW, REVIEW, audited, change, timestamp, token
from tests.server.store.rows import publish as commit_version
from tests.server.store.test_writers import at_once

BACKUP = bytes(range(32))  # in each draft, so that none locks out who holds another
HOUR = timedelta(hours=1)


def kept(store: Store, *rows: ChangeRow) -> list[int]:
    """Store *rows* under numbers of their own, and return those."""
    with store.writer.transaction() as transaction:
        numbers = [audited(transaction) for _ in rows]
        for number, row in zip(numbers, rows, strict=True):
            transaction.append_change(replace(row, id=number))
    return numbers


def held(**changes: Any) -> ChangeRow:
    """Return a change that the server signs as it is published."""
    return change(0, changes.pop("name", "payments"), signer="server", wait_for=(), **changes)


def test_every_member_of_a_change_comes_back(store: Store) -> None:
    row = held(not_before=NOW + HOUR, blocked="lint", published_as=(1, 7), state="published", approvals=(APPROVAL,))
    (number,) = kept(store, row)
    assert store.reader.change(number) == replace(row, id=number)


def test_an_approval_counts_until_its_token_is_revoked_and_is_then_replaced(store: Store) -> None:
    given = ChangeApproval("alice", "token:one", NOW, "")
    (number,) = kept(store, held(approvals=(given,)))
    assert store.reader.change(number).approvers == frozenset()  # no such token is known
    with store.writer.transaction() as transaction:
        transaction.append_token(token("one"), b"1" * 32)
        transaction.append_token(token("two"), b"2" * 32)
    assert store.reader.change(number).approvers == {"alice"}
    with store.writer.transaction() as transaction:
        transaction.revoke_token("one", NOW)
    assert store.reader.change(number).approvals == (replace(given, stands=False),)
    with store.writer.transaction() as transaction:
        transaction.put_approval(number, replace(given, actor="token:two"))
    assert store.reader.change(number).approvals == (replace(given, actor="token:two"),)


def test_a_review_is_closed_once(store: Store) -> None:
    open_, waiting = kept(store, held(state="review"), held())
    with store.writer.transaction() as transaction:
        assert transaction.append_review(open_, REVIEW)
        assert not transaction.append_review(open_, REVIEW)
        assert not transaction.append_review(waiting, REVIEW)
    assert (store.reader.change(open_).state, store.reader.change(open_).review) == ("published", REVIEW)
    assert store.reader.change(waiting).review is None


def test_due_is_what_waited_for_a_time_that_has_come_and_whose_end_has_not(store: Store) -> None:
    rows = [
        held(),  # waits for approvals, and the last one publishes it
        held(not_before=NOW + HOUR),
        change(0, "payments"),  # waits for a signature, whose deed publishes it
        change(0, "payments", not_before=NOW),
        held(action=LOWER_POLICY),
        held(not_before=NOW - HOUR, waits_until=NOW),
        held(not_before=NOW, state="rejected"),
    ]
    numbers = kept(store, *rows)
    assert store.reader.due_changes(NOW) == [numbers[3]]
    assert store.reader.due_changes(NOW + HOUR) == [numbers[1], numbers[3]]
    assert store.reader.due_changes(NOW + HOUR, limit=1) == [numbers[1]]
    assert store.reader.due_changes(NOW + HOUR, after=numbers[1], limit=1) == [numbers[3]]
    assert store.reader.due_changes(LATER) == []


def test_a_change_waits_until_the_time_that_it_names(store: Store) -> None:
    short, long = kept(store, held(waits_until=NOW + HOUR), held(waits_until=LATER))
    listed = {
        state: [row.id for row in store.reader.changes(state=state, now=NOW + HOUR)] for state in ("waiting", "expired")
    }
    assert listed == {"waiting": [long], "expired": [short]}


def test_why_a_change_is_blocked_is_kept_once_and_ends_with_its_waiting(store: Store) -> None:
    (number,) = kept(store, held())
    with store.writer.transaction() as transaction:
        assert [transaction.block_change(number, why) for why in ("lint", "lint", "clock")] == [True, False, True]
    assert store.reader.change(number).blocked == "clock"
    with store.writer.transaction() as transaction:
        assert transaction.close_change(number, "published", at=NOW, by="a", reason="b", published_as=(1, 9))
        assert not transaction.block_change(number, "lint")
    closed = store.reader.change(number)
    assert (closed.blocked, closed.published_as, closed.closed_reason) == ("", (1, 9), "b")


def test_a_policy_is_replaced_only_when_it_is_the_one_that_was_seen(store: Store) -> None:
    commit_version(store, "payments")
    assert (store.reader.current("payments").approvals_required, store.reader.policies()) == (0, {})
    lowers, other = kept(store, held(action=LOWER_POLICY), held(action=LOWER_POLICY, name="orders"))
    with store.writer.transaction() as transaction:
        assert (transaction.lock_policy("payments"), transaction.lock_policy("none")) == (0, None)
        assert not transaction.set_policy("payments", 2, replaces=1)
        assert transaction.set_policy("payments", 2, replaces=0)
        assert not transaction.set_policy("none", 2, replaces=0)
    assert (store.reader.current("payments").approvals_required, store.reader.policies()) == (2, {"payments": 2})
    assert [store.reader.change(number).state for number in (lowers, other)] == ["stale", "waiting"]


def test_a_new_pin_set_requires_what_it_is_made_with_and_keeps_that(store: Store) -> None:
    with store.writer.transaction() as transaction:
        assert transaction.create_pinset("orders", (1, 1), timestamp((1, 1)), approvals_required=3)
        assert transaction.move_pinset(
            "orders", expected=(1, 1), expected_timestamp=(1, 1), tag=(1, 2), timestamp=timestamp((1, 2))
        )
        assert transaction.lock_policy("orders") == 3


@pytest.mark.parametrize(
    ("tag", "same_content", "states"),
    [
        ((1, 2), False, ["stale", "stale", "stale", "waiting"]),
        ((1, 2), True, ["waiting", "stale", "stale", "waiting"]),
        ((2, 2), True, ["stale", "stale", "stale", "waiting"]),
        ((1, 1), False, ["waiting", "waiting", "waiting", "waiting"]),
    ],
)
def test_the_same_content_under_a_new_version_outdates_only_what_people_sign(
    store: Store, tag: Tag, same_content: bool, states: list[str]
) -> None:
    commit_version(store, "payments")
    numbers = kept(
        store, held(), change(0, "payments"), held(base=None), held(action=LOWER_POLICY, base=None), held(name="orders")
    )
    with store.writer.transaction() as transaction:
        pair = transaction.pair_of("payments")
        assert pair is not None
        assert transaction.move_pinset(
            "payments",
            expected=pair[0],
            expected_timestamp=pair[1],
            tag=tag,
            timestamp=timestamp((1, 2)),
            same_content=same_content,
        )
    assert [store.reader.change(number).state for number in numbers[:4]] == states
    assert store.reader.change(numbers[4]).state == "waiting"
    if states[0] == "waiting":
        assert store.reader.change(numbers[0]).base == tag


def test_a_copy_requires_as_many_approvals_and_has_those_that_were_given(store: Store, tmp_path: Path) -> None:
    commit_version(store, "payments")
    with store.writer.transaction() as transaction:
        assert transaction.set_policy("payments", 2, replaces=0)
    (number,) = kept(store, held(approvals=(APPROVAL,), not_before=NOW + HOUR))
    migrate(f"sqlite:///{tmp_path}/copy.db")
    copy = open_store(f"sqlite:///{tmp_path}/copy.db")
    with copy.writer.transaction() as transaction:
        for table, values in read_everything(store.reader, tokens=False):
            write_row(transaction, table, values)
    assert (copy.reader.policies(), copy.reader.change(number)) == ({"payments": 2}, store.reader.change(number))
    copy.close()


@pytest.fixture
def nodes(site: Site, tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """Two servers on one store, each with files of its own, as on two machines; payments requires one approval."""
    other = Site(
        open_store(site.store.url),
        PublishedTree(tmp_path / "second/tree"),
        Bell.open(tmp_path / "second/bell"),
        site.signers,
    )
    publish(site, "payments", draft(), None, by("setup"))
    set_policy(site, "payments", PolicyDraft(1, 0), by("root"))
    yield site, other
    other.store.close()
    other.bell.close()


def by(person: str) -> Act:
    return Act(f"system:{person}", NOW, None, person)


def draft() -> Draft:
    return Draft((pinned("api.example.com", os.urandom(32), BACKUP),))


def proposed(site: Site) -> ChangeRow:
    tag = site.store.reader.current("payments").tag
    outcome = submit(site, lambda: plan_publication(site, "payments", draft(), tag, by("erin")), by("erin"))
    assert isinstance(outcome, Waiting)
    return outcome.row


def approved(site: Site, row: ChangeRow, person: str) -> Any:
    digest = sha256(row.payload).hexdigest()
    try:
        return approve_change(site, row.id, ApprovalDraft(digest), by(person))
    except Conflict as error:
        return error


def test_two_nodes_that_get_the_last_approval_at_once_publish_once(nodes: tuple[Site, Site]) -> None:
    for turn in range(5):
        row = proposed(nodes[0])
        outcomes = at_once(lambda index, row=row: approved(nodes[index], row, ("anna", "ben")[index]), 2)  # type: ignore[misc]
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ChangeClosed", "Published"]
        assert len(nodes[0].store.reader.versions("payments")) == turn + 2
    assert audit.verify_chain(nodes[1].store.reader).rows > 0


def test_an_approval_on_one_node_and_a_renewal_on_the_other_never_wait_for_each_other(
    nodes: tuple[Site, Site],
) -> None:
    for _ in range(5):
        row = proposed(nodes[0])
        outcomes = at_once(
            lambda index, row=row: (  # type: ignore[misc]
                renew_pinset(nodes[1], "payments", NOW) if index else approved(nodes[0], row, "anna")
            ),
            2,
        )
        # Whatever came first: a renewal moves the change along, and a publication leaves nothing to renew.
        assert isinstance(outcomes[0], Published), outcomes
        assert nodes[0].store.reader.change(row.id).state == "published"
