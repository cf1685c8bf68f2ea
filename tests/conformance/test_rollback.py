"""Nothing returns: versions, epochs, floors, and two contents for one version (V6, V7, V10, C2)."""

from copy import deepcopy

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED
from tests.conformance.repository import key, pinned


def older_pair(life):
    """Let a client accept two pairs; return a maker of the older one's return."""
    life.start()
    stamped, pinset = deepcopy(life.repository.stamped), deepcopy(life.repository.pinned)
    life.repository.publish()
    life.accepts()
    return stamped, pinset


@pytest.mark.as_process
def test_an_older_pair_is_refused(life):
    stamped, pinset = older_pair(life)

    def attack(repository):
        repository.stamped, repository.pinned = stamped, pinset

    life.refuses(attack)


def test_an_older_timestamp_with_the_newest_pin_set_is_refused(life):
    stamped, _ = older_pair(life)
    life.refuses(lambda repository: setattr(repository, "stamped", stamped))


def test_an_older_pin_set_under_the_newest_timestamp_is_refused(life):
    _, pinset = older_pair(life)
    life.refuses(lambda repository: setattr(repository, "pinned", pinset))


@pytest.mark.as_process
def test_a_new_timestamp_for_an_older_pin_set_is_refused(life):
    """What a thief of the timestamp key would try."""
    _, pinset = older_pair(life)

    def attack(repository):
        repository.pinned = pinset
        repository.pinset["version"] -= 1
        repository.publish_timestamp()

    life.refuses(attack)


@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
def test_a_lower_version_is_refused_though_everything_else_is_new(life, kind):
    def attack(repository):
        getattr(repository, kind)["version"] = 0
        repository.publish()

    life.start()
    life.repository.publish()
    life.accepts()
    life.refuses(attack)


@pytest.mark.own
def test_versions_may_skip(life):
    life.start()
    life.repository.timestamp["version"] = 1_000
    life.repository.publish(version=2**53 - 1)
    life.accepts()


@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
def test_two_contents_for_one_version_are_refused(life, kind):
    """Equivocation: the second content of a version, well signed."""

    def attack(repository):
        getattr(repository, kind)["version"] -= 1
        repository.publish(label="another content")
        if kind == "timestamp":
            repository.timestamp["note"] = "another content"
            repository.sign_timestamp()

    life.start()
    life.refuses(attack)


@pytest.mark.own
def test_the_same_payload_with_other_signatures_is_no_second_content(life):
    keys = [key("one"), key("two")]
    life.repository.appoint("pinset", keys, 1)
    life.repository.publish_root()
    life.repository.signers["pinset"] = keys[:1]
    life.repository.publish()
    life.start()
    life.repository.signers["pinset"] = keys[1:]
    life.repository.sign_pinset()
    life.accepts()


def stolen_and_replaced(repository, *kinds):
    """A root that replaces keys and raises epochs, with versions that start anew."""
    for kind in kinds:
        fresh = [key(f"{kind} after the theft")]
        repository.signers[kind] = fresh
        repository.appoint(kind, fresh)
        epoch = repository.role(kind)["epoch"] + 1
        repository.role(kind)["epoch"] = epoch
        getattr(repository, kind).update(epoch=epoch, version=0)
    repository.publish_root()
    repository.publish()


@pytest.mark.parametrize("kinds", [("timestamp",), ("pinset",), ("timestamp", "pinset")], ids=" and ".join)
def test_a_raised_epoch_recovers_from_version_numbers_that_were_burnt(life, kinds):
    for kind in kinds:
        getattr(life.repository, kind)["version"] = 2**53 - 2
    life.repository.publish()
    life.start()
    stolen_and_replaced(life.repository, *kinds)
    life.accepts()


@pytest.mark.own
@pytest.mark.parametrize("kind", ["timestamp", "pinset"])
@pytest.mark.parametrize("step", [-1, 1])
def test_a_document_of_another_epoch_than_its_role_says_is_refused(life, kind, step):
    def attack(repository):
        getattr(repository, kind)["epoch"] += step
        repository.publish()

    life.start()
    stolen_and_replaced(life.repository, "timestamp", "pinset")
    life.accepts()
    life.refuses(attack)


@pytest.mark.own
def test_after_an_epoch_was_raised_the_thief_has_nothing_left(life):
    life.start()
    stolen = deepcopy(life.repository)
    stolen_and_replaced(life.repository, "timestamp", "pinset")
    life.accepts()

    def attack(repository):
        stolen.publish()
        repository.stamped, repository.pinned = stolen.stamped, stolen.pinned

    life.refuses(attack)


@pytest.mark.own
def test_a_root_that_lowers_an_epoch_gets_nothing_accepted_and_one_more_root_repairs_it(life):
    life.start()
    stolen_and_replaced(life.repository, "pinset")
    life.accepts()
    repository = life.repository
    repository.role("pinset")["epoch"] = 1
    repository.pinset.update(epoch=1, version=50)
    repository.publish_root()
    repository.publish()
    life.expects(REFUSED)
    life.trusts_nothing()
    repository.role("pinset")["epoch"] = 3
    repository.pinset.update(epoch=3, version=0)
    repository.publish_root()
    repository.publish()
    life.accepts()


@pytest.mark.own
def test_a_refused_pair_sets_no_floor(life):
    """A timestamp is adopted with its pin set or not at all."""

    def attack(repository):
        repository.timestamp["version"] = 2**53 - 2
        repository.publish()
        repository.signers["pinset"] = [key("stranger")]
        repository.sign_pinset()

    life.start()
    life.refuses(attack)


@pytest.mark.own
def test_floors_outlive_a_root_that_made_the_adopted_pair_unusable(life):
    life.start()
    repository = life.repository
    old = deepcopy((repository.stamped, repository.pinned))
    repository.publish()
    life.accepts()
    repository.appoint("timestamp", [key("another")])
    repository.publish_root()
    life.expects(REFUSED)
    repository.appoint("timestamp", [key("timestamp")])
    repository.publish_root()
    repository.stamped, repository.pinned = old
    life.expects(REFUSED)
    repository.publish()
    life.accepts()


NAMED_OTHERWISE = {
    "another digest": lambda reference: reference.update(sha256="A" * 43 + "="),
    "a length too short": lambda reference: reference.update(length=reference["length"] - 1),
    "a length too long": lambda reference: reference.update(length=reference["length"] + 1),
    "another version": lambda reference: reference.update(version=reference["version"] + 1),
    "another epoch": lambda reference: reference.update(epoch=reference["epoch"] + 1),
}


@pytest.mark.parametrize("change", NAMED_OTHERWISE.values(), ids=NAMED_OTHERWISE)
def test_a_pin_set_other_than_the_timestamp_names_is_refused(life, change):
    def attack(repository):
        repository.publish_pinset()
        reference = repository.reference()
        change(reference)
        repository.publish_timestamp(pinset=reference)

    life.start()
    life.refuses(attack)


def test_a_pin_set_that_was_exchanged_is_refused(life):
    def attack(repository):
        repository.publish()
        repository.publish_pinset("exchanged", version=repository.pinset["version"])

    life.start()
    life.refuses(attack)


def test_many_exchanges_between_many_updates_are_all_refused(life):
    def attack(repository):
        repository.publish_pinset()

    life.start()
    for _ in range(6):
        life.refuses(attack)
        life.repository.publish()
        life.accepts()


@pytest.mark.own
def test_a_timestamp_that_knows_a_newer_root_waits_for_it(life):
    life.start()
    life.refuses(lambda repository: (repository.publish_pinset(), repository.publish_timestamp(root={"version": 2})))


@pytest.mark.own
def test_a_timestamp_may_know_an_older_root(life):
    life.start()
    life.repository.publish_root()
    life.repository.publish_pinset()
    life.repository.publish_timestamp(root={"version": 1})
    life.accepts()


@pytest.mark.own
def test_pins_that_were_removed_are_refused_from_then_on(life):
    life.repository.publish(hosts=[pinned("old", "new")])
    life.init()
    assert (life.refresh(), life.check("old"), life.check("new")) == (ACCEPTED, ACCEPTED, ACCEPTED)
    life.repository.publish(hosts=[pinned("new")])
    assert (life.refresh(), life.check("old"), life.check("new")) == (ACCEPTED, REFUSED, ACCEPTED)
