import json
import stat
from hashlib import sha256

import pytest

from pinwarden.strict_json import encode, encode_base64
from pinwarden_keys import keyfile
from pinwarden_keys.errors import KeyFileError, PassphraseError
from pinwarden_keys.files import OpenToGroupWarning
from pinwarden_keys.keyfile import LIGHT_KDF, STANDARD_KDF, Kdf, KeyFile, open_key_file, read_key_file, write_key_file


def mended(members):
    """Return a key file of *members* with a fresh checksum, as an attacker would write it."""
    body = {name: value for name, value in members.items() if name != "checksum"}
    return encode({**body, "checksum": sha256(encode(body)).hexdigest()}) + b"\n"


def changed(content, *path, to):
    members = json.loads(content)
    place = members
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return mended(members)


def test_a_seed_comes_back_out_of_its_key_file(people, tmp_path):
    path = people.key_file(tmp_path, "alice")
    key_file, seed = open_key_file(path, lambda: people.passphrase)
    assert people.seed("alice") == seed
    assert people.keyid("alice") == key_file.keyid
    assert key_file.label == "alice"


def test_the_seed_does_not_stand_in_the_key_file(people):
    content = people.sealed("alice").to_bytes()
    seed = people.seed("alice")
    assert seed not in content
    assert encode_base64(seed).encode() not in content
    assert seed.hex().encode() not in content


def test_two_key_files_of_one_seed_share_neither_salt_nor_nonce(people):
    first, second = people.sealed("alice"), people.sealed("alice")
    assert first.salt != second.salt
    assert first.nonce != second.nonce


def test_a_flipped_bit_in_every_byte_of_a_key_file_is_refused(people):
    content = people.sealed("alice").to_bytes()
    survivors = []
    for index in range(len(content)):
        for bit in range(8):
            broken = bytearray(content)
            broken[index] ^= 1 << bit
            try:
                KeyFile.parse(bytes(broken))
            except KeyFileError:
                continue
            survivors.append((index, bit))
    assert survivors == []


def test_a_key_file_cut_short_anywhere_is_refused(people):
    content = people.sealed("alice").to_bytes()
    for length in range(len(content)):
        with pytest.raises(KeyFileError):
            KeyFile.parse(content[:length])


@pytest.mark.parametrize(
    "path", [("label",), ("kdf", "ops"), ("kdf", "mem_bytes"), ("kdf", "salt"), ("cipher", "nonce")]
)
def test_a_header_changed_by_someone_who_mends_the_checksum_does_not_open(people, path):
    content = people.sealed("alice").to_bytes()
    to = {
        "label": "mallory",
        "ops": 2,
        "mem_bytes": 16384,
        "salt": encode_base64(bytes(16)),
        "nonce": encode_base64(bytes(24)),
    }
    forged = KeyFile.parse(changed(content, *path, to=to[path[-1]]))
    with pytest.raises(PassphraseError):
        forged.open(people.passphrase)


def test_every_flipped_bit_of_the_sealed_seed_is_noticed_although_the_checksum_was_mended(people):
    key_file = people.sealed("alice")
    for index in range(len(key_file.sealed)):
        broken = bytearray(key_file.sealed)
        broken[index] ^= 1
        forged = KeyFile.parse(changed(key_file.to_bytes(), "cipher", "sealed", to=encode_base64(bytes(broken))))
        with pytest.raises(PassphraseError):
            forged.open(people.passphrase)


def test_a_public_half_swapped_for_another_persons_does_not_open(people):
    members = json.loads(people.sealed("alice").to_bytes())
    bob = people.sealed("bob")
    members |= {"public": encode_base64(bob.public), "keyid": bob.keyid}
    with pytest.raises(PassphraseError):
        KeyFile.parse(mended(members)).open(people.passphrase)


def test_a_public_half_swapped_by_someone_who_knows_the_passphrase_is_noticed(people, monkeypatch):
    bob = people.sealed("bob")
    with monkeypatch.context() as patched:  # seal alice's seed as a program would that states bob's public half
        patched.setattr(keyfile, "crypto_sign_seed_keypair", lambda seed: (bob.public, b""))
        forged = people.sealed("alice")
    with pytest.raises(KeyFileError, match="not that of its seed") as refusal:
        KeyFile.parse(forged.to_bytes()).open(people.passphrase)
    assert (refusal.value.expected, refusal.value.got) == (people.keyid("alice"), bob.keyid)


def test_a_keyid_that_is_not_its_keys_is_refused(people):
    content = changed(people.sealed("alice").to_bytes(), "keyid", to=people.keyid("bob"))
    with pytest.raises(KeyFileError, match="keyid does not belong"):
        KeyFile.parse(content)


def test_a_wrong_passphrase_is_told_from_a_damaged_file(people):
    key_file = people.sealed("alice")
    with pytest.raises(PassphraseError, match="not damaged by accident"):
        key_file.open(b"wrong")
    with pytest.raises(KeyFileError, match="passphrase was not tried"):
        KeyFile.parse(key_file.to_bytes().replace(b'"alice"', b'"alicf"'))


@pytest.mark.parametrize(
    ("ops", "mem_bytes"),
    [(2**53 - 1, 8192), (9, 8192), (1, 2**53 - 1), (1, 1024**3 + 1), (1, 8191), (1, 1)],
)
def test_hostile_work_is_refused_before_anything_is_allocated(people, monkeypatch, ops, mem_bytes):
    def allocate(*_):
        raise AssertionError("the key derivation was started")

    members = json.loads(people.sealed("alice").to_bytes())
    members["kdf"] |= {"ops": ops, "mem_bytes": mem_bytes}
    monkeypatch.setattr(keyfile, "crypto_pwhash_alg", allocate)
    with pytest.raises(KeyFileError) as refusal:
        KeyFile.parse(mended(members)).open(people.passphrase)
    assert refusal.value.holds == "Nothing was allocated."


@pytest.mark.parametrize(
    "kdf", [{"ops": 0, "mem_bytes": 8192}, {"ops": 1, "mem_bytes": 4096}, {"ops": -1, "mem_bytes": -1}]
)
def test_no_key_file_can_be_made_with_less_work_than_libsodium_allows(kdf):
    with pytest.raises(KeyFileError):
        Kdf(**kdf)


def test_a_key_file_costs_256_mib_unless_it_is_said_otherwise():
    assert Kdf(ops=3, mem_bytes=256 * 1024 * 1024) == STANDARD_KDF
    assert Kdf(ops=1, mem_bytes=1024 * 1024) == LIGHT_KDF


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("format",), "pinwarden-key-2"),
        (("scheme",), "rsa"),
        (("kdf", "name"), "scrypt"),
        (("cipher", "name"), "none"),
        (("kdf", "ops"), True),
        (("kdf", "ops"), "3"),
        (("extra",), 1),
        (("kdf", "extra"), 1),
        (("label",), ""),
        (("label",), "a\nb"),
        (("label",), "x" * 65),
    ],
)
def test_another_format_an_unknown_member_and_a_wrong_type_are_refused(people, path, to):
    with pytest.raises(KeyFileError):
        KeyFile.parse(changed(people.sealed("alice").to_bytes(), *path, to=to))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"format":1}', b"{" * 100, b'{"format":"a","format":"b"}']
)
def test_what_is_no_key_file_is_refused_with_a_sentence(content):
    with pytest.raises(KeyFileError, match="key file"):
        KeyFile.parse(content)


def test_a_key_file_is_created_for_its_owner_only(people, tmp_path):
    path = people.key_file(tmp_path, "alice")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o620, 0o666, 0o644])
def test_a_key_file_that_others_may_touch_is_refused(people, tmp_path, mode):
    path = people.key_file(tmp_path, "alice")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="open to other users") as refusal:
        read_key_file(path)
    assert (refusal.value.expected, refusal.value.got) == ("mode 0600", f"{mode:04o}")


def test_a_key_file_that_its_group_may_read_is_warned_about(people, tmp_path):
    path = people.key_file(tmp_path, "alice")
    path.chmod(0o440)  # as Kubernetes mounts secrets
    with pytest.warns(OpenToGroupWarning):
        assert read_key_file(path).label == "alice"


def test_an_existing_key_file_is_never_overwritten(people, tmp_path):
    path = people.key_file(tmp_path, "alice")
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists already"):
        write_key_file(path, people.seed("bob"), people.passphrase, kdf=people.fast)
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_the_passphrase_is_not_asked_for_a_damaged_file(people, tmp_path):
    path = people.key_file(tmp_path, "alice")
    path.write_bytes(path.read_bytes()[:-3])

    def ask():
        raise AssertionError("the passphrase was asked for")

    with pytest.raises(KeyFileError):
        open_key_file(path, ask)


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33), bytes(64)])
def test_a_seed_of_another_length_is_refused(people, seed):
    with pytest.raises(KeyFileError, match="32 bytes"):
        KeyFile.seal(seed, people.passphrase, kdf=people.fast)


def test_no_message_and_no_repr_carries_the_passphrase_or_the_seed(people):
    key_file = people.sealed("alice")
    with pytest.raises(PassphraseError) as refusal:
        key_file.open(b"a wrong but secret one")
    assert "secret" not in str(refusal.value)
    signer = people.signer("alice")
    assert repr(people.seed("alice"))[2:-1] not in repr(signer)
    assert people.seed("alice").hex() not in repr(signer)
