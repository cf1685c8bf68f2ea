"""How far a client follows a chain of roots, and what it keeps on the way (section 4, V4)."""

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE
from tests.conformance.repository import key, sign, to_bytes


def test_an_intermediate_root_that_is_badly_signed_ends_the_chain(life):
    life.start()
    good = life.repository.signers["root"]
    for number in range(2, 6):
        life.repository.signers["root"] = [key("stranger")] if number == 4 else good
        life.repository.publish_root()
    life.repository.publish()
    life.expects(REFUSED)
    life.repository.roots[4] = sign("root", {**life.repository.root, "version": 4}, good)
    life.accepts()
    assert life.asked[-2:] == ["/v1/bundles/app/1", "/v1/bundles/app/3"]


def test_roots_out_of_order_are_refused(life):
    def attack(repository):
        repository.publish_root()
        repository.publish_root()
        repository.publish()
        repository.frame = lambda bundle: bundle["roots"].reverse()

    life.start()
    life.refuses(attack)


def test_a_good_root_is_kept_whatever_happens_to_the_rest(life):
    life.start()
    before = life.repository.label
    life.repository.publish_root()
    life.repository.signers["timestamp"] = [key("stranger")]
    life.repository.publish()
    assert (life.refresh(), life.check(before)) == (REFUSED, ACCEPTED)
    life.repository.signers["timestamp"] = [key("timestamp")]
    life.repository.publish()
    life.accepts()
    assert life.asked[-1] == "/v1/bundles/app/2"


@pytest.mark.own
def test_a_frame_that_is_not_well_formed_brings_no_root(life):
    life.start()
    life.repository.publish_root()
    life.repository.frame = lambda bundle: bundle.update(pinset=bundle["timestamp"])
    life.expects(REFUSED)
    life.repository.frame = None
    life.repository.publish()
    life.accepts()
    assert life.asked[-1] == "/v1/bundles/app/1"


@pytest.mark.own
@pytest.mark.parametrize(("behind", "requests"), [(8, 1), (9, 12)])
def test_a_client_far_behind_climbs_root_by_root(life, behind, requests):
    for _ in range(behind):
        life.repository.publish_root()
    life.repository.publish()
    life.init()
    life.accepts()
    assert len(life.asked) == requests


@pytest.mark.as_process
def test_a_client_that_climbs_keeps_what_it_climbed(life):
    for _ in range(20):
        life.repository.publish_root()
    life.repository.publish()
    missing = life.repository.roots.pop(7)
    life.init()
    life.expects(UNAVAILABLE)
    life.repository.roots[7] = missing
    life.accepts()
    assert life.asked.count("/v1/roots/6") == 1


@pytest.mark.own
def test_a_bad_root_on_the_way_up_ends_the_climb(life):
    for _ in range(12):
        life.repository.publish_root()
    life.repository.publish()
    good = life.repository.roots[5]
    life.repository.roots[5] = life.repository.roots[6]
    life.init()
    life.expects(REFUSED)
    life.repository.roots[5] = good
    life.accepts()


def test_a_climb_takes_256_roots_and_goes_on_next_time(life):
    for _ in range(300):
        life.repository.publish_root()
    life.repository.publish()
    life.init()
    first, asked = life.refresh(), len(life.asked)
    assert (first, asked, life.asked[-1]) == (UNAVAILABLE, 258, "/v1/bundles/app/257")
    life.accepts()


@pytest.mark.own
def test_nine_roots_in_a_bundle_are_refused_whole(life):
    for _ in range(9):
        life.repository.publish_root()
    life.repository.publish()

    def serve_all(path, _, answer):
        if path == "/v1/bundles/app/1":
            answer.status, answer.body = 200, to_bytes(life.repository.bundle(1))
        return answer

    life.repository.tamper = serve_all
    life.init()
    life.expects(REFUSED)
    life.repository.tamper = None
    life.accepts()
