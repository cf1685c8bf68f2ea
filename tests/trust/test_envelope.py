"""Envelopes: who signed, counted by distinct keys, before anything inside is believed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pinwarden.documents import Role
from pinwarden.envelope import (
    CHECKPOINT_TYPE,
    ENVELOPE_LIMITS,
    MAX_SIGNATURES,
    PAYLOAD_LIMITS,
    PINSET_TYPE,
    ROOT_TYPE,
    TIMESTAMP_TYPE,
    Envelope,
    Signature,
    check_public_key,
    is_signature,
    keyid_of,
    pae,
)
from pinwarden.errors import MalformedError, SignatureError
from pinwarden.strict_json import encode_base64
from pinwarden.testing import ThrowawayKey, sign

ALICE, BOB, CAROL, MALLORY = (ThrowawayKey(name) for name in ("alice", "bob", "carol", "mallory"))
PAYLOAD = b'{"a":1}'
ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19


def role(threshold: int, *keys: ThrowawayKey) -> Role:
    return Role(tuple(key.keyid for key in keys), threshold, {key.keyid: key.public for key in keys})


def signed(*keys: ThrowawayKey, payload: bytes = PAYLOAD, payload_type: str = PINSET_TYPE) -> Envelope:
    return sign(payload_type, payload, keys)


def body(envelope: Envelope | None = None, **changes: Any) -> dict[str, Any]:
    return {**(envelope or signed(ALICE)).to_json(), **changes}


def parse(value: Any, expect: str = PINSET_TYPE) -> Envelope:
    return Envelope.parse(json.dumps(value).encode(), expect=expect)


def test_the_signed_bytes_are_those_of_dsse_with_lengths_in_bytes() -> None:
    assert pae("application/example", "é".encode()) == b"DSSEv1 19 application/example 2 \xc3\xa9"


def test_what_was_signed_comes_out_and_an_envelope_comes_back_as_it_went() -> None:
    envelope = signed(ALICE, BOB)
    assert Envelope.parse(envelope.to_bytes(), expect=PINSET_TYPE) == envelope
    assert envelope.verified_by(role(2, ALICE, BOB)) == PAYLOAD


@pytest.mark.parametrize(
    ("envelope", "signers"),
    [
        pytest.param(replace(signed(ALICE), signatures=()), role(1, ALICE), id="signatures stripped"),
        pytest.param(signed(MALLORY), role(1, ALICE), id="a stranger's signature"),
        pytest.param(replace(signed(ALICE), payload=b'{"a":2}'), role(1, ALICE), id="another payload"),
        pytest.param(replace(signed(ALICE), payload_type=ROOT_TYPE), role(1, ALICE), id="another type"),
        pytest.param(signed(ALICE), role(2, ALICE, BOB), id="one of two"),
        pytest.param(signed(ALICE, MALLORY, CAROL), role(2, ALICE, BOB), id="one of two, among strangers"),
        pytest.param(signed(ALICE, BOB), role(3, ALICE, BOB, CAROL), id="two of three"),
    ],
)
def test_too_few_good_signatures_are_refused(refuses: Any, envelope: Envelope, signers: Role) -> None:
    with refuses(SignatureError, "V3"):
        envelope.verified_by(signers)


def test_a_keyid_in_front_of_another_keys_signature_does_not_count(refuses: Any) -> None:
    spoofed = Signature(ALICE.keyid, MALLORY.envelope_signature(PINSET_TYPE, PAYLOAD).sig)
    swapped = [
        Signature(ALICE.keyid, BOB.envelope_signature(PINSET_TYPE, PAYLOAD).sig),
        Signature(BOB.keyid, ALICE.envelope_signature(PINSET_TYPE, PAYLOAD).sig),
    ]
    for signatures in ([spoofed], swapped):
        with refuses(SignatureError, "V3"):
            Envelope.of(PINSET_TYPE, PAYLOAD, signatures).verified_by(role(1, ALICE, BOB))


@pytest.mark.parametrize("change", [str.upper, lambda keyid: keyid[:-1], lambda keyid: f" {keyid}", lambda _: ""])
def test_a_keyid_is_matched_exactly(refuses: Any, change: Any) -> None:
    entry = ALICE.envelope_signature(PINSET_TYPE, PAYLOAD)
    with refuses(SignatureError, "V3"):
        Envelope.of(PINSET_TYPE, PAYLOAD, [replace(entry, keyid=change(ALICE.keyid))]).verified_by(role(1, ALICE))


def test_two_names_of_one_key_count_once(refuses: Any) -> None:
    entry = ALICE.envelope_signature(PINSET_TYPE, PAYLOAD)
    doubled = Role((ALICE.keyid, "other"), 2, {ALICE.keyid: ALICE.public, "other": ALICE.public})
    with refuses(SignatureError, "V3") as refusal:
        Envelope.of(PINSET_TYPE, PAYLOAD, [entry, replace(entry, keyid="other")]).verified_by(doubled)
    assert refusal.error.got == "1 (of 2 signatures present)"


def test_two_signatures_of_one_keyid_are_refused_even_when_the_threshold_is_met(refuses: Any) -> None:
    envelope = signed(ALICE, BOB)
    again = replace(envelope, signatures=(*envelope.signatures, envelope.signatures[0]))
    empty = replace(envelope, signatures=(*envelope.signatures, Signature(ALICE.keyid, b"")))
    for value in (again, empty):
        with refuses(SignatureError, "V3") as refusal:
            parse(value.to_json())
        assert refusal.error.what == "two signatures carry the same keyid"


@pytest.mark.parametrize(
    "sig", ["", "AA==", "not base64", encode_base64(bytes(63)), encode_base64(bytes(65)), encode_base64(bytes(64))]
)
def test_an_entry_that_is_no_signature_is_skipped_and_spoils_nothing(sig: str) -> None:
    value = body(signed(ALICE))
    value["signatures"].insert(0, {"keyid": BOB.keyid, "sig": sig})
    assert parse(value).verified_by(role(1, ALICE, BOB)) == PAYLOAD


def test_a_second_spelling_of_a_signature_is_skipped(refuses: Any) -> None:
    value = body(signed(ALICE))
    text = value["signatures"][0]["sig"]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    value["signatures"][0]["sig"] = text[:-3] + letters[letters.index(text[-3]) + 1] + "=="
    with refuses(SignatureError, "V3"):
        parse(value).verified_by(role(1, ALICE))


def test_a_signature_with_a_larger_scalar_is_not_a_second_signature() -> None:
    sig = ALICE.sign(PAYLOAD)
    larger = (int.from_bytes(sig[32:], "little") + ORDER).to_bytes(32, "little")
    assert is_signature(sig, PAYLOAD, ALICE.public)
    assert not is_signature(sig[:32] + larger, PAYLOAD, ALICE.public)


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_none(length: int) -> None:
    # What is too long or too short would move the border between signature and message.
    message = b"message"
    together = ALICE.sign(message) + message
    assert not is_signature(together[:length], together[length:], ALICE.public)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(body(payloadType=ROOT_TYPE), id="a root in its place"),
        pytest.param(body(payloadType=TIMESTAMP_TYPE), id="a timestamp in its place"),
        pytest.param(body(payloadType=PINSET_TYPE.upper()), id="another case"),
        pytest.param(body(payloadType=PINSET_TYPE + " "), id="a space behind it"),
        pytest.param(body(payloadType=None), id="null"),
        pytest.param(body(payloadType=[PINSET_TYPE]), id="an array"),
        pytest.param(body(payloadType="x" * 100_000), id="a very long one"),
        pytest.param({"payload": "", "signatures": []}, id="none"),
    ],
)
def test_an_envelope_of_another_type_is_refused_before_its_signatures_are_read(refuses: Any, value: Any) -> None:
    with refuses(MalformedError, "P7"):
        parse({**value, "signatures": "not even an array"})


@pytest.mark.parametrize(
    ("value", "kind", "step"),
    [
        pytest.param(body(payload=None), MalformedError, "P4", id="no payload"),
        pytest.param(body(payload="e30"), MalformedError, "P5", id="a payload without padding"),
        pytest.param(body(payload="e31="), MalformedError, "P5", id="a payload in a second spelling"),
        pytest.param(body(signatures=None), MalformedError, "P4", id="no signatures"),
        pytest.param(body(signatures={}), MalformedError, "P4", id="signatures as an object"),
        pytest.param(body(signatures=["x"]), MalformedError, "P4", id="a signature as a string"),
        pytest.param(body(signatures=[{"keyid": "a"}]), MalformedError, "P4", id="a signature without bytes"),
        pytest.param(body(signatures=[{"sig": "AA=="}]), MalformedError, "P4", id="a signature without a keyid"),
        pytest.param(body(signatures=[{"keyid": 1, "sig": "AA=="}]), MalformedError, "P4", id="a keyid as a number"),
        pytest.param(body(signatures=[{"keyid": "a", "sig": None}]), MalformedError, "P4", id="a signature as null"),
        pytest.param(
            body(signatures=[{"keyid": "k" * 40_000, "sig": ""}] * 2), SignatureError, "V3", id="long equal keyids"
        ),
        pytest.param([], MalformedError, "P4", id="an array"),
    ],
)
def test_what_is_not_an_envelope_is_refused(refuses: Any, value: Any, kind: Any, step: str) -> None:
    with refuses(kind, step):
        parse(value)


@pytest.mark.parametrize("value", [None, [], "envelope", 1])
def test_what_stands_for_an_envelope_in_a_bundle_must_be_an_object(refuses: Any, value: Any) -> None:
    with refuses(MalformedError, "P4"):
        Envelope.from_json(value, expect=PINSET_TYPE)


def test_sixteen_signatures_are_read_and_seventeen_refused(refuses: Any) -> None:
    entries = [{"keyid": str(n), "sig": ""} for n in range(MAX_SIGNATURES + 1)]
    assert len(parse(body(signatures=entries[:16])).signatures) == 16
    with refuses(MalformedError, "V3"):
        parse(body(signatures=entries))


@pytest.mark.parametrize(
    ("payload_type", "limit"),
    [(ROOT_TYPE, 16 * 1024), (TIMESTAMP_TYPE, 4 * 1024), (CHECKPOINT_TYPE, 4 * 1024), (PINSET_TYPE, 1024 * 1024)],
)
def test_a_payload_is_refused_by_its_first_byte_too_many(refuses: Any, payload_type: str, limit: int) -> None:
    assert PAYLOAD_LIMITS[payload_type] == limit
    largest = Envelope.of(payload_type, bytes(limit), ())
    assert Envelope.parse(largest.to_bytes(), expect=payload_type) == largest
    with refuses(MalformedError, "P1"):
        parse(Envelope.of(payload_type, bytes(limit + 1), ()).to_json(), payload_type)


def test_the_largest_payload_with_the_most_signatures_fits_into_an_envelope() -> None:
    for payload_type, limit in PAYLOAD_LIMITS.items():
        signatures = [Signature(f"{n:064x}", bytes(64)) for n in range(MAX_SIGNATURES)]
        assert len(Envelope.of(payload_type, bytes(limit), signatures).to_bytes()) <= ENVELOPE_LIMITS[payload_type]


def test_an_envelope_is_refused_by_its_size_before_it_is_decoded(refuses: Any) -> None:
    for payload_type, limit in ENVELOPE_LIMITS.items():
        with refuses(MalformedError, "P1"):
            Envelope.parse(b"\xff" * (limit + 1), expect=payload_type)


def test_unknown_members_of_an_envelope_are_ignored() -> None:
    assert parse(body(later={"a": [1]})) == signed(ALICE)


def test_a_keyid_is_the_hash_of_the_whole_spki() -> None:
    # RFC 8032 section 7.1, test 1; the hash was computed with openssl.
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert keyid_of(public) == "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"


def test_a_key_under_another_keyid_is_refused(refuses: Any) -> None:
    assert check_public_key(ALICE.public, keyid=ALICE.keyid) == ALICE.public
    with refuses(SignatureError, "V1") as refusal:
        check_public_key(MALLORY.public, keyid=ALICE.keyid)
    assert refusal.error.what == "keyid does not belong to its key"


# The y coordinates of the 8 points of small order, canonical and not; each goes with either sign.
SMALL_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    *(y.to_bytes(32, "little") for y in (FIELD - 1, FIELD, FIELD + 1)),
]
UNUSABLE = {
    **{f"small order {y.hex()}": y for y in SMALL_ORDER},
    **{f"small order {y.hex()} negative": y[:31] + bytes([y[31] | 0x80]) for y in SMALL_ORDER},
    "not on the curve": bytes([2]) + bytes(31),
    "beyond the field": (FIELD + 3).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
}


@pytest.mark.parametrize("public", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_for_which_anyone_could_sign_is_refused(refuses: Any, public: bytes) -> None:
    with refuses(SignatureError, "V1") as refusal:
        check_public_key(public, keyid=keyid_of(public))
    assert refusal.error.what == "key is not a point of prime order"


def test_a_point_with_a_part_of_small_order_is_refused(refuses: Any) -> None:
    # Good keys plus the point of order two: (x, y) becomes (-x, -y). Some verifiers accept, others do not.
    y = int.from_bytes(ALICE.public, "little")
    shifted = (FIELD - (y & (2**255 - 1))) | ((y >> 255 ^ 1) << 255)
    public = shifted.to_bytes(32, "little")
    with refuses(SignatureError, "V1"):
        check_public_key(public, keyid=keyid_of(public))
