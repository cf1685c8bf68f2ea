"""The state table of the protocol, row by row: what holds at a time, and what it means for a host."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.documents import Host, Pin, PinSet
from pinwarden.enforce import Chain, Outcome, Policy, judge
from pinwarden.errors import PinMismatchError, PinsUnavailableError
from pinwarden.testing import ThrowawayKey
from pinwarden.trust import State

HOST, PIN, BACKUP, WRONG, DENIED = "api.example.com", b"1" * 32, b"2" * 32, b"x" * 32, b"d" * 32
INSTALLATION = bytes(16)


# A pin set ends after 30 days, a timestamp after 3.


@pytest.mark.parametrize(
    ("moment", "state"),
    [
        (timedelta(days=-1), State.FRESH),
        (timedelta(), State.FRESH),
        (timedelta(days=3, seconds=-1), State.FRESH),
        (timedelta(days=3), State.STALE),
        (timedelta(days=30, seconds=-1), State.STALE),
        (timedelta(days=30), State.EXPIRED),
        (timedelta(days=9999), State.EXPIRED),
    ],
)
def test_a_state_ends_at_its_second(holding: Any, forge: Any, moment: timedelta, state: State) -> None:
    assert holding.state_at(forge.now + moment) is state


def test_nothing_trusted_is_empty_at_any_time(fresh: Any, forge: Any) -> None:
    assert [fresh.state_at(forge.at(days=days)) for days in (-999, 0, 999)] == [State.EMPTY] * 3


def test_a_pin_set_that_ends_before_its_timestamp_is_expired_and_never_fresh(
    fresh: Any, authority: Any, forge: Any
) -> None:
    state = trust.advance_bundle(fresh, forge.next({"expires": forge.at(hours=1)}), now=forge.now)
    assert [state.state_at(forge.at(minutes=minutes)) for minutes in (59, 60)] == [State.FRESH, State.EXPIRED]


def test_an_expired_pin_set_is_not_called_stale_though_its_timestamp_is_gone_too(
    holding: Any, authority: Any, forge: Any
) -> None:
    authority.timestamp_keys = [ThrowawayKey("new timestamp")]
    reached = trust.advance_root(holding, authority.rotate_root())
    assert [reached.state_at(forge.at(days=days)) for days in (0, 29, 30)] == [
        State.STALE,
        State.STALE,
        State.EXPIRED,
    ]


def test_what_has_expired_stays_so_when_the_system_clock_is_set_back(holding: Any, authority: Any, forge: Any) -> None:
    authority.now = forge.at(days=2)
    brief = {"expires": forge.at(days=2, hours=1)}
    later = trust.advance_bundle(holding, forge.next(timestamp_changes=brief), now=authority.now)
    assert later.state_at(forge.at(days=2, hours=1)) is State.STALE
    ended = {"issued": forge.at(days=2, hours=2), "expires": forge.at(days=3)}
    known = trust.absorb(later, trust.KeptDocuments(timestamps=(forge.next(timestamp_changes=ended).timestamp,)))
    assert known.state_at(forge.now) is State.STALE


# The table of the protocol, in its own order. Columns: what a chain holds, by what `judge` says of it.
REFUSED, UNAVAILABLE = PinMismatchError, PinsUnavailableError
GOOD, SPARE, BAD, FORBIDDEN = "good", "spare", "bad", "denied"
CHAINS = {GOOD: PIN, SPARE: BACKUP, BAD: WRONG, FORBIDDEN: DENIED}
JUDGED = {GOOD: Outcome.MATCHED, SPARE: Outcome.BACKUP_USED, BAD: REFUSED, FORBIDDEN: REFUSED}
REPORTED = {GOOD: Outcome.MATCHED, SPARE: Outcome.BACKUP_USED, BAD: Outcome.REPORTED, FORBIDDEN: Outcome.REPORTED}
CLOSED = dict.fromkeys(CHAINS, UNAVAILABLE)
OPEN = dict.fromkeys(CHAINS, Outcome.PLATFORM)
CA_ONLY = {**OPEN, FORBIDDEN: REFUSED}

TABLE = {
    # (state, mode, on_stale, on_expiry): what follows
    (State.FRESH, "enforce", "enforce", "refuse"): JUDGED,
    (State.FRESH, "enforce", "enforce", "platform"): JUDGED,
    (State.FRESH, "enforce", "refuse", "refuse"): JUDGED,
    (State.FRESH, "report", "enforce", "refuse"): REPORTED,
    (State.FRESH, "report", "enforce", "platform"): REPORTED,
    (State.FRESH, "report", "refuse", "refuse"): REPORTED,
    (State.STALE, "enforce", "enforce", "refuse"): JUDGED,
    (State.STALE, "enforce", "enforce", "platform"): JUDGED,
    (State.STALE, "enforce", "refuse", "refuse"): CLOSED,
    (State.STALE, "report", "enforce", "refuse"): REPORTED,
    (State.STALE, "report", "enforce", "platform"): REPORTED,
    (State.STALE, "report", "refuse", "refuse"): REPORTED,
    (State.EXPIRED, "enforce", "enforce", "refuse"): CLOSED,
    (State.EXPIRED, "enforce", "enforce", "platform"): CA_ONLY,
    (State.EXPIRED, "enforce", "refuse", "refuse"): CLOSED,
    (State.EXPIRED, "report", "enforce", "refuse"): OPEN,
    (State.EXPIRED, "report", "enforce", "platform"): OPEN,
    (State.EXPIRED, "report", "refuse", "refuse"): OPEN,
}
ROWS = [(row, kind, expected) for row, outcomes in TABLE.items() for kind, expected in outcomes.items()]


def policy_for(pinset: PinSet, mode: Any, on_stale: Any, on_expiry: Any) -> Policy:
    host = Host(HOST, (Pin(PIN),), (Pin(BACKUP),), mode=mode, on_expiry=on_expiry)
    return Policy(replace(pinset, hosts=(host,), deny=(DENIED,), on_stale=on_stale), INSTALLATION)


@pytest.mark.parametrize(("row", "kind", "expected"), ROWS, ids=[f"{'-'.join(row)}-{kind}" for row, kind, _ in ROWS])
def test_the_state_table(holding: Any, row: Any, kind: str, expected: Any) -> None:
    state, mode, on_stale, on_expiry = row
    policy = policy_for(holding.pinset, mode, on_stale, on_expiry)
    chain = Chain((CHAINS[kind], b"c" * 32), True)
    if isinstance(expected, Outcome):
        verdict = judge(policy, HOST, chain, state=state)
        assert (verdict.outcome, verdict.host, verdict.pattern) == (expected, HOST, HOST)
        assert (verdict.problem is not None) is (expected is Outcome.REPORTED)
        return
    with pytest.raises(expected) as refused:
        judge(policy, HOST, chain, state=state)
    assert type(refused.value) is expected


def test_the_table_has_every_row_that_a_pin_set_can_be_in() -> None:
    every = product(
        (State.FRESH, State.STALE, State.EXPIRED), ("enforce", "report"), ("enforce", "refuse"), ("refuse", "platform")
    )
    assert set(TABLE) == {row for row in every if row[2:] != ("refuse", "platform")}  # a pin set may not combine these


def test_a_pin_set_that_combines_what_it_may_not_would_still_refuse(holding: Any) -> None:
    policy = policy_for(holding.pinset, "enforce", "refuse", "platform")
    for state in (State.STALE, State.EXPIRED):
        with pytest.raises(PinsUnavailableError):
            judge(policy, HOST, Chain((PIN,), True), state=state)


def test_a_share_that_only_reports_is_let_through_in_every_state(holding: Any) -> None:
    host = Host(HOST, (Pin(PIN),), (Pin(BACKUP),), enforce_percent=1)
    outcomes = {}
    for number in range(300):
        policy = Policy(replace(holding.pinset, hosts=(host,)), number.to_bytes(16, "big"))
        rule = policy.find(HOST)
        assert rule is not None
        if not rule.enforced:
            outcomes = {state: judge(policy, HOST, Chain((WRONG,), True), state=state).outcome for state in State}
            break
    assert outcomes == {
        State.FRESH: Outcome.REPORTED,
        State.STALE: Outcome.REPORTED,
        State.EXPIRED: Outcome.PLATFORM,
        State.EMPTY: Outcome.REPORTED,
    }


def test_what_refuses_for_its_age_says_when_and_what_to_do(holding: Any) -> None:
    policy = policy_for(holding.pinset, "enforce", "refuse", "refuse")
    said = {}
    for state in (State.STALE, State.EXPIRED):
        with pytest.raises(PinsUnavailableError) as refused:
            judge(policy, HOST, Chain((PIN,), True), state=state)
        said[state] = refused.value.what
    label = f"{holding.authority}/app 1.1"
    assert said == {
        State.STALE: f"pin set {label} is stale, and for {HOST} that means to refuse",
        State.EXPIRED: f"pin set {label} has expired on 2026-12-24T12:00:00Z, and for {HOST} that means to refuse",
    }
