"""What is particular to ``pkcs11:``: URIs, PINs, logins, and the ways in which a token holds the wrong thing."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, ObjectClass, TokenFlag

from pinwarden.envelope import is_signature
from pinwarden_keys import signer_worker
from pinwarden_keys.errors import KeyFileError, SignerError
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_pkcs11_module import _open_session
from pinwarden_keys.signer_pkcs11_uri import parse
from tests.keys.signers.softhsm import ED448, PIN


@pytest.fixture
def private_objects(softhsm):
    """Return a function that counts the private keys which a session without a PIN sees: none, unless logged in."""

    def count():
        with softhsm.session("pinwarden", pin=None) as session:
            return len(list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})))

    return count


def refused(uri, match):
    with pytest.raises(SignerError, match=match) as refusal:
        open_signer(uri)
    assert refusal.value.hint
    assert PIN not in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("token=t;object=k?module-path=/m&pin-value=canary", "Write the PIN into a file"),
        ("token=t;object=k;pin-value=canary?module-path=/m&pin-source=/p", "Write the PIN into a file"),
        ("token=t;object=k?module-path=/m&pin-source=|canary", "pin-source is not an absolute path"),
        ("token=t;object=k?module-path=/m&pin-source=canary", "pin-source is not an absolute path"),
        ("token=t;object=k?module-path=/m&pin-source=https://canary/pin", "pin-source is not an absolute path"),
        ("token=t;object=k?module-path=/m&pin-source=file://canary/pin", "pin-source is not an absolute path"),
        ("token=t;object=k?module-path=/m", "pin-source must be stated"),
        ("token=t;object=k", "module-path and pin-source must be stated"),
        ("token=t;object=k?module-path=lib.so&pin-source=/p", "module-path is not an absolute path"),
        ("token=t?module-path=/m&pin-source=/p", "does not name one key"),
        ("object=k?module-path=/m&pin-source=/p", "does not name one key"),
        ("?module-path=/m&pin-source=/p", "does not name one key"),
        ("token=t;object=k;type=public?module-path=/m&pin-source=/p", "it names no private key"),
        ("token=t;object=k;slot-id=canary?module-path=/m&pin-source=/p", "'slot-id' is not allowed"),
        ("token=t;token=canary;object=k?module-path=/m&pin-source=/p", "must be stated once"),
        ("token=%ff;object=k?module-path=/m&pin-source=/p", "is not printable text"),
        (f"token={'t' * 2048};object=k?module-path=/m&pin-source=/p", "it is too long"),
    ],
)
def test_a_uri_that_is_not_meant_so_is_refused_without_its_secrets(rest, said):
    error = refused(f"pkcs11:{rest}", "this pkcs11: URI cannot be used")
    assert said in str(error)
    assert "canary" not in str(error)


def test_a_uri_names_token_key_module_and_pin_file(softhsm):
    address = parse(
        f"pkcs11:token=my%20token;serial=a1;object=k;id=%00%01;type=private"
        f"?module-path={softhsm.module}&pin-source=file:/run/my%2520pin"
    )
    assert (dict(address.token), address.label, address.key_id) == ({"token": "my token", "serial": "a1"}, "k", b"\0\1")
    assert (address.module, str(address.pin_file)) == (softhsm.module, "/run/my pin")


def test_a_module_that_does_not_exist_or_is_none_is_refused(softhsm):
    refused(softhsm.uri(**{"module-path": "/nowhere/lib.so"}), "does not exist")
    refused(softhsm.uri(**{"module-path": str(softhsm.configuration)}), "the PKCS#11 module cannot be loaded")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("token=other;object=timestamp", "no token in the module matches"),
        ("token=pinwarden;serial=0000;object=timestamp", "no token in the module matches"),
        ("token=pinwarden;object=other", "the token holds no such Ed25519 key that may sign"),
        ("token=pinwarden;id=%02", "the token holds no such Ed25519 key that may sign"),
        ("token=pinwarden;object=timestamp;id=%02", "the token holds no such Ed25519 key that may sign"),
    ],
)
def test_a_token_or_key_that_is_not_there_is_refused_and_the_token_logged_out(softhsm, private_objects, key, said):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    refused(softhsm.uri(key), said)
    assert private_objects() == 0


def test_keys_of_one_label_are_told_apart_by_their_id_and_tokens_by_their_serial(softhsm):
    publics = [softhsm.make_key("pinwarden", "timestamp", key_id) for key_id in (b"\x01", b"\x02")]
    refused(softhsm.uri(), "several keys in the token match")
    serial = pkcs11.lib(softhsm.module).get_token(token_label="pinwarden").serial.decode()
    softhsm.make_token("pinwarden")
    refused(softhsm.uri("token=pinwarden;id=%01"), "several tokens in the module match")
    for key_id, public in zip(("%01", "%02"), publics, strict=True):
        open_signer(softhsm.uri(f"serial={serial};id={key_id}"), public=public).close()


def test_a_key_on_another_curve_or_of_another_kind_is_refused(softhsm):
    with softhsm.session("pinwarden") as session:
        session.generate_keypair(KeyType.RSA, 1024, store=True, label="timestamp", id=b"\x05")
    refused(softhsm.uri(), "no such Ed25519 key")
    softhsm.make_key("pinwarden", "timestamp", b"\x06", curve=ED448)
    refused(softhsm.uri(), "on another curve: expected Ed25519")


def test_a_private_key_without_its_public_half_is_refused(softhsm, private_objects):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    with softhsm.session("pinwarden") as session:
        for public in list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY})):
            public.destroy()
    refused(softhsm.uri(), "does not hold one public key beside the private one: expected one with the same ID")
    assert private_objects() == 0


def test_a_public_half_that_belongs_to_another_key_is_refused(softhsm):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    softhsm.make_key("pinwarden", "other", b"\x02")
    with softhsm.session("pinwarden") as session:
        publics = {
            key[Attribute.LABEL]: key for key in list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY}))
        }
        publics["timestamp"].destroy()
        publics["other"][Attribute.ID] = b"\x01"
    with pytest.raises(SignerError, match="not the pair it claims to be"):
        open_signer(softhsm.uri())


def test_the_last_signer_of_a_token_logs_it_out_and_no_earlier_one(softhsm, private_objects):
    for number, label in enumerate(("timestamp", "pinset")):
        softhsm.make_key("pinwarden", label, bytes([number]))
    timestamp, pinset = (
        open_signer(softhsm.uri(f"token=pinwarden;object={label}")) for label in ("timestamp", "pinset")
    )
    timestamp.close()
    assert private_objects() == 2
    assert is_signature(pinset.sign(b"m"), b"m", pinset.public)
    pinset.close()
    assert private_objects() == 0


def test_an_open_that_was_given_up_leaves_no_login_behind(softhsm, private_objects, monkeypatch):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    with monkeypatch.context() as impatient, softhsm.hangs():
        impatient.setattr(signer_worker, "ANSWER_SECONDS", 0.2)
        refused(softhsm.uri(), "does not answer")
    open_signer(softhsm.uri()).close()  # the one that was given up has come to its end before this one
    assert private_objects() == 0


def test_a_call_behind_close_does_not_log_in_again(softhsm, private_objects):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    signer = open_signer(softhsm.uri())
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(signer.sign, b"m") for _ in range(20)]
        signer.close()
        refusals = {str(call.exception()) for call in calls if call.exception() is not None}
    assert refusals <= {f"{signer.uri} is closed. Open it again to sign."}
    assert private_objects() == 0


def test_a_module_is_one_by_whatever_name(softhsm, tmp_path):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    (tmp_path / "link.so").symlink_to(softhsm.module)
    by_link = softhsm.uri(**{"module-path": str(tmp_path / "link.so")})
    with closing(open_signer(softhsm.uri())) as first, closing(open_signer(by_link)) as second:
        assert first.sign(b"m") == second.sign(b"m")


def test_a_restart_of_the_module_is_survived_by_every_signer(softhsm):
    for number, label in enumerate(("timestamp", "pinset")):
        softhsm.make_key("pinwarden", label, bytes([number]))
    opened = [open_signer(softhsm.uri(f"token=pinwarden;object={label}")) for label in ("timestamp", "pinset")]
    for _ in range(2):
        softhsm.restart()
        assert [is_signature(signer.sign(b"m"), b"m", signer.public) for signer in opened] == [True, True]
    for signer in opened:
        signer.close()


def test_a_key_that_was_exchanged_while_the_token_was_away_is_refused(softhsm):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    with closing(open_signer(softhsm.uri())) as signer:
        before = signer.public
        softhsm.restart()
        with softhsm.session("pinwarden") as session:
            for each in list(session.get_objects({Attribute.LABEL: "timestamp"})):
                each.destroy()
        softhsm.make_key("pinwarden", "timestamp", b"\x01")
        for _ in range(2):
            with pytest.raises(SignerError, match="holds another key than before") as refusal:
                signer.sign(b"m")
            assert refusal.value.expected == signer.keyid
        assert signer.public == before


def test_a_wrong_pin_is_refused_and_not_repeated(softhsm, private_objects):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    with closing(open_signer(softhsm.uri())) as signer:
        softhsm.write_pin("canary-wrong-pin")
        softhsm.restart()
        with pytest.raises(SignerError, match="the PIN is wrong") as refusal:
            signer.sign(b"m")
        assert "canary" not in str(refusal.value)
        softhsm.write_pin(PIN)  # were it tried again, it would succeed now
        with pytest.raises(SignerError, match="refused before and is not tried again"):
            signer.sign(b"m")
    assert private_objects() == 0
    open_signer(softhsm.uri()).close()


def test_a_wrong_pin_at_the_start_is_refused(softhsm):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    softhsm.write_pin("canary-wrong-pin")
    refused(softhsm.uri(), "the PIN is wrong")


def test_a_pin_file_that_others_may_read_or_that_is_missing_is_refused(softhsm):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    softhsm.pin_file.chmod(0o644)
    with pytest.raises(KeyFileError, match=r"PIN file .* is open to other users"):
        open_signer(softhsm.uri())
    softhsm.pin_file.unlink()
    with pytest.raises(KeyFileError, match=r"PIN file .* cannot be read"):
        open_signer(softhsm.uri())


@pytest.mark.parametrize(
    ("flag", "expected"),
    [(TokenFlag.USER_PIN_FINAL_TRY, SignerError), (TokenFlag.USER_PIN_LOCKED, pkcs11.PinLocked)],
)
def test_the_last_try_of_a_pin_is_left_to_a_person(softhsm, flag, expected):
    # SoftHSM never locks itself, so the rule is shown on what a token that does would state.
    tried = []
    token = SimpleNamespace(label="t", flags=TokenFlag.TOKEN_INITIALIZED | flag, open=lambda **_: tried.append(1))
    with pytest.raises(expected):
        _open_session(token, parse(softhsm.uri()))
    assert tried == []
