"""The contract of signers whose keeper may hang, go away and come back."""

from contextlib import closing

import pytest

from pinwarden_keys import signer_worker
from pinwarden_keys.errors import KeeperAwayError, SignerError
from pinwarden_keys.second_verifier import check_signature


def test_a_keeper_that_hangs_is_given_up_in_time_and_serves_again_afterwards(remote, monkeypatch):
    message = remote.message(b"m")
    with closing(remote.open()) as signer:
        with monkeypatch.context() as impatient, remote.hangs():
            impatient.setattr(signer_worker, "ANSWER_SECONDS", 0.3)
            with pytest.raises(KeeperAwayError, match="does not answer") as refusal:
                signer.sign(message)
            assert "within 0.3 s" in str(refusal.value)
            with pytest.raises(SignerError, match="does not answer"):
                remote.open()
        assert check_signature(signer.sign(message), message, remote.public)


def test_a_signer_is_closed_in_time_while_its_keeper_hangs(remote, monkeypatch):
    signer = remote.open()
    with remote.hangs():
        monkeypatch.setattr(signer_worker, "ANSWER_SECONDS", 0.3)
        signer.close()
    with pytest.raises(SignerError, match="is closed"):
        signer.sign(b"m")


def test_a_keeper_that_went_away_is_a_refusal_that_says_what_to_do_and_its_return_is_noticed(remote):
    message = remote.message(b"m")
    with closing(remote.open()) as signer:
        with remote.away():
            with pytest.raises(KeeperAwayError) as refusal:
                signer.sign(message)
            assert refusal.value.hint
            assert not any(secret in str(refusal.value) for secret in remote.secrets)
            with pytest.raises(KeeperAwayError):
                remote.open()
        assert check_signature(signer.sign(message), message, remote.public)
        assert signer.public == remote.public
