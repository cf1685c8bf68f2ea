"""What is signed, how keys are named, and which keys nobody may use (spec section 2, V1)."""

from hashlib import sha256

from tests.vectors.sources.author import (
    PINSET_TYPE,
    ROOT_TYPE,
    STRANGER,
    TIMESTAMP_TYPE,
    Json,
    b64,
)
from tests.vectors.sources.points import MIXED_ORDER, NOT_A_POINT, NOT_CANONICAL, SMALL_ORDER

SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


def _encoding(payload_type: str, payload: bytes, expect: str) -> Json:
    return {"type": payload_type, "payload": b64(payload), "expect": expect.encode("latin-1").hex()}


PAE = [
    _encoding(
        "http://example.com/HelloWorld", b"hello world", "DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    ),
    _encoding(ROOT_TYPE, b"{}", "DSSEv1 38 application/vnd.pinwarden.root.v1+json 2 {}"),
    _encoding(PINSET_TYPE, b"", "DSSEv1 40 application/vnd.pinwarden.pinset.v1+json 0 "),
    _encoding(TIMESTAMP_TYPE, b"\xc3\xa4", "DSSEv1 43 application/vnd.pinwarden.timestamp.v1+json 2 \xc3\xa4"),
    _encoding(PINSET_TYPE, b" 2 {}\n", "DSSEv1 40 application/vnd.pinwarden.pinset.v1+json 6  2 {}\n"),
    _encoding("", b"x" * 10, "DSSEv1 0  10 xxxxxxxxxx"),
]

# RFC 8032 section 7.1, test 1; the keyid is `sha256` of its SPKI, as any shell computes it.
RFC8032 = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def _key(name: str, public: bytes, error: str | None = None, keyid: str | None = None, **marks: object) -> Json:
    own = sha256(SPKI_PREFIX + public).hexdigest()
    expect = {"result": "refuse", "error": error, "step": "V1"} if error else {"result": "accept"}
    return {"name": name, "public": public.hex(), "keyid": own if keyid is None else keyid, "expect": expect, **marks}


BAD = "SignatureError"
KEYS = [
    _key("a key and its keyid", RFC8032, keyid="06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9"),
    _key("another key and its keyid", STRANGER.public),
    _key("a keyid of another key", RFC8032, BAD, sha256(SPKI_PREFIX + STRANGER.public).hexdigest()),
    _key("a keyid in upper case", RFC8032, BAD, sha256(SPKI_PREFIX + RFC8032).hexdigest().upper()),
    _key("a keyid of the bare key", RFC8032, BAD, sha256(RFC8032).hexdigest()),
    _key("an empty keyid", RFC8032, BAD, ""),
    *(_key(f"a key of small order: {key.hex()}", key, BAD) for key in SMALL_ORDER),
    *(_key(f"a key that is not canonical: {key.hex()}", key, BAD) for key in NOT_CANONICAL),
    _key("a key that is not on the curve", NOT_A_POINT, BAD, prime_order_check_only=True),
    _key("a key with a part of small order", MIXED_ORDER, BAD, prime_order_check_only=True),
]

GROUPS = {
    "signed_bytes": ("The bytes that are signed, in hex (spec section 2).", {}, PAE),
    "keys": ("Keys, their names, and keys that nobody may use (spec V1).", {}, KEYS),
}
