"""
Certificates as bare DER, and the pin of each (spec section 1).

They are put together here byte by byte, with a signature of zeros: a pin does not depend on the signature, and no
certificate library would write most of them.
"""

from base64 import b64encode
from hashlib import sha256

from tests.vectors.sources.author import (
    Json,
)

SEQUENCE, SET, INTEGER, BITS, NULL, OID = 0x30, 0x31, 0x02, 0x03, 0x05, 0x06


def der(tag: int, *parts: bytes) -> bytes:
    """Return one element with a minimal definite length."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    length = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def oid(text: str) -> bytes:
    """Return an object identifier."""
    first, second, *rest = map(int, text.split("."))
    body = b""
    for arc in (first * 40 + second, *rest):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        body += bytes(reversed(octets))
    return der(OID, body)


def integer(value: int) -> bytes:
    """Return a positive INTEGER."""
    return der(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def bits(body: bytes) -> bytes:
    """Return a BIT STRING without unused bits."""
    return der(BITS, b"\0", body)


def spki(algorithm: bytes, key: bytes) -> bytes:
    """Return a SubjectPublicKeyInfo."""
    return der(SEQUENCE, algorithm, bits(key))


# P-256, SEC 2 section 2.4.2; the base point stands for somebody's key.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GX = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
GY = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _octets(value: int) -> bytes:
    return value.to_bytes(32, "big")


LONG_POINT, SHORT_POINT = b"\x04" + _octets(GX) + _octets(GY), bytes([2 + GY % 2]) + _octets(GX)
EXPLICIT = der(
    SEQUENCE,
    integer(1),
    der(SEQUENCE, oid("1.2.840.10045.1.1"), integer(P)),
    der(SEQUENCE, der(0x04, _octets(P - 3)), der(0x04, _octets(B))),
    der(0x04, LONG_POINT),
    integer(N),
    integer(1),
)
# A modulus need not be a product of primes to be hashed.
MODULUS = int.from_bytes(b"".join(sha256(bytes([n])).digest() for n in range(8)), "big") | 1 << 2047 | 1
RSA_KEY = der(SEQUENCE, integer(MODULUS), integer(65537))
EC, RSA, PSS = oid("1.2.840.10045.2.1"), oid("1.2.840.113549.1.1.1"), oid("1.2.840.113549.1.1.10")
SHA256 = der(SEQUENCE, oid("2.16.840.1.101.3.4.2.1"), der(NULL))
PSS_PARAMETERS = der(
    SEQUENCE,
    der(0xA0, SHA256),
    der(0xA1, der(SEQUENCE, oid("1.2.840.113549.1.1.8"), SHA256)),
    der(0xA2, integer(32)),
)

KEYS = {
    "RSA": spki(der(SEQUENCE, RSA, der(NULL)), RSA_KEY),
    "RSA without the NULL that RFC 3279 demands": spki(der(SEQUENCE, RSA), RSA_KEY),
    "RSA-PSS with parameters": spki(der(SEQUENCE, PSS, PSS_PARAMETERS), RSA_KEY),
    "RSA-PSS without parameters": spki(der(SEQUENCE, PSS), RSA_KEY),
    "P-256": spki(der(SEQUENCE, EC, oid("1.2.840.10045.3.1.7")), LONG_POINT),
    "P-256, compressed": spki(der(SEQUENCE, EC, oid("1.2.840.10045.3.1.7")), SHORT_POINT),
    "P-256 by explicit parameters": spki(der(SEQUENCE, EC, EXPLICIT), LONG_POINT),
    "Ed25519": spki(der(SEQUENCE, oid("1.3.101.112")), bytes(range(32))),
    "an algorithm that nobody knows": spki(der(SEQUENCE, oid("1.3.6.1.4.1.32473.1")), b"key"),
    "SM2": spki(der(SEQUENCE, EC, oid("1.2.156.10197.1.301")), LONG_POINT),
    "a key of 70,000 bytes": spki(der(SEQUENCE, oid("1.3.6.1.4.1.32473.2")), bytes(70_000)),
    "an empty key": der(SEQUENCE),
}

ALGORITHM = der(SEQUENCE, oid("1.2.840.10045.4.3.2"))
SIGNATURE = bits(bytes(64))


def _name(text: str) -> bytes:
    return der(SEQUENCE, der(SET, der(SEQUENCE, oid("2.5.4.3"), der(0x0C, text.encode()))))


VALIDITY = der(SEQUENCE, der(0x17, b"260101000000Z"), der(0x17, b"270101000000Z"))
VERSION, SERIAL = der(0xA0, integer(2)), integer(0x1234567890)
ISSUER, SUBJECT = _name("Vectors CA"), _name("api.example.com")
EXTENSIONS = der(0xA3, der(SEQUENCE, der(SEQUENCE, oid("2.5.29.19"), der(0x04, der(SEQUENCE)))))
P256 = KEYS["P-256"]
PARTS = (VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, P256, EXTENSIONS)


def certificate(*parts: bytes) -> bytes:
    """Return a certificate whose signed part has *parts*."""
    return der(SEQUENCE, der(SEQUENCE, *parts), ALGORITHM, SIGNATURE)


def _with(index: int, part: bytes) -> bytes:
    return certificate(*(part if index == number else own for number, own in enumerate(PARTS)))


GOOD = certificate(*PARTS)
_INNER = der(SEQUENCE, *PARTS)
_REST = _INNER + ALGORITHM + SIGNATURE


def _lengthened(body: bytes, length: bytes, tag: int = SEQUENCE) -> bytes:
    """Return an element whose length is spelt *length*, whatever it says."""
    return bytes([tag]) + length + body


ACCEPTED = [
    *((f"{name}", _with(6, key), key) for name, key in KEYS.items()),
    ("version 1, which has no version member", certificate(*PARTS[1:7]), P256),
    ("version 2, with unique identifiers behind the key",
     certificate(der(0xA0, integer(1)), *PARTS[1:7], der(0x81, b"\0i"), der(0x82, b"\0s")), P256),
    ("without extensions", certificate(*PARTS[:7]), P256),
    ("an empty subject", _with(5, der(SEQUENCE)), P256),
    ("a serial number of 20 bytes", _with(1, der(INTEGER, b"\x7f" * 20)), P256),
    ("a negative serial number", _with(1, der(INTEGER, b"\xff")), P256),
    ("a subject of 127 bytes, the longest short length", _with(5, der(SEQUENCE, bytes(127))), P256),
    ("a subject of 128 bytes, the shortest long length", _with(5, der(SEQUENCE, bytes(128))), P256),
    ("an empty key as the last element", certificate(*PARTS[:6], der(SEQUENCE)), der(SEQUENCE)),
    ("names of 300 bytes, so that lengths take three bytes", _with(5, _name("a" * 300)), P256),
]  # fmt: skip

_SPOILED_LENGTHS = [
    ("an indefinite length", b"\x30\x80" + _REST + b"\0\0"),
    ("an indefinite length that would fit as 128", _with(5, b"\x30\x80" + bytes(128))),
    ("a length with a zero in front", _lengthened(_REST, b"\x83\0" + len(_REST).to_bytes(2, "big"))),
    ("a length of five bytes", _lengthened(_REST, b"\x85\0\0\0" + len(_REST).to_bytes(2, "big"))),
    ("a length of 127 bytes", b"\x30\xff" + _REST),
    ("a short length in the long form", _with(3, _lengthened(ISSUER[2:], bytes([0x81, len(ISSUER) - 2])))),
    ("a length of 0 in the long form", _with(3, b"\x30\x81\0")),
    ("a length that is cut off", b"\x30\x82\x01"),
    ("a length beyond the end", _lengthened(_REST, b"\x82" + (len(_REST) + 1).to_bytes(2, "big"))),
    ("a key that ends beyond its parent", certificate(*PARTS[:6], b"\x30\x7f" + P256[2:])),
    ("a subject that ends beyond its parent", certificate(*PARTS[:5], b"\x30\x7f" + SUBJECT[2:], P256)),
]
REFUSED = [
    ("nothing", b""),
    ("one byte", b"\x30"),
    ("an empty sequence", b"\x30\0"),
    ("PEM", b"-----BEGIN CERTIFICATE-----\n" + b64encode(GOOD) + b"\n-----END CERTIFICATE-----\n"),
    ("base64", b64encode(GOOD)),
    ("a byte behind the certificate", GOOD + b"\0"),
    ("two certificates", GOOD + GOOD),
    ("a certificate that lacks its last byte", GOOD[:-1]),
    ("a bare key", P256),
    ("a set instead of the outer sequence", b"\x31" + GOOD[1:]),
    ("a set instead of the inner sequence", der(SEQUENCE, der(SET, *PARTS), ALGORITHM, SIGNATURE)),
    ("no serial number", certificate(VERSION, *PARTS[2:])),
    ("text as serial number", _with(1, der(0x0C, b"1"))),
    ("no algorithm", certificate(*PARTS[:2], *PARTS[3:6], P256)),
    ("a set as algorithm", _with(2, der(SET))),
    ("a set as issuer", _with(3, der(SET))),
    ("a set as validity", _with(4, der(SET))),
    ("a set as subject", _with(5, der(SET))),
    ("a set as key", _with(6, b"\x31" + P256[1:])),
    ("no key, with extensions in its place", certificate(*PARTS[:6], EXTENSIONS)),
    ("nothing behind the subject", certificate(*PARTS[:6])),
    ("a version behind the serial number", certificate(SERIAL, VERSION, *PARTS[2:])),
    *_SPOILED_LENGTHS,
]


def _accepted(name: str, whole: bytes, key: bytes) -> Json:
    pin = b64encode(sha256(key).digest()).decode()
    return {"name": name, "der": _bytes(whole), "expect": {"result": "accept", "pin": pin, "spki_length": len(key)}}


def _refused(name: str, whole: bytes) -> Json:
    return {"name": name, "der": _bytes(whole), "expect": {"result": "refuse", "error": "MalformedError"}}


def _bytes(whole: bytes) -> Json:
    """Return *whole* in base64, a long run of zeros as a piece."""
    run = b"\0" * 60_000
    if run not in whole:
        return {"base64": b64encode(whole).decode()}
    start, end = whole.index(run), whole.rindex(run) + len(run)
    hexed: list[object] = [whole[:start].hex(), {"repeat": "00", "times": end - start}, whole[end:].hex()]
    return {"pieces": [{"hex": hexed}]}


def request(*parts: bytes) -> bytes:
    """Return a certificate request (RFC 2986) whose signed part has *parts*."""
    return der(SEQUENCE, der(SEQUENCE, *parts), ALGORITHM, SIGNATURE)


_ATTRIBUTES = der(0xA0)
REQUESTS = [
    *(_accepted(f"a request for {name}", request(integer(0), SUBJECT, key, _ATTRIBUTES), key)
      for name, key in KEYS.items() if len(key) < 1000),
    _accepted("a request without attributes", request(integer(0), SUBJECT, P256), P256),
    _refused("a certificate is not a request", GOOD),
    _refused("a request with a byte behind it", request(integer(0), SUBJECT, P256, _ATTRIBUTES) + b"\0"),
    _refused("a request without a version", request(SUBJECT, P256, _ATTRIBUTES)),
    _refused("a request with a set as subject", request(integer(0), der(SET), P256, _ATTRIBUTES)),
    _refused("a request with a set as key", request(integer(0), SUBJECT, b"\x31" + P256[1:], _ATTRIBUTES)),
    _refused("a request without a key", request(integer(0), SUBJECT)),
]  # fmt: skip

GROUPS = {
    "certificates": (
        "Certificates in DER and their pins (spec section 1). The signatures are zeros, on purpose.",
        {},
        [*(_accepted(*row) for row in ACCEPTED), *(_refused(*row) for row in REFUSED)],
    ),
    "certificate_requests": (
        "Certificate requests in DER and the pins that their keys would have (spec section 1).",
        {},
        REQUESTS,
    ),
}
