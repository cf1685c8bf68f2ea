"""What has ended, what was never current, and clocks that lie (V4, V5, V9, the state table)."""

from datetime import timedelta

import pytest

from tests.conformance.certificates import pin
from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE
from tests.conformance.repository import START, later, pinned


@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
def test_a_document_past_its_end_is_refused(life, kind):
    def attack(repository):
        old = {"issued": later(days=-2), "expires": later(seconds=-1)}
        repository.publish_pinset(**(old if kind == "pinset" else {}))
        repository.publish_timestamp(**(old if kind == "timestamp" else {}))

    life.start()
    life.refuses(attack)


def test_a_newest_root_past_its_end_is_kept_but_nothing_is_accepted_under_it(life):
    life.start()
    before = life.repository.label
    life.repository.publish_root(expires=later(seconds=-1))
    life.repository.publish()
    assert (life.refresh(), life.check(before)) == (REFUSED, ACCEPTED)
    life.repository.publish_root()
    life.repository.publish()
    life.accepts()
    assert life.asked[-1] == "/v1/bundles/app/2"


def test_a_chain_leads_through_roots_that_have_ended(life):
    for _ in range(2):
        life.repository.publish_root(expires=later(days=-1))
    life.repository.publish_root()
    life.repository.publish()
    life.init()
    life.accepts()


def test_an_initial_root_that_has_ended_still_leads_to_its_successor(life):
    life.init()
    life.pass_time(days=400)
    life.repository.publish_root()
    life.repository.publish()
    life.accepts()


def test_an_initial_root_that_has_ended_gets_nothing_accepted_alone(life):
    life.init()
    life.pass_time(days=400)
    life.repository.publish()
    life.expects(REFUSED)
    life.trusts_nothing()


@pytest.mark.as_process
def test_what_ended_meanwhile_makes_room_for_what_is_new(life):
    life.start()
    life.pass_time(days=18)
    life.repository.publish()
    life.accepts()


def test_a_timestamp_that_has_ended_still_guards_against_older_ones(life):
    life.start()
    life.repository.timestamp["version"] = 10
    life.repository.publish()
    life.accepts()
    life.pass_time(days=5)

    def attack(repository):
        repository.timestamp["version"] = 5
        repository.publish()

    life.refuses(attack)


def test_a_pin_set_that_has_ended_still_guards_against_older_ones(life):
    life.start()
    life.repository.publish(version=10)
    life.accepts()
    life.pass_time(days=40)

    def attack(repository):
        repository.publish(version=5)

    life.refuses(attack)


ENDS = {"a second before": (-1, ACCEPTED), "at the very second": (0, REFUSED), "a second after": (1, REFUSED)}


@pytest.mark.own
@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
@pytest.mark.parametrize(("seconds", "code"), ENDS.values(), ids=ENDS)
def test_an_end_has_come_at_the_very_second_that_it_names(life, kind, seconds, code):
    life.repository.publish_pinset(expires=later(days=1) if kind == "pinset" else later(days=2))
    life.repository.publish_timestamp(expires=later(days=1) if kind == "timestamp" else later(days=2))
    life.init()
    life.now = START + timedelta(days=1, seconds=seconds)
    life.expects(code)


STATES = {
    # days after the start, on_stale, on_expiry, exit codes for a pinned key and for another one
    "fresh": (0, "enforce", "refuse", (ACCEPTED, REFUSED)),
    "stale": (4, "enforce", "refuse", (ACCEPTED, REFUSED)),
    "stale, refuse": (4, "refuse", "refuse", (UNAVAILABLE, UNAVAILABLE)),
    "expired": (31, "enforce", "refuse", (UNAVAILABLE, UNAVAILABLE)),
    "expired, platform": (31, "enforce", "platform", (ACCEPTED, ACCEPTED)),
    "expired, stale refuses": (31, "refuse", "refuse", (UNAVAILABLE, UNAVAILABLE)),
}


@pytest.mark.own
@pytest.mark.parametrize(("days", "on_stale", "on_expiry", "codes"), STATES.values(), ids=STATES)
def test_each_state_has_its_verdict(life, days, on_stale, on_expiry, codes):
    hosts = [pinned("pinned", on_expiry=on_expiry)]
    life.repository.publish(hosts=hosts, on_stale=on_stale)
    life.init()
    life.expects(ACCEPTED)
    life.pass_time(days=days)
    assert (life.check("pinned"), life.check("another")) == codes
    assert life.check("another", host="elsewhere.example.net") == ACCEPTED


@pytest.mark.own
@pytest.mark.parametrize("days", [0, 4, 31])
def test_a_host_that_is_only_reported_is_let_through_in_every_state(life, days):
    life.repository.publish(hosts=[pinned("pinned", mode="report")])
    life.init()
    life.expects(ACCEPTED)
    life.pass_time(days=days)
    assert life.check("another") == ACCEPTED


@pytest.mark.own
@pytest.mark.parametrize("days", [0, 4, 31])
def test_a_denied_key_is_refused_even_where_ordinary_checks_decide(life, days):
    life.repository.publish(hosts=[pinned("pinned", on_expiry="platform")], deny=[pin("stolen")])
    life.init()
    life.expects(ACCEPTED)
    life.pass_time(days=days)
    verdicts = [life.check(*labels) for labels in (("pinned",), ("pinned", "stolen"), ("stolen",))]
    assert verdicts == [ACCEPTED, REFUSED, REFUSED]


@pytest.mark.own
def test_a_frozen_server_makes_pins_stale_and_keeps_them(life):
    """An attacker who can only hold back updates wins no more than that."""
    life.start()
    life.set_clock(START + timedelta(days=4))
    assert (life.refresh(), life.check(life.repository.label)) == (REFUSED, ACCEPTED)


@pytest.mark.own
@pytest.mark.parametrize(("seconds", "code"), ENDS.values(), ids=ENDS)
def test_the_newest_root_ends_at_the_very_second_that_it_names(life, seconds, code):
    life.repository.publish_root(expires=later(days=1))
    life.repository.publish()
    life.init()
    life.now = START + timedelta(days=1, seconds=seconds)
    life.expects(code)
