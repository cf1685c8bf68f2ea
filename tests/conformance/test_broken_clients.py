"""The suite notices what a client leaves out: each of these lacks one check, and fails the test that tells of it."""

from functools import partial

import pytest

from tests.conformance import test_expiration, test_rollback, test_rotation, test_signatures
from tests.conformance.clients.plain import broken
from tests.conformance.clients.plain.client import main
from tests.conformance.drivers import MainFunction
from tests.conformance.life import Life

ROTATION = test_rotation.ROOT_ROTATIONS["not signed by the new key"]
DIGEST = test_rollback.NAMED_OTHERWISE["another digest"]
ATTACK = "refresh under attack: expected exit code 1, got 0"
NOTICED = [
    (broken.NoTimestampSignature, test_signatures.test_what_the_wrong_key_signed_is_refused, ("timestamp",), ATTACK),
    (broken.NoThreshold, test_signatures.test_one_signature_below_the_threshold_is_refused, ("pinset",), ATTACK),
    (broken.NoRollbackCheck, test_rollback.test_an_older_pair_is_refused, (), ATTACK),
    (broken.NoRollbackCheck, test_rollback.test_two_contents_for_one_version_are_refused, ("pinset",), ATTACK),
    (broken.NoExpiry, test_expiration.test_a_document_past_its_end_is_refused, ("timestamp",), ATTACK),
    (broken.NoDigest, test_rollback.test_a_pin_set_other_than_the_timestamp_names_is_refused, (DIGEST,), ATTACK),
    (broken.NoDigest, test_rollback.test_a_pin_set_that_was_exchanged_is_refused, (), ATTACK),
    (
        broken.OneSidedRotation,
        test_rotation.test_root_keys_rotate_only_with_the_consent_of_old_and_new,
        (ROTATION,),
        "expected exit code 1, got 0",
    ),
    (
        broken.EarlyFloor,
        test_rollback.test_a_refused_pair_sets_no_floor,
        (),
        "refresh from an honest server: expected exit code 0, got 1",
    ),
    (
        broken.ForgetfulClient,
        test_rollback.test_an_older_pair_is_refused,
        (),
        "which the pin set in force pins: expected exit code 0, got 3",
    ),
    (
        broken.OldKeysStayGood,
        test_rotation.test_what_a_rotated_key_signed_is_not_in_force_any_more,
        (),
        "check while no pin set is in force: expected exit code 3, got 1",
    ),
]


@pytest.mark.own
@pytest.mark.parametrize(
    ("client_class", "test", "arguments", "said"),
    NOTICED,
    ids=[f"{row[0].__name__}-{row[1].__name__}" for row in NOTICED],
)
def test_a_client_that_lacks_a_check_fails_the_suite(simulator, tmp_path, client_class, test, arguments, said):
    life = Life(MainFunction(partial(main, client_class=client_class)), simulator, tmp_path)
    with pytest.raises(AssertionError, match=said):
        test(life, *arguments)
