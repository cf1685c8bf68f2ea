"""
Somebody's deed, and what takes it back, at once on PostgreSQL.

Each test holds a transaction that is all but committed, until the deed, which was let in before, waits for its turn.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from pinwarden_server import audit
from pinwarden_server.approvals import approve_change
from pinwarden_server.auth import issue_token
from pinwarden_server.change_drafts import ApprovalDraft, PolicyDraft
from pinwarden_server.changes import submit
from pinwarden_server.changes_answered import Waiting
from pinwarden_server.errors import Conflict, StaleVersion, Unauthenticated
from pinwarden_server.planning import plan_publication
from pinwarden_server.policies import set_policy
from pinwarden_server.publishing import publish
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import Transaction
from pinwarden_server.token_drafts import TokenDraft
from tests.postgres import Postgres
from tests.server.store.rows import NOW, timestamp
from tests.server.store.test_postgres import draft, name_of
from tests.waiting import until

BLOCKED = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{}'"


@pytest.fixture
def guarded(pg_site: Site) -> Site:
    """Version 1.1 of payments is in force, and requires two approvals."""
    publish(pg_site, "payments", draft(), None, Act("setup", NOW))
    set_policy(pg_site, "payments", PolicyDraft(2, 0), Act("setup", NOW))
    return pg_site


def person(site: Site, owner: str) -> Act:
    token = issue_token(site.store, TokenDraft("approver", 3600, owner=owner), Act("setup", NOW))
    return Act(f"token:{token.row.id}", NOW, owner=owner)


def approve(site: Site, number: int, by: Act) -> Any:
    return approve_change(site, number, ApprovalDraft(sha256(site.store.reader.change(number).payload).hexdigest()), by)


def proposed(site: Site) -> int:
    waiting = submit(site, lambda: plan_publication(site, "payments", draft(b"next"), (1, 1), ERIN), ERIN)
    assert isinstance(waiting, Waiting)
    return waiting.row.id


def lowering(site: Site) -> int:
    waiting = set_policy(site, "payments", PolicyDraft(0, 2), ERIN)
    assert isinstance(waiting, Waiting)
    return waiting.row.id


ERIN = Act("system:erin", NOW, owner="erin")


@contextmanager
def meanwhile(site: Site, postgres: Postgres, deed: Callable[[], Any], outcome: list[Any]) -> Iterator[Transaction]:
    """Yield a transaction; it commits once *deed*, which begins at the end of the block, waits for a lock."""
    with ThreadPoolExecutor(1) as pool:
        with site.store.writer.transaction() as transaction:
            yield transaction
            started = pool.submit(deed)
            until(lambda: started.done() or postgres.ask(BLOCKED.format(name_of(site.store))))
            assert not started.done()
        try:
            outcome.append(started.result(30))
        except (Conflict, Unauthenticated) as error:
            outcome.append(error)


@pytest.mark.parametrize("thief", ["anna", "ben"])
@pytest.mark.parametrize("propose", [proposed, lowering])
def test_an_approval_that_is_revoked_while_the_last_one_is_committed_completes_nothing(
    guarded: Site, postgres: Postgres, propose: Callable[[Site], int], thief: str
) -> None:
    number, people, outcome = propose(guarded), {name: person(guarded, name) for name in ("anna", "ben")}, []
    assert isinstance(approve(guarded, number, people["anna"]), Waiting)
    revoked = people[thief].actor.removeprefix("token:")
    with meanwhile(guarded, postgres, lambda: approve(guarded, number, people["ben"]), outcome) as transaction:
        assert transaction.revoke_token(revoked, NOW)
        audit.append(transaction, at=NOW, actor="setup", action="token.revoke", subject=revoked, detail={})
    current = guarded.store.reader.current("payments")
    assert (current.tag, current.approvals_required) == ((1, 1), 2)
    row = guarded.store.reader.change(number)
    assert (row.state, row.approvers) == ("waiting", people.keys() - {thief})
    assert [type(each) for each in outcome] == [Unauthenticated if thief == "ben" else Waiting]
    done = approve(guarded, number, person(guarded, "carl"))
    assert isinstance(done, Published) or done.row.state == "published"


def test_nothing_is_proposed_for_a_version_whose_successor_is_about_to_be_committed(
    guarded: Site, postgres: Postgres
) -> None:
    first, outcome = proposed(guarded), []
    row = guarded.store.reader.change(first)
    with meanwhile(guarded, postgres, lambda: proposed(guarded), outcome) as transaction:
        assert transaction.move_pinset(
            "payments",
            expected=(1, 1),
            expected_timestamp=guarded.store.reader.current("payments").timestamp_tag,
            tag=row.tag,
            timestamp=timestamp((1, 9)),
        )
    assert [type(each) for each in outcome] == [StaleVersion]
    waiting = guarded.store.reader.changes(state="waiting", now=NOW)
    assert (waiting, guarded.store.reader.change(first).state) == ([], "stale")
