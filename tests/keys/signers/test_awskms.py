"""What is particular to ``awskms:``: URIs, sizes, aliases, credentials, and the ways in which KMS refuses."""

import json
from contextlib import closing

import pytest

from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE
from pinwarden_keys.errors import KeeperAwayError, SignerError
from pinwarden_keys.second_verifier import check_signature
from pinwarden_keys.signer import open_signer, sign_envelope
from tests.keys.signers.kms import REGION, SECRET_KEY, SESSION_TOKEN, Kms, KmsKey

ARN = Kms.arn("key-alice")
URI = f"awskms:{ARN}"


def refused(uri, match):
    with pytest.raises(SignerError, match=match) as refusal:
        open_signer(uri)
    assert refusal.value.hint
    assert not any(secret in str(refusal.value) for secret in (SECRET_KEY, SESSION_TOKEN))
    return refusal.value


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("", "it does not name one key"),
        ("alias/", "it does not name one key"),
        ("alias/x y?region=eu-central-1", "it does not name one key"),
        ("arn:aws:s3:eu-central-1:111122223333:key/canary", "it does not name one key"),
        ("arn:aws:kms:eu-central-1:canary:key/x", "it does not name one key"),
        ("alias/timestamp", "it does not name one region"),
        ("alias/timestamp?region=canary", "it does not name one region"),
        ("alias/timestamp?region=eu-central-1.canary.example", "it does not name one region"),
        (f"{ARN}?region=us-east-1", "it does not name one region"),
        (f"{ARN}?secret=canary", "'secret' is not allowed"),
        (f"{ARN}?endpoint=http://canary", "'endpoint' is not allowed"),
        (f"{'a' * 2048}?region=eu-central-1", "it is too long"),
    ],
)
def test_a_uri_that_is_not_meant_so_is_refused_without_its_secrets(kms, rest, said):
    error = refused(f"awskms:{rest}", "this awskms: URI cannot be used")
    assert said in str(error)
    assert "canary" not in str(error)
    assert kms.web.requests == []


@pytest.mark.parametrize(
    "uri",
    [
        URI,
        f"{URI}?region={REGION}",
        f"awskms:key-alice?region={REGION}",
        f"awskms:alias/timestamp?region={REGION}",
        f"awskms:arn:aws:kms:{REGION}:111122223333:alias/timestamp",
    ],
)
def test_a_key_is_named_by_arn_id_or_alias_and_signs_by_its_arn(kms, people, uri):
    with closing(open_signer(uri, public=people.signer("alice").public)) as signer:
        assert check_signature(signer.sign(b"m"), b"m", signer.public)
    assert kms.operations == ["GetPublicKey", "Sign", "Sign"]
    asked = [json.loads(request.body) for request in kms.web.requests]
    assert [each["KeyId"] for each in asked[1:]] == [ARN, ARN]
    assert {(each["MessageType"], each["SigningAlgorithm"]) for each in asked[1:]} == {("RAW", "ED25519_SHA_512")}


def test_an_alias_that_is_moved_does_not_change_the_key_that_is_open(kms, people):
    kms.keys["key-bob"] = KmsKey(people.seed("bob"))
    with closing(open_signer(f"awskms:alias/timestamp?region={REGION}")) as signer:
        kms.aliases["alias/timestamp"] = "key-bob"
        assert check_signature(signer.sign(b"m"), b"m", people.signer("alice").public)


def test_a_timestamp_fits_and_a_pin_set_that_does_not_is_never_sent(kms):
    with closing(open_signer(URI)) as signer:
        assert sign_envelope(TIMESTAMP_TYPE, b'{"a":"' + b"x" * 900 + b'"}', [signer])
        seen = len(kms.web.requests)
        with pytest.raises(SignerError, match="too large for AWS KMS: expected 1 to 4096 bytes, got 50") as refusal:
            sign_envelope(PINSET_TYPE, b'{"a":"' + b"x" * 5000 + b'"}', [signer])
        assert "Keep the key of the timestamp there" in refusal.value.hint
        with pytest.raises(SignerError, match="too small for AWS KMS"):
            signer.sign(b"")
    assert len(kms.web.requests) == seen


AWAY = {"ThrottlingException", "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException"}


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (400, "AccessDeniedException", "kms:GetPublicKey and kms:Sign"),
        (400, "ThrottlingException", "Too many requests"),
        (400, "DisabledException", "enable-key"),
        (400, "NotFoundException", "region"),
        (400, "KMSInvalidStateException", "state of the key"),
        (400, "ExpiredTokenException", "credentials"),
        (400, "UnrecognizedClientException", "credentials"),
        (500, "KMSInternalException", "repeat later"),
        (503, "DependencyTimeoutException", "repeat later"),
        (500, "KeyUnavailableException", "repeat later"),
        (400, "SomethingNewException", "CloudTrail"),
    ],
)
def test_a_refusal_by_kms_is_named_with_what_to_do_and_without_its_text(kms, status, code, hint):
    with closing(open_signer(URI)) as signer:
        kms.fault = (status, code)
        with pytest.raises(SignerError, match=f"AWS KMS refused: {code}. Nothing was signed.") as refusal:
            signer.sign(b"m")
        assert hint in refusal.value.hint
        assert isinstance(refusal.value, KeeperAwayError) == (code in AWAY)
        assert SECRET_KEY not in str(refusal.value)
        kms.fault = None
        assert check_signature(signer.sign(b"m"), b"m", signer.public)
    kms.fault = (status, code)
    refused(URI, f"AWS KMS refused: {code}")


def test_a_key_that_is_disabled_or_not_there_is_refused_by_kms_itself(kms):
    kms.keys["key-alice"].enabled = False
    refused(URI, "AWS KMS refused: DisabledException")
    refused(f"awskms:alias/other?region={REGION}", "AWS KMS refused: NotFoundException")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": "ECC_NIST_P256", "algorithms": ("ECDSA_SHA_256",)}, "got ECC_NIST_P256 with SIGN_VERIFY"),
        ({"usage": "ENCRYPT_DECRYPT"}, "got ECC_NIST_EDWARDS25519 with ENCRYPT_DECRYPT"),
        ({"algorithms": ("ED25519_PH_SHA_512",)}, "is not a key that can sign here"),
    ],
)
def test_a_key_of_another_kind_is_refused(kms, people, change, said):
    kms.keys["key-alice"] = KmsKey(people.seed("alice"), **change)
    assert said in str(refused(URI, "is not a key that can sign here: expected ECC_NIST_EDWARDS25519"))


def test_a_signature_by_another_key_is_refused(kms, people):
    kms.changed_signature = people.signer("bob").sign(b"m")
    with pytest.raises(SignerError, match="not the pair it claims to be"):
        open_signer(URI)


def test_credentials_that_are_wrong_or_missing_are_named_as_the_cause(kms, monkeypatch):
    with monkeypatch.context() as wrong:
        wrong.setenv("AWS_SECRET_ACCESS_KEY", "canary-other-secret")
        error = refused(URI, "AWS KMS refused: InvalidSignatureException")
        assert "canary" not in str(error)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    assert "credentials" in refused(URI, "AWS KMS gave no answer: NoCredentialsError").hint


def test_a_region_that_cannot_be_reached_is_refused_after_two_tries(kms):
    kms.web.stop()
    assert isinstance(refused(URI, "AWS KMS gave no answer: EndpointConnectionError"), KeeperAwayError)
