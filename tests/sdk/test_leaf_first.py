"""A handshake that can be decided by the leaf alone is decided as the whole chain would decide it, in every state."""

import itertools
import logging
from datetime import timedelta
from typing import Any

import pytest

from pinwarden import PinwardenError
from pinwarden.enforce import Chain, Policy
from pinwarden.guard import ClientGuard, Rules, Snapshot
from pinwarden.testing import ThrowawayAuthority, pinned
from pinwarden.trust import advance_bundle, begin

LEAF, CA, OTHER = b"l" * 32, b"c" * 32, b"o" * 32
HOST = "api.example.com"
PINS = {"leaf": (LEAF, OTHER), "leaf as backup": (OTHER, LEAF), "CA": (CA, OTHER), "neither": (OTHER, b"p" * 32)}
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
def test_the_leaf_alone_decides_nothing_otherwise_than_the_chain(authority, caplog, pins, denied, changes):
    entry = pinned(HOST, *PINS[pins], **CHANGES[changes])
    trust = trusted(authority, hosts=[entry], deny=DENIED[denied])
    caplog.set_level(logging.DEBUG, logger="pinwarden")
    for state, unpinned, host in itertools.product(DAYS, ("allow", "refuse"), (HOST, "elsewhere.example", "", None)):
        rules = Rules(lambda state=state: authority.now + timedelta(days=DAYS[state]), unpinned)
        for chain in (Chain((LEAF, CA), True), Chain((LEAF,), False), Chain((), False)):
            first = chain.pins[0] if chain.pins else None
            expected = outcome(trust, rules, host, chain, caplog)
            assert outcome(trust, rules, host, chain, caplog, leaf=lambda first=first: first) == expected, (state, host)


def test_a_pinned_leaf_spares_the_reading_of_the_chain_and_a_deny_list_does_not(authority):
    rules = Rules(lambda: authority.now)
    read: list[str] = []

    def chain() -> Chain:
        read.append("chain")
        return Chain((LEAF, CA), True)

    for deny in ((), (OTHER,)):
        trust = trusted(authority, hosts=[pinned(HOST, LEAF, CA)], deny=deny)
        guard(trust, rules).admit(HOST, chain, may_block=True, leaf=lambda: LEAF)
        read.append("judged")
    assert read == ["judged", "chain", "judged"]


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


def outcome(trust: Any, rules: Rules, host: str | None, chain: Chain, caplog: Any, **leaf: Any) -> tuple[Any, ...]:
    """Return all that a caller, an operator and a monitor can tell of one connection."""
    asked = guard(trust, rules)
    caplog.clear()
    try:
        found = asked.admit(host, lambda: chain, may_block=True, **leaf) is asked.token
    except PinwardenError as error:
        found = (type(error), str(error))
    return found, asked.witness.refused, asked.witness.reported, caplog.messages
