"""
kill -9 at every named point of approving, of publishing what was approved or scheduled, of policies and of reviews.

A child is forked, arms one point, works and dies there; the oracle judges what it left, and the same work, repeated
under the same Idempotency-Key, must end as if nobody had died.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pinwarden import failpoints, trust
from pinwarden.bundle import Bundle
from pinwarden_server import audit, schedule
from pinwarden_server.approvals import approve_change
from pinwarden_server.change_drafts import ApprovalDraft, PolicyDraft, ReviewDraft
from pinwarden_server.changes_answered import Waiting
from pinwarden_server.drafts import AT_ONCE, Manner
from pinwarden_server.founding import reconcile
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.node import open_site
from pinwarden_server.policies import set_policy
from pinwarden_server.reviews import review_change
from pinwarden_server.site import Act, Attempt, Published, Site
from tests.dying import MortalStage

POINTS = {
    room: sorted(point for point in failpoints.NAMES if point.startswith(f"{room}."))
    for room in ("approve", "held", "policy", "review", "schedule")
}
pytestmark = pytest.mark.xdist_group("crash-approvals")


@dataclass
class Stage(MortalStage):
    """An installation whose oracle judges what each death left behind."""

    installation: Installation
    own_hosts: tuple[str, ...] = ()

    def site(self) -> Site:
        site = open_site(self.installation.settings(), with_signers=True)
        return replace(site, policy=replace(site.policy, own_hosts=self.own_hosts))

    def die_at(self, point: str, work: Callable[[Site], object]) -> None:
        super().die_at(point, work)
        self.use(self.check)

    def by(self, person: str) -> Act:
        attempt = Attempt.of(f"{person}-{self.now.timestamp():.0f}", "POST", "/x", None, b"")
        return Act(f"system:{person}", self.now, attempt, person)

    def propose(self, site: Site, manner: Manner = AT_ONCE, person: str = "erin") -> Any:
        return self.submit_next(site, self.by(person), manner)

    def proposed(self, **manner: Any) -> int:
        outcome = self.use(lambda site: self.propose(site, Manner(**manner)))
        assert isinstance(outcome, Waiting)
        return outcome.row.id

    def approve(self, number: int, person: str) -> Callable[[Site], Any]:
        def work(site: Site) -> Any:
            digest = sha256(site.store.reader.change(number).payload).hexdigest()
            return approve_change(site, number, ApprovalDraft(digest), self.by(person))

        return work

    def check(self, site: Site) -> None:
        """The oracle: what a death left behind fits together, and every client takes what is served then."""
        reader = site.store.reader
        assert audit.verify_chain(reader).rows > 0
        reconcile(site)
        current = reader.current("payments")
        bundle = Bundle.parse(site.tree.path_of("/v1/bundles/payments/1").read_bytes())
        root = reader.roots()[0]
        state = trust.advance_bundle(trust.begin(root, name="payments"), bundle, now=self.now)
        assert state.adopted_pinset is not None
        assert state.adopted_pinset.tag == current.tag
        versions = {row.tag for row in reader.versions("payments", limit=500)}
        for row in reader.changes(now=self.now, limit=500):
            assert (row.published_as in versions) == (row.state in ("published", "review") and not row.is_policy)
            if row.state == "published" and not row.is_policy and row.not_before is None and row.review is None:
                assert len(row.approvers) >= 2, "published without its approvals"
            if row.state == "waiting" and not row.is_policy:
                assert row.base == current.tag


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Version 1.1 of payments is in force, and requires two approvals."""
    now = datetime.now(UTC).replace(microsecond=0)
    stage = Stage(now, init_development(tmp_path / "server", bind=None, label="test", now=now))
    assert isinstance(stage.use(stage.propose), Published)
    stage.pass_on()
    stage.use(lambda site: set_policy(site, "payments", PolicyDraft(2, 0), stage.by("root")))
    stage.pass_on()
    yield stage
    failpoints.arm(None)


def test_every_step_has_a_point() -> None:
    assert schedule
    assert {room: len(points) for room, points in POINTS.items()} == {
        "approve": 2,
        "held": 15,
        "policy": 4,
        "review": 2,
        "schedule": 2,
    }


@pytest.mark.parametrize("point", POINTS["approve"])
def test_an_approval_is_kept_once_or_not_at_all_when_approving_dies_at(point: str, stage: Stage) -> None:
    number = stage.proposed()
    stage.die_at(point, stage.approve(number, "anna"))
    again = stage.use(stage.approve(number, "anna"))
    assert (isinstance(again, Waiting), again.row.approvers) == (True, {"anna"})
    assert isinstance(stage.use(stage.approve(number, "ben")), Published)
    stage.use(stage.check)


@pytest.mark.parametrize("point", POINTS["held"])
def test_what_was_approved_is_published_once_or_waits_on_when_publishing_dies_at(point: str, stage: Stage) -> None:
    number = stage.proposed()
    stage.use(stage.approve(number, "anna"))
    stage.die_at(point, stage.approve(number, "ben"))
    assert isinstance(stage.use(stage.approve(number, "ben")), Published)
    stage.use(stage.check)
    assert len(stage.use(lambda site: site.store.reader.versions("payments"))) == 2


@pytest.mark.parametrize("point", POINTS["held"])
def test_what_was_scheduled_is_published_once_when_its_publication_dies_at(point: str, stage: Stage) -> None:
    number = stage.proposed(not_before=stage.now + timedelta(hours=1))
    for person in ("anna", "ben"):
        stage.use(stage.approve(number, person))
    stage.pass_on(hours=1)
    stage.die_at(point, lambda site: schedule.publish_due(site, stage.now))
    assert stage.use(lambda site: schedule.publish_due(site, stage.now)) == {}
    stage.use(stage.check)
    assert stage.use(lambda site: site.store.reader.change(number)).state == "published"
    assert len(stage.use(lambda site: site.store.reader.versions("payments"))) == 2


@pytest.mark.parametrize("point", POINTS["schedule"])
def test_why_something_is_blocked_is_kept_once_when_keeping_it_dies_at(point: str, stage: Stage) -> None:
    number = stage.proposed(not_before=stage.now + timedelta(hours=1))
    for person in ("anna", "ben"):
        stage.use(stage.approve(number, person))
    stage.pass_on(hours=1)
    stage.own_hosts = ("api.example.com",)
    stage.die_at(point, lambda site: schedule.publish_due(site, stage.now))
    assert list(stage.use(lambda site: schedule.publish_due(site, stage.now))) == [number]
    rows = stage.use(lambda site: site.store.reader.audit(limit=500))
    assert [row.action for row in rows].count("change.block") == 1
    stage.use(stage.check)


@pytest.mark.parametrize("point", ["policy.committing", "policy.committed"])
def test_a_number_is_raised_once_or_not_at_all_when_raising_dies_at(point: str, stage: Stage) -> None:
    def work(site: Site) -> Any:
        return set_policy(site, "payments", PolicyDraft(3, 2), stage.by("root"))

    stage.die_at(point, work)
    assert stage.use(work).approvals_required == 3
    assert stage.use(lambda site: site.store.reader.current("payments")).approvals_required == 3


@pytest.mark.parametrize("point", ["policy.lowering", "policy.lowered"])
def test_a_number_is_lowered_once_or_not_at_all_when_lowering_dies_at(point: str, stage: Stage) -> None:
    asked = stage.use(lambda site: set_policy(site, "payments", PolicyDraft(0, 2), stage.by("root")))
    stage.use(stage.approve(asked.row.id, "anna"))
    stage.die_at(point, stage.approve(asked.row.id, "ben"))
    assert stage.use(stage.approve(asked.row.id, "ben")).row.state == "published"
    assert stage.use(lambda site: site.store.reader.current("payments")).approvals_required == 0


@pytest.mark.parametrize("point", POINTS["review"])
def test_a_review_is_closed_once_or_not_at_all_when_closing_dies_at(point: str, stage: Stage) -> None:
    stage.use(lambda site: stage.propose(site, Manner(break_glass=True), "olga"))
    [row] = stage.use(lambda site: site.store.reader.changes(state="review", now=stage.now))

    def work(site: Site) -> Any:
        return review_change(site, row.id, ReviewDraft("approved", "drill"), stage.by("anna"))

    stage.die_at(point, work)
    assert stage.use(work).row.review.verdict == "approved"
    stage.use(stage.check)


@pytest.mark.parametrize("point", sorted(point for point in failpoints.NAMES if point.startswith("publish.")))
def test_broken_glass_leaves_a_review_whenever_it_leaves_a_version_when_it_dies_at(point: str, stage: Stage) -> None:
    def work(site: Site) -> Any:
        return stage.propose(site, Manner(break_glass=True), "olga")

    stage.die_at(point, work)
    assert isinstance(stage.use(work), Published)
    stage.use(stage.check)
    [row] = stage.use(lambda site: site.store.reader.changes(state="review", now=stage.now))
    assert row.published_as == stage.use(lambda site: site.store.reader.current("payments")).tag
