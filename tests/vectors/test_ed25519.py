"""Public Ed25519 vectors against the client's verifier and against the signers' second one (spec V1, V3, S2)."""

import json
from pathlib import Path
from typing import Any

import pytest

from pinwarden.envelope import check_public_key, is_signature, keyid_of
from pinwarden.errors import SignatureError
from pinwarden_keys.errors import SignerError
from pinwarden_keys.second_verifier import check_signature

HERE = Path(__file__).parent / "ed25519"


def read(name: str) -> Any:
    """Return the content of one file."""
    return json.loads((HERE / f"{name}.json").read_text("utf-8"))


SIGNATURES = [
    pytest.param(bytes.fromhex(group["publicKey"]["pk"]), test, id=f"wycheproof-{test['tcId']}")
    for group in read("wycheproof")["testGroups"]
    for test in group["tests"]
]
ODD = [
    pytest.param({**case, **verdict}, id=f"speccheck-{number}")
    for number, (case, verdict) in enumerate(zip(read("speccheck"), read("verdicts"), strict=True))
]


def is_usable(public: bytes) -> bool:
    """Tell whether a root may hold this key."""
    try:
        return check_public_key(public, keyid=keyid_of(public)) == public
    except SignatureError as error:
        assert error.step == "V1"  # noqa: PT017
        return False


def refusers(signature: bytes, message: bytes, public: bytes) -> str | None:
    """Return who refuses a signature before it is published, or None when both libraries accept it."""
    try:
        check_signature(signature, message, public)
    except SignerError as error:
        return str(error.got).removeprefix("refusal by ")
    return None


@pytest.mark.parametrize(("public", "test"), SIGNATURES)
def test_exactly_the_valid_signatures_of_wycheproof_are_accepted(public: bytes, test: dict[str, Any]) -> None:
    signature, message, valid = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"]), test["result"] == "valid"
    assert valid == is_signature(signature, message, public)
    assert (None if valid else "libsodium and OpenSSL") == refusers(signature, message, public)


def test_every_key_of_wycheproof_may_be_used() -> None:
    keys = [bytes.fromhex(group["publicKey"]["pk"]) for group in read("wycheproof")["testGroups"]]
    assert [True] * len(keys) == [is_usable(key) for key in keys]


@pytest.mark.parametrize("encoding", read("small_order_encodings"))
def test_no_key_of_small_order_may_be_used(encoding: str) -> None:
    assert not is_usable(bytes.fromhex(encoding))


@pytest.mark.parametrize("case", ODD)
def test_odd_signatures_are_judged_as_the_table_says(case: dict[str, Any]) -> None:
    signature, message, public = (bytes.fromhex(case[name]) for name in ("signature", "message", "pub_key"))
    refusing = [name for name in ("libsodium", "OpenSSL") if not case[name.lower()]]
    assert case["libsodium"] == is_signature(signature, message, public)
    assert (" and ".join(refusing) or None) == refusers(signature, message, public)
    assert case["usable_key"] == is_usable(public)


def test_two_libraries_never_differ_about_a_key_that_a_root_may_hold() -> None:
    differing = [row for row in read("verdicts") if row["usable_key"] and row["libsodium"] != row["openssl"]]
    assert (differing, len(read("verdicts"))) == ([], 12)


def test_a_signature_of_another_length_is_none() -> None:
    public, test = SIGNATURES[0].values
    signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
    assert [is_signature(other, message, public) for other in (b"", signature[:63], signature + b"\0", signature)] == [
        False,
        False,
        False,
        True,
    ]


def test_a_signature_is_not_found_where_the_message_begins() -> None:
    # libsodium reads signature and message as one string; only the length of the signature keeps them apart.
    public, test = SIGNATURES[1].values
    signature, message = bytes.fromhex(test["sig"]), bytes.fromhex(test["msg"])
    assert message != b""
    assert is_signature(signature, message, public)
    assert not is_signature(signature + message[:1], message[1:], public)
    assert not is_signature(signature[:-1], signature[-1:] + message, public)
