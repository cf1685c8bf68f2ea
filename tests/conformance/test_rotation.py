"""Roots follow each other: who hands over to whom, and how far a client follows (V4, section 4)."""

from typing import NamedTuple

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE
from tests.conformance.repository import START, key, sign, spell


class Step(NamedTuple):
    """A version of a role: its keys, its threshold, who signs, and whether clients accept it."""

    keys: str
    threshold: int
    signers: str
    accepted: bool = True


# Keys are single letters. The cases are those of The Update Framework's suites.
ROOT_ROTATIONS = {
    "1 of 1, rotated": [Step("b", 1, "b"), Step("c", 1, "cb"), Step("c", 1, "c")],
    "1 of 1, rotated, with signatures of strangers": [
        Step("b", 1, "dbe"),
        Step("c", 1, "dcbe"),
        Step("c", 1, "dce"),
    ],
    "3 of 5, by various holders": [
        Step("abcde", 3, "ace"),
        Step("abcde", 3, "aeb"),
        Step("abcde", 3, "abd"),
        Step("abcde", 3, "abd"),
    ],
    "3 of 5, one key rotated": [Step("abcde", 3, "ace"), Step("abdef", 3, "aeb")],
    "3 of 5, one key rotated by way of both": [
        Step("abcde", 3, "ace"),
        Step("abdef", 3, "acef"),
        Step("abdef", 3, "aef"),
    ],
    "3 of 5, all keys rotated by way of both": [
        Step("abcde", 3, "ace"),
        Step("fghij", 3, "acefgh"),
        Step("fghij", 3, "fgh"),
    ],
    "threshold raised from 1 of 3 to 2 of 3": [Step("bcd", 1, "b"), Step("bcd", 2, "bc")],
    "threshold lowered from 2 of 3 to 1 of 3": [Step("bcd", 2, "bc"), Step("bcd", 1, "bc"), Step("bcd", 1, "b")],
    "threshold raised from 1 of 1 to 2 of 2": [Step("b", 1, "b"), Step("bc", 2, "bc")],
    "not signed by the old key": [Step("b", 1, "b"), Step("c", 1, "cde", accepted=False)],
    "not signed by the new key": [Step("b", 1, "b"), Step("c", 1, "bde", accepted=False)],
    "not signed by three of the new keys": [Step("abcde", 3, "ace"), Step("abdef", 3, "ace", accepted=False)],
    "not signed by three of the old keys": [Step("abcde", 3, "ace"), Step("abdef", 3, "aef", accepted=False)],
    "raised threshold not met": [Step("bcd", 1, "b"), Step("bcd", 2, "c", accepted=False)],
    "old threshold not met": [Step("bcd", 2, "bc"), Step("bcd", 1, "b", accepted=False)],
}


def keys_of(letters):
    """Return the keys that letters stand for."""
    return [key(f"holder {letter}") for letter in letters]


def apply(repository, kind, step):
    """Let the next root name a step's keys, and its signers sign."""
    repository.appoint(kind, keys_of(step.keys), step.threshold)
    repository.signers[kind] = keys_of(step.signers)


@pytest.mark.parametrize("steps", ROOT_ROTATIONS.values(), ids=ROOT_ROTATIONS)
def test_root_keys_rotate_only_with_the_consent_of_old_and_new(life, steps):
    repository = life.repository
    repository.root["version"], repository.roots = 0, {}
    for step in steps:
        apply(repository, "root", step)
        repository.publish_root()
    repository.publish()
    life.init()
    last = steps[-1]
    life.expects(ACCEPTED if last.accepted else REFUSED)
    version = len(steps) if last.accepted else len(steps) - 1
    life.refresh()
    assert life.asked == ["/v1/bundles/app/1", f"/v1/bundles/app/{version}"]


@pytest.mark.parametrize("steps", ROOT_ROTATIONS.values(), ids=ROOT_ROTATIONS)
def test_a_client_that_sees_every_root_alone_comes_to_the_same(life, steps):
    repository = life.repository
    repository.root["version"], repository.roots = 0, {}
    for number, step in enumerate(steps):
        apply(repository, "root", step)
        repository.publish_root()
        repository.publish()
        if number == 0:
            assert life.init() == ACCEPTED
        life.expects(ACCEPTED if step.accepted else REFUSED)
        assert life.check(repository.label) == (ACCEPTED if step.accepted else REFUSED)


ROTATIONS = {
    "1 of 1, rotated": Step("c", 1, "c"),
    "1 of 1, with signatures of strangers": Step("b", 1, "dbe"),
    "3 of 5, first combination": Step("abcde", 3, "ace"),
    "3 of 5, second combination": Step("abcde", 3, "aeb"),
    "3 of 5, third combination": Step("abcde", 3, "abd"),
    "3 of 5, fourth combination": Step("abcde", 3, "bcd"),
    "3 of 5, fifth combination": Step("abcde", 3, "cde"),
    "not signed by the new key": Step("c", 1, "bde", accepted=False),
    "one of three is not appointed any more": Step("abdef", 3, "ace", accepted=False),
    "two of three signed": Step("abdef", 3, "ae", accepted=False),
}


@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
@pytest.mark.parametrize("step", ROTATIONS.values(), ids=ROTATIONS)
def test_keys_of_a_role_rotate_by_a_root(life, kind, step):
    life.start()
    apply(life.repository, kind, step)
    life.repository.publish_root()
    life.repository.publish()
    life.expects(ACCEPTED if step.accepted else REFUSED)
    if step.accepted:
        life.trusts(life.repository.label)
    else:
        life.repository.signers[kind] = keys_of(step.keys)
        life.repository.publish()
        life.accepts()


@pytest.mark.own
@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
def test_a_key_that_was_rotated_away_signs_nothing_any_more(life, kind):
    life.start()
    old, new = life.repository.signers[kind], keys_of("n")
    life.repository.appoint(kind, new)
    life.repository.signers[kind] = new
    life.repository.publish_root()
    life.repository.publish()
    life.accepts()

    def attack(repository):
        repository.signers[kind] = old
        repository.publish()

    life.refuses(attack)


BAD_ROOTS = {
    "the same version again": {"version": 1},
    "a version left out": {"version": 3},
    "version 0": {"version": 0},
    "another type": {"type": "timestamp"},
    "another authority": {"authority": "someone-0123456789abcdef"},
    "a specification of tomorrow": {"spec": "2.0"},
    "a feature that must be known": {"crit": ["anything"]},
    "no roles": {"roles": {}},
    "no keys": {"keys": {}},
}


@pytest.mark.parametrize("changes", BAD_ROOTS.values(), ids=BAD_ROOTS)
@pytest.mark.parametrize("way", ["in a bundle", "alone"])
def test_a_root_that_is_not_the_next_one_is_refused(life, changes, way):
    def attack(repository):
        repository.publish()
        repository.root |= {"version": 2, **changes}
        repository.roots[2] = sign("root", repository.root, repository.signers["root"])
        if way == "alone":
            repository.roots |= dict.fromkeys(range(3, 12), repository.roots[2])

    life.start()
    life.refuses(attack)


@pytest.mark.own
def test_a_root_may_be_issued_at_any_time(life):
    """Their keys are not online, so their clocks are not believed either."""
    life.start()
    life.repository.publish_root(issued=spell(START.replace(year=2030)))
    life.repository.publish()
    life.accepts()


def test_what_a_rotated_key_signed_is_not_in_force_any_more(life):
    life.start()
    repository = life.repository
    repository.appoint("pinset", keys_of("n"))
    repository.publish_root()
    life.expects(REFUSED)
    life.trusts_nothing()
    repository.signers["pinset"] = keys_of("n")
    repository.publish()
    life.accepts()


STALE_POLICIES = {"enforce": ACCEPTED, "refuse": UNAVAILABLE}


@pytest.mark.own
@pytest.mark.parametrize(("on_stale", "code"), STALE_POLICIES.items(), ids=STALE_POLICIES)
def test_a_rotated_timestamp_key_leaves_the_pins_in_force_but_stale(life, on_stale, code):
    life.repository.publish(on_stale=on_stale)
    life.start()
    life.repository.appoint("timestamp", keys_of("n"))
    life.repository.publish_root()
    assert (life.refresh(), life.check(life.repository.label)) == (REFUSED, code)
    life.repository.signers["timestamp"] = keys_of("n")
    life.repository.publish()
    life.accepts()


@pytest.mark.own
def test_a_root_that_changes_no_key_leaves_everything_in_force(life):
    life.start()
    life.repository.publish_root()
    life.accepts()
    life.accepts()
    assert life.asked[-1] == "/v1/bundles/app/2"
