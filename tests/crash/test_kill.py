"""kill -9 at every named point of publishing, renewing, reconciling and caching: nothing acknowledged is ever lost."""

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden import failpoints
from pinwarden.checkpoint import Checkpoint
from pinwarden.envelope import CHECKPOINT_TYPE, Envelope
from pinwarden_server import checkpoints, founding, publishing, renewal, root_publishing
from pinwarden_server.tags import format_tag

if TYPE_CHECKING:
    from conftest import Say, Stage

    from pinwarden_server.site import Site

assert founding and publishing and renewal and root_publishing  # importing them registers their points
POINTS = {room: sorted(p for p in failpoints.NAMES if p.startswith(f"{room}.")) for room in ("publish", "renew")}
ROOT_POINTS = sorted(point for point in failpoints.NAMES if point.startswith("root."))
RECONCILE_POINTS = sorted(point for point in failpoints.NAMES if point.startswith("reconcile."))
CHECKPOINT_POINTS = sorted(point for point in failpoints.NAMES if point.startswith("checkpoint."))
CACHE_POINTS = sorted(point for point in failpoints.NAMES if point.startswith("cache."))

pytestmark = pytest.mark.xdist_group("crash")


def test_at_least_twenty_four_points_are_named() -> None:
    assert len(POINTS["publish"] + POINTS["renew"] + CACHE_POINTS) >= 24


@pytest.mark.parametrize("point", POINTS["publish"])
def test_no_acknowledged_publication_is_lost_when_publishing_dies_at(point: str, stage: "Stage", rounds: int) -> None:
    for _ in range(rounds):
        said = stage.die_at(point, _publish_twice(point))
        assert [message for message in said if "acknowledged" in message] != []
        stage.check()
        stage.now += timedelta(seconds=1)


@pytest.mark.parametrize("point", POINTS["renew"])
def test_nothing_is_lost_or_signed_twice_when_renewing_dies_at(point: str, stage: "Stage", rounds: int) -> None:
    for number in range(rounds):
        # Timestamps are due after a third of 45 minutes, pin sets before half of their hour is over.
        only_timestamp = number % 2 and point != "renew.pinset-signed"
        stage.now += timedelta(minutes=16 if only_timestamp else 31)
        stage.die_at(point, _renew(point))
        stage.check()
        stage.now += timedelta(minutes=4)  # the dead renewer's lease ends by itself
        site = stage.site()
        stage.renew(site)
        site.store.close()
        stage.check()


@pytest.mark.parametrize("point", ROOT_POINTS)
def test_no_acknowledged_root_is_lost_and_none_is_named_unserved_when_publishing_one_dies_at(
    point: str, stage: "Stage", rounds: int
) -> None:
    site = stage.site()
    stage.publish(site, "orders")
    site.store.close()
    for _ in range(max(2, rounds // 4)):  # the chain grows by two roots in each
        said = stage.die_at(point, _publish_two_roots(point))
        assert [message for message in said if "acknowledged root" in message] != []
        stage.check()
        stage.now += timedelta(seconds=1)
        site = stage.site()
        stage.acknowledge(stage.publish(site))
        site.store.close()
        stage.check()


@pytest.mark.parametrize("point", [*CHECKPOINT_POINTS, *RECONCILE_POINTS])
def test_a_signed_end_of_the_audit_log_is_stored_before_it_is_served_and_served_after_a_death_at(
    point: str, stage: "Stage", rounds: int
) -> None:
    for _ in range(rounds):
        stage.now += timedelta(minutes=70)
        said = stage.die_at(point, _renew(point))  # what a renewal itself writes passes other points
        assert [message for message in said if "audit-checkpoint" in str(message.get("signed"))] != []
        stage.check()
        stage.audit()
        stage.now += timedelta(minutes=4)
        site = stage.site()
        stage.renew(site)
        verified = checkpoints.verify_store(site.store.reader)
        assert verified.newest is not None and verified.waits_since is None
        served = Envelope.parse((stage.tree.folder / "v1/audit/checkpoint").read_bytes(), expect=CHECKPOINT_TYPE)
        assert Checkpoint.parse(served.payload) == verified.newest
        stage.audit()
        site.store.close()


@pytest.mark.parametrize("point", RECONCILE_POINTS)
def test_a_tree_that_was_lost_is_made_again_when_making_it_dies_at(point: str, stage: "Stage", rounds: int) -> None:
    for _ in range(rounds):
        served = (stage.tree.folder / "v1/bundles/payments/1").read_bytes()
        shutil.rmtree(stage.tree.folder / "v1")
        stage.die_at(point, _reconcile(point))
        site = stage.site()
        founding.reconcile(site)
        site.store.close()
        assert (stage.tree.folder / "v1/bundles/payments/1").read_bytes() == served
        stage.check()


@pytest.mark.parametrize("point", CACHE_POINTS)
def test_a_client_starts_with_what_it_had_or_newer_when_caching_dies_at(
    point: str, stage: "Stage", rounds: int
) -> None:
    for _ in range(rounds):
        before = stage.cached().adopted_pinset
        assert before is not None
        site = stage.site()
        stage.acknowledge(stage.publish(site))
        site.store.close()
        stage.die_at(point, _fetch(point))
        after = stage.cached().adopted_pinset
        assert after is not None
        assert before.tag <= after.tag
        stage.check()


def _publish_twice(point: str) -> Any:
    def work(stage: "Stage", site: "Site", say: "Say") -> None:
        say({"acknowledged": format_tag(stage.publish(site).tag)})
        failpoints.arm(point)
        say({"acknowledged": format_tag(stage.publish(site).tag)})

    return work


def _publish_two_roots(point: str) -> Any:
    def work(stage: "Stage", site: "Site", say: "Say") -> None:
        say({"acknowledged root": stage.publish_root(site).root.version})
        failpoints.arm(point)
        say({"acknowledged root": stage.publish_root(site).root.version})

    return work


def _renew(point: str) -> Any:
    def work(stage: "Stage", site: "Site", say: "Say") -> None:
        failpoints.arm(point)
        stage.renew(site)

    return work


def _reconcile(point: str) -> Any:
    def work(stage: "Stage", site: "Site", say: "Say") -> None:
        failpoints.arm(point)
        founding.reconcile(site)

    return work


def _fetch(point: str) -> Any:
    def work(stage: "Stage", site: "Site", say: "Say") -> None:
        failpoints.arm(point)
        stage.update_client()

    return work
