"""What signers are told about a change: every one of them, and nothing that did not change."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinwarden.documents import Grant, Role, Root, TimestampRole
from pinwarden_keys.ceremony import Roles, first_root, keyed, next_root, roles_of
from pinwarden_keys.root_diff import differences

DAY = 24 * 3600
YEAR = timedelta(days=365)


@pytest.fixture
def role(people):
    """Return a function that makes the keys of a role from names."""

    def keys(*names):
        held = keyed(people.publics(*names))
        return {"keyids": tuple(held), "keys": held}

    return keys


@pytest.fixture
def before(role, now):
    roles = Roles(
        Role(threshold=2, **role("alice", "bob", "carol")),
        TimestampRole(threshold=1, epoch=3, max_lifetime_seconds=7 * DAY, **role("server")),
        (
            Grant(threshold=1, epoch=1, max_lifetime_seconds=90 * DAY, names=("payments-*", "app"), **role("release")),
            Grant(threshold=1, epoch=1, max_lifetime_seconds=DAY // 2, names=("*",), **role("other")),
        ),
    )
    return first_root("acme-0123456789abcdef", roles, now=now, lifetime=YEAR)


@pytest.fixture
def told(before, people, now):
    """Return a function that gives the changes to a root whose roles were changed, but for version and end."""
    everybody = ["alice", "bob", "carol", "dave", "server", "second", "release", "other"]
    names = {people.keyid(name): name for name in everybody}

    def lines(**changes):
        after = next_root(before, replace(roles_of(before), **changes), now=now + timedelta(days=300), lifetime=YEAR)
        told = [str(change) for change in differences(before, after, names)]
        dates = ["~ version 1 -> 2", "~ expires 2027-11-23T12:00:00Z -> 2028-09-18T12:00:00Z"]
        assert told[:2] == dates
        short = {people.keyid(name)[:16]: f"<{name}>" for name in everybody}
        spelled = []
        for line in told[2:]:
            for keyid, sign in short.items():
                line = line.replace(keyid, sign)
            spelled.append(line)
        return spelled

    return lines


def test_a_renewal_changes_version_and_end_alone(told):
    assert told() == []


def test_the_same_root_has_no_changes(before):
    assert differences(before, before, {}) == ()


def test_people_who_come_and_go_are_named_with_their_keys(told, before, role):
    assert told(root=Role(threshold=3, **role("carol", "alice", "dave"))) == [
        "- root key <bob> bob",
        "+ root key <dave> dave",
        "~ root threshold 2 -> 3",
    ]


def test_a_rotated_timestamp_key_comes_with_epoch_and_life(told, before, role):
    after = TimestampRole(threshold=1, epoch=4, max_lifetime_seconds=DAY, **role("second"))
    assert told(timestamp=after) == [
        "- timestamp key <server> server",
        "+ timestamp key <second> second",
        "~ timestamp epoch 3 -> 4",
        "~ timestamp longest life 7 days -> 1 days",
    ]


def test_a_grant_whose_names_change_is_followed(told, before, role):
    first, second = before.pinset
    changed = replace(first, names=("app", "web"), threshold=2, **role("release", "dave"))
    assert told(pinset=(changed, second)) == [
        "- pinset app, web: name payments-*",
        "+ pinset app, web: name web",
        "+ pinset app, web: key <dave> dave",
        "~ pinset app, web: threshold 1 -> 2",
    ]


def test_grants_that_come_and_go_are_told_whole(told, before, role):
    first, second = before.pinset
    new = replace(first, names=("web",), epoch=7, **role("dave"))
    assert told(pinset=(second, new)) == [
        "- pinset payments-*, app: 1 of <release> release; epoch 1, longest life 90 days",
        "+ pinset web: 1 of <dave> dave; epoch 7, longest life 90 days",
        "~ order of the grants, the first that covers a name decides alone: * | web",
    ]


def test_another_order_of_the_grants_is_a_change(told, before):
    assert told(pinset=before.pinset[::-1]) == [
        "~ order of the grants, the first that covers a name decides alone: * | payments-*, app"
    ]


def test_a_grant_that_comes_before_another_is_told_with_its_place(told, before, role):
    new = replace(before.pinset[0], names=("pay*",), **role("dave"))
    assert told(pinset=(new, *before.pinset)) == [
        "+ pinset pay*: 1 of <dave> dave; epoch 1, longest life 90 days",
        "~ order of the grants, the first that covers a name decides alone: pay* | payments-*, app | *",
    ]


def test_another_authority_is_a_change(before):
    other = replace(before, authority="evil-0123456789abcdef")
    expected = "~ authority acme-0123456789abcdef -> evil-0123456789abcdef"
    assert [str(change) for change in differences(before, other, {})] == [expected]


SOME = st.sampled_from
KEYS = {f"{letter}" * 64: bytes([number]) * 32 for number, letter in enumerate("abcde", 1)}


def members(draw):
    keyids = tuple(draw(st.lists(SOME(sorted(KEYS)), min_size=1, max_size=3, unique=True)))
    return {"keyids": keyids, "keys": {keyid: KEYS[keyid] for keyid in keyids}, "threshold": draw(SOME([1, 2]))}


def limits(draw):
    return {"epoch": draw(SOME([1, 2])), "max_lifetime_seconds": draw(SOME([DAY, DAY + 1, 2 * DAY]))}


@st.composite
def roots(draw, version=1):
    names = draw(st.lists(SOME([("a",), ("b", "c*"), ("c*",), ("*",)]), max_size=3, unique=True))
    issued = datetime(2026, 11, 23, tzinfo=UTC)
    return Root(
        draw(SOME(["acme-0123456789abcdef", "evil-0123456789abcdef"])),
        version,
        issued,
        issued + timedelta(days=draw(SOME([100, 365]))),
        {},
        Role(**members(draw)),
        TimestampRole(**members(draw), **limits(draw)),
        tuple(Grant(names=each, **members(draw), **limits(draw)) for each in names),
    )


def meaning(root):
    """Return what *root* says: the order of keyids within a role means nothing, that of grants does."""

    def role(each):
        limit = [getattr(each, name, None) for name in ("epoch", "max_lifetime_seconds", "names")]
        return (frozenset(each.keyids), each.threshold, *limit)

    return (root.authority, root.expires, role(root.root), role(root.timestamp), tuple(map(role, root.pinset)))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(before=roots(), one=roots(version=2), other=roots(version=2))
def test_two_roots_that_mean_different_things_never_show_the_same_changes(before, one, other):
    for second in (other, replace(before, version=2), replace(one, pinset=other.pinset), replace(one, root=other.root)):
        alike = differences(before, one, {}) == differences(before, second, {})
        assert not alike or meaning(one) == meaning(second)
