"""
The arithmetic of lock-outs, against the client's own judge on every chain that a small world has.

That world has four leaf keys and two CAs, so a service can show any one leaf with any of the CAs: every claim about
all chains is checked on all of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import chain, combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinwarden.documents import Host, Pin, PinSet
from pinwarden.enforce import Chain, Policy, judge
from pinwarden.errors import PinMismatchError
from pinwarden.trust import State
from pinwarden_server.safety import HeldVersion, LockOut, Trouble, common_keys, lock_outs

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LEAVES = [Pin(sha256(name).digest()) for name in (b"a", b"b", b"c", b"d")]
AUTHORITIES = [Pin(sha256(name).digest(), "ca") for name in (b"ca 1", b"ca 2")]
A, B, C, D = LEAVES
E = Pin(sha256(b"e").digest())
KEYS = [*LEAVES, *AUTHORITIES]
PATTERNS = ["x.org", "a.x.org", "b.x.org", "*.x.org", "**.x.org", "*.a.x.org", "**.a.x.org"]
NAMES = ["x.org", "a.x.org", "b.x.org", "c.x.org", "d.a.x.org", "e.d.a.x.org", "f.e.x.org", "y.org"]


def version(number: int, *hosts: Host, deny: tuple[bytes, ...] = (), days: int = 30) -> HeldVersion:
    document = PinSet("test", "shop", 1, number, NOW, NOW + timedelta(days=days), hosts, deny)
    return HeldVersion.of(document)


def chains() -> Iterator[frozenset[bytes]]:
    """Every chain of this world: at most one leaf, any CAs, and not nothing."""
    authorities = [pin.sha256 for pin in AUTHORITIES]
    behind = chain.from_iterable(combinations(authorities, size) for size in range(len(authorities) + 1))
    for cas in behind:
        for leaf in (None, *LEAVES):
            if shown := {*cas, *([leaf.sha256] if leaf else [])}:
                yield frozenset(shown)


CHAINS = list(chains())
pins = st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True).map(tuple)
hosts = st.builds(Host, st.sampled_from(PATTERNS), pins, pins, st.sampled_from(["enforce", "enforce", "report"]))
contents = st.tuples(
    st.lists(hosts, max_size=4, unique_by=lambda host: host.host).map(tuple),
    st.lists(st.sampled_from([pin.sha256 for pin in KEYS]), max_size=1).map(tuple),
)
worlds = st.lists(contents, min_size=1, max_size=4).map(
    lambda all_: [version(number, *hosts, deny=deny) for number, (hosts, deny) in enumerate(all_, 1)]
)


def connects(held: HeldVersion, name: str, shown: frozenset[bytes]) -> bool:
    """Ask the client's own judge."""
    document = PinSet("test", "shop", *held.tag, NOW, NOW + timedelta(days=30), held.hosts, tuple(held.deny))
    try:
        judge(Policy(document, b""), name, Chain(tuple(sorted(shown)), verified=True), state=State.FRESH)
    except PinMismatchError:
        return False
    return True


@given(worlds, st.sampled_from(NAMES), st.sampled_from(CHAINS))
def test_holders_accept_what_the_clients_judge_accepts(world: list[HeldVersion], name: str, shown: frozenset[bytes]):
    for held in world:
        assert held.accepts(name, shown) == connects(held, name, shown)


@given(worlds, st.sampled_from(NAMES))
def test_common_keys_are_there_exactly_when_some_chain_suits_everybody(world: list[HeldVersion], name: str):
    suitable = [shown for shown in CHAINS if all(connects(held, name, shown) for held in world)]
    enforced = any(held.keys(name) is not None for held in world)
    found = common_keys(world, name)
    assert (found is not None) == bool(suitable)
    if found and enforced:
        assert any(shown <= found for shown in suitable)


@settings(max_examples=200)
@given(worlds, contents)
def test_a_draft_without_trouble_leaves_every_host_a_chain_that_every_holder_accepts(world, content):
    draft = version(9, *content[0], deny=content[1])
    found = list(lock_outs(draft, world, world[-1]))
    blamed = {each.trouble for each in found} & {Trouble.REMOVED, Trouble.DIVIDED}
    for name in NAMES:
        host = draft.host(name)
        if host is None or draft.deny.issuperset(pin.sha256 for pin in (*host.pins, *host.backups)):
            continue  # clients refuse a document that denies a key of a host that it pins (spec V8)
        everybody = any(all(connects(held, name, shown) for held in (*world, draft)) for shown in CHAINS)
        nobody_before = not any(all(connects(held, name, shown) for held in world) for shown in CHAINS)
        assert everybody or nobody_before or blamed, name


def test_a_draft_without_trouble_leaves_a_chain_to_all_whom_one_key_serves_though_others_are_cut_off():
    few = [*combinations(LEAVES, 1), *combinations(LEAVES, 2)]
    drafts = [version(4, Host("a.x.org", keys, ())) for keys in [*combinations(LEAVES, 2), *combinations(LEAVES, 3)]]
    worlds_of = product(*([version(number, Host("a.x.org", keys, ())) for keys in few] for number in (1, 2, 3)))
    for world in worlds_of:
        for draft in drafts:
            if not any(
                each.trouble in (Trouble.REMOVED, Trouble.DIVIDED) for each in lock_outs(draft, world, world[-1])
            ):
                for key in LEAVES:
                    served = [held for held in world if held.accepts("a.x.org", [key.sha256])]
                    assert world[-1] not in served or common_keys([*served, draft], "a.x.org"), (world, draft)


@settings(max_examples=200)
@given(worlds, contents)
def test_holders_that_a_draft_cuts_off_can_be_served_by_no_chain_that_its_own_holders_accept(world, content):
    draft = version(9, *content[0], deny=content[1])
    for found in lock_outs(draft, world, world[-1]):
        if found.trouble in (Trouble.REMOVED, Trouble.APART):
            decided = [name for name in NAMES if draft.host(name) is draft.hosts[found.number]]
            for held in found.held:
                served = [
                    any(connects(held, name, shown) and connects(draft, name, shown) for shown in CHAINS)
                    for name in decided
                ]
                assert not all(served)


@settings(max_examples=200)
@given(worlds, contents, st.sampled_from(CHAINS))
def test_no_simulated_client_breaks_on_a_chain_about_which_nothing_is_said(world, content, shown):
    draft = version(9, *content[0], deny=content[1])
    found = list(lock_outs(draft, world, world[-1], [shown] * len(draft.hosts)))
    troubled = {each.number for each in found}
    for name in NAMES:
        host = draft.host(name)
        if host is not None and draft.hosts.index(host) not in troubled:
            assert [connects(held, name, shown) for held in world] == [True] * len(world)


def host(*keys: Pin, backups: tuple[Pin, ...] = (), name: str = "a.x.org") -> Host:
    return Host(name, keys, backups)


def told(draft: HeldVersion, *world: HeldVersion, current: int = 1) -> list[tuple[str, list[int]]]:
    """Return what is told of a draft: the trouble, and the versions whose holders have it."""
    found: list[LockOut] = list(lock_outs(draft, world, next((each for each in world if each.tag[1] == current), None)))
    return [(each.trouble.name, [held.tag[1] for held in each.held]) for each in found]


ROTATION = {
    "the backup goes into service": ((host(B, backups=(C,)),), (host(A, backups=(B,)),), []),
    "a new key goes into service": ((host(C, backups=(A,)),), (host(A, backups=(B,)),), [("UNKNOWN", [1])]),
    "every key is replaced": ((host(C, backups=(D,)),), (host(A, backups=(B,)),), [("REMOVED", [1])]),
    "the host is not pinned any more": ((), (host(A, backups=(B,)),), [("RELEASED", [1])]),
    "a host is pinned for the first time": ((host(A, backups=(B,)),), (), []),
    "from a leaf to its CA": (
        (host(AUTHORITIES[0], backups=(AUTHORITIES[1],)),),
        (host(A, backups=(B,)),),
        [("UNKNOWN", [1])],
    ),
    "a wildcard is narrowed to another key": (
        (host(C, backups=(D,)),),
        (host(A, backups=(B,), name="*.x.org"),),
        [("REMOVED", [1]), ("RELEASED", [1])],
    ),
}


@pytest.mark.parametrize(("after", "before", "expected"), ROTATION.values(), ids=ROTATION)
def test_a_step_of_a_rotation_is_judged_by_the_keys_of_both_sides(after, before, expected):
    assert told(version(2, *after), version(1, *before)) == expected


def test_two_versions_that_have_no_key_in_common_with_each_other_through_the_draft_are_divided():
    world = version(1, host(A, backups=(B, C))), version(2, host(A, backups=(C, D)))
    assert told(version(3, host(B, backups=(D,))), *world, current=2) == [("DIVIDED", [2, 1])]
    assert told(version(3, host(C, backups=(D,))), *world, current=2) == []


def test_a_key_for_those_who_were_cut_off_hides_nobody_whom_the_draft_divides():
    # A key was stolen, and version 2 was forced: nobody can serve the holders of version 1 together with the others.
    world = version(1, host(A, backups=(B,))), version(2, host(C, backups=(D,))), version(3, host(D, backups=(E,)))
    assert told(version(4, host(C, backups=(E,))), *world, current=3) == [("DIVIDED", [3, 2])]
    assert told(version(4, host(C, backups=(E, B))), *world, current=3) == [("DIVIDED", [3, 2])]
    assert told(version(4, host(D, backups=(E, B))), *world, current=3) == [("UNKNOWN", [1])]
    assert told(version(4, host(D, backups=(C,))), *world, current=3) == [("APART", [1])]


def test_holders_that_the_version_in_force_has_cut_off_already_are_not_the_drafts_doing():
    world = version(1, host(A, backups=(B,))), version(2, host(C, backups=(D,)))
    assert told(version(3, host(D, backups=(C,))), *world, current=2) == [("APART", [1])]
    assert told(version(3, host(A, backups=(B,))), *world, current=2) == [("REMOVED", [2])]


def test_where_the_version_in_force_is_held_by_nobody_any_more_the_draft_is_blamed():
    world = version(1, host(A, backups=(B,))), version(2, host(C, backups=(D,)))
    assert told(version(3, host(D, backups=(C,))), *world, current=3) == [("REMOVED", [1])]


def test_a_denied_key_serves_nobody():
    before = version(1, host(A, backups=(B,)))
    draft = version(2, host(A, backups=(B, C)), deny=(A.sha256, B.sha256))
    assert told(draft, before) == [("REMOVED", [1])]


def test_a_key_in_service_that_holders_deny_is_unknown_to_them_whatever_ca_is_behind_it():
    authority, other = AUTHORITIES
    before = version(1, host(authority, backups=(B,)), deny=(A.sha256,))
    assert told(version(2, host(A, authority, backups=(B,))), before) == [("UNKNOWN", [1])]
    assert told(version(2, host(A, C, authority, backups=(B,))), before) == []
    assert told(version(2, host(authority, backups=(B,))), before) == []
    before = version(1, host(authority, backups=(B,)), deny=(other.sha256,))
    assert told(version(2, host(authority, other, backups=(B,))), before) == []


def test_the_chain_that_is_shown_is_judged_in_place_of_what_is_said_to_be_in_service():
    before = version(1, host(A, backups=(B,)), deny=(AUTHORITIES[0].sha256,))
    draft = version(2, host(A, backups=(B,)))
    for shown, expected in (
        ([A], []),
        ([A, AUTHORITIES[1]], []),
        ([A, AUTHORITIES[0]], [Trouble.UNKNOWN]),
        ([C], [Trouble.UNKNOWN]),
        ([], []),
    ):
        chain_ = frozenset(pin.sha256 for pin in shown)
        assert [found.trouble for found in lock_outs(draft, [before], before, [chain_])] == expected, shown


def test_versions_that_say_something_else_are_told_apart_even_under_one_fingerprint():
    world = [replace(version(1, host(A, backups=(B,))), fingerprint=7), replace(version(2, host(C)), fingerprint=7)]
    assert told(version(3, host(B)), *world, current=2) == [("REMOVED", [2])]
    assert told(version(3, host(C)), *world, current=1) == [("REMOVED", [1])]


def test_what_the_version_in_force_cut_off_stays_its_doing_when_nobody_holds_it_any_more():
    in_force = version(2, host(C, backups=(D,)))
    assert [each.trouble for each in lock_outs(version(3, host(D, backups=(C,))), [version(1, host(A))], in_force)] == [
        Trouble.APART
    ]
    assert [each.trouble for each in lock_outs(version(3), [version(1, host(A))], in_force)] == [Trouble.RELEASED]


def test_holders_that_only_report_refuse_nothing():
    before = version(1, replace(host(A, backups=(B,)), mode="report"))
    assert told(version(2, host(C, backups=(D,))), before) == []


def test_versions_that_say_the_same_are_told_as_the_one_that_lives_longest():
    world = [version(number, host(A, backups=(B,)), days=number) for number in (1, 3, 2)]
    (found,) = lock_outs(version(4, host(C, backups=(D,))), world, world[-1])
    assert [held.tag for held in found.held] == [(1, 3)]
    assert found.until == NOW + timedelta(days=3, hours=24)


def test_the_keys_that_are_safe_to_show_are_those_that_everybody_accepts():
    before = version(1, host(A, backups=(B,)))
    (found,) = lock_outs(version(2, host(C, backups=(A,))), [before], before)
    assert found.safe == {A.sha256}
