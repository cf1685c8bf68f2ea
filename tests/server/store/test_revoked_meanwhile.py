"""Who stands for a publication is asked in the commit itself, on either store: a revocation just before it is seen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from pinwarden_server.approvals import approve_change
from pinwarden_server.auth import issue_token, revoke_token
from pinwarden_server.change_drafts import ApprovalDraft, PolicyDraft
from pinwarden_server.changes import submit
from pinwarden_server.changes_answered import Waiting
from pinwarden_server.drafts import Manner
from pinwarden_server.errors import Unauthenticated
from pinwarden_server.planning import plan_publication
from pinwarden_server.policies import set_policy
from pinwarden_server.publishing import publish
from pinwarden_server.schedule import publish_due
from pinwarden_server.site import Act, Site
from pinwarden_server.token_drafts import TokenDraft
from tests.meanwhile import before_the_commit
from tests.server.store.rows import NOW
from tests.server.store.test_postgres import draft

SETUP = Act("setup", NOW)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def guarded(site: Site) -> Site:
    """Version 1.1 of payments is in force, and nothing requires approvals."""
    publish(site, "payments", draft(), None, SETUP)
    return site


def person(site: Site, owner: str, role: str) -> Act:
    token = issue_token(site.store, TokenDraft(role, 7200, owner=owner), SETUP)
    return Act(f"token:{token.row.id}", NOW, owner=owner)


def revoking(site: Site, who: Act) -> Callable[[], object]:
    return lambda: revoke_token(site.store, who.actor.removeprefix("token:"), SETUP)


def scheduled(site: Site, by: Act) -> int:
    wanted = replace(draft(b"next"), manner=Manner(not_before=LATER))
    waiting = submit(site, lambda: plan_publication(site, "payments", wanted, (1, 1), by), by)
    assert isinstance(waiting, Waiting)
    return waiting.row.id


def approve(site: Site, number: int, by: Act) -> object:
    return approve_change(site, number, ApprovalDraft(sha256(site.store.reader.change(number).payload).hexdigest()), by)


def standing(site: Site, number: int) -> tuple[object, ...]:
    row = site.store.reader.change(number)
    return site.store.reader.current("payments").tag, row.state, row.approvers


def test_what_somebody_scheduled_alone_is_not_published_when_they_are_revoked_at_that_moment(guarded: Site) -> None:
    erin = person(guarded, "erin", "editor")
    number = scheduled(guarded, erin)
    with before_the_commit(revoking(guarded, erin)):
        blocked = publish_due(guarded, LATER)
    assert [*blocked] == [number]
    assert blocked[number].startswith("the token or session that scheduled it was revoked, or is not known any more")
    assert standing(guarded, number) == ((1, 1), "waiting", frozenset())
    assert guarded.store.reader.change(number).blocked == blocked[number]


def test_what_others_approved_is_published_although_whoever_scheduled_it_is_revoked(guarded: Site) -> None:
    set_policy(guarded, "payments", PolicyDraft(1, 0), SETUP)
    erin, anna = person(guarded, "erin", "editor"), person(guarded, "anna", "approver")
    number = scheduled(guarded, erin)
    assert isinstance(approve(guarded, number, anna), Waiting)
    with before_the_commit(revoking(guarded, erin)):
        assert publish_due(guarded, LATER) == {}
    assert standing(guarded, number)[1:] == ("published", {"anna"})


def test_a_scheduled_change_waits_on_when_its_only_approver_is_revoked_at_that_moment(guarded: Site) -> None:
    set_policy(guarded, "payments", PolicyDraft(1, 0), SETUP)
    erin, anna = person(guarded, "erin", "editor"), person(guarded, "anna", "approver")
    number = scheduled(guarded, erin)
    approve(guarded, number, anna)
    with before_the_commit(revoking(guarded, anna)):
        assert publish_due(guarded, LATER) == {}
    assert standing(guarded, number) == ((1, 1), "waiting", frozenset())


@pytest.mark.parametrize("required", [1, 2])
def test_an_approver_who_is_revoked_at_that_moment_is_told_so_and_nothing_is_kept(guarded: Site, required: int) -> None:
    set_policy(guarded, "payments", PolicyDraft(required, 0), SETUP)
    erin, anna = person(guarded, "erin", "editor"), person(guarded, "anna", "approver")
    waiting = submit(guarded, lambda: plan_publication(guarded, "payments", draft(b"next"), (1, 1), erin), erin)
    assert isinstance(waiting, Waiting)
    with before_the_commit(revoking(guarded, anna)), pytest.raises(Unauthenticated, match="session was revoked while"):
        approve(guarded, waiting.row.id, anna)
    assert standing(guarded, waiting.row.id) == ((1, 1), "waiting", frozenset())
    assert guarded.store.reader.change(waiting.row.id).approvals == ()
