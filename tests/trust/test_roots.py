"""The chain of roots: one step at a time, signed by the old and the new, and what it takes from the held documents."""

from dataclasses import replace
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.documents import Key
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import (
    ExpiredError,
    MalformedError,
    RollbackError,
    SignatureError,
    StaleError,
    WrongPinSetError,
)
from pinwarden.testing import ThrowawayAuthority, ThrowawayKey, pinned, sign
from pinwarden.trust import State

STRANGER = ThrowawayKey("stranger")


def foreign_authority(now: Any) -> ThrowawayAuthority:
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        return ThrowawayAuthority(now=now, seed="foreign")


def test_a_root_is_the_start_of_trust_and_nothing_else(fresh: Any, authority: Any) -> None:
    assert (fresh.root, fresh.authority, fresh.name) == (authority.root, authority.authority, "app")
    assert (fresh.pinset, fresh.timestamp, fresh.adopted_pinset, fresh.floor_pinset) == (None, None, None, None)
    assert fresh.state_at(authority.now) is State.EMPTY


def test_an_embedded_root_that_its_own_keys_did_not_sign_is_refused(refuses: Any, authority: Any) -> None:
    root = authority.root
    for signers in ([], authority.root_keys[:1], [STRANGER], authority.timestamp_keys):
        with refuses(SignatureError, "V3"):
            trust.begin(sign(ROOT_TYPE, root.encode(), signers), name="app")


def test_something_else_is_not_embedded_as_a_root(refuses: Any, authority: Any) -> None:
    bundle = authority.bundle()
    for other in (bundle.pinset.to_bytes(), bundle.timestamp, b"{}"):
        with refuses(MalformedError, "P7"):
            trust.begin(other, name="app")
    with refuses(MalformedError, None):
        trust.begin(authority.root_json, name="../app")


@pytest.mark.parametrize("as_bytes", [True, False])
def test_the_next_root_is_trusted_and_leaves_the_state_before_it_alone(
    holding: Any, authority: Any, as_bytes: bool
) -> None:
    before = repr(holding)
    envelope = authority.rotate_root()
    reached = trust.advance_root(holding, envelope.to_bytes() if as_bytes else envelope)
    assert (reached.root.version, [root.version for root in reached.chain]) == (2, [1, 2])
    assert reached.root_envelopes == tuple(authority.roots)
    assert repr(holding) == before


@pytest.mark.parametrize(("version", "why"), [(1, "the same again"), (3, "a version skipped"), (9, "far ahead")])
def test_a_root_that_does_not_follow_is_refused(
    refuses: Any, holding: Any, authority: Any, version: int, why: str
) -> None:
    root = authority.draft_root(version=version)
    with refuses(RollbackError, "V4", holding) as refusal:
        trust.advance_root(holding, sign(ROOT_TYPE, root.encode(), authority.root_keys))
    assert (refusal.error.expected, refusal.error.got) == ("version 2", version)


def test_an_older_root_is_refused_after_the_chain_went_on(refuses: Any, holding: Any, authority: Any) -> None:
    authority.rotate_root()
    reached = trust.advance_root(holding, authority.roots[1])
    for old in authority.roots:
        with refuses(RollbackError, "V4", reached):
            trust.advance_root(reached, old)


def test_a_root_of_another_authority_is_refused_though_it_shares_the_keys(
    refuses: Any, holding: Any, authority: Any
) -> None:
    spliced = replace(authority.draft_root(version=2), authority="test-0123456789abcdef")
    with refuses(WrongPinSetError, "V4", holding) as refusal:
        trust.advance_root(holding, sign(ROOT_TYPE, spliced.encode(), authority.root_keys))
    assert (refusal.error.expected, refusal.error.got) == (authority.authority, "test-0123456789abcdef")


def test_the_authority_is_that_of_the_embedded_root_for_ever(refuses: Any, holding: Any, authority: Any) -> None:
    authority.rotate_root()
    reached = trust.advance_root(holding, authority.roots[1])
    spliced = replace(authority.draft_root(version=3), authority="test-0123456789abcdef")
    with refuses(WrongPinSetError, "V4", reached):
        trust.advance_root(reached, sign(ROOT_TYPE, spliced.encode(), authority.root_keys))


def test_a_root_needs_the_threshold_of_the_old_root_and_its_own(refuses: Any, holding: Any, authority: Any) -> None:
    old, new = list(authority.root_keys), [ThrowawayKey("new 1"), ThrowawayKey("new 2")]
    authority.root_keys = new
    payload = authority.draft_root(version=2).encode()
    for signers in (old, new, [*new, old[0]], [*old, new[1]], [old[0], new[0]], []):
        with refuses(SignatureError, "V3", holding):
            trust.advance_root(holding, sign(ROOT_TYPE, payload, signers))
    assert trust.advance_root(holding, sign(ROOT_TYPE, payload, [*old, *new])).root.version == 2


def test_the_signers_of_the_other_roles_cannot_make_a_root(refuses: Any, holding: Any, authority: Any) -> None:
    payload = authority.draft_root(version=2).encode()
    with refuses(SignatureError, "V3", holding):
        trust.advance_root(holding, sign(ROOT_TYPE, payload, [*authority.timestamp_keys, *authority.pinset_keys]))


def test_the_signatures_of_a_root_are_judged_before_its_payload_is_read(refuses: Any, holding: Any) -> None:
    with refuses(SignatureError, "V3", holding):
        trust.advance_root(holding, sign(ROOT_TYPE, b"not JSON", [STRANGER]))


def test_a_signed_payload_that_is_not_a_root_is_refused(refuses: Any, holding: Any, authority: Any) -> None:
    pinset = authority.bundle().pinset.payload
    for payload, step in ((pinset, "V4"), (b"not JSON", "P3")):
        with refuses(MalformedError, step, holding):
            trust.advance_root(holding, sign(ROOT_TYPE, payload, authority.root_keys))


def test_another_document_in_the_place_of_a_root_is_refused(refuses: Any, holding: Any) -> None:
    for other in (holding.adopted_pinset.envelope, holding.adopted_timestamp.envelope):
        with refuses(MalformedError, "P7", holding):
            trust.advance_root(holding, other)
        with refuses(MalformedError, "P7", holding):
            trust.advance_root(holding, other.to_bytes())


def test_only_the_newest_root_must_be_in_time(holding: Any, authority: Any, forge: Any) -> None:
    authority.rotate_root(expires=forge.at(seconds=1))
    authority.rotate_root()
    authority.publish({"api.example.com": [b"3" * 32]})
    reached = trust.advance_bundle(holding, authority.bundle(), now=forge.at(days=2))
    assert (reached.root.version, reached.pinset.version) == (3, 2)


def test_an_expired_newest_root_persists_and_nothing_newer_is_accepted(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.rotate_root(expires=forge.at(hours=1))
    authority.publish({"api.example.com": [b"3" * 32]})
    moment = forge.at(hours=1)
    with refuses(ExpiredError, "V4", holding) as refusal:
        trust.advance_bundle(holding, authority.bundle(), now=moment)
    reached = refusal.error.state
    assert (reached.root.version, reached.pinset) == (2, holding.pinset)
    assert reached.state_at(moment) is State.FRESH
    assert trust.advance_bundle(holding, authority.bundle(), now=forge.at(minutes=59)).pinset.version == 2


def test_an_expired_root_is_named_though_it_expired_before_the_pin_set_came(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    authority.rotate_root(expires=forge.at(hours=1))
    authority.publish({"api.example.com": [b"3" * 32]})
    bundle = authority.bundle()
    reached = trust.advance_root(holding, bundle.roots[0])
    early, late = (trust.read_clock(reached, moment) for moment in (forge.now, forge.at(hours=2)))
    waiting = trust.advance_timestamp(reached, bundle.timestamp, clock=early)
    with refuses(ExpiredError, "V4", waiting) as refusal:
        trust.advance_pinset(waiting, bundle.pinset, clock=late)
    assert refusal.error.what.startswith("root 2 is past its end")


def test_the_roots_of_a_refused_bundle_are_kept_up_to_the_one_that_is_refused(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    good = [authority.rotate_root(), authority.rotate_root()]
    skipped = sign(ROOT_TYPE, authority.draft_root(version=5).encode(), authority.root_keys)
    with refuses(RollbackError, "V4", holding) as refusal:
        trust.advance_bundle(holding, replace(forge.next(), roots=(*good, skipped)), now=forge.now)
    reached = refusal.error.state
    assert (reached.root.version, reached.adopted_pinset, reached.pending) == (3, holding.adopted_pinset, None)


def test_the_state_of_a_refusal_never_holds_the_timestamp_of_a_refused_pair(
    refuses: Any, holding: Any, forge: Any
) -> None:
    bundle = forge.next(pinset_changes={"name": "other"})
    with refuses(WrongPinSetError, "V5", holding) as refusal:
        trust.advance_bundle(holding, bundle, now=forge.now)
    assert refusal.error.state is holding


def test_a_timestamp_that_waits_does_not_survive_a_new_root(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    bundle = forge.next()
    clock = trust.read_clock(holding, forge.now)
    waiting = trust.advance_timestamp(holding, bundle.timestamp, clock=clock)
    authority.rotate_root()
    reached = trust.advance_root(waiting, authority.roots[1])
    assert reached.pending is None
    with refuses(StaleError, "V10", reached):
        trust.advance_pinset(reached, bundle.pinset, clock=clock)


def test_a_new_timestamp_key_leaves_the_pin_set_in_force_and_the_client_stale(
    holding: Any, authority: Any, forge: Any
) -> None:
    authority.timestamp_keys = [ThrowawayKey("new timestamp")]
    reached = trust.advance_root(holding, authority.rotate_root())
    assert (reached.timestamp, reached.pinset) == (None, holding.pinset)
    assert reached.state_at(forge.now) is State.STALE
    authority.publish({"api.example.com": [b"3" * 32]})
    assert trust.advance_bundle(reached, forge.bundle(), now=forge.now).state_at(forge.now) is State.FRESH


def test_a_new_pin_set_key_drops_the_pin_set_and_leaves_the_client_empty(
    holding: Any, authority: Any, forge: Any
) -> None:
    authority.pinset_keys = [ThrowawayKey("new pinset")]
    reached = trust.advance_root(holding, authority.rotate_root())
    assert (reached.timestamp, reached.pinset) == (holding.timestamp, None)
    assert reached.state_at(forge.now) is State.EMPTY
    assert reached.adopted_pinset == holding.adopted_pinset


@pytest.mark.parametrize(
    ("epochs", "state"), [({"timestamp_epoch": 2}, State.STALE), ({"pinset_epoch": 2}, State.EMPTY)]
)
def test_a_raised_epoch_takes_what_was_issued_under_the_old_one_out_of_force(
    holding: Any, authority: Any, forge: Any, epochs: dict[str, int], state: State
) -> None:
    reached = trust.advance_root(holding, authority.rotate_root(**epochs))
    assert reached.state_at(forge.now) is state


def test_a_root_that_grants_the_name_no_more_leaves_the_client_empty(
    refuses: Any, holding: Any, authority: Any, forge: Any
) -> None:
    grant = replace(authority.root.pinset[0], names=("other-*",))
    reached = trust.advance_root(holding, authority.rotate_root(pinset=(grant,)))
    assert (reached.pinset, reached.state_at(forge.now)) == (None, State.EMPTY)
    assert reached.newest_issue == holding.timestamp.issued
    with refuses(WrongPinSetError, "V7", reached):
        trust.advance_bundle(reached, forge.next(), now=forge.now)


def test_old_keys_sign_nothing_after_a_rotation(refuses: Any, holding: Any, authority: Any, forge: Any) -> None:
    stolen = forge.next()
    authority.timestamp_keys = [ThrowawayKey("new timestamp")]
    authority.pinset_keys = [ThrowawayKey("new pinset")]
    reached = trust.advance_root(holding, authority.rotate_root())
    with refuses(SignatureError, "V3", reached):
        trust.advance_bundle(reached, stolen, now=forge.now)
    good = forge.next()
    with refuses(SignatureError, "V3", reached):
        trust.advance_bundle(reached, replace(good, pinset=stolen.pinset), now=forge.now)
    assert trust.advance_bundle(reached, good, now=forge.now).pinset.version == 3


def test_a_foreign_chain_cannot_be_grafted_on(refuses: Any, holding: Any, now: Any) -> None:
    foreign = foreign_authority(now)
    foreign.rotate_root()
    foreign.publish([pinned("api.example.com", b"x" * 32)])
    with refuses(SignatureError, "V3", holding) as refusal:
        trust.advance_bundle(holding, foreign.bundle(), now=now)
    assert refusal.error.state is holding


@pytest.mark.parametrize(
    ("name", "by_tenant", "accepted"),
    [("app-eu", True, True), ("app-eu", False, False), ("app", True, False), ("app", False, True)],
)
def test_only_the_keys_of_the_first_grant_that_covers_a_name_sign_it(
    refuses: Any, authority: Any, forge: Any, name: str, by_tenant: bool, accepted: bool
) -> None:
    tenant, wide = ThrowawayKey("tenant"), authority.root.pinset[0]
    narrow = replace(wide, names=("app-*",), keyids=(tenant.keyid,), keys={tenant.keyid: tenant.public})
    keys = {**authority.root.keys, tenant.keyid: Key("ed25519", tenant.public)}
    root = replace(authority.root, keys=keys, pinset=(narrow, wide))
    state = trust.begin(sign(ROOT_TYPE, root.encode(), authority.root_keys), name=name)
    authority.name = name
    if by_tenant:
        authority.pinset_keys = [tenant]
    bundle = forge.next()
    if accepted:
        assert trust.advance_bundle(state, bundle, now=forge.now).pinset.name == name
        return
    with refuses(SignatureError, "V3", state):
        trust.advance_bundle(state, bundle, now=forge.now)


def test_an_envelope_with_the_signatures_of_both_generations_may_hold_strangers_too(
    holding: Any, authority: Any
) -> None:
    envelope = authority.rotate_root()
    extra = STRANGER.envelope_signature(ROOT_TYPE, envelope.payload)
    padded = Envelope.of(ROOT_TYPE, envelope.payload, (extra, *envelope.signatures))
    assert trust.advance_root(holding, padded).root.version == 2
