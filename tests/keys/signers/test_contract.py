"""The contract of every signer, whatever keeps its key."""

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest

from pinwarden.documents.root import Role
from pinwarden.envelope import Envelope, keyid_of
from pinwarden_keys.errors import SignerError
from pinwarden_keys.second_verifier import check_envelope, check_signature
from pinwarden_keys.signer import SCHEMES, open_signer, sign_envelope
from tests.keys.signers.conftest import EVERY

MEGABYTE = 1024 * 1024
THREADS = 8


def test_the_contract_covers_every_scheme():
    assert set(EVERY) == set(SCHEMES)


def test_a_signer_states_the_public_half_its_keyid_its_uri_and_its_label(keeper):
    with closing(keeper.open()) as signer:
        assert (signer.public, signer.keyid) == (keeper.public, keyid_of(keeper.public))
        assert (signer.uri, signer.label) == (keeper.uri, keeper.label)


def test_both_libraries_accept_a_signature_of_any_size_that_the_keeper_takes(keeper):
    largest = keeper.largest or MEGABYTE
    with closing(keeper.open()) as signer:
        for message in map(keeper.message, (b"m", b"\x00" * 257, b"x" * largest)):
            assert check_signature(signer.sign(message), message, keeper.public)


def test_a_message_that_is_too_large_for_the_keeper_is_refused_and_the_next_one_signed(keeper):
    with closing(keeper.open()) as signer:
        if keeper.largest is None:
            assert len(signer.sign(b"x" * 4 * MEGABYTE)) == 64
            return
        with pytest.raises(SignerError, match="too large") as refusal:
            signer.sign(b"x" * (keeper.largest + 1))
        assert "timestamp" in refusal.value.hint
        message = keeper.message(b"m")
        assert check_signature(signer.sign(message), message, keeper.public)


def test_an_envelope_by_the_signer_satisfies_its_role(keeper):
    with closing(keeper.open()) as signer:
        signed = sign_envelope(*keeper.document, [signer])
    envelope = Envelope.parse(signed.to_bytes(), expect=keeper.document[0])
    keyid = keyid_of(keeper.public)
    assert check_envelope(envelope, Role((keyid,), 1, {keyid: keeper.public})) is envelope


def test_a_closed_signer_refuses_to_sign_and_closes_twice(keeper):
    signer = keeper.open()
    signer.close()
    signer.close()
    with pytest.raises(SignerError, match="is closed"):
        signer.sign(b"message")


def test_the_public_half_that_is_stated_elsewhere_is_demanded(keeper, people):
    stranger = people.signer("stranger")
    with pytest.raises(SignerError, match="another key than expected") as refusal:
        open_signer(keeper.uri, public=stranger.public, passphrase=keeper.passphrase)
    assert (refusal.value.expected, refusal.value.got) == (stranger.keyid, keyid_of(keeper.public))
    open_signer(keeper.uri, public=keeper.public, passphrase=keeper.passphrase).close()


def test_eight_threads_sign_at_once_and_each_gets_the_signature_of_its_own_message(keeper):
    ready = Barrier(THREADS)

    def sign(number):
        ready.wait()
        messages = [keeper.message(f"{number} {turn}".encode()) for turn in range(5)]
        return [check_signature(signer.sign(message), message, keeper.public) for message in messages]

    with closing(keeper.open()) as signer, ThreadPoolExecutor(THREADS) as pool:
        signatures = {signature for each in pool.map(sign, range(THREADS)) for signature in each}
    assert len(signatures) == THREADS * 5


def test_two_signers_of_one_key_live_side_by_side_and_closing_one_leaves_the_other(keeper):
    with closing(keeper.open()) as first:
        keeper.open().close()
        message = keeper.message(b"m")
        assert check_signature(first.sign(message), message, keeper.public)
        with closing(keeper.open()) as third:
            assert third.sign(message) == first.sign(message)


def test_a_signer_does_not_leave_its_process(keeper):
    with closing(keeper.open()) as signer, pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(signer)


def test_nothing_that_is_printed_logged_or_raised_holds_a_secret(keeper, people, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    said = []
    with closing(keeper.open()) as signer:
        signer.sign(keeper.message(b"m"))
        said += [repr(signer), str(signer), signer.uri]
    with pytest.raises(SignerError) as refusal:
        signer.sign(b"m")
    said += [str(refusal.value), repr(vars(refusal.value))]
    with pytest.raises(SignerError) as refusal:
        open_signer(keeper.uri, public=people.signer("stranger").public, passphrase=keeper.passphrase)
    said += [str(refusal.value), repr(vars(refusal.value)), caplog.text, *capfd.readouterr()]
    assert [secret for secret in keeper.secrets if any(secret in text for text in said)] == []
