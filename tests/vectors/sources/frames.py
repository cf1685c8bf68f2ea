"""The form of bundles and envelopes, before any signature counts (spec P1 to P7)."""

import json
from typing import Any

from tests.vectors.sources.author import (
    ABSENT,
    PINSET_KEY,
    PINSET_TYPE,
    ROOT_TYPE,
    STRANGER,
    TIMESTAMP_KEY,
    TIMESTAMP_TYPE,
    Json,
    bundle,
    envelope,
    pinset_payload,
    root_envelope,
    spell,
    timestamp_payload,
)
from tests.vectors.sources.cases import (
    fragments,
    inputs,
    once,
)

PAYLOAD = spell(pinset_payload())
PINSET = envelope(PINSET_TYPE, PAYLOAD, PINSET_KEY)
STAMP = spell(timestamp_payload(PAYLOAD))
TIMESTAMP = envelope(TIMESTAMP_TYPE, STAMP, TIMESTAMP_KEY)
GOOD = bundle(TIMESTAMP, PINSET)
SIGNATURE = PINSET["signatures"][0]

PADDED = PAYLOAD + b" " * ((1 - len(PAYLOAD)) % 3)
PADDED_TEXT = envelope(PINSET_TYPE, PADDED, PINSET_KEY)["payload"]
LOOSE_TEXT = PADDED_TEXT[:-3] + chr(ord(PADDED_TEXT[-3]) + 1) + "=="


def _pinset(**changes: Any) -> str:
    return bundle(TIMESTAMP, {name: member for name, member in {**PINSET, **changes}.items() if member is not ABSENT})


def _signatures(*entries: object) -> str:
    return _pinset(signatures=list(entries))


def _spelt(payload: str) -> str:
    timestamp = envelope(TIMESTAMP_TYPE, timestamp_payload(PADDED), TIMESTAMP_KEY)
    return bundle(timestamp, {**envelope(PINSET_TYPE, PADDED, PINSET_KEY), "payload": payload})


def _strangers(number: int) -> list[Json]:
    return [{"keyid": f"{index:064x}", "sig": SIGNATURE["sig"]} for index in range(number)]


BAD = "MalformedError"
STRICT = {"strict_parser_only": True}

BUNDLES = [
    once("a bundle as the server sends it", "P8", GOOD),
    once("white space between the members changes nothing", "P8", json.dumps(json.loads(GOOD), indent=2)),
    once("members may come in any order", "P8", json.dumps(dict(reversed(json.loads(GOOD).items())))),
    once("an unknown member of a bundle is ignored", "P8", bundle(TIMESTAMP, PINSET, note=[1, {"a": None}])),
    once("an unknown member of an envelope is ignored", "P8", _pinset(note="later version")),
    once("an unknown member of a signature is ignored", "P8", _signatures({**SIGNATURE, "note": 1})),
    once("a bundle is bytes of UTF-8", "P2", GOOD.encode("utf-16"), BAD),
    once("a byte order mark is refused", "P2", b"\xef\xbb\xbf" + GOOD.encode(), BAD),
    once("a byte that is not UTF-8 is refused, in a member that nobody reads too", "P2",
         bundle(TIMESTAMP, PINSET, note="@").encode().replace(b"@", b"\xff"), BAD),
    once("a web page is not a bundle", "P3", "<html><body>Please log in</body></html>", BAD),
    once("an empty answer is not a bundle", "P3", "", BAD),
    once("a bundle that is cut off is refused", "P3", GOOD[:-1], BAD),
    once("bytes after a bundle are refused", "P3", GOOD + "{}", BAD),
    once("a member named twice is refused", "P3", GOOD[:-1] + ',"roots":[]}', BAD, **STRICT),
    once("an envelope member named twice is refused", "P3",
         GOOD.replace('"payloadType"', f'"payloadType":"{ROOT_TYPE}","payloadType"', 1), BAD, **STRICT),
    once("a fraction is refused, in a member that nobody reads too", "P3", GOOD[:-1] + ',"note":1.5}', BAD, **STRICT),
    once("an array is not a bundle", "P4", f"[{GOOD}]", BAD),
    once("null is not a bundle", "P4", "null", BAD),
    once("a bundle without roots is refused", "P4", bundle(TIMESTAMP, PINSET, roots=ABSENT), BAD),
    once("roots that are null are refused", "P4", bundle(TIMESTAMP, PINSET, roots=None), BAD),
    once("roots that are an object are refused", "P4", bundle(TIMESTAMP, PINSET, roots={}), BAD),
    once("a root that is not an object is refused", "P4", bundle(TIMESTAMP, PINSET, ["root"]), BAD),
    once("a bundle without a timestamp is refused", "P4", bundle(ABSENT, PINSET), BAD),
    once("a timestamp in text is not an envelope", "P4", bundle(json.dumps(TIMESTAMP), PINSET), BAD),
    once("a bundle without a pin set is refused", "P4", bundle(TIMESTAMP, ABSENT), BAD),
    once("a pin set that is null is refused", "P4", bundle(TIMESTAMP, None), BAD),
]  # fmt: skip

ENVELOPES = [
    once("a pin set does not pass as a timestamp", "P7", bundle(PINSET, PINSET), BAD),
    once("a timestamp does not pass as a pin set", "P7", bundle(TIMESTAMP, TIMESTAMP), BAD),
    once("a root does not pass as a pin set", "P7", bundle(TIMESTAMP, root_envelope()), BAD),
    once("a pin set does not pass as a root", "P7", bundle(TIMESTAMP, PINSET, [PINSET]), BAD),
    once("an envelope without a type is refused", "P7", _pinset(payloadType=ABSENT), BAD),
    once("a type that is null is refused", "P7", _pinset(payloadType=None), BAD),
    once("types are compared byte by byte", "P7", _pinset(payloadType=PINSET_TYPE.upper()), BAD),
    once("a type with a parameter is another type", "P7", _pinset(payloadType=f"{PINSET_TYPE};v=1"), BAD),
    once("another version of a type is another type", "P7", _pinset(payloadType=PINSET_TYPE.replace("v1", "v2")), BAD),
    once("the type is judged before the payload", "P7", _pinset(payloadType=ROOT_TYPE, payload="!", signatures=0), BAD),
    once("an envelope without a payload is refused", "P4", _pinset(payload=ABSENT), BAD),
    once("a payload that is not text is refused", "P4", _pinset(payload=[]), BAD),
    once("a payload as plain JSON is refused", "P5", _pinset(payload=PAYLOAD.decode()), BAD),
    once("a payload that needs padding, with it", "P5", _spelt(PADDED_TEXT)),
    once("a payload without its padding is refused", "P5", _spelt(PADDED_TEXT.rstrip("=")), BAD),
    once("a payload with bits left over is refused", "P5", _spelt(LOOSE_TEXT), BAD),
    once("a payload with a line end is refused", "P5", _pinset(payload=PINSET["payload"] + "\n"), BAD),
    once("an envelope without signatures is refused", "P4", _pinset(signatures=ABSENT), BAD),
    once("signatures that are an object are refused", "P4", _pinset(signatures={"0": SIGNATURE}), BAD),
    once("a signature that is text is refused", "P4", _signatures(SIGNATURE, SIGNATURE["sig"]), BAD),
    once("a signature without a keyid is refused", "P4", _signatures(SIGNATURE, {"sig": SIGNATURE["sig"]}), BAD),
    once("a keyid that is a number is refused", "P4", _signatures(SIGNATURE, {**SIGNATURE, "keyid": 1}), BAD),
    once("a signature entry without sig is refused", "P4", _signatures(SIGNATURE, {"keyid": STRANGER.keyid}), BAD),
    once("a sig that is null is refused", "P4", _signatures(SIGNATURE, {"keyid": "", "sig": None}), BAD),
    once("sixteen signatures are accepted", "V3", _signatures(*_strangers(15), SIGNATURE)),
    once("seventeen signatures are refused", "V3", _signatures(*_strangers(16), SIGNATURE), BAD),
    once("two signatures by one keyid are refused although the threshold is met", "V3",
         _signatures(SIGNATURE, SIGNATURE), "SignatureError"),
    once("a good and a bad signature by one keyid are refused", "V3",
         _signatures(SIGNATURE, {**SIGNATURE, "sig": "AAAA"}), "SignatureError"),
    once("two signatures by one keyid that no role names are refused", "V3",
         _signatures(SIGNATURE, *_strangers(1), *_strangers(1)), "SignatureError"),
]  # fmt: skip

GROUPS = {
    "bundles": ("The form of bundles: bytes, text, JSON, members (spec P1 to P4).", inputs(**fragments(2)), BUNDLES),
    "envelopes": (
        "The form of envelopes, before any signature is verified (spec P4, P5, P7, V3).",
        inputs(**fragments(2)),
        ENVELOPES,
    ),
}
