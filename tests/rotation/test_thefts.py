"""
What a thief of each key can do to clients over HTTP, and that the root that follows ends it.

The names are those of The Update Framework's attacks where it has one: fast-forward, freeze, rollback, arbitrary
content.
"""

from datetime import timedelta

import pytest

from pinwarden.envelope import ROOT_TYPE, TIMESTAMP_TYPE, Envelope, Signature, pae
from pinwarden.errors import (
    EquivocationError,
    ExpiredError,
    RollbackError,
    SignatureError,
    StaleError,
    UntrustedError,
)
from tests.rotation.stage import HIGHEST, House, looks, new_signer, pin_json, verdict


def test_a_stolen_timestamp_key_freezes_clients_until_its_epoch_rises(house: House) -> None:
    client = house.client()
    pinset = house.served().pinset
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, version=1000), pinset)
    client.refresh()
    assert looks(client) == ("fresh", 1, 1, 1)
    house.release()
    house.publish(word="next")
    with pytest.raises(RollbackError) as caught:
        client.refresh()
    assert (caught.value.step, caught.value.expected, caught.value.got) == ("V6", "1.1000 or newer", "1.2")
    assert verdict(client, "next") == "refused"
    house.rotate(timestamp=[house.add_key("timestamp-2")], timestamp_epoch=2)
    client.refresh()
    assert (looks(client), verdict(client, "next")) == (("fresh", 2, 1, 2), "accepted")
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, epoch=1, version=5000), pinset, held=2)
    with pytest.raises(SignatureError):
        client.refresh()
    assert (looks(client), verdict(client, "next")) == (("fresh", 2, 1, 2), "accepted")


def test_fast_forward_burns_the_last_version_and_the_epoch_gives_it_back(house: House) -> None:
    client = house.client()
    pinset = house.forged_pinset(house.pinset_key, "live", version=HIGHEST)
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, version=HIGHEST), pinset)
    client.refresh()
    assert looks(client) == ("fresh", 1, 1, HIGHEST)
    house.release()
    house.publish(word="next")
    with pytest.raises(RollbackError):
        client.refresh()
    keys = {"timestamp": [house.add_key("timestamp-2")], "pinset": [house.add_key("pinset-2")]}
    shown = house.rotate(**keys, timestamp_epoch=2, pinset_epoch=2)
    assert shown["pinsets"][0]["version"] == "2.3"
    client.refresh()
    assert (looks(client), verdict(client, "next")) == (("fresh", 2, 2, 3), "accepted")
    assert (looks(house.client()), verdict(house.client(), "next")) == (("fresh", 2, 2, 3), "accepted")


def test_fast_forward_of_the_timestamp_alone_is_undone_by_its_own_epoch(house: House) -> None:
    client = house.client()
    pinset = house.served().pinset
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, version=HIGHEST), pinset)
    client.refresh()
    house.release()
    shown = house.rotate(timestamp=[house.add_key("timestamp-2")], timestamp_epoch=2)
    assert shown["pinsets"][0]["signed"] == ["timestamp"]
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)


def test_a_forged_pin_set_is_dropped_when_its_key_is_retired_and_the_stolen_pin_denied(house: House) -> None:
    client = house.client()
    client.refresh()
    forged = house.forged_pinset(house.pinset_key, version=99)
    stamp = house.forged_timestamp(house.timestamp_key, forged, version=99)
    house.hijack(stamp, forged)
    client.refresh()
    assert (looks(client), verdict(client, "thief")) == (("fresh", 1, 1, 99), "accepted")
    house.release()
    keys = {"timestamp": [house.add_key("timestamp-2")], "pinset": [house.add_key("pinset-2")]}
    house.rotate(**keys, timestamp_epoch=2, pinset_epoch=2)
    # The thief still sits on the line, and cannot keep the new root from a client that gets any bundle with it.
    house.hijack(stamp, forged, house.roots[1])
    with pytest.raises(UntrustedError):
        client.refresh()
    assert (looks(client), verdict(client, "thief")) == (("empty", 2, None, None), "no pins")
    assert looks(house.client()) == ("empty", 2, None, None)
    house.release()
    house.publish(deny=[_text("thief")])
    client.refresh()
    assert looks(client) == ("fresh", 2, 2, 3)
    assert [verdict(client, word) for word in ("live", "thief")] == ["accepted", "denied"]


def test_a_stolen_pin_set_key_alone_changes_no_pins(house: House) -> None:
    client = house.client()
    client.refresh()
    honest = house.served()
    house.hijack(honest.timestamp, house.forged_pinset(house.pinset_key, version=2))
    with pytest.raises(StaleError):
        client.refresh()
    house.hijack(honest.timestamp, house.forged_pinset(house.pinset_key))
    with pytest.raises(EquivocationError):
        client.refresh()
    assert (looks(client), verdict(client, "thief")) == (("fresh", 1, 1, 1), "refused")


def test_one_version_with_two_contents_is_reported_and_new_keys_end_it_without_a_new_epoch(house: House) -> None:
    client = house.client()
    forged = house.forged_pinset(house.pinset_key, version=2)
    house.hijack(house.forged_timestamp(house.timestamp_key, forged, version=2), forged)
    client.refresh()
    house.release()
    house.publish(word="next")  # version 2 is burnt, and the server cannot know
    with pytest.raises(EquivocationError) as caught:
        client.refresh()
    assert Envelope.parse(caught.value.shown, expect=TIMESTAMP_TYPE) == house.served().timestamp
    keys = {"timestamp": [house.add_key("timestamp-2")], "pinset": [house.add_key("pinset-2")]}
    house.rotate(**keys)
    client.refresh()
    assert (looks(client), verdict(client, "next"), verdict(client, "thief")) == (
        ("fresh", 2, 1, 3),
        "accepted",
        "refused",
    )


def test_poisoned_time_ends_pins_early_until_the_timestamp_epoch_rises(house: House) -> None:
    house.publish(lifetime_seconds=25 * 3600)
    client = house.client()
    client.refresh()
    house.clock.advance(hours=2)
    assert looks(client) == ("fresh", 1, 1, 2)
    ahead, pinset = house.clock() + timedelta(hours=24), house.served().pinset
    times = {"issued": ahead, "expires": ahead + timedelta(days=3)}
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, version=7, **times), pinset)
    client.refresh()
    assert (looks(client), verdict(client, "live")) == (("expired", 1, 1, 2), "no pins")
    house.release()
    house.rotate(timestamp=[house.add_key("timestamp-2")], timestamp_epoch=2)
    client.refresh()
    assert (looks(client), verdict(client, "live")) == (("fresh", 2, 1, 2), "accepted")


def test_a_timestamp_more_than_a_day_ahead_poisons_nothing(house: House) -> None:
    client = house.client()
    client.refresh()
    ahead, pinset = house.clock() + timedelta(hours=24, seconds=1), house.served().pinset
    times = {"issued": ahead, "expires": ahead + timedelta(days=3)}
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, version=7, **times), pinset)
    with pytest.raises(ExpiredError, match="was issued in the future"):
        client.refresh()
    assert looks(client) == ("fresh", 1, 1, 1)


def test_one_stolen_root_key_of_three_makes_no_root_that_server_or_client_takes(house: House) -> None:
    client = house.client()
    client.refresh()
    draft, thief = house.draft(timestamp=[new_signer()], timestamp_epoch=9), house.root_keys[0]
    stolen = [entry for entry in draft.signatures if entry.keyid == thief.keyid]
    forged = Envelope.of(ROOT_TYPE, draft.payload, stolen)
    answer = house.offer(forged)
    assert (answer.status, answer.json()["violations"][0]["code"]) == (422, "V3")
    honest = house.served()
    house.hijack(honest.timestamp, honest.pinset, forged)
    with pytest.raises(SignatureError) as caught:
        client.refresh()
    assert (caught.value.expected, looks(client)) == ("2 of 3 keys", ("fresh", 1, 1, 1))
    house.release()
    house.rotate(root=[*house.root_keys[1:], new_signer()])
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)
    # The stolen key counts for nothing from here on, not even beside one that is good.
    late = house.draft()
    by_thief = Signature(thief.keyid, thief.sign(pae(ROOT_TYPE, late.payload)))
    good = [entry for entry in late.signatures if entry.keyid == house.root_keys[0].keyid]
    answer = house.offer(Envelope.of(ROOT_TYPE, late.payload, [by_thief, *good]))
    assert (answer.status, answer.json()["violations"][0]["code"]) == (422, "V3")
    answer = house.offer(Envelope.of(ROOT_TYPE, late.payload, [by_thief, *late.signatures]))
    assert (answer.status, answer.json()["violations"][0]["code"]) == (422, "S2")
    assert house.offer(late).status == 201


def test_a_root_that_was_replayed_or_skipped_is_refused(house: House) -> None:
    first = house.draft()
    house.roots.append(first)
    second = house.draft()
    house.roots.append(house.draft(root=(others := [new_signer() for _ in range(3)])))
    house.root_keys = others
    third = house.draft()
    del house.roots[1:]
    for skipped in (second, third):  # said of the version, whoever signed it
        answer = house.offer(skipped)
        assert (answer.status, answer.json()["violations"][0]["code"], answer.json()["expected"]) == (
            422,
            "V4",
            "version 2",
        )
    client = house.client()
    client.refresh()
    honest = house.served()
    house.hijack(honest.timestamp, honest.pinset, second)
    with pytest.raises(RollbackError, match="root is not the one that follows"):
        client.refresh()
    assert looks(client) == ("fresh", 1, 1, 1)


def _text(word: str) -> str:
    return pin_json(word)["sha256"]
