"""The DER walk: the pin that every other implementation computes, and nothing but MalformedError on anything else."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from pinwarden.errors import MalformedError
from pinwarden.spki import pin_of, spki_of, spki_of_request

# Keys are made once: RSA takes its time, and it is the frame around the key that the examples vary.
KEYS: dict[str, Any] = {
    "P-256": ec.derive_private_key(2**200 + 1, ec.SECP256R1()),
    "P-384": ec.derive_private_key(2**200 + 1, ec.SECP384R1()),
    "P-521": ec.derive_private_key(2**200 + 1, ec.SECP521R1()),
    "RSA 2048": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
    "Ed448": ed448.Ed448PrivateKey.from_private_bytes(bytes(57)),
}


def certificate(
    kind: str = "P-256", *, subject: str = "a", issuer: str = "b", serial: int = 1, names: int = 0
) -> bytes:
    key = KEYS[kind]
    builder = x509.CertificateBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)] * 3),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]),
        key.public_key(),
        serial,
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2070, 1, 1, tzinfo=UTC),  # a GeneralizedTime, where the other end is a UTCTime
    )
    if names:
        san = x509.SubjectAlternativeName([x509.DNSName(f"{n}.example") for n in range(names)])
        builder = builder.add_extension(san, critical=False)
    digest = None if kind.startswith("Ed") else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.DER)


def expected_spki(kind: str) -> bytes:
    return (
        KEYS[kind]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@given(
    kind=st.sampled_from(list(KEYS)),
    subject=st.text(st.sampled_from("aé☃"), min_size=1, max_size=20),
    issuer=st.text(st.sampled_from("bß"), min_size=1, max_size=20),
    serial=st.integers(1, 2**159 - 1),
    names=st.sampled_from([0, 1, 9, 200]),
)
def test_the_walk_finds_the_key_that_cryptography_finds(kind: str, **shape: Any) -> None:
    der = certificate(kind, **shape)
    parsed = x509.load_der_x509_certificate(der)
    reencoded = parsed.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert spki_of(der) == reencoded
    assert pin_of(der) == sha256(reencoded).digest()


@pytest.mark.parametrize("kind", list(KEYS))
def test_a_certificate_request_gives_the_same_key_as_the_certificate(kind: str) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    digest = None if kind.startswith("Ed") else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder(name).sign(KEYS[kind], digest)
    der = request.public_bytes(serialization.Encoding.DER)
    assert spki_of_request(der) == spki_of(certificate(kind)) == expected_spki(kind)


def test_a_version_1_certificate_has_no_version_field() -> None:
    der = certificate("RSA 2048")  # long enough for two octets of length in both frames
    version = bytes.fromhex("a003020102")
    at = der.index(version)
    body_length, inner = int.from_bytes(der[2:4], "big") - 5, int.from_bytes(der[6:8], "big") - 5
    v1 = (
        b"\x30\x82"
        + body_length.to_bytes(2, "big")
        + b"\x30\x82"
        + inner.to_bytes(2, "big")
        + der[8:at]
        + der[at + 5 :]
    )
    assert spki_of(v1) == expected_spki("RSA 2048")


def wrapped(tag: int, length: bytes, body: bytes = b"") -> bytes:
    return bytes([tag]) + length + body


SERIAL, NULLS = b"\x02\x01\x01", b"\x30\x00" * 4
KEY = b"\x30\x03\x01\x01\x00"
BODY = SERIAL + NULLS + KEY


def der_length(size: int) -> bytes:
    return bytes([size]) if size < 0x80 else b"\x81" + bytes([size])


def small(body: bytes = BODY) -> bytes:
    """The smallest thing that the walk takes for a certificate, around *body*."""
    inner = wrapped(0x30, der_length(len(body)), body)
    return wrapped(0x30, der_length(len(inner)), inner)


LONG = small(SERIAL + NULLS + b"\x30\x81\x82" + bytes(130))


def test_a_certificate_with_lengths_of_two_octets_gives_its_key() -> None:
    assert LONG[:2] == b"\x30\x81"
    assert spki_of(LONG) == b"\x30\x81\x82" + bytes(130)


def test_the_smallest_certificate_gives_its_key_with_its_header() -> None:
    assert spki_of(small()) == KEY


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30", id="half a header"),
        pytest.param(small() + b"\x00", id="a byte behind it"),
        pytest.param(small()[:-1], id="a byte short"),
        pytest.param(b"\x31" + small()[1:], id="another outer tag"),
        pytest.param(small(b"\x04" + BODY[1:]), id="a serial number of another type"),
        pytest.param(small(SERIAL + b"\x31\x00" + NULLS[2:] + KEY), id="an algorithm of another type"),
        pytest.param(small(SERIAL + NULLS + b"\x31" + KEY[1:]), id="a key of another type"),
        pytest.param(small(SERIAL + NULLS), id="no key"),
        pytest.param(small(SERIAL + NULLS + b"\x30"), id="half the header of a key"),
        pytest.param(small(SERIAL + NULLS + b"\x30\x04\x01\x01\x00"), id="a key that ends beyond its parent"),
        pytest.param(wrapped(0x30, b"\x80", small()[2:] + b"\x00\x00"), id="an indefinite length"),
        pytest.param(
            wrapped(0x30, b"\x81" + bytes([len(small()) - 2]), small()[2:]), id="two octets of length for one"
        ),
        pytest.param(wrapped(0x30, b"\x82\x00" + LONG[2:3], LONG[3:]), id="a length with a leading zero"),
        pytest.param(wrapped(0x30, b"\x85\x00\x00\x00\x00\x10", bytes(16)), id="a length of five octets"),
        pytest.param(wrapped(0x30, b"\x85\x01\x00\x00\x00\x00", bytes(16)), id="a length beyond four gigabytes"),
        pytest.param(wrapped(0x30, b"\x84\xff\xff"), id="half a length"),
        pytest.param(wrapped(0x30, b"\x84\xff\xff\xff\xff", bytes(16)), id="a length far beyond the end"),
    ],
)
def test_what_is_not_a_certificate_is_refused(refuses: Any, der: bytes) -> None:
    with refuses(MalformedError, None):
        spki_of(der)


@pytest.mark.parametrize("length", [b"\x80", b"\x85\x00\x00\x00\x00\x10", b"\x85\x01\x00\x00\x00\x00", b"\x84\xff\xff"])
def test_a_length_that_der_does_not_have_is_told_as_what_it_is(refuses: Any, length: bytes) -> None:
    body = b"" if length.startswith(b"\x84") else bytes(16)
    with refuses(MalformedError, None) as refusal:
        spki_of(wrapped(0x30, length, body))
    assert refusal.error.what == "not a certificate: no definite length at byte 1"


SUBJECT = b"\x30\x00"


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(small(SERIAL + SUBJECT + KEY) + b"\x00", id="a byte behind it"),
        pytest.param(small(SERIAL + SUBJECT + KEY)[:-1], id="a byte short"),
        pytest.param(small(b"\x04" + SERIAL[1:] + SUBJECT + KEY), id="a version of another type"),
        pytest.param(small(SERIAL + b"\x31\x00" + KEY), id="a subject of another type"),
        pytest.param(small(SERIAL + SUBJECT + b"\x31" + KEY[1:]), id="a key of another type"),
        pytest.param(small(SERIAL + SUBJECT), id="no key"),
    ],
)
def test_what_is_not_a_certificate_request_is_refused(refuses: Any, der: bytes) -> None:
    assert spki_of_request(small(SERIAL + SUBJECT + KEY)) == KEY
    with refuses(MalformedError, None):
        spki_of_request(der)


def test_an_element_may_not_reach_into_what_follows_its_parent(refuses: Any) -> None:
    # The signature algorithm and the signature follow the signed part: an overlong key would swallow them.
    inner = wrapped(0x30, bytes([len(BODY)]), SERIAL + NULLS + b"\x30\x05\x01\x01\x00")
    outer = wrapped(0x30, bytes([len(inner) + 4]), inner + b"\x30\x00\x03\x00")
    with refuses(MalformedError, None) as refusal:
        spki_of(outer)
    assert "ends beyond its parent" in refusal.error.what


SAMPLES = [small(), certificate("Ed25519"), certificate("Ed448", names=9)]  # these are the same in every run
CHANGES = st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.binary(max_size=4))


@given(st.sampled_from(SAMPLES), st.lists(CHANGES, min_size=1, max_size=3), st.booleans())
def test_a_damaged_certificate_is_refused_or_still_holds_a_whole_element(
    der: bytes, changes: list[tuple[int, int, bytes]], near: bool
) -> None:
    damaged = bytearray(der)
    for place, removed, added in changes:
        at = place % (40 if near else len(damaged) + 1)
        damaged[at : at + removed] = added
    try:
        found = spki_of(bytes(damaged))
    except MalformedError:
        return
    assert found[0] == 0x30
    assert found in bytes(damaged)
