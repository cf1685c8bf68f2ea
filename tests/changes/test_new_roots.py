"""A new root decides anew whose signatures count, also for changes that wait already."""

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.changes.conftest import grant_of

if TYPE_CHECKING:
    from conftest import Office


def test_a_signature_by_a_key_that_was_taken_away_does_not_count_any_more(office: "Office") -> None:
    alice, bob, carol = office.town.people
    office.publish("live", "spare")
    number = office.propose("next", "spare", base="1.1")["id"]
    office.sign(number, alice)
    office.rotate(lambda grant: grant_of([bob.signer.public, carol.signer.public], 2, *grant.names))
    assert office.change(number)["tally"]["signed"] == []
    assert office.sign(number, bob).json["tally"]["says"] == f"1 of 2: missing {carol.keyid[:16]}"
    before = office.stored()
    office.problem(office.sign(number, alice), 422, "signature-refused")
    assert office.stored() == before
    assert office.sign(number, carol).json["version"] == "1.2"


def test_when_a_new_root_asks_for_less_any_signature_publishes_even_a_repeated_one(office: "Office") -> None:
    alice, bob, carol = office.town.people
    number = office.propose("live", "spare")["id"]
    office.sign(number, alice)
    publics = [person.signer.public for person in (alice, bob, carol)]
    office.rotate(lambda grant: grant_of(publics, 1, *grant.names))
    assert office.sign(number, alice).json["version"] == "1.1"
    assert [entry["keyid"] for entry in office.change(number)["signatures"]] == [alice.keyid]


def test_a_change_of_an_epoch_that_is_over_is_stale(office: "Office") -> None:
    number = office.propose("live", "spare")["id"]
    office.sign(number, office.town.people[0])
    office.rotate(lambda grant: replace(grant, epoch=2))
    before = office.stored()
    assert office.problem(office.sign(number, office.town.people[1]), 409, "change-closed")["state"] == "stale"
    assert office.stored() == before
    assert office.propose("live", "spare")["version"] == "2.2"
