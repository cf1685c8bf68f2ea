import json
from dataclasses import replace
from datetime import timedelta

import pytest

from pinwarden.documents import Root
from pinwarden.envelope import keyid_of
from pinwarden.errors import SignatureError
from pinwarden.strict_json import encode, encode_base64
from pinwarden_keys.ceremony import next_root, roles_of
from pinwarden_keys.root_lint import POLICY_CODES, lint

DAY = 24 * 3600


def codes(*arguments, **named):
    return [finding.code for finding in lint(*arguments, **named)]


def test_a_sound_root_has_no_findings(sound, now):
    assert codes(sound, previous=None, now=now, names=["app"]) == []


def test_a_sound_successor_has_no_findings(sound, now):
    successor = next_root(sound, roles_of(sound), now=now, lifetime=timedelta(days=365))
    assert codes(successor, previous=sound, now=now, names=["app", "payments-eu"]) == []


@pytest.mark.parametrize("version", [1, 3, 9])
def test_a_version_that_is_not_the_next_is_found(sound, now, version):
    assert codes(replace(sound, version=version), previous=sound, now=now) == ["ROOT001"]


def test_a_first_root_that_is_not_version_1_is_found(sound, now):
    assert codes(replace(sound, version=2), previous=None, now=now) == ["ROOT001"]


def test_a_changed_authority_is_found(sound, now):
    moved = replace(sound, version=2, authority="evil-0123456789abcdef")
    assert codes(moved, previous=sound, now=now) == ["ROOT002"]


def test_a_falling_timestamp_epoch_is_found_and_a_rising_one_is_not(sound, now):
    for epoch, expected in ((4, ["ROOT003"]), (5, []), (6, [])):
        root = replace(sound, version=2, timestamp=replace(sound.timestamp, epoch=epoch))
        assert codes(root, previous=sound, now=now) == expected


def test_a_published_name_that_loses_its_grant_is_found(sound, now):
    root = replace(sound, version=2, pinset=(replace(sound.pinset[0], names=("app",)),))
    assert codes(root, previous=sound, now=now, names=["app", "payments-eu", "never-granted"]) == ["ROOT004"]


def test_a_published_name_whose_first_grant_has_a_lower_epoch_is_found(sound, now):
    shadow = replace(sound.pinset[0], names=("app",), epoch=4)
    root = replace(sound, version=2, pinset=(shadow, *sound.pinset))
    assert codes(root, previous=sound, now=now, names=["app", "payments-eu"]) == ["ROOT005"]


def test_a_threshold_below_two_is_found(sound, now):
    assert codes(replace(sound, root=replace(sound.root, threshold=1)), previous=None, now=now) == ["ROOT006"]


def test_a_root_that_one_lost_key_would_end_is_found(sound, now):
    assert codes(replace(sound, root=replace(sound.root, threshold=3)), previous=None, now=now) == ["ROOT007"]


def test_a_root_key_in_another_role_is_found(sound, now):
    timestamp = replace(sound.timestamp, keyids=sound.root.keyids[:1])
    assert codes(replace(sound, timestamp=timestamp), previous=None, now=now) == ["ROOT008"]
    grant = replace(sound.pinset[0], keyids=sound.root.keyids[:1])
    assert codes(replace(sound, pinset=(*sound.pinset, grant)), previous=None, now=now) == ["ROOT008"]


def test_a_timestamp_key_that_may_sign_pin_sets_is_found(sound, now):
    grant = replace(sound.pinset[0], keyids=sound.timestamp.keyids)
    assert codes(replace(sound, pinset=(grant,)), previous=None, now=now) == ["ROOT009"]


@pytest.mark.parametrize(("days", "expected"), [(29, ["ROOT011"]), (30, []), (731, []), (732, ["ROOT010"])])
def test_a_lifetime_beyond_two_years_or_under_thirty_days_is_found(sound, now, days, expected):
    root = replace(sound, expires=now + timedelta(days=days))
    assert codes(root, previous=None, now=now + timedelta(microseconds=5)) == expected


@pytest.mark.parametrize("damage", ["twice", "small order", "wrong name"])
def test_a_key_twice_or_of_small_order_is_no_finding_because_no_such_root_is_read(sound, damage):
    payload = json.loads(sound.encode())
    keyid = payload["roles"]["root"]["keyids"][0]
    if damage == "twice":
        payload["roles"]["root"]["keyids"].append(keyid)
    else:
        weak = bytes(32) if damage == "small order" else bytes(31) + b"\x09"
        payload["keys"][keyid if damage == "wrong name" else keyid_of(weak)] = {
            "scheme": "ed25519",
            "public": encode_base64(weak),
        }
    with pytest.raises(SignatureError):
        Root.parse(encode(payload))


def test_only_findings_that_leave_the_chain_whole_may_be_allowed():
    assert POLICY_CODES == ("ROOT006", "ROOT007", "ROOT008", "ROOT009", "ROOT010", "ROOT011")


def test_every_finding_says_what_to_do(sound, now):
    broken = replace(
        sound, version=7, authority="evil-0123456789abcdef", expires=now, root=replace(sound.root, threshold=1)
    )
    for finding in lint(broken, previous=sound, now=now):
        assert finding.message
        assert finding.hint.endswith(".")
