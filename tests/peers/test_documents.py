"""Whole documents, both ways: peers believe what we signed, and we believe what they signed with the same keys."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from securesystemslib.dsse import Envelope as PeerEnvelope
from securesystemslib.signer import CryptoSigner

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import Role
from pinwarden.envelope import (
    PINSET_TYPE,
    ROOT_TYPE,
    TIMESTAMP_TYPE,
    Envelope,
    Signature,
    check_public_key,
    keyid_of,
)
from pinwarden.errors import SignatureError
from pinwarden.testing import ThrowawayAuthority
from tests.peers.verifiers import Pinwarden, private_key, raw_public

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PEERS = ["securesystemslib", "cryptography", "openssl", pytest.param("node", marks=pytest.mark.xdist_group("npm"))]
everyone = pytest.mark.parametrize("peer", PEERS, indirect=True)
# As ThrowawayAuthority(seed="peers") names its own keys; each peer makes them from these words itself.
SEEDS = {
    ROOT_TYPE: ("peers root 0", "peers root 1"),
    TIMESTAMP_TYPE: ("peers timestamp",),
    PINSET_TYPE: ("peers pinset",),
}


@pytest.fixture
def authority() -> ThrowawayAuthority:
    """An authority with two roots and one pin set."""
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        made = ThrowawayAuthority(now=NOW, seed="peers")
    made.rotate_root()
    made.publish({"api.example.com": [b"1" * 32, b"2" * 32], "**.beispiel.example": [b"3" * 32, b"4" * 32]})
    return made


def documents(authority: ThrowawayAuthority) -> list[tuple[Envelope, Any]]:
    """Every envelope of the authority, and the role that must have signed it."""
    root, bundle = authority.root, authority.bundle()
    return [
        *((envelope, root.root) for envelope in authority.roots),
        (bundle.timestamp, root.timestamp),
        (bundle.pinset, root.grant_for("app")),
    ]


@everyone
def test_a_peer_believes_every_document_that_we_signed(peer: Any, authority: ThrowawayAuthority) -> None:
    believed = [peer.judge([envelope.to_bytes()], role)[0] for envelope, role in documents(authority)]
    assert believed == [envelope.payload for envelope, _ in documents(authority)]


@everyone
def test_a_peer_believes_no_document_with_one_bit_changed(peer: Any, authority: ThrowawayAuthority) -> None:
    for envelope, role in documents(authority):
        changed = replace(envelope, payload=envelope.payload[:-1] + bytes([envelope.payload[-1] ^ 1]))
        assert peer.judge([changed.to_bytes()], role) == [None]


@everyone
def test_a_peer_counts_to_the_same_threshold(peer: Any, authority: ThrowawayAuthority) -> None:
    envelope, role = documents(authority)[0]
    alone = replace(envelope, signatures=envelope.signatures[:1])
    assert (role.threshold, peer.judge([envelope.to_bytes(), alone.to_bytes()], role)) == (2, [envelope.payload, None])


@everyone
def test_a_client_trusts_an_authority_whose_every_document_a_peer_signed(
    peer: Any, authority: ThrowawayAuthority
) -> None:
    first, second, timestamp, pinset = (
        Envelope.parse(peer.sign(envelope.payload_type, envelope.payload, SEEDS[envelope.payload_type]), expect=expect)
        for (envelope, _), expect in zip(
            documents(authority), (ROOT_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, PINSET_TYPE), strict=True
        )
    )
    reached = trust.advance_bundle(trust.begin(first, name="app"), Bundle((second,), timestamp, pinset), now=NOW)
    assert (reached.root, reached.state_at(NOW)) == (authority.root, trust.State.FRESH)
    assert [host.host for host in reached.pinset.hosts] == ["api.example.com", "**.beispiel.example"]
    # Pure Ed25519 leaves a signer no choice, so the peers' bytes are ours.
    assert (pinset.signatures, timestamp.signatures) == (
        authority.bundle().pinset.signatures,
        authority.bundle().timestamp.signatures,
    )


@everyone
def test_a_peer_that_lacks_one_root_key_founds_nothing(peer: Any, authority: ThrowawayAuthority) -> None:
    one = peer.sign(ROOT_TYPE, authority.roots[0].payload, SEEDS[ROOT_TYPE][:1])
    with pytest.raises(SignatureError) as refusal:
        trust.begin(one, name="app")
    assert refusal.value.step == "V3"


def test_a_keyid_that_securesystemslib_computes_counts_for_nothing(authority: ThrowawayAuthority) -> None:
    # Its keyids hash a JSON object. Ours hash the SPKI, so that every platform computes them with one call.
    theirs = PeerEnvelope(authority.roots[0].payload, ROOT_TYPE, {})
    for seed in SEEDS[ROOT_TYPE]:
        theirs.sign(CryptoSigner(private_key(seed)))
    state = trust.begin(authority.root_json, name="app")
    ours = {raw_public(private_key(seed)) for seed in SEEDS[ROOT_TYPE]}
    assert ours == set(state.root.root.keys.values())
    with pytest.raises(SignatureError) as refusal:
        trust.begin(json.dumps(theirs.to_dict()).encode(), name="app")
    assert (refusal.value.step, refusal.value.got) == ("V3", "0 (of 2 signatures present)")


@everyone
def test_for_a_key_of_small_order_a_peer_believes_a_signature_that_nobody_made_and_we_do_not(peer: Any) -> None:
    # The neutral element: zero times the base point is R plus any multiple of it. V1 keeps such keys out of roots.
    neutral = bytes([1]) + bytes(31)
    role = Role((keyid_of(neutral),), 1, {keyid_of(neutral): neutral})
    forged = Envelope.of(PINSET_TYPE, b"{}", [Signature(keyid_of(neutral), neutral + bytes(32))]).to_bytes()
    assert (peer.judge([forged], role), Pinwarden(PINSET_TYPE).judge([forged], role)) == ([b"{}"], [None])
    with pytest.raises(SignatureError) as refusal:
        check_public_key(neutral, keyid=keyid_of(neutral))
    assert refusal.value.step == "V1"
