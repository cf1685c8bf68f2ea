"""What is found about a draft where nobody knows everything that is published."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pinwarden_keys.ceremony import next_root, roles_of
from pinwarden_keys.root_draft_lint import ALLOWED_CODES, lint_draft
from pinwarden_keys.root_lint import POLICY_CODES

DAY = 24 * 3600


def codes(*arguments, **named):
    return [finding.code for finding in lint_draft(*arguments, **named)]


def test_a_sound_successor_has_no_findings(sound, now):
    successor = next_root(sound, roles_of(sound), now=now, lifetime=timedelta(days=365))
    assert codes(successor, previous=sound, now=now) == []
    assert codes(successor, previous=sound, now=now, names=["app", "payments-eu"]) == []


def test_a_root_that_has_ended_is_found(sound, now):
    assert codes(sound, previous=None, now=sound.expires) == ["ROOT012", "ROOT011"]
    assert codes(sound, previous=None, now=sound.expires - timedelta(seconds=1)) == ["ROOT011"]


@pytest.mark.parametrize(
    ("names", "lost"),
    [
        (("payments-*", "app"), []),
        (("*",), []),
        (("payments-*",), ["app"]),
        (("app",), ["payments-*"]),
        (("payments-eu", "app"), ["payments-*"]),
        (("payments-*", "ap"), ["app"]),
        ((), ["app", "payments-*"]),
    ],
)
def test_a_pattern_that_loses_its_grant_is_found_though_nobody_says_what_is_published(sound, now, names, lost):
    root = replace(sound, version=2, pinset=(replace(sound.pinset[0], names=names),) if names else ())
    found = lint_draft(root, previous=sound, now=now)
    assert [(each.code, each.message) for each in found] == [
        ("ROOT013", f"pin set {pattern!r} loses its grant") for pattern in lost
    ]


@pytest.mark.parametrize("shadow", ["*", "p*", "payments-*", "payments-eu", "payments-e*"])
def test_a_pattern_whose_first_grant_has_a_lower_epoch_is_found(sound, now, shadow):
    low = replace(sound.pinset[0], names=(shadow,), epoch=4)
    found = lint_draft(replace(sound, version=2, pinset=(low, *sound.pinset)), previous=sound, now=now)
    assert {each.code for each in found} == {"ROOT014"}
    assert all(each.message.endswith("falls from 5 to 4") for each in found)
    # After the other grants it never decides, but for names that no grant covered before.
    assert codes(replace(sound, version=2, pinset=(*sound.pinset, low)), previous=sound, now=now) == []


def test_a_pattern_is_judged_by_a_name_that_no_longer_pattern_covers(sound, now):
    (grant,) = sound.pinset
    narrow = replace(grant, names=("payments-0*", "payments-1*"))
    before = replace(sound, pinset=(narrow, replace(grant, names=("payments-*",))))
    found = lint_draft(replace(before, version=2, pinset=(narrow,)), previous=before, now=now)
    assert [(each.code, each.message) for each in found] == [("ROOT013", "pin set 'payments-*' loses its grant")]


def test_a_name_that_is_known_to_be_published_is_found_by_name_and_not_twice(sound, now):
    root = replace(sound, version=2, pinset=(replace(sound.pinset[0], names=("payments-*",)),))
    assert codes(root, previous=sound, now=now) == ["ROOT013"]
    assert codes(root, previous=sound, now=now, names=["app"]) == ["ROOT004"]
    low = replace(sound, version=2, pinset=(replace(sound.pinset[0], epoch=4),))
    assert codes(low, previous=sound, now=now, names=["app"]) == ["ROOT005", "ROOT014"]


def test_what_may_be_accepted_is_policy_or_in_doubt(sound, now):
    assert set(ALLOWED_CODES) == {*POLICY_CODES, "ROOT013", "ROOT014"}
    found = lint_draft(replace(sound, version=2, pinset=()), previous=sound, now=now)
    assert {(each.code, each.policy) for each in found} == {("ROOT013", True)}
    assert all(each.hint.endswith(".") for each in found)
