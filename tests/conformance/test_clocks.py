"""Clocks that lie, and times that a root does not allow (V5, V9)."""

from copy import deepcopy
from datetime import timedelta

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED
from tests.conformance.repository import DAY, START, later

TIMES = {
    "issued a day ahead": ("timestamp", {"issued": later(hours=24), "expires": later(days=3)}, ACCEPTED),
    "issued more than a day ahead": (
        "timestamp",
        {"issued": later(hours=24, seconds=1), "expires": later(days=3)},
        REFUSED,
    ),
    "a pin set issued a day ahead": ("pinset", {"issued": later(hours=24)}, ACCEPTED),
    "a pin set issued more than a day ahead": ("pinset", {"issued": later(hours=24, seconds=1)}, REFUSED),
    "the longest life": ("timestamp", {"expires": later(days=7)}, ACCEPTED),
    "a second more than the longest life": ("timestamp", {"expires": later(days=7, seconds=1)}, REFUSED),
    "the longest life of a pin set": ("pinset", {"expires": later(days=90)}, ACCEPTED),
    "a second more for a pin set": ("pinset", {"expires": later(days=90, seconds=1)}, REFUSED),
    "an end before the beginning": ("timestamp", {"issued": later(hours=2), "expires": later(hours=1)}, REFUSED),
    "an end at the beginning": ("pinset", {"issued": later(hours=1), "expires": later(hours=1)}, REFUSED),
}


@pytest.mark.own
@pytest.mark.parametrize(("kind", "times", "code"), TIMES.values(), ids=TIMES)
def test_only_times_that_the_root_allows_are_accepted(life, kind, times, code):
    life.init()
    life.repository.publish_pinset(**(times if kind == "pinset" else {}))
    life.repository.publish_timestamp(**(times if kind == "timestamp" else {}))
    life.expects(code)
    if code == REFUSED:
        life.trusts_nothing()
    life.repository.publish()
    life.accepts()


@pytest.mark.own
def test_a_root_that_shortens_lives_binds_what_comes_after_it(life):
    life.start()
    before = life.repository.label
    life.repository.role("timestamp")["max_lifetime_seconds"] = DAY
    life.repository.publish_root()
    life.repository.publish()
    assert (life.refresh(), life.check(before)) == (REFUSED, ACCEPTED)
    life.repository.publish_pinset()
    life.repository.publish_timestamp(expires=later(days=1))
    life.accepts()


@pytest.mark.own
def test_a_clock_that_was_set_back_revives_nothing(life):
    """What the client has seen issued bounds its clock from below."""
    life.start()
    ended = deepcopy(life.repository)
    ended.publish("short", expires=later(hours=1))
    life.pass_time(days=1)
    life.repository.timestamp["version"] = life.repository.pinset["version"] = 5
    life.repository.publish()
    life.accepts()
    life.set_clock(START)

    def attack(repository):
        repository.now = START
        repository.timestamp["version"] = repository.pinset["version"] = 10
        repository.publish(expires=later(hours=1))

    life.refuses(attack)


@pytest.mark.own
def test_documents_cannot_push_the_clock_ahead_step_by_step(life):
    life.start()
    for hours in (20, 40):
        life.repository.now = START + timedelta(hours=hours)
        life.repository.publish()
        assert life.refresh() == (ACCEPTED if hours <= 24 else REFUSED)


@pytest.mark.own
def test_a_refused_document_moves_no_clock(life):
    """Its time of issue would otherwise end what is good."""
    life.start()
    life.repository.publish("current", expires=later(hours=10))
    life.accepts()

    def attack(repository):
        repository.now = START + timedelta(hours=23)
        repository.publish()
        repository.publish_pinset("not the one that the timestamp names")

    life.refuses(attack)


RAISED = {
    "both": (("timestamp", "pinset"), ACCEPTED),
    "timestamps only": (("timestamp",), REFUSED),
    "pin sets only": (("pinset",), REFUSED),
}


@pytest.mark.own
@pytest.mark.parametrize(("kinds", "code"), RAISED.values(), ids=RAISED)
def test_a_clock_that_a_thief_pushed_ahead_is_freed_by_raised_epochs(life, kinds, code):
    """What was issued under an epoch that its role has left behind bounds no clock."""
    life.start()
    repository = life.repository
    repository.now = START + timedelta(hours=24)
    repository.publish("by the thief")
    life.accepts()
    repository.now = START
    for kind in kinds:
        repository.role(kind)["epoch"] = 2
        getattr(repository, kind).update(epoch=2, version=0)
    repository.publish_root()
    repository.publish_pinset(expires=later(hours=12))
    repository.publish_timestamp(expires=later(hours=12))
    life.expects(code)
    if code == ACCEPTED:
        life.trusts(repository.label)


@pytest.mark.own
def test_a_clock_that_was_set_back_revives_no_root(life):
    """A root ends by what the client has seen issued, too."""
    life.repository.publish_root(expires=later(hours=12))
    life.repository.publish()
    life.start()
    life.repository.now = START + timedelta(hours=20)
    life.repository.publish()
    life.accepts()

    def attack(repository):
        repository.now = START
        repository.publish()

    def mend(repository):
        repository.publish_root()

    life.refuses(attack, mend=mend)
