"""
The pin of a certificate: SHA-256 over its SubjectPublicKeyInfo exactly as it stands there (RFC 7469 section 2.4).

It imports nothing but ``errors``. It never re-encodes: for explicit EC parameters, compressed points, RSA-PSS and RSA
without NULL a re-encoded key hashes differently from what every other pinning implementation computes.
"""

from functools import lru_cache
from hashlib import sha256

from pinwarden.errors import MalformedError

_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0


@lru_cache(maxsize=512)
def pin_of(certificate: bytes) -> bytes:
    """
    Return the 32-byte pin of a DER certificate; see :func:`spki_of` for what is checked.

    Raises:
        MalformedError: not one DER X.509 certificate.
    """
    return sha256(spki_of(certificate)).digest()


def spki_of(certificate: bytes) -> bytes:
    """
    Return the SubjectPublicKeyInfo of a DER X.509 certificate (RFC 5280 section 4.1) as a slice of its bytes.

    Signature, validity, names and the key itself are not judged: chain validation did that, or nothing did.

    Raises:
        MalformedError: indefinite or non-minimal lengths, trailing bytes, or another structure.
    """
    start, end = _enter(certificate, 0, len(certificate), _SEQUENCE)
    if end != len(certificate):
        raise MalformedError("certificate is followed by other bytes", got=f"{len(certificate) - end} bytes")
    position, end = _enter(certificate, start, end, _SEQUENCE)
    if certificate[position : position + 1] == bytes([_VERSION]):  # absent in version 1 certificates
        position = _enter(certificate, position, end, _VERSION)[1]
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE):  # serial, algorithm, issuer, validity, subject
        position = _enter(certificate, position, end, tag)[1]
    return certificate[position : _enter(certificate, position, end, _SEQUENCE)[1]]


def spki_of_request(request: bytes) -> bytes:
    """
    Return the SubjectPublicKeyInfo of a DER certificate request (RFC 2986), as a slice; its signature is not checked.

    Raises:
        MalformedError: as for :func:`spki_of`.
    """
    start, end = _enter(request, 0, len(request), _SEQUENCE)
    if end != len(request):
        raise MalformedError("certificate request is followed by other bytes", got=f"{len(request) - end} bytes")
    position, end = _enter(request, start, end, _SEQUENCE)
    for tag in (_INTEGER, _SEQUENCE):  # version, subject
        position = _enter(request, position, end, tag)[1]
    return request[position : _enter(request, position, end, _SEQUENCE)[1]]


def _enter(der: bytes, position: int, limit: int, tag: int) -> tuple[int, int]:
    """Return where the contents of the element at *position* start and end; DER lengths only (X.690 section 10.1)."""
    if position + 2 > limit or der[position] != tag:
        raise MalformedError(f"not a certificate: no element of tag 0x{tag:02x} at byte {position}")
    length, start = der[position + 1], position + 2
    if length >= 0x80:
        size = length & 0x7F
        octets = der[start : start + size]
        if not 1 <= size <= 4 or len(octets) != size:
            raise MalformedError(f"not a certificate: no definite length at byte {position + 1}")
        length, start = int.from_bytes(octets, "big"), start + size
        if length < 0x80 or octets[0] == 0:
            raise MalformedError(f"not a certificate: length at byte {position + 1} is not minimal")
    if start + length > limit:
        raise MalformedError(f"not a certificate: the element at byte {position} ends beyond its parent")
    return start, start + length
