"""What open_signer and sign_envelope refuse; the contract of each scheme is in ``signers``."""

import pytest

from pinwarden.envelope import PINSET_TYPE, Envelope, is_signature, keyid_of, pae
from pinwarden.errors import SignatureError
from pinwarden_keys import signer as signer_room
from pinwarden_keys.errors import KeyFileError, KeysError, PassphraseError, SignerError
from pinwarden_keys.signer import open_signer, prove, sign_envelope
from pinwarden_keys.signer_file import file_uri, path_of

SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
]


class Liar:
    """A signer that states one key and signs with another, as a mixed-up HSM slot does."""

    uri = "memory:liar"

    def __init__(self, stated, signs):
        self.public, self.keyid, self._signs = stated, keyid_of(stated), signs
        self.closed = False

    def sign(self, message):
        return self._signs(message)

    def close(self):
        self.closed = True


def test_a_signer_whose_pair_does_not_match_is_refused_at_open_and_closed(people, monkeypatch):
    liar = Liar(people.signer("alice").public, people.signer("bob").sign)
    monkeypatch.setattr(signer_room, "import_module", lambda _: type("Room", (), {"open_uri": lambda *_: liar}))
    with pytest.raises(SignerError, match="not the pair it claims to be"):
        open_signer("file:anything", passphrase=lambda: people.passphrase)
    assert liar.closed


def test_a_signer_that_replays_an_old_challenge_is_refused(people):
    alice = people.signer("alice")
    recorded = alice.sign(b"pinwarden signer challenge v1\n" + bytes(32))
    with pytest.raises(SignerError, match="not the pair"):
        prove(Liar(alice.public, lambda _: recorded))


@pytest.mark.parametrize("answer", [b"", bytes(64), bytes(63), bytes(65)])
def test_a_signer_that_answers_rubbish_is_refused(people, answer):
    with pytest.raises(SignerError, match="not the pair"):
        prove(Liar(people.signer("alice").public, lambda _: answer))


@pytest.mark.parametrize("public", SMALL_ORDER)
def test_a_signer_that_states_a_small_order_key_is_refused(public):
    with pytest.raises(SignerError, match="prime order"):
        prove(Liar(public, lambda _: bytes(64)))


def test_the_challenge_can_never_be_mistaken_for_a_document(people):
    asked = []
    alice = people.signer("alice")

    def sign(message):
        asked.append(message)
        return alice.sign(message)

    prove(Liar(alice.public, sign))
    prove(Liar(alice.public, sign))
    assert not any(message.startswith(b"DSSEv1 ") for message in asked)
    assert asked[0] != asked[1]


def test_a_signer_for_another_key_than_the_root_states_is_refused(people, tmp_path):
    uri = file_uri(people.key_file(tmp_path, "alice"))
    with pytest.raises(SignerError, match="another key than expected") as refusal:
        open_signer(uri, public=people.signer("bob").public, passphrase=lambda: people.passphrase)
    assert (refusal.value.expected, refusal.value.got) == (people.keyid("bob"), people.keyid("alice"))


def test_a_key_file_without_any_passphrase_is_refused(people, tmp_path):
    with pytest.raises(PassphraseError, match="needs a passphrase"):
        open_signer(file_uri(people.key_file(tmp_path, "alice")))


@pytest.mark.parametrize(
    "uri", ["pkcs12:token?pin-value=1234", "keys/alice.key", "", ":", "FILE:x", "https://pin:1234@x"]
)
def test_an_unknown_scheme_is_refused_with_the_known_ones_and_without_its_secrets(uri):
    with pytest.raises(SignerError, match="no signer for this kind of URI: expected file:") as refusal:
        open_signer(uri)
    assert "1234" not in str(refusal.value)


@pytest.mark.parametrize("uri", ["file:", "file://host/key", "file:/key?passphrase=x", "file:/key#x"])
def test_a_file_uri_names_a_path_on_this_machine_and_nothing_else(uri):
    with pytest.raises(SignerError, match="not the URI of a key file"):
        open_signer(uri, passphrase=lambda: b"x")


@pytest.mark.parametrize("path", ["/keys/alice.key", "keys/alice.key", "/a folder/#1?.key", "/ключ.key", "/50%.key"])
def test_any_path_survives_its_file_uri(path):
    assert str(path_of(file_uri(path))) == path


def test_a_file_uri_may_be_written_with_slashes():
    assert str(path_of("file:///keys/a.key")) == "/keys/a.key"
    assert str(path_of("file://localhost/keys/a.key")) == "/keys/a.key"


def test_a_missing_key_file_is_refused_as_such(tmp_path):
    with pytest.raises(KeyFileError, match="No such file"):
        open_signer(file_uri(tmp_path / "none"), passphrase=lambda: b"x")


def test_an_envelope_is_signed_by_each_signer_over_its_type_and_payload(people):
    signers = [people.signer("alice"), people.signer("bob")]
    envelope = Envelope.parse(sign_envelope(PINSET_TYPE, b'{"a":1}', signers).to_bytes(), expect=PINSET_TYPE)
    assert [entry.keyid for entry in envelope.signatures] == [signer.keyid for signer in signers]
    message = pae(PINSET_TYPE, b'{"a":1}')
    assert all(is_signature(e.sig, message, s.public) for e, s in zip(envelope.signatures, signers, strict=True))


def test_an_envelope_without_signers_with_one_twice_or_with_seventeen_is_refused(people):
    alice = people.signer("alice")
    for signers in ([], [alice, alice], [people.signer(str(number)) for number in range(17)]):
        with pytest.raises(SignerError, match="1 to 16 different keys"):
            sign_envelope(PINSET_TYPE, b"{}", signers)


def test_no_envelope_leaves_with_a_signature_that_does_not_verify(people):
    liar = Liar(people.signer("alice").public, people.signer("bob").sign)
    with pytest.raises(SignerError, match="does not verify"):
        sign_envelope(PINSET_TYPE, b"{}", [people.signer("carol"), liar])


def test_all_refusals_of_this_package_have_one_base():
    assert all(issubclass(kind, KeysError) for kind in (KeyFileError, PassphraseError, SignerError))
    assert not issubclass(KeysError, SignatureError)
