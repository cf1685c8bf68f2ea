import os
import re
from datetime import timedelta

import pytest
from nacl.bindings import crypto_sign_seed_keypair

from pinwarden.envelope import PINSET_TYPE
from pinwarden.trust import begin
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.founding import found_authority
from pinwarden_keys.keyfile import write_key_file
from pinwarden_keys.second_verifier import check_envelope
from pinwarden_keys.signer import open_signer, sign_envelope
from pinwarden_keys.signer_file import file_uri


def test_a_founded_authority_is_one_that_a_client_can_begin_with(now):
    founding = found_authority("dev", now=now, entropy=os.urandom)
    state = begin(founding.root_json, name="payments")
    assert state.authority == founding.authority
    assert (state.root.version, state.root.issued, state.root.expires) == (1, now, now + timedelta(days=365))
    assert [*state.root.timestamp.keys.values()] == [crypto_sign_seed_keypair(founding.timestamp_seed)[0]]
    assert [*state.root.grant_for("payments").keys.values()] == [crypto_sign_seed_keypair(founding.pinset_seed)[0]]


def test_an_authoritys_name_ends_in_64_random_bits(now):
    ids = {found_authority("dev", now=now, entropy=os.urandom).authority for _ in range(8)}
    assert len(ids) == 8
    assert all(re.fullmatch(r"dev-[0-9a-f]{16}", authority) for authority in ids)


def test_founding_draws_every_random_bit_from_what_is_passed_in(now):
    def replay():
        numbers = iter(range(100))
        return lambda count: bytes([next(numbers)]) * count

    first = found_authority("dev", now=now, entropy=replay())
    second = found_authority("dev", now=now, entropy=replay())
    assert first == second
    assert first.authority == f"dev-{'00' * 8}"


def test_no_two_roles_share_a_key(now):
    founding = found_authority("dev", root_keys=3, now=now, entropy=os.urandom)
    seeds = {*founding.root_seeds, founding.timestamp_seed, founding.pinset_seed}
    assert len(seeds) == 5


@pytest.mark.parametrize(("root_keys", "threshold"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_the_threshold_is_a_majority_from_three_root_keys_on(now, root_keys, threshold):
    founding = found_authority("dev", root_keys=root_keys, now=now, entropy=os.urandom)
    assert begin(founding.root_json, name="x").root.root.threshold == threshold


@pytest.mark.parametrize("label", ["Dev", "dev ", "dev.example", "d" * 48, "dév"])
def test_a_label_that_no_authority_may_have_is_refused(now, label):
    with pytest.raises(CeremonyError, match="authority"):
        found_authority(label, now=now, entropy=os.urandom)


@pytest.mark.parametrize("root_keys", [0, 17])
def test_an_impossible_number_of_root_keys_is_refused(now, root_keys):
    with pytest.raises(CeremonyError, match="1 to 16"):
        found_authority("dev", root_keys=root_keys, now=now, entropy=os.urandom)


def test_names_that_no_pin_set_may_have_are_refused(now):
    with pytest.raises(CeremonyError, match="bad pattern"):
        found_authority("dev", names=("Payments*",), now=now, entropy=os.urandom)


def test_the_seeds_are_not_shown_when_a_founding_is_printed(now):
    founding = found_authority("dev", now=now, entropy=os.urandom)
    assert founding.timestamp_seed.hex() not in repr(founding)
    assert "seed" not in repr(founding)


def test_the_founded_pin_set_key_signs_what_the_root_grants(people, now, tmp_path):
    founding = found_authority("dev", now=now, entropy=os.urandom)
    grant = begin(founding.root_json, name="payments").root.grant_for("payments")
    write_key_file(tmp_path / "pinset.key", founding.pinset_seed, people.passphrase, kdf=people.fast)
    signer = open_signer(file_uri(tmp_path / "pinset.key"), passphrase=lambda: people.passphrase)
    assert check_envelope(sign_envelope(PINSET_TYPE, b"{}", [signer]), grant).payload == b"{}"
