"""kill -9 at every named point of publishing and renewing with PostgreSQL: nothing acknowledged is ever lost."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pinwarden import failpoints
from pinwarden_keys import found_authority
from pinwarden_server import publishing
from pinwarden_server.site import Site
from pinwarden_server.tags import format_tag
from tests.crash.conftest import Say, Stage
from tests.postgres import Postgres

assert publishing  # importing it registers its points
POINTS = sorted(point for point in failpoints.NAMES if point.startswith(("publish.", "renew.")))

pytestmark = pytest.mark.xdist_group("nodes")


@dataclass
class SharedStage(Stage):
    """The stage of the crash tests, its store on a PostgreSQL."""

    address: str = ""

    @property
    def url(self) -> str:
        return self.address


@pytest.fixture
def stage(tmp_path: Path, postgres: Postgres) -> Iterator[SharedStage]:
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    founding = found_authority("crash", now=now, lifetime_days=720, entropy=os.urandom)
    made = SharedStage(tmp_path, founding, now, address=postgres.create())
    made.found()
    yield made
    if made.store is not None:
        made.store.close()


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("publish.")])
def test_no_acknowledged_publication_is_lost_when_publishing_dies_at(point: str, stage: SharedStage) -> None:
    def publish_twice(stage: Stage, site: Site, say: Say) -> None:
        say({"acknowledged": format_tag(stage.publish(site).tag)})
        failpoints.arm(point)
        say({"acknowledged": format_tag(stage.publish(site).tag)})

    said = stage.die_at(point, publish_twice)
    assert [message for message in said if "acknowledged" in message] != []
    stage.check()


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("renew.")])
def test_nothing_is_lost_or_signed_twice_when_renewing_dies_at(point: str, stage: SharedStage) -> None:
    def renew(stage: Stage, site: Site, say: Say) -> None:
        failpoints.arm(point)
        stage.renew(site)

    stage.now += timedelta(minutes=31)
    stage.die_at(point, renew)
    stage.check()
    stage.now += timedelta(minutes=4)  # the dead renewer's lease ends by itself
    site = stage.site()
    stage.renew(site)
    site.store.close()
    stage.check()
