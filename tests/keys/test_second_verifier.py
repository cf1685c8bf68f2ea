import pytest

from pinwarden.documents import Role
from pinwarden.envelope import PINSET_TYPE, Envelope, Signature, pae
from pinwarden.errors import SignatureError
from pinwarden_keys import second_verifier
from pinwarden_keys.errors import SignerError
from pinwarden_keys.second_verifier import check_envelope, check_signature
from pinwarden_keys.signer import sign_envelope

L = 2**252 + 27742317777372353535851937790883648493


def role_of(people, *names, threshold):
    keys = {people.keyid(name): people.signer(name).public for name in names}
    return Role(tuple(keys), threshold, keys)


def test_a_good_signature_is_returned_as_evidence(people):
    alice = people.signer("alice")
    signature = alice.sign(b"message")
    assert check_signature(signature, b"message", alice.public) == signature


def test_every_flipped_bit_of_a_signature_is_refused(people):
    alice = people.signer("alice")
    signature = alice.sign(b"message")
    for index in range(64):
        broken = bytearray(signature)
        broken[index] ^= 1
        with pytest.raises(SignerError):
            check_signature(bytes(broken), b"message", alice.public)


def test_a_signature_with_s_beyond_the_group_order_is_refused(people):
    alice = people.signer("alice")
    signature = alice.sign(b"message")
    s = int.from_bytes(signature[32:], "little") + L
    with pytest.raises(SignerError):
        check_signature(signature[:32] + s.to_bytes(32, "little"), b"message", alice.public)


def test_the_message_names_the_library_that_refuses_alone(people, monkeypatch):
    alice, bob = people.signer("alice"), people.signer("bob")
    with pytest.raises(SignerError, match="refusal by libsodium and OpenSSL"):
        check_signature(bob.sign(b"message"), b"message", alice.public)
    monkeypatch.setattr(second_verifier, "is_signature", lambda *_: True)  # a bug in one library
    with pytest.raises(SignerError, match="refusal by OpenSSL"):
        check_signature(bob.sign(b"message"), b"message", alice.public)


def test_an_envelope_signed_by_its_role_is_returned(people):
    envelope = sign_envelope(PINSET_TYPE, b"{}", [people.signer("alice"), people.signer("bob")])
    assert check_envelope(envelope, role_of(people, "alice", "bob", "carol", threshold=2)) is envelope


def test_an_envelope_below_its_threshold_is_refused(people):
    envelope = sign_envelope(PINSET_TYPE, b"{}", [people.signer("alice")])
    with pytest.raises(SignatureError, match="too few"):
        check_envelope(envelope, role_of(people, "alice", "bob", threshold=2))


def test_a_strangers_signature_among_ours_is_refused(people):
    envelope = sign_envelope(PINSET_TYPE, b"{}", [people.signer("alice"), people.signer("mallory")])
    with pytest.raises(SignerError, match="does not name"):
        check_envelope(envelope, role_of(people, "alice", threshold=1))


def test_one_bad_signature_beside_a_met_threshold_is_refused(people):
    alice, bob = people.signer("alice"), people.signer("bob")
    good = Signature(alice.keyid, alice.sign(pae(PINSET_TYPE, b"{}")))
    envelope = Envelope.of(PINSET_TYPE, b"{}", [good, Signature(bob.keyid, bob.sign(b"something else"))])
    with pytest.raises(SignerError, match="does not verify"):
        check_envelope(envelope, role_of(people, "alice", "bob", threshold=1))
