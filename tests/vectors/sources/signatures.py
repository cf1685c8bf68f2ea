"""Which signatures count (spec V3)."""

from typing import Any

from tests.vectors.sources.author import (
    KEYS,
    LATER_KEYS,
    NEW_PINSET_KEY,
    NEW_TIMESTAMP_KEY,
    NOW,
    PINSET_KEY,
    PINSET_TYPE,
    ROOT_KEYS,
    STRANGER,
    TIMESTAMP_KEY,
    TIMESTAMP_TYPE,
    Json,
    b64,
    bundle,
    envelope,
    grant,
    pinset_payload,
    root_envelope,
    spell,
    timestamp_payload,
    timestamp_role,
)
from tests.vectors.sources.cases import (
    accept,
    case,
    embed,
    inputs,
    named,
    once,
    refuse,
)

PAYLOAD = spell(pinset_payload())
PINSET = envelope(PINSET_TYPE, PAYLOAD, PINSET_KEY)
TIMESTAMP = envelope(TIMESTAMP_TYPE, timestamp_payload(PAYLOAD), TIMESTAMP_KEY)
GOOD = PINSET["signatures"][0]
RAW = PINSET_KEY.envelope_signature(PINSET_TYPE, PAYLOAD).sig
ORDER = 2**252 + 27742317777372353535851937790883648493
BAD = "SignatureError"


def _signed(*entries: Json) -> str:
    return bundle(TIMESTAMP, {**PINSET, "signatures": list(entries)})


def _entry(keyid: str, sig: str | bytes) -> Json:
    return {"keyid": keyid, "sig": b64(sig) if isinstance(sig, bytes) else sig}


def _by(key: Any, payload_type: str = PINSET_TYPE, payload: bytes = PAYLOAD) -> Json:
    return _entry(key.keyid, key.envelope_signature(payload_type, payload).sig)


OWN = PINSET_KEY.keyid
LOOSE = GOOD["sig"][:-3] + chr(ord(GOOD["sig"][-3]) + 1) + "=="
BENT = RAW[:32] + (int.from_bytes(RAW[32:], "little") + ORDER).to_bytes(32, "little")
OTHER = spell(pinset_payload(issued="2026-01-01T00:00:01Z"))
UNTYPED = b"DSSEv1 %d %b %d %b" % (0, b"", len(PAYLOAD), PAYLOAD)

# A signature that cannot count, alone; beside a good one it does no harm.
USELESS = [
    ("a stranger's signature", _by(STRANGER)),
    ("a signature under a keyid that the role does not name", _entry(STRANGER.keyid, RAW)),
    ("a signature by a key that the root lists for no role", _by(NEW_PINSET_KEY)),
    ("a signature by a root key", _by(ROOT_KEYS[0])),
    ("a signature by the timestamp key", _by(TIMESTAMP_KEY)),
]
# The same under the keyid of the role: beside it nothing else can carry that keyid.
WRONG = [
    ("no signature at all", []),
    ("another key's signature under the role's keyid", [_entry(OWN, STRANGER.sign(PAYLOAD))]),
    ("a signature over another payload", [_by(PINSET_KEY, payload=OTHER)]),
    ("a signature over the payload under another type", [_by(PINSET_KEY, TIMESTAMP_TYPE)]),
    ("a signature over the bare payload, without the DSSE encoding", [_entry(OWN, PINSET_KEY.sign(PAYLOAD))]),
    ("a signature over the base64 text of the payload",
     [_by(PINSET_KEY, payload=PINSET["payload"].encode())]),
    ("a signature over an encoding without a type", [_entry(OWN, PINSET_KEY.sign(UNTYPED))]),
    ("a signature of 63 bytes", [_entry(OWN, RAW[:63])]),
    ("a signature with a byte behind it", [_entry(OWN, RAW + b"\0")]),
    ("a signature with the message behind it", [_entry(OWN, RAW + PAYLOAD[:8])]),
    ("an empty signature", [_entry(OWN, "")]),
    ("a signature whose S is not reduced", [_entry(OWN, BENT)]),
    ("a signature without padding", [_entry(OWN, GOOD["sig"].rstrip("="))]),
    ("a signature in URL-safe base64", [_entry(OWN, GOOD["sig"].replace("+", "-").replace("/", "_"))]),
    ("a signature in base64 with bits left over", [_entry(OWN, LOOSE)]),
    ("a signature in hex", [_entry(OWN, RAW.hex())]),
    ("a good signature under an upper-case keyid", [_entry(OWN.upper(), RAW)]),
    ("a good signature under the beginning of the keyid", [_entry(OWN[:16], RAW)]),
    ("a good signature without a name", [_entry("", RAW)]),
]  # fmt: skip
assert "/" in GOOD["sig"] or "+" in GOOD["sig"], "choose another seed: URL-safe base64 would spell the same"

SINGLE = [once(f"{name} does not count", "V3", _signed(*entries), BAD) for name, entries in WRONG] + [
    once(f"{name} does not count, and does no harm beside a good one", "V3", _signed(entry, GOOD))
    for name, entry in USELESS
]
ALONE = [once(f"{name} does not count alone", "V3", _signed(entry), BAD) for name, entry in USELESS]

_ONE = root_envelope(keys=KEYS | LATER_KEYS)
_TWO = root_envelope(
    roles={
        "timestamp": timestamp_role(TIMESTAMP_KEY, NEW_TIMESTAMP_KEY, STRANGER, threshold=2),
        "pinset": [grant(PINSET_KEY, NEW_PINSET_KEY, threshold=2)],
    },
    keys={
        key.keyid: {"scheme": "ed25519", "public": b64(key.public)}
        for key in (*ROOT_KEYS, TIMESTAMP_KEY, NEW_TIMESTAMP_KEY, PINSET_KEY, NEW_PINSET_KEY, STRANGER)
    },
)
_STAMP = spell(timestamp_payload(PAYLOAD))
_BOTH = envelope(PINSET_TYPE, PAYLOAD, PINSET_KEY, NEW_PINSET_KEY)


def _stamps(*entries: Json) -> str:
    return bundle({**TIMESTAMP, "signatures": list(entries)}, _BOTH)


_A, _B, _C = (_by(key, TIMESTAMP_TYPE, _STAMP) for key in (TIMESTAMP_KEY, NEW_TIMESTAMP_KEY, STRANGER))


def _threshold(name: str, what: str, error: str | None = None) -> Json:
    event = refuse(what, error, "V3") if error else accept(what)
    return case(name, "V3", embed(named("root of two")), event)


THRESHOLDS = [
    _threshold("two of three signatures meet a threshold of two", _stamps(_A, _B)),
    _threshold("any two of three will do, in any order", _stamps(_C, _A)),
    _threshold("three of three meet a threshold of two", _stamps(_A, _B, _C)),
    _threshold("one of three does not meet a threshold of two", _stamps(_A), BAD),
    _threshold("a good one and a wrong one do not meet a threshold of two", _stamps(_A, {**_B, "sig": _A["sig"]}), BAD),
    _threshold("one key under two keyids is one signature", _stamps(_A, {**_A, "keyid": _A["keyid"].upper()}), BAD),
    _threshold("a repeated signature does not meet a threshold of two", _stamps(_A, _A), BAD),
    _threshold("a threshold of two holds for pin sets too", bundle({**TIMESTAMP, "signatures": [_A, _B]}, PINSET), BAD),
]

TIMESTAMPS = [
    once("a timestamp needs a signature", "V3", bundle({**TIMESTAMP, "signatures": []}, PINSET), BAD),
    once("the pin set key cannot sign timestamps", "V3",
         bundle(envelope(TIMESTAMP_TYPE, _STAMP, PINSET_KEY), PINSET), BAD),
    once("a timestamp that was changed after signing is refused", "V3",
         bundle({**TIMESTAMP, "payload": b64(_STAMP.replace(NOW[:10].encode(), b"2026-01-02"))}, PINSET), BAD),
    once("signatures are judged before a payload is read", "V3",
         bundle(envelope(TIMESTAMP_TYPE, b"not JSON", STRANGER), PINSET), BAD),
    once("signatures of a pin set are judged before its payload is read", "V3",
         bundle(TIMESTAMP, envelope(PINSET_TYPE, b"not JSON", STRANGER)), BAD),
]  # fmt: skip

GROUPS = {
    "signatures": (
        "Which signatures count (spec V3). The pin set is what is signed, unless a name says otherwise.",
        inputs(**{"root 1": spell(_ONE).decode(), "root of two": spell(_TWO).decode()}),
        [*SINGLE, *ALONE, *TIMESTAMPS, *THRESHOLDS],
    )
}
