"""
Documents that their own keys signed although they are wrong, and chains of roots in any order.

This is what a careless or a bribed signer can do: no signature helps against it, so form and order have to.
"""

import random
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError
from pinwarden.testing import ThrowawayAuthority, sign
from pinwarden.trust import TrustState
from tests.soak.readers import NOW
from tests.soak.shapes import change_json

pytestmark = pytest.mark.filterwarnings("ignore::pinwarden.testing.InsecureForProductionWarning")
SEEDS = st.integers(0, 2**32)
ROOTS = 6


@cache
def world() -> tuple[ThrowawayAuthority, TrustState]:
    """An authority with six roots and two pin sets, and a client that trusts the first of each."""
    authority = ThrowawayAuthority(now=NOW, seed="signed")
    authority.publish({"api.example.com": [b"1" * 32, b"2" * 32]})
    holding = trust.advance_bundle(trust.begin(authority.root_json, name="app"), authority.bundle(), now=NOW)
    for _ in range(ROOTS - 1):
        authority.rotate_root()
    authority.publish({"api.example.com": [b"3" * 32, b"4" * 32]}, deny=(b"5" * 32,), report_to="https://r.example/")
    return authority, holding


def judge(state: TrustState, bundle: Bundle) -> tuple[TrustState, UntrustedError | None]:
    """Return what *bundle* makes of *state*, and the refusal; nothing else may be raised, and *state* stays."""
    before = (repr(state), state.kept())
    refusal = None
    try:
        reached = trust.advance_bundle(state, Bundle.parse(bundle.to_bytes()), now=NOW)
    except UntrustedError as error:
        refusal, reached = error, error.state or state
    assert (repr(state), state.kept()) == before
    return reached, refusal


def check_chain(reached: TrustState, honest: tuple[Envelope, ...]) -> None:
    """The trusted chain is a beginning of what was really issued."""
    assert reached.root_envelopes == honest[: len(reached.root_envelopes)]


@given(SEEDS, st.sampled_from(["timestamp", "pinset"]))
def test_a_wrong_document_that_its_own_keys_signed_is_refused_or_is_what_it_says(seed: int, part: str) -> None:
    authority, holding = world()
    bundle = authority.bundle()
    envelope: Envelope = getattr(bundle, part)
    keys = {"timestamp": authority.timestamp_keys, "pinset": authority.pinset_keys}[part]
    changed = sign(envelope.payload_type, change_json(envelope.payload, seed), keys)
    if part == "pinset":  # a timestamp that names it, or its digest alone would refuse everything
        with suppress(UntrustedError):
            bundle = replace(bundle, timestamp=authority.sign_timestamp(changed))
    reached, refusal = judge(holding, replace(bundle, **{part: changed}))
    check_chain(reached, tuple(authority.roots))
    if refusal is not None:
        assert (reached.adopted_timestamp, reached.adopted_pinset) == (
            holding.adopted_timestamp,
            holding.adopted_pinset,
        )
        return
    assert reached.pinset is not None
    assert reached.timestamp is not None
    assert (reached.pinset.authority, reached.pinset.name) == (authority.authority, "app")
    assert reached.pinset.version >= holding.pinset.version
    assert NOW < reached.pinset.expires <= reached.pinset.issued + timedelta(days=90)


@given(SEEDS)
def test_roots_in_any_order_with_gaps_and_repetitions_only_ever_lead_upwards(seed: int) -> None:
    authority, holding = world()
    chance, bundle = random.Random(seed), authority.bundle()
    roots = list(bundle.roots)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(roots) + 1)
        match chance.randrange(4):
            case 0:
                del roots[at : at + 1]
            case 1:
                roots.insert(at, chance.choice(authority.roots))
            case 2:
                roots[at:] = reversed(roots[at:])
            case _ if at < len(roots):
                roots[at] = replace(roots[at], signatures=roots[at].signatures[: chance.randrange(3)])
    reached, refusal = judge(holding, replace(bundle, roots=tuple(roots[:8])))
    assert [root.version for root in reached.chain] == list(range(1, len(reached.chain) + 1))
    assert [envelope.payload for envelope in reached.root_envelopes] == [
        envelope.payload for envelope in authority.roots[: len(reached.chain)]
    ]
    whole = tuple(envelope.payload for envelope in roots) == tuple(envelope.payload for envelope in bundle.roots)
    assert (refusal is None) <= whole


@given(SEEDS)
def test_a_wrong_root_that_a_threshold_signed_is_refused_or_is_the_next_one(seed: int) -> None:
    authority, holding = world()
    bundle = authority.bundle()
    changed = sign(bundle.roots[0].payload_type, change_json(bundle.roots[0].payload, seed), authority.root_keys)
    reached, refusal = judge(holding, replace(bundle, roots=(changed, *bundle.roots[1:])))
    assert [root.version for root in reached.chain] == list(range(1, len(reached.chain) + 1))
    assert {root.authority for root in reached.chain} == {authority.authority}
    if refusal is None:
        assert reached.pinset.version == 2
