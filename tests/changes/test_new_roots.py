"""A new root decides anew whose signatures count, also for changes that wait already."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden_keys import read_key_file
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


class TestHandingOver:
    """From the server's key to people, and back from too few people, without a moment in which clients have no pins."""

    def test_the_server_hands_a_pin_set_over_to_two_people(self, office: "Office") -> None:
        alice, bob, carol = office.town.people
        own = read_key_file(office.installation.key("pinset")).public
        everyone = [own, *(person.signer.public for person in office.town.people)]
        office.rotate(lambda grant: grant_of([own], 1, *grant.names))
        office.create("payments", "live", "spare")
        office.rotate(lambda grant: grant_of(everyone, 1, *grant.names))
        body = {"wait_for": [alice.keyid, bob.keyid], "reason": "hand over"}
        etag = office.ask("GET", "/admin/v1/pinsets/payments").headers["ETag"]
        asked = office.ask("POST", "/admin/v1/pinsets/payments/renewal", body=body, If_Match=etag)
        assert (asked.status_code, asked.json["wait_for"]) == (202, [alice.keyid, bob.keyid])
        # The threshold is met by the server's own signature, and by carol's: it waits for those that were named.
        for person in (carol, alice):
            assert office.sign(asked.json["id"], person).status_code == 202
        version = office.sign(asked.json["id"], bob).json["version"]
        office.rotate(lambda grant: grant_of(everyone[1:], 2, *grant.names))
        assert f"1.{self.served(office).version}" == version
        assert office.propose("next", "spare", base=version)["state"] == "waiting"

    def served(self, office: "Office") -> PinSet:
        """Return what a client with the first root trusts: it follows every root on its way."""
        bundle = Bundle.parse(office.client.get("/v1/bundles/payments/1").data)
        state = trust.advance_bundle(trust.begin(office.town.root_json, name="payments"), bundle, now=office.clock())
        assert state.pinset is not None
        return state.pinset

    def test_a_renewal_cannot_wait_for_a_key_that_the_grant_lacks(self, office: "Office") -> None:
        office.publish("live", "spare")
        before = office.stored()
        for keyids in (["0" * 64], [office.town.people[0].keyid, office.town.server_keyid]):
            body = {"wait_for": keyids}
            answer = office.ask("POST", "/admin/v1/pinsets/payments/renewal", body=body, If_Match='"1.1"')
            [violation] = office.problem(answer, 422, "invalid")["violations"]
            assert violation["pointer"] == f"/wait_for/{len(keyids) - 1}"
        assert office.stored() == before

    def test_a_key_that_a_new_root_took_away_is_not_waited_for(self, office: "Office") -> None:
        alice, bob, carol = office.town.people
        office.publish("live", "spare")
        body = {"wait_for": [carol.keyid]}
        asked = office.ask("POST", "/admin/v1/pinsets/payments/renewal", body=body, If_Match='"1.1"').json
        office.sign(asked["id"], alice)
        office.rotate(lambda grant: grant_of([alice.signer.public, bob.signer.public], 2, *grant.names))
        assert office.sign(asked["id"], bob).json["version"] == "1.2"
