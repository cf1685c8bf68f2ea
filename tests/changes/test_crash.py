"""
kill -9 at every named point of proposing, signing, rejecting and publishing a change.

A child is forked, arms one point, works and dies there; the oracle judges what it left, and the same request, repeated
under the same Idempotency-Key, must end as if nobody had died.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from pinwarden import failpoints, trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden.envelope import PINSET_TYPE, Signature, is_signature, pae
from pinwarden_server import audit
from pinwarden_server.changes import reject_change
from pinwarden_server.changes_answered import Outcome, Waiting
from pinwarden_server.changes_signing import sign_change
from pinwarden_server.founding import reconcile
from pinwarden_server.node import open_site
from pinwarden_server.site import Act, Attempt, Published, Site
from pinwarden_server.store import ChangeRow
from tests.dying import MortalStage

if TYPE_CHECKING:
    from conftest import Person, Town

ROUNDS = int(os.environ.get("PINWARDEN_CHANGE_CRASH_ROUNDS", "2"))
POINTS = {
    room: sorted(point for point in failpoints.NAMES if point.startswith(f"{room}."))
    for room in ("propose", "sign", "reject", "change")
}
pytestmark = pytest.mark.xdist_group("crash-changes")


@dataclass
class Stage(MortalStage):
    """The town's server, and what its people do."""

    town: "Town"

    def site(self) -> Site:
        return open_site(self.town.installation.settings(), with_signers=True)

    def by(self, key: str) -> Act:
        return Act("system:test", self.now, Attempt.of(f"{key}-{self.now.timestamp():.0f}", "POST", "/x", None, b""))

    def propose(self, site: Site) -> Outcome:
        return self.submit_next(site, self.by("propose"))

    def sign(self, person: "Person", number: int) -> Callable[[Site], Outcome]:
        def work(site: Site) -> Outcome:
            message = pae(PINSET_TYPE, site.store.reader.change(number).payload)
            signature = Signature(person.keyid, person.signer.sign(message))
            return sign_change(site, number, signature, self.by(person.name))

        return work

    def reject(self, number: int) -> Callable[[Site], Outcome]:
        return lambda site: reject_change(site, number, "drill", self.by("reject"))

    def proposed(self) -> int:
        outcome = self.use(self.propose)
        assert isinstance(outcome, Waiting)
        return outcome.row.id

    def check(self) -> None:
        """The oracle: what a death left behind fits together, and every client takes what is served then."""
        with self.opened() as site:
            reader = site.store.reader
            assert audit.verify_chain(reader).rows > 0
            rows = [reader.change(row.id) for row in reader.changes(now=self.now, before=None, limit=500)]
            self._check_changes(site, rows)
            reconcile(site)
            current = reader.find_current("payments")
            file = site.tree.path_of("/v1/bundles/payments/1")
            assert file.exists() == (current is not None)
            if current:
                bundle = Bundle.parse(file.read_bytes())
                state = trust.begin(self.town.root_json, name="payments")
                state = trust.advance_bundle(state, bundle, now=self.now)
                assert state.adopted_pinset is not None
                assert state.adopted_pinset.tag == current.tag

    def _check_changes(self, site: Site, rows: list[ChangeRow]) -> None:
        current = site.store.reader.find_current("payments")
        versions = {row.tag: row for row in site.store.reader.versions("payments", limit=500)} if current else {}
        assert {row.tag for row in rows if row.state == "published"} == versions.keys()
        assert len({row.tag for row in rows}) == len(rows), "one number was given to two payloads"
        for row in rows:
            assert PinSet.parse(row.payload).version == row.tag[1]
            if row.state == "published":
                assert versions[row.tag].envelope.payload == row.payload
                assert len(row.signatures) == 2
            elif row.state == "waiting":
                assert (current.tag if current else None) == row.base
                assert len(row.signatures) < 2, "a change is complete and nobody publishes it"
            for entry in row.signatures:
                public = next(who.signer.public for who in self.town.people if who.keyid == entry.keyid)
                assert is_signature(entry.sig, pae(PINSET_TYPE, row.payload), public)


@pytest.fixture
def stage(town: "Town") -> Iterator[Stage]:
    yield Stage(datetime.now(UTC).replace(microsecond=0), town)
    failpoints.arm(None)


def test_every_step_of_a_change_has_a_point() -> None:
    assert {room: len(points) for room, points in POINTS.items()} == {
        "propose": 5,
        "sign": 2,
        "reject": 2,
        "change": 14,
    }


@pytest.mark.parametrize("point", POINTS["propose"])
def test_a_proposal_is_there_once_or_not_at_all_when_proposing_dies_at(point: str, stage: Stage) -> None:
    for turn in range(1, ROUNDS + 1):
        stage.die_at(point, stage.propose)
        stage.check()
        number = stage.proposed()
        stage.check()
        site = stage.site()
        assert len(site.store.reader.changes(now=stage.now, before=None, limit=500)) == turn
        assert site.store.reader.change(number).state == "waiting"
        site.store.close()
        stage.pass_on()


@pytest.mark.parametrize("point", POINTS["sign"])
def test_a_signature_is_kept_once_or_not_at_all_when_signing_dies_at(point: str, stage: Stage) -> None:
    alice, bob, _ = stage.town.people
    for _turn in range(ROUNDS):
        number = stage.proposed()
        stage.die_at(point, stage.sign(alice, number))
        stage.check()
        again = stage.use(stage.sign(alice, number))
        assert isinstance(again, Waiting)
        assert [entry.keyid for entry in again.row.signatures] == [alice.keyid]
        assert isinstance(stage.use(stage.sign(bob, number)), Published)
        stage.check()
        stage.pass_on()


@pytest.mark.parametrize("point", POINTS["change"])
def test_a_change_is_published_once_or_waits_on_when_publishing_dies_at(point: str, stage: Stage) -> None:
    alice, bob, _ = stage.town.people
    for turn in range(1, ROUNDS + 1):
        number = stage.proposed()
        stage.use(stage.sign(alice, number))
        stage.die_at(point, stage.sign(bob, number))
        stage.check()
        outcome = stage.use(stage.sign(bob, number))
        assert isinstance(outcome, Published)
        assert outcome.tag == (1, turn)
        stage.check()
        stage.pass_on()


@pytest.mark.parametrize("point", POINTS["reject"])
def test_a_change_is_rejected_or_waits_on_when_rejecting_dies_at(point: str, stage: Stage) -> None:
    for _turn in range(ROUNDS):
        number = stage.proposed()
        stage.die_at(point, stage.reject(number))
        stage.check()
        rejected = stage.use(stage.reject(number))
        assert isinstance(rejected, Waiting)
        assert (rejected.row.state, rejected.row.closed_reason) == ("rejected", "drill")
        stage.check()
        stage.pass_on()
