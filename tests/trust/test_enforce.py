"""The verdict on one chain: which keys count, in which order, and for whom (spec E2 to E9)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinwarden.documents import Host, Pin, PinSet
from pinwarden.enforce import (
    MAX_REMEMBERED_NAMES,
    Chain,
    Outcome,
    Policy,
    is_enforced_here,
    judge,
)
from pinwarden.errors import PinMismatchError
from pinwarden.strict_json import encode_base64
from pinwarden.testing import pinned
from pinwarden.trust import State

HOST, LEAF, CA, BACKUP, OTHER, DENIED = "api.example.com", b"l" * 32, b"c" * 32, b"b" * 32, b"o" * 32, b"d" * 32
MOMENTS = datetime(2026, 11, 24, 12, tzinfo=UTC), datetime(2026, 12, 24, 12, tzinfo=UTC)


@pytest.fixture
def pinset(holding: Any) -> PinSet:
    """One host, pinned to a leaf and a CA with one backup; one key is denied."""
    host = Host(HOST, (Pin(LEAF), Pin(CA, "ca")), (Pin(BACKUP),))
    return replace(holding.pinset, hosts=(host,), deny=(DENIED,))


@pytest.fixture
def policy(pinset: PinSet) -> Policy:
    """The pin set, ready for look-ups."""
    return Policy(pinset, bytes(16))


def verdict(policy: Policy, *pins: bytes, verified: bool = True, host: str | None = HOST, **named: Any) -> Any:
    return judge(policy, host, Chain(pins, verified), state=named.pop("state", State.FRESH), **named)


@pytest.mark.parametrize(
    ("pins", "outcome", "matched"),
    [
        ((LEAF,), Outcome.MATCHED, LEAF),
        ((OTHER, CA), Outcome.MATCHED, CA),
        ((OTHER, OTHER, CA), Outcome.MATCHED, CA),
        ((CA,), Outcome.MATCHED, CA),
        ((BACKUP, OTHER), Outcome.BACKUP_USED, BACKUP),
        ((OTHER, BACKUP), Outcome.BACKUP_USED, BACKUP),
        ((BACKUP, CA), Outcome.MATCHED, CA),
        ((LEAF, CA), Outcome.MATCHED, LEAF),
    ],
)
def test_any_key_of_the_verified_chain_counts_and_a_pin_before_a_backup(
    policy: Policy, pins: tuple[bytes, ...], outcome: Outcome, matched: bytes
) -> None:
    found = verdict(policy, *pins)
    assert (found.outcome, found.pin, found.pattern) == (outcome, encode_base64(matched), HOST)


@pytest.mark.parametrize("pins", [(), (OTHER,), (OTHER, OTHER), (b"",), (LEAF[:31],), (LEAF + b"l",)])
def test_a_chain_without_an_allowed_key_is_refused_with_what_was_seen(policy: Policy, pins: tuple[bytes, ...]) -> None:
    with pytest.raises(PinMismatchError) as refused:
        verdict(policy, *pins)
    error = refused.value
    assert (error.step, error.host, error.denied) == ("E2", HOST, None)
    assert error.presented == tuple(encode_base64(pin) for pin in pins)
    assert error.expected_pins == tuple(encode_base64(pin) for pin in (LEAF, CA, BACKUP))
    assert error.document == policy.label


@pytest.mark.parametrize("pins", [(DENIED, LEAF), (LEAF, DENIED), (LEAF, CA, DENIED), (BACKUP, DENIED), (DENIED,)])
def test_a_denied_key_fails_a_chain_whatever_else_matches(policy: Policy, pins: tuple[bytes, ...]) -> None:
    with pytest.raises(PinMismatchError) as refused:
        verdict(policy, *pins)
    assert (refused.value.step, refused.value.denied) == ("E3", encode_base64(DENIED))


@pytest.mark.parametrize("deny", [(), (DENIED,)], ids=["nothing denied", "a key denied"])
@pytest.mark.parametrize("key", [LEAF, CA, BACKUP, OTHER, DENIED])
def test_one_key_at_first_sight_decides_only_where_the_whole_chain_would_say_the_same(
    pinset: PinSet, deny: tuple[bytes, ...], key: bytes
) -> None:
    policy = Policy(replace(pinset, deny=deny), bytes(16))
    rule = policy.find(HOST)
    assert rule is not None
    assert (key in rule.decisive) is (not deny and key in (LEAF, CA))
    if key in rule.decisive:
        chains = [((key,), True), ((key,), False), ((key, DENIED), True), ((key, DENIED), False), ((OTHER, key), True)]
        verdicts = [verdict(policy, *keys, verified=verified) for keys, verified in chains]
        assert [(Outcome.MATCHED, str(rule.decisive[key]))] * 5 == [(each.outcome, each.pin) for each in verdicts]


@pytest.mark.parametrize(
    ("pins", "depth"), [((LEAF,), 0), ((OTHER, CA), 1), ((LEAF, CA), 0), ((OTHER, BACKUP), 0), ((OTHER,), 0), ((), 0)]
)
def test_a_rule_remembers_where_the_first_pinned_key_stood(pinset: PinSet, pins: tuple[bytes, ...], depth: int) -> None:
    rule = Policy(replace(pinset, deny=()), bytes(16)).find(HOST)
    assert rule is not None
    rule.depth = 7
    rule.remember(Chain(pins, True))
    assert rule.depth == depth


@pytest.mark.parametrize(
    ("pins", "outcome"),
    [((LEAF,), Outcome.MATCHED), ((BACKUP,), Outcome.BACKUP_USED), ((LEAF, DENIED), Outcome.MATCHED)],
)
def test_without_a_verified_chain_the_leaf_decides(policy: Policy, pins: tuple[bytes, ...], outcome: Outcome) -> None:
    assert verdict(policy, *pins, verified=False).outcome is outcome


@pytest.mark.parametrize("pins", [(), (OTHER, LEAF), (OTHER, CA), (OTHER, BACKUP), (DENIED, LEAF)])
def test_without_a_verified_chain_nothing_behind_the_leaf_counts(policy: Policy, pins: tuple[bytes, ...]) -> None:
    with pytest.raises(PinMismatchError) as refused:
        verdict(policy, *pins, verified=False)
    assert refused.value.what.endswith("(unverified or resumed: only the leaf counts)")


def test_a_host_in_report_mode_is_let_through_with_the_problem_as_evidence(pinset: PinSet) -> None:
    policy = Policy(replace(pinset, hosts=(replace(pinset.hosts[0], mode="report"),)), bytes(16))
    assert verdict(policy, LEAF).outcome is Outcome.MATCHED
    for pins, step in (((OTHER,), "E2"), ((LEAF, DENIED), "E3")):
        found = verdict(policy, *pins)
        assert (found.outcome, found.problem.step, found.problem.__traceback__) == (Outcome.REPORTED, step, None)


@pytest.mark.parametrize("host", ["www.example.com", "example.com", "", None])
def test_a_host_without_pins_is_left_alone_or_refused_as_the_application_asks(policy: Policy, host: str | None) -> None:
    found = verdict(policy, OTHER, host=host)
    assert (found.outcome, found.host, found.pattern, found.pin) == (Outcome.UNPINNED, host, None, None)
    for state in (State.FRESH, State.STALE, State.EXPIRED):
        with pytest.raises(PinMismatchError) as refused:
            verdict(policy, OTHER, host=host, unpinned="refuse", state=state)
        assert (refused.value.step, refused.value.host, refused.value.expected_pins) == ("E9", host or "", ())


def test_a_denied_key_says_nothing_about_hosts_without_pins(policy: Policy) -> None:
    assert verdict(policy, DENIED, host="www.example.com").outcome is Outcome.UNPINNED


def test_refusing_unpinned_hosts_does_not_change_what_a_pinned_host_gets(policy: Policy) -> None:
    assert verdict(policy, LEAF, unpinned="refuse").outcome is Outcome.MATCHED


def test_the_most_specific_host_decides_alone_and_nothing_is_merged(pinset: PinSet) -> None:
    exact, single, deep = (
        pinned("a.example.com", b"1" * 32),
        pinned("*.example.com", b"2" * 32),
        pinned("**.example.com", b"3" * 32, mode="report"),
    )
    policy = Policy(replace(pinset, hosts=(deep, single, exact)), bytes(16))
    for host, own in (("a.example.com", b"1"), ("b.example.com", b"2")):
        for pin in (b"1", b"2", b"3"):
            if pin == own:
                assert verdict(policy, pin * 32, host=host).outcome is Outcome.MATCHED
            else:
                with pytest.raises(PinMismatchError):
                    verdict(policy, pin * 32, host=host)
    assert verdict(policy, b"1" * 32, host="x.y.example.com").outcome is Outcome.REPORTED


@pytest.mark.parametrize("spelling", ["api.example.com", "API.EXAMPLE.COM", "api.example.com.", "ａｐｉ.example.com"])
def test_every_spelling_of_a_name_is_resolved_to_its_rule(policy: Policy, spelling: str) -> None:
    for _ in range(2):  # the second answer comes from memory
        assert policy.names[spelling] == (HOST, policy.find(HOST))
    assert policy.names["www.example.com"] == ("www.example.com", None)


def test_names_that_a_crawler_brings_do_not_fill_the_memory(policy: Policy) -> None:
    for number in range(MAX_REMEMBERED_NAMES + 10):
        assert policy.names[f"h{number}.example"] == (f"h{number}.example", None)
    assert len(policy.names) <= MAX_REMEMBERED_NAMES
    assert policy.names[HOST] == (HOST, policy.find(HOST))


# Roll-out by share (E7).


def share(pinset: PinSet, percent: int, ids: int = 2000) -> int:
    host = replace(pinset.hosts[0], enforce_percent=percent)
    return sum(is_enforced_here(pinset, host, number.to_bytes(16, "big")) for number in range(ids))


@pytest.mark.parametrize(("percent", "least", "most"), [(1, 5, 45), (10, 150, 250), (50, 920, 1080), (99, 1955, 1995)])
def test_about_the_share_that_was_asked_for_enforces(pinset: PinSet, percent: int, least: int, most: int) -> None:
    assert least <= share(pinset, percent) <= most


def test_all_enforce_at_100_and_none_in_report_mode(pinset: PinSet) -> None:
    reporting = replace(pinset, hosts=(replace(pinset.hosts[0], mode="report"),))
    assert (share(pinset, 100), share(reporting, 100), share(reporting, 50)) == (2000, 0, 0)


@given(st.binary(min_size=16, max_size=16), st.integers(1, 99))
def test_who_enforces_at_a_share_enforces_at_every_larger_one(installation: bytes, percent: int) -> None:
    host = pinned(HOST, LEAF)
    document = PinSet("acme-0123456789abcdef", "app", 1, 1, *MOMENTS, hosts=(host,))
    smaller = is_enforced_here(document, replace(host, enforce_percent=percent), installation)
    larger = is_enforced_here(document, replace(host, enforce_percent=percent + 1), installation)
    assert larger or not smaller


def test_lots_are_those_of_the_protocol_and_stay_for_ever(pinset: PinSet) -> None:
    # Computed apart: SHA-256 of authority, name, host and installation in hex, each on a line; 8 bytes modulo 100.
    document = replace(pinset, authority="acme-0123456789abcdef", name="payments")
    lots = {}
    for installation in (bytes(16), b"\x01" * 16, b"\xff" * 16):
        enforcing = [
            percent
            for percent in range(1, 101)
            if is_enforced_here(document, replace(pinset.hosts[0], enforce_percent=percent), installation)
        ]
        lots[installation.hex()[:2]] = enforcing[0] - 1
    assert lots == {"00": 45, "01": 82, "ff": 20}


def test_lots_differ_by_authority_name_host_and_installation_and_not_by_version(pinset: PinSet) -> None:
    host = replace(pinset.hosts[0], enforce_percent=50)

    def drawn(document: PinSet, entry: Host, salt: int = 0) -> list[bool]:
        return [is_enforced_here(document, entry, (salt + n).to_bytes(16, "big")) for n in range(64)]

    mine = drawn(pinset, host)
    assert drawn(replace(pinset, version=9, epoch=3), host) == mine
    assert drawn(pinset, replace(host, pins=(Pin(OTHER),))) == mine
    for others in (
        drawn(replace(pinset, authority="test-0123456789abcdef"), host),
        drawn(replace(pinset, name="payments"), host),
        drawn(pinset, replace(host, host="*.example.com")),
        drawn(pinset, host, salt=1000),
    ):
        assert others != mine
