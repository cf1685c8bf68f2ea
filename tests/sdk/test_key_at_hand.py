"""A handshake that can be decided by one key is decided as the whole chain would decide it, in every state."""

import itertools
import logging
from datetime import timedelta
from typing import Any

import pytest

from pinwarden import PinMismatchError, PinwardenError
from pinwarden.enforce import Chain, Policy
from pinwarden.guard import ClientGuard, Rules, Snapshot
from pinwarden.testing import ThrowawayAuthority, pinned
from pinwarden.trust import advance_bundle, begin

LEAF, CA, OTHER = b"l" * 32, b"c" * 32, b"o" * 32
HOST = "api.example.com"
PINS = {"leaf": (LEAF, OTHER), "leaf as backup": (OTHER, LEAF), "CA": (CA, OTHER), "neither": (OTHER, b"p" * 32)}
CHAINS = (Chain((LEAF, CA), True), Chain((LEAF,), False), Chain((), False))
DAYS = {"fresh": 0, "stale": 4, "expired": 31}
DENIED: dict[str, tuple[bytes, ...]] = {"nothing denied": (), "leaf denied": (LEAF,), "CA denied": (CA,)}
# No pin set may pin what it denies (spec V8).
PAIRS = [pair for pair in itertools.product(PINS, DENIED) if not set(PINS[pair[0]]) & set(DENIED[pair[1]])]
CHANGES = {
    "enforced": {},
    "reported": {"mode": "report"},
    "enforced by one in a hundred": {"enforce_percent": 1},
    "let go when expired": {"on_expiry": "platform"},
}


@pytest.mark.parametrize(("pins", "denied"), PAIRS)
@pytest.mark.parametrize("changes", CHANGES)
def test_one_key_decides_nothing_otherwise_than_the_chain(authority, caplog, pins, denied, changes):
    entry = pinned(HOST, *PINS[pins], **CHANGES[changes])
    trust = trusted(authority, hosts=[entry], deny=DENIED[denied])
    caplog.set_level(logging.DEBUG, logger="pinwarden")
    for state, unpinned, host in itertools.product(DAYS, ("allow", "refuse"), (HOST, "elsewhere.example", "", None)):
        rules = Rules(lambda state=state: authority.now + timedelta(days=DAYS[state]), unpinned)
        for chain in CHAINS:
            expected = outcome(trust, rules, host, chain, caplog)
            for seen in (None, *CHAINS):
                found = outcome(trust, rules, host, chain, caplog, seen=seen, key_at=key_of(chain))
                assert found == expected, (state, host, chain, seen)


def test_a_pinned_key_spares_the_reading_of_the_chain_and_a_deny_list_does_not(authority):
    rules = Rules(lambda: authority.now)
    chain = Chain((LEAF, b"i" * 32, CA), True)
    read: list[object] = []

    def whole() -> Chain:
        read.append("chain")
        return chain

    def key_at(depth: int) -> bytes | None:
        read.append(depth)
        return key_of(chain)(depth)

    for pins, deny in (((LEAF, OTHER), ()), ((CA, OTHER), ()), ((LEAF, CA), (OTHER,))):
        asked = guard(trusted(authority, hosts=[pinned(HOST, *pins)], deny=deny), rules)
        for _ in range(3):
            asked.admit(HOST, whole, True, key_at)
        read.append("judged")
    # The leaf is asked first; where another key matched, that one from then on.
    assert read == [0, 0, 0, "judged", 0, "chain", 2, 2, "judged", *[0, "chain"] * 3, "judged"]


def test_a_service_that_changes_its_ca_and_goes_back_is_judged_by_what_it_shows(authority):
    asked = guard(trusted(authority, hosts=[pinned(HOST, CA, OTHER)], deny=()), Rules(lambda: authority.now))
    judged: list[object] = []
    for chain in (
        Chain((LEAF, CA), True),
        Chain((LEAF, b"x" * 32), True),
        Chain((CA,), False),
        Chain((LEAF, CA), True),
    ):
        try:
            judged.append(asked.admit(HOST, lambda chain=chain: chain, True, key_of(chain)) is asked.token)
        except PinMismatchError as refused:
            judged.append(refused.step)
    assert judged == [True, "E2", True, True]


def key_of(chain: Chain) -> Any:
    """Return what the gate would give for one key of *chain*."""
    return lambda depth: chain.pins[depth] if depth < len(chain.pins) else None


def trusted(authority: ThrowawayAuthority, *, hosts: list[Any], deny: tuple[bytes, ...]) -> Any:
    """Return the state that trusts a new pin set of *hosts*."""
    return advance_bundle(
        begin(authority.root_json, name="app"), authority.publish(hosts, deny=deny), now=authority.now
    )


def guard(trust: Any, rules: Rules) -> ClientGuard:
    """Return a guard whose refreshes bring nothing."""
    policy = Policy(trust.pinset, bytes(16))
    calls = dict.fromkeys(("refresh", "refresh_soon", "refresh_if_due"), lambda: None)
    return ClientGuard(Snapshot(trust, policy), rules, **calls)


def outcome(
    trust: Any, rules: Rules, host: str | None, chain: Chain, caplog: Any, *, seen: Any = None, key_at: Any = None
) -> tuple[Any, ...]:
    """Return all that a caller, an operator and a monitor can tell of one connection that follows one with *seen*."""
    asked = guard(trust, rules)
    if seen is not None:
        asked.snapshot.policy.find(HOST).remember(seen)
    caplog.clear()
    try:
        found = asked.admit(host, lambda: chain, True, key_at) is asked.token
    except PinwardenError as error:
        found = (type(error), str(error))
    return found, asked.witness.refused, asked.witness.reported, caplog.messages
