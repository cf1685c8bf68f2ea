"""
Some two hundred envelopes that were changed in one way each, and who must believe them.

It may import the envelope room and the public test keys. Nothing here is drawn at random: a case is always the same
bytes. A family is a kind of change, and its row says what each verifier answers; where they differ, why.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pinwarden.documents import Role
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, Envelope, Signature, pae
from pinwarden.strict_json import encode_base64
from pinwarden.testing import ThrowawayKey

SEEDS = ("peers alice", "peers bob", "peers carol")
ALICE, BOB, CAROL = (ThrowawayKey(seed) for seed in SEEDS)
STRANGER = ThrowawayKey("peers stranger")
KEYS = (ALICE, BOB, CAROL)
# Two of three, so that counting is part of what is compared.
ROLE = Role(tuple(key.keyid for key in KEYS), 2, {key.keyid: key.public for key in KEYS})
PAYLOAD = b'{"name":"payments","type":"pinset","version":7}'
# The order of Ed25519's base point (RFC 8032 section 5.1).
ORDER = 2**252 + 27742317777372353535851937790883648493


@dataclass(frozen=True)
class Family:
    """One kind of change: whether Pinwarden, securesystemslib and sigstore's encoding with Node believe it, and why."""

    pinwarden: bool
    securesystemslib: bool
    node: bool
    why: str = ""

    @property
    def agreed(self) -> bool:
        """All three say the same."""
        return self.pinwarden == self.securesystemslib == self.node


# Read this table as: what do others let through that we do not (or the other way round), and what is that good for?
FAMILIES = {
    "framed anew": Family(True, True, True),
    "enough signatures": Family(True, True, True),
    "a changed payload": Family(False, False, False),
    "a changed signature": Family(False, False, False),
    "a changed type": Family(False, False, False),
    "too few signatures": Family(False, False, False),
    "signed bytes of another form": Family(False, False, False),
    "not an envelope": Family(False, False, False),
    "another type, well signed": Family(
        False, True, True, "P7: DSSE leaves the type to the caller; here each place has one type."
    ),
    "an entry that is no signature": Family(
        True, False, True, "V3: anyone can add such an entry; to refuse the rest for it would let them block updates."
    ),
    "a keyid twice": Family(
        False, False, True, "V3: DSSE allows it; nobody honest does it, and verifiers differ on how to count it."
    ),
    "17 signatures": Family(False, True, True, "V3: the work for one envelope has an end."),
    "a payload above its limit": Family(False, True, True, "P1: DSSE names no limit."),
    "loose base64": Family(
        False, True, True, "P5: several spellings of the same bytes are how caches and logs are made to disagree."
    ),
    "looser base64": Family(
        False, False, True, "P5: Node skips whatever is not of the alphabet, and needs no padding."
    ),
    "a member twice": Family(False, True, True, "P3: some parsers take the first, some the last."),
    "a number that is no integer": Family(False, True, True, "P3: parsers round differently."),
    "NaN": Family(False, True, False, "P3: it is no JSON; Python reads it."),
    "half a surrogate pair": Family(False, True, True, "P3: it is no text, and not every parser can hold it."),
    "17 levels": Family(False, True, True, "P3: the depth has an end; DSSE names none."),
    "not plain UTF-8": Family(False, True, False, "P2: Python guesses at byte order marks, UTF-16 and UTF-32."),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One changed envelope as bytes."""

    family: str
    name: str
    content: bytes


def sound(payload: bytes = PAYLOAD, keys: Iterable[ThrowawayKey] = (ALICE, BOB), kind: str = PINSET_TYPE) -> Envelope:
    """Return an envelope that nobody changed."""
    return Envelope.of(kind, payload, [key.envelope_signature(kind, payload) for key in keys])


def corpus() -> list[Case]:
    """Return every case."""
    return [
        Case(family, f"{family}: {name}", content)
        for making in (_bits, _signatures, _frames, _base64, _json)
        for family, name, content in making()
    ]


Cases = Iterator[tuple[str, str, bytes]]


def _bits() -> Cases:
    whole = sound()
    for bit in range(0, len(PAYLOAD) * 8, 7):
        yield "a changed payload", f"bit {bit}", replace(whole, payload=_flip(PAYLOAD, bit)).to_bytes()
    for bit in range(0, 512, 9):
        yield "a changed signature", f"bit {bit}", _with(whole, _flip(whole.signatures[0].sig, bit)).to_bytes()
    sig = whole.signatures[0].sig
    larger = int.from_bytes(sig[32:], "little") + ORDER
    yield "a changed signature", "S plus the order", _with(whole, sig[:32] + larger.to_bytes(32, "little")).to_bytes()
    yield "a changed signature", "halves exchanged", _with(whole, sig[32:] + sig[:32]).to_bytes()
    yield "a changed signature", "zeros", _with(whole, bytes(64)).to_bytes()
    for name, payload in (
        ("nothing", b""),
        ("a byte more", PAYLOAD + b" "),
        ("a byte less", PAYLOAD[:-1]),
        ("reversed", PAYLOAD[::-1]),
        ("twice", PAYLOAD * 2),
    ):
        yield "a changed payload", name, replace(whole, payload=payload).to_bytes()


def _signatures() -> Cases:
    for name, keys in {
        "alice, bob": (ALICE, BOB),
        "bob, alice": (BOB, ALICE),
        "alice, carol": (ALICE, CAROL),
        "all three": KEYS,
        "a stranger too": (STRANGER, ALICE, BOB),
        "a stranger behind": (ALICE, BOB, STRANGER),
    }.items():
        yield "enough signatures", name, sound(keys=keys).to_bytes()
    third_is_bad = [*sound().signatures, Signature(CAROL.keyid, bytes(64))]
    yield "enough signatures", "the third is bad", Envelope.of(PINSET_TYPE, PAYLOAD, third_is_bad).to_bytes()
    for name, keys in {
        "none": (),
        "alice": (ALICE,),
        "bob": (BOB,),
        "strangers": (STRANGER, ThrowawayKey("peers other")),
        "alice and a stranger": (ALICE, STRANGER),
    }.items():
        yield "too few signatures", name, sound(keys=keys).to_bytes()
    yield from _keyids()
    for other in (b"", PAYLOAD[:-1], pae(ROOT_TYPE, PAYLOAD)):
        borrowed = replace(sound(payload=other), payload=PAYLOAD)
        yield "too few signatures", f"signatures over {len(other)} other bytes", borrowed.to_bytes()
    strangers = [ThrowawayKey(f"peers stranger {index}") for index in range(15)]
    yield "17 signatures", "15 by strangers", sound(keys=(ALICE, BOB, *strangers)).to_bytes()
    for kind in (PINSET_TYPE.upper(), f"{PINSET_TYPE} ", "", "x", ROOT_TYPE, PINSET_TYPE.replace("v1", "v2")):
        yield "another type, well signed", repr(kind), sound(kind=kind).to_bytes()
        yield "a changed type", repr(kind), replace(sound(), payload_type=kind).to_bytes()
    for name, form in _forms().items():
        forged = [Signature(key.keyid, key.sign(form)) for key in (ALICE, BOB)]
        yield "signed bytes of another form", name, Envelope.of(PINSET_TYPE, PAYLOAD, forged).to_bytes()


def _keyids() -> Cases:
    first, second = sound().signatures
    exchanged = [Signature(second.keyid, first.sig), Signature(first.keyid, second.sig)]
    for name, entries in {
        "keyids exchanged": exchanged,
        "an upper-case keyid": [Signature(first.keyid.upper(), first.sig), second],
        "a keyid and a space": [Signature(f"{first.keyid} ", first.sig), second],
        "half a keyid": [Signature(first.keyid[:32], first.sig), second],
        "no keyid": [Signature("", first.sig), second],
        "the key for its id": [Signature(ALICE.public.hex(), first.sig), second],
        "one signature under two ids": [first, Signature(BOB.keyid, first.sig)],
    }.items():
        yield "too few signatures", name, Envelope.of(PINSET_TYPE, PAYLOAD, entries).to_bytes()
    for name, entries in {
        "a copy behind": [first, second, first],
        "a copy in front": [first, first, second],
        "a bad copy": [first, second, Signature(first.keyid, bytes(64))],
    }.items():
        yield "a keyid twice", name, Envelope.of(PINSET_TYPE, PAYLOAD, entries).to_bytes()


def _forms() -> dict[str, bytes]:
    """Other bytes than section 2's that somebody might have signed."""
    kind = PINSET_TYPE.encode()
    lengths = (len(kind), len(PAYLOAD))
    return {
        "the payload alone": PAYLOAD,
        "no lengths": b"DSSEv1 %b %b" % (kind, PAYLOAD),
        "the first DSSE": b"DSSEv0 %d %b %d %b" % (lengths[0], kind, lengths[1], PAYLOAD),
        "lengths in hexadecimal": b"DSSEv1 %x %b %x %b" % (lengths[0], kind, lengths[1], PAYLOAD),
        "lengths with leading zeros": b"DSSEv1 0%d %b 0%d %b" % (lengths[0], kind, lengths[1], PAYLOAD),
        "binary lengths": b"DSSEv1 %b %b %b %b"
        % (lengths[0].to_bytes(8, "little"), kind, lengths[1].to_bytes(8, "little"), PAYLOAD),
        "another order": b"DSSEv1 %d %b %d %b" % (lengths[1], PAYLOAD, lengths[0], kind),
        "two spaces": b"DSSEv1  %d %b %d %b" % (lengths[0], kind, lengths[1], PAYLOAD),
        "base64 of the payload": pae(PINSET_TYPE, encode_base64(PAYLOAD).encode()),
        "a line feed behind": pae(PINSET_TYPE, PAYLOAD) + b"\n",
    }


def _frames() -> Cases:
    body = sound().to_json()
    for name, frame in {
        "indented": json.dumps(body, indent=3).encode(),
        "another order": json.dumps(dict(reversed(body.items()))).encode(),
        "escaped": json.dumps(body).replace("payload", "\\u0070ayload").encode(),
        "unknown members": json.dumps({**body, "later": {"a": [None, True, "é", -1]}}).encode(),
        "raw letters beyond ASCII": json.dumps({**body, "later": "é☃😀"}, ensure_ascii=False).encode(),
        "white space around": b"\n\t " + json.dumps(body).encode() + b"\r\n",
    }.items():
        yield "framed anew", name, frame
    for name, changed in {
        "an unknown member of an entry": {**body["signatures"][0], "later": 1},
        "a certificate in an entry": {**body["signatures"][0], "cert": "MA=="},
    }.items():
        yield "framed anew", name, _json_with(body, signatures=[changed, body["signatures"][1]])
    for sig in ("", "AA==", encode_base64(bytes(63)), encode_base64(bytes(65))):
        entries = [*body["signatures"], {"keyid": CAROL.keyid, "sig": sig}]
        yield "enough signatures", f"the third has {len(sig)} characters", _json_with(body, signatures=entries)
    for sig in ("*", "A", "not base64 at all", "é"):
        entries = [*body["signatures"], {"keyid": CAROL.keyid, "sig": sig}]
        yield "an entry that is no signature", repr(sig), _json_with(body, signatures=entries)
    for name in body:
        lacking = {other: value for other, value in body.items() if other != name}
        yield "not an envelope", f"no {name}", json.dumps(lacking).encode()
        for value in (None, True, 7, {"a": 1}):
            yield "not an envelope", f"{name} is {value!r}", _json_with(body, **{name: value})
    for name in ("keyid", "sig"):
        for value in (None, 7, ["AA=="]):
            entries = [{**entry, name: value} for entry in body["signatures"]]
            yield "not an envelope", f"each {name} is {value!r}", _json_with(body, signatures=entries)
    for text in (b"", b"{", b"[]", b"null", b'"envelope"', b"7", b"{}", json.dumps([body]).encode()):
        yield "not an envelope", text[:12].decode(), text


def _base64() -> Cases:
    body = sound().to_json()
    text = str(body["payload"])
    assert text.endswith("=")  # or there were no spare bits to set
    spare = "=" * text.count("=")
    last = text.rstrip("=")[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bits = text.rstrip("=")[:-1] + alphabet[alphabet.index(last) + 1] + spare
    yield "loose base64", "spare bits in the payload", _json_with(body, payload=bits)
    first, second = body["signatures"]
    sig = first["sig"].rstrip("=")
    set_bits = f"{sig[:-1]}{alphabet[alphabet.index(sig[-1]) + 1]}=="
    yield "loose base64", "spare bits in a signature", _json_with(body, signatures=[{**first, "sig": set_bits}, second])
    for name, spelt in {
        "no padding": text.rstrip("="),
        "a line feed": f"{text[:40]}\n{text[40:]}",
        "a space behind": f"{text} ",
        "a letter beyond ASCII": f"{text[:8]}é{text[8:]}",
    }.items():
        yield "looser base64", f"the payload: {name}", _json_with(body, payload=spelt)
    for name, spelt in {"no padding": sig, "a line feed": f"{sig[:40]}\n{sig[40:]}=="}.items():
        entries = [{**first, "sig": spelt}, second]
        yield "looser base64", f"a signature: {name}", _json_with(body, signatures=entries)
    # A payload whose base64 has both of the letters that the URL alphabet replaces.
    other = sound(payload=b'{"a":"???>>>~~~"}').to_json()
    assert "/" in str(other["payload"])
    assert "+" in str(other["payload"])
    urlsafe = str(other["payload"]).replace("+", "-").replace("/", "_")
    yield "loose base64", "the URL alphabet", _json_with(other, payload=urlsafe)


def _json() -> Cases:
    body = sound().to_json()
    text = json.dumps(body)
    other = encode_base64(b'{"version":6}')
    yield "a member twice", "the payload", f'{{"payload": "{other}", {text[1:]}'.encode()
    yield "a member twice", "the signatures", f'{{"signatures": [], {text[1:]}'.encode()
    yield "a member twice", "in other letters", f'{{"\\u0070ayload": "{other}", {text[1:]}'.encode()
    yield "a member twice", "that nobody reads", f'{{"a": 1, "a": 1, {text[1:]}'.encode()
    for number in ("1.5", "1e2", "-0.0", "9007199254740992", "123456789012345678901234567890"):
        yield "a number that is no integer", number, f'{{"a": {number}, {text[1:]}'.encode()
    for number in ("NaN", "Infinity", "-Infinity"):
        yield "NaN", number, f'{{"a": {number}, {text[1:]}'.encode()
    for half in ("\\ud800", "\\udc00", "\\ud83d\\u0041"):
        yield "half a surrogate pair", half, f'{{"a": "{half}", {text[1:]}'.encode()
    for levels in (16, 17, 500):
        yield "17 levels", f"{levels} arrays", f'{{"a": {"[" * levels}{"]" * levels}, {text[1:]}'.encode()
    for coding in ("utf-8-sig", "utf-16", "utf-32", "utf-16-be"):
        yield "not plain UTF-8", coding, text.encode(coding)
    for name, spelt in {
        "a comma behind": f"{text[:-1]},}}",
        "something behind": f"{text}x",
        "two": text * 2,
        "single quotes": text.replace('"', "'"),
        "a comment": f"/* */{text}",
        "a control character": text.replace("payments", "pay\x00ments").replace('"payloadType"', '"payload\x00Type"'),
    }.items():
        yield "not an envelope", name, spelt.encode()
    yield "not an envelope", "a byte that is no UTF-8", text.encode()[:-1] + b'"\xff": 1}'
    large = sound(payload=b'{"a":"' + b"x" * (1024 * 1024) + b'"}')
    yield "a payload above its limit", "a megabyte and nine bytes", large.to_bytes()


def _flip(content: bytes, bit: int) -> bytes:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def _with(envelope: Envelope, sig: bytes) -> Envelope:
    """Return *envelope* with another first signature."""
    first, *others = envelope.signatures
    return replace(envelope, signatures=(replace(first, sig=sig), *others))


def _json_with(body: dict[str, Any], **changes: object) -> bytes:
    return json.dumps({**body, **changes}).encode()
