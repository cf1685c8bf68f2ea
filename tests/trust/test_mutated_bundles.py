"""Bundles that were changed on their way: refused by one kind of error, or exactly what was signed."""

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.errors import SignatureError, UntrustedError
from pinwarden.testing import ThrowawayAuthority, ThrowawayKey, sign
from pinwarden.trust import TrustState, absorb

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def signed() -> Any:
    """A client at version 1, and the bytes of a bundle with a root and version 2 for it."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        authority = ThrowawayAuthority(now=NOW, seed="mutated")
    first = authority.publish({"api.example.com": [b"1" * 32, b"2" * 32]})
    holding = trust.advance_bundle(trust.begin(authority.root_json, name="app"), first, now=NOW)
    authority.rotate_root()
    bundle = authority.publish({"*.example.com": [b"3" * 32, b"4" * 32]})
    return authority, holding, bundle, trust.advance_bundle(holding, bundle, now=NOW)


def change_bytes(data: bytes, seed: int) -> bytes:
    """Change *data* in one to four places, in one of the ways in which files break and attackers try."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(7):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                changed[at : at + 1] = bytes([changed[at - 1] ^ 1 << chance.randrange(8)])
            case 2:
                changed[at:at] = chance.choice((b" ", b"0", b'"', b"\\u0000", b",", b"null", b"[", b"}", b"\xff"))
            case 3:
                del changed[at : at + chance.choice((1, 1, 2, 40))]
            case 4:
                changed[at:at] = changed[at : at + chance.choice((1, 30, 300))]
            case 5:
                other = chance.randrange(len(changed) + 1)
                changed[at : at + 4], changed[other : other + 4] = changed[other : other + 4], changed[at : at + 4]
            case _:
                del changed[max(at, 1) :]
    return bytes(changed)


def attempt(state: TrustState, judged: Callable[[], TrustState]) -> tuple[TrustState, str | None]:
    """Return what *judged* reached, and what it said if it refused; only refusals may be raised, and *state* stays."""
    before = repr(state)
    try:
        reached, said = judged(), None
    except UntrustedError as error:
        reached, said = error.state or state, str(error)
    assert repr(state) == before
    return reached, said


def check(state: TrustState, data: bytes, whole: TrustState) -> None:
    """Advance by *data*: whatever is accepted is what was signed, and of what is refused only the roots stay."""
    reached, said = attempt(state, lambda: trust.advance_bundle(state, Bundle.parse(data), now=NOW))
    if said is None:
        assert (reached.pinset, reached.timestamp) == (whole.pinset, whole.timestamp)
        assert reached.adopted_pinset is not None
        assert whole.adopted_pinset is not None
        assert reached.adopted_pinset.envelope.payload == whole.adopted_pinset.envelope.payload
        return
    assert len(said) < 1000
    assert reached.root in whole.chain
    assert (reached.adopted_timestamp, reached.adopted_pinset) == (state.adopted_timestamp, state.adopted_pinset)


# Five changes for each example that hypothesis counts: 2,000 by default, with PINWARDEN_EXAMPLES as many as one likes.
SEEDS = st.lists(st.integers(0, 2**32), min_size=5, max_size=5)


def test_as_many_examples_are_tried_as_the_environment_says() -> None:
    wanted = int(os.environ.get("PINWARDEN_EXAMPLES", "400"))
    tried = test_a_bundle_that_was_changed_is_refused_or_what_was_signed._hypothesis_internal_use_settings
    assert (tried.max_examples, tried.derandomize, tried.deadline) == (wanted, True, None)


@given(SEEDS)
def test_a_bundle_that_was_changed_is_refused_or_what_was_signed(signed: Any, seeds: list[int]) -> None:
    _, holding, bundle, whole = signed
    data = bundle.to_bytes()
    for seed in seeds:
        check(holding, change_bytes(data, seed), whole)


@given(st.integers(0, 2**32), st.sampled_from(["timestamp", "pinset", "roots"]))
@example(seed=0, part="roots")
def test_a_payload_that_was_changed_is_refused_by_its_signature(signed: Any, seed: int, part: str) -> None:
    _, holding, bundle, whole = signed
    envelope = bundle.roots[0] if part == "roots" else getattr(bundle, part)
    changed = replace(envelope, payload=change_bytes(envelope.payload, seed))
    check(holding, replace(bundle, **{part: (changed,) if part == "roots" else changed}).to_bytes(), whole)


@given(st.integers(0, 2**32), st.sampled_from(["timestamp", "pinset", "root"]))
def test_a_payload_that_a_careless_signer_broke_is_refused_by_the_one_kind_of_error(
    signed: Any, seed: int, part: str
) -> None:
    authority, holding, bundle, _ = signed
    envelope = bundle.roots[0] if part == "root" else getattr(bundle, part)
    keys = {"root": authority.root_keys, "timestamp": authority.timestamp_keys, "pinset": authority.pinset_keys}[part]
    resigned = sign(envelope.payload_type, change_bytes(envelope.payload, seed), keys)
    broken = replace(bundle, **({"roots": (resigned,)} if part == "root" else {part: resigned}))
    _, said = attempt(holding, lambda: trust.advance_bundle(holding, broken, now=NOW))
    assert len(said or "") < 20_000


@given(SEEDS)
def test_a_cache_that_was_changed_never_raises_and_proves_only_what_was_signed(signed: Any, seeds: list[int]) -> None:
    _, holding, _, whole = signed
    kept = whole.kept()
    for seed in seeds:
        chance = random.Random(seed)
        envelopes = [
            tuple(
                replace(envelope, payload=change_bytes(envelope.payload, seed)) if chance.random() < 0.5 else envelope
                for envelope in kind
                if chance.random() < 0.8
            )
            for kind in (kept.roots, kept.timestamps, kept.pinsets)
        ]
        reached = absorb(holding, trust.KeptDocuments(*envelopes))
        assert reached.pinset in (holding.pinset, whole.pinset)
        assert reached.root in whole.chain


def test_every_single_bit_of_what_is_signed_counts(signed: Any, refuses: Any) -> None:
    _, _, bundle, whole = signed
    payload, clock = bundle.timestamp.payload, trust.read_clock(whole, NOW)
    for bit in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        with refuses(SignatureError, "V3"):
            trust.advance_timestamp(whole, replace(bundle.timestamp, payload=bytes(flipped)), clock=clock)


def test_unknown_fields_around_and_inside_envelopes_change_nothing(signed: Any) -> None:
    _, holding, bundle, whole = signed
    body = json.loads(bundle.to_bytes())
    body["later"] = body["pinset"]["later"] = body["pinset"]["signatures"][0]["later"] = {"a": [None, True]}
    body["pinset"]["signatures"].append({"keyid": ThrowawayKey("x").keyid, "sig": ""})
    check(holding, json.dumps(body, indent=1).encode(), whole)
    assert trust.advance_bundle(holding, Bundle.parse(json.dumps(body).encode()), now=NOW).pinset == whole.pinset
