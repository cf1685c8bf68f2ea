"""Keys are rotated without a client noticing, and a root that would strand clients is refused with nothing moved."""

import os
from dataclasses import replace
from datetime import timedelta

import pytest

from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import ExpiredError
from pinwarden_keys import file_uri, found_authority
from tests.rotation.stage import DAY, House, looks, new_signer, verdict


def test_clients_at_both_roots_go_on_when_every_key_is_rotated(house: House) -> None:
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 1, 1, 1)
    new_timestamp, new_pinset = house.add_key("timestamp-2"), house.add_key("pinset-2")
    shown = house.rotate(timestamp=[new_timestamp], pinset=[new_pinset], root=[new_signer() for _ in range(3)])
    assert shown["pinsets"] == [
        {"name": "payments", "version": "1.2", "timestamp_version": 2, "signed": ["pinset", "timestamp"]}
    ]
    newcomer = house.client("cache of a newcomer", embedded=2)
    for each in (client, newcomer):
        each.refresh()
        assert looks(each) == ("fresh", 2, 1, 2)
    house.publish(word="next")
    house.clock.advance(days=2)
    assert house.renew() == ("payments",)
    for each in (client, newcomer):
        each.refresh()
        assert (looks(each), verdict(each, "next"), verdict(each, "live")) == (
            ("fresh", 2, 1, 3),
            "accepted",
            "refused",
        )


def test_a_root_that_changes_only_its_dates_leaves_the_pin_set_as_it_is(house: House) -> None:
    assert house.rotate()["pinsets"] == [
        {"name": "payments", "version": "1.1", "timestamp_version": 2, "signed": ["timestamp"]}
    ]
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)


def test_a_root_without_the_signatures_it_needs_is_refused_and_nothing_moves(house: House) -> None:
    house.publish("orders")
    before = house.stored()
    stranger = new_signer()
    for to in ("/roots", "/roots/preview"):
        answer = house.offer(house.draft(timestamp=[stranger], pinset=[stranger], pinset_epoch=2), to=to)
        assert answer.status == (422 if to == "/roots" else 200)
        missing = {one["code"]: one["message"] for one in answer.json()["violations"] if one["code"] != "S6"}
        lacking = [one["message"] for one in answer.json()["violations"] if one["code"] == "S6"]
        absent = f"1 of 1 keys; not here: {stranger.keyid[:16]}"
        assert list(missing) == ["ROOT009"]
        assert lacking == [
            f"the timestamps of orders, payments must be signed again, by {absent}",
            f"pin set 'orders' must be signed again, by {absent}",
            f"pin set 'payments' must be signed again, by {absent}",
        ]
    assert house.stored() == before
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 1, 1, 1)


def test_the_same_root_again_changes_nothing(house: House) -> None:
    root = house.draft()
    assert house.offer(root).status == 201
    before = house.stored()
    again = house.offer(root)
    assert (again.status, again.json()["created"], again.json()["pinsets"]) == (200, False, [])
    assert house.stored() == before


def test_another_root_of_the_same_version_is_refused_as_a_second_content(house: House) -> None:
    other = house.draft(days=300)
    house.rotate()
    before = house.stored()
    answer = house.offer(other)
    assert (answer.status, answer.json()["type"]) == (409, "urn:pinwarden:problem:conflict")
    assert "root version 2 is published already, with another content" in answer.json()["detail"]
    assert house.stored() == before


def test_a_strangers_root_of_a_published_version_is_no_second_content(house: House) -> None:
    one, other = house.draft(days=200), house.draft(days=100)
    house.rotate()
    before = house.stored()
    answer = house.offer(Envelope.of(ROOT_TYPE, one.payload, other.signatures))
    assert (answer.status, answer.json()["violations"][0]["code"]) == (422, "V3")
    assert house.stored() == before


def test_a_strangers_first_root_is_no_second_content_either(house: House) -> None:
    founding = found_authority("other", now=house.clock(), entropy=os.urandom)
    answer = house.offer(Envelope.parse(founding.root_json, expect=ROOT_TYPE))
    assert (answer.status, answer.json()["violations"][0]["code"]) == (422, "V3")


def test_a_pin_set_whose_keys_are_elsewhere_goes_on_while_the_root_vouches_for_it(house: House) -> None:
    house.uris = house.uris[:1]  # the pin-set key is offline from here on
    timestamp, second = house.add_key("timestamp-2"), new_signer()
    added = house.rotate(timestamp=[timestamp], timestamp_epoch=2, pinset=[house.pinset_key, second])
    assert (added["pinsets"][0]["signed"], added["warnings"]) == (["timestamp"], [])
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)
    before = house.stored()
    for changes in ({"pinset": [second]}, {"pinset_epoch": 2}):
        answer = house.offer(house.draft(**changes))
        assert (answer.status, [one["code"] for one in answer.json()["violations"]]) == (422, ["S6"])
    assert house.stored() == before


def test_a_pin_set_that_ended_while_its_keys_were_elsewhere_keeps_no_root_away(house: House) -> None:
    client = house.client()
    client.refresh()
    house.uris = house.uris[:1]
    house.restart()
    house.clock.advance(days=31)
    warnings = house.rotate()["warnings"]
    assert [one["message"] for one in warnings] == ["pin set 'payments' is past its end, and its keys are not here"]
    with pytest.raises(ExpiredError, match="pin set has expired"):
        client.refresh()
    assert looks(client) == ("expired", 2, 1, 1)
    house.restart(file_uri(house.installation.key("pinset")))
    assert house.rotate()["pinsets"][0] == {
        "name": "payments",
        "version": "1.2",
        "timestamp_version": 3,
        "signed": ["pinset", "timestamp"],
    }
    client.refresh()
    assert (looks(client), verdict(client, "live")) == (("fresh", 3, 1, 2), "accepted")


def test_a_shorter_life_in_the_grant_signs_longer_pin_sets_again(house: House) -> None:
    grants = tuple(replace(grant, max_lifetime_seconds=7 * DAY) for grant in house.root.pinset)
    answer = house.offer(house.draft(grants=grants))
    assert answer.json()["pinsets"][0]["signed"] == ["pinset", "timestamp"]
    client = house.client()
    client.refresh()
    assert client.status().expires == house.clock() + timedelta(days=7)


def test_a_root_that_takes_a_grant_away_is_refused_and_one_for_new_names_is_not(house: House) -> None:
    (grant,) = house.root.pinset
    answer = house.offer(house.draft(grants=(replace(grant, names=("orders",)),)))
    assert [one["code"] for one in answer.json()["violations"]] == ["ROOT004"]
    assert house.offer(house.draft(grants=(replace(grant, names=("orders", "pay*")),))).status == 201


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"timestamp_epoch": 1}, "ROOT003"), ({"pinset_epoch": 1}, "ROOT005"), ({"days": 10}, "ROOT011")],
)
def test_what_would_strand_clients_cannot_be_forced_and_the_rest_needs_a_reason(
    house: House, changes: dict[str, int], code: str
) -> None:
    house.rotate(timestamp_epoch=2, pinset_epoch=2)
    before = house.stored()
    root = house.draft(**changes)  # type: ignore[arg-type]
    for fields in ({}, {"force": [code]}):
        answer = house.offer(root, **fields)
        assert (answer.status, [one["code"] for one in answer.json()["violations"]]) == (422, [code])
    assert house.stored() == before
    forced = house.offer(root, force=[code], reason="a short trial")
    assert forced.status == (201 if code == "ROOT011" else 422)


def test_a_restart_in_the_middle_of_a_rotation_loses_nothing(house: House) -> None:
    client = house.client()
    client.refresh()
    new_key = house.add_key("timestamp-2")
    root = house.draft(timestamp=[new_key])
    house.restart()
    assert house.offer(root).status == 201
    house.restart()
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)
    house.publish(word="next")
    client.refresh()
    assert (looks(client), verdict(client, "next")) == (("fresh", 2, 1, 2), "accepted")
