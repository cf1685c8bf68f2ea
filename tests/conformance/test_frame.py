"""What the bytes around documents must look like: bundles, envelopes, JSON, sizes (P1 to P5, P7)."""

import json
from base64 import b64decode

import pytest

from tests.conformance.drivers import ACCEPTED
from tests.conformance.repository import TYPES, sign

KINDS = tuple(TYPES)

FRAMES = {
    "no roots": lambda bundle: bundle.pop("roots"),
    "roots is null": lambda bundle: bundle.update(roots=None),
    "no timestamp": lambda bundle: bundle.pop("timestamp"),
    "no pin set": lambda bundle: bundle.pop("pinset"),
    "pin set is null": lambda bundle: bundle.update(pinset=None),
    "no payload": lambda bundle: bundle["pinset"].pop("payload"),
    "payload is an object": lambda bundle: bundle["pinset"].update(payload={}),
    "payload is URL-safe base64": lambda bundle: bundle["pinset"].update(payload="-_-_"),
    "payload is not padded": lambda bundle: bundle["pinset"].update(payload="AAA"),
    "payload with white space": lambda bundle: bundle["pinset"].update(payload=bundle["pinset"]["payload"] + "\n"),
    "no payloadType": lambda bundle: bundle["timestamp"].pop("payloadType"),
    "payloadType in capitals": lambda bundle: bundle["timestamp"].update(payloadType=TYPES["timestamp"].upper()),
    "no signatures": lambda bundle: bundle["timestamp"].pop("signatures"),
    "signatures is an object": lambda bundle: bundle["timestamp"].update(signatures={}),
    "a signature is text": lambda bundle: bundle["timestamp"]["signatures"].append("sig"),
    "a signature without keyid": lambda bundle: bundle["timestamp"]["signatures"].append({"sig": ""}),
    "a signature without sig": lambda bundle: bundle["timestamp"]["signatures"].append({"keyid": ""}),
    "a keyid that is a number": lambda bundle: bundle["timestamp"]["signatures"].append({"keyid": 1, "sig": ""}),
    "timestamp and pin set exchanged": lambda bundle: bundle.update(
        timestamp=bundle["pinset"], pinset=bundle["timestamp"]
    ),
    "the pin set twice": lambda bundle: bundle.update(timestamp=bundle["pinset"]),
    "the timestamp twice": lambda bundle: bundle.update(pinset=bundle["timestamp"]),
    "a timestamp among the roots": lambda bundle: bundle["roots"].append(bundle["timestamp"]),
    "a pin set that calls itself a timestamp": lambda bundle: bundle.update(
        timestamp={**bundle["pinset"], "payloadType": TYPES["timestamp"]}
    ),
}


@pytest.mark.parametrize("change", FRAMES.values(), ids=FRAMES)
def test_a_bundle_that_is_not_well_formed_is_refused_whole(life, change):
    def attack(repository):
        repository.publish()
        repository.frame = change

    life.start()
    life.refuses(attack)


def test_unknown_members_of_bundle_and_envelopes_are_ignored(life):
    def more(bundle):
        bundle["more"] = {"roots": 1}
        for name in ("timestamp", "pinset"):
            bundle[name]["more"] = None
            bundle[name]["signatures"][0]["more"] = []

    life.repository.frame = more
    life.start()


NO_JSON = {
    "nothing": b"",
    "half": b'{"roots":[],',
    "words": b"Service unavailable",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b'{"roots":"\x80"}',
    "an overlong form": b'{"roots":"\xc0\x80"}',
    "a half pair in UTF-8": b'{"roots":"\xed\xa0\x80"}',
    "UTF-16": '{"roots":[]}'.encode("utf-16"),
    "two values": b"{} {}",
    "a comment": b"{} // none",
    "a comma at the end": b'{"roots":[],}',
    "single quotes": b"{'roots':[]}",
    "very deep": b'{"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON)
def test_an_answer_that_is_no_bundle_is_refused(life, body):
    def replace(_, __, answer):
        answer.body = body
        return answer

    life.start()
    life.refuses(lambda repository: setattr(repository, "tamper", replace))


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_payload_that_is_no_object_is_refused(life, kind):
    def attack(repository):
        repository.publish()
        nothing = sign(kind, b"[]", repository.signers[kind])
        if kind == "root":
            repository.roots[2] = nothing
        elif kind == "timestamp":
            repository.stamped = nothing
        else:
            repository.pinned = nothing

    life.start()
    life.refuses(attack)


def spliced(text):
    """Return a change of a payload's bytes: *text* in front of its first member."""
    return lambda payload: payload.replace(b"{", b"{" + text.encode("utf-8", "surrogatepass") + b",", 1)


NOT_STRICT = {
    "a member twice": spliced('"hosts":[]'),
    "a member twice, once escaped": spliced('"\\u0068osts":[]'),
    "a member twice where nobody reads": spliced('"more":{"a":1,"a":2}'),
    "a fraction": spliced('"more":1.0'),
    "an exponent": spliced('"more":1e3'),
    "NaN": spliced('"more":NaN'),
    "Infinity": spliced('"more":-Infinity'),
    "an integer too large": spliced('"more":9007199254740992'),
    "half a surrogate pair": spliced('"more":"\\ud800"'),
    "17 levels": spliced('"more":' + "[" * 17 + "]" * 17),
    "more structure than anybody needs": spliced('"more":[' + "[]," * 33_000 + "[]]"),
    "a version with a fraction": lambda payload: payload.replace(b'"version":2,', b'"version":2.0,'),
}


@pytest.mark.own
@pytest.mark.strict_parser
@pytest.mark.parametrize("change", NOT_STRICT.values(), ids=NOT_STRICT)
def test_what_parsers_disagree_about_is_refused(life, change):
    def attack(repository):
        repository.publish()
        payload = change(b64decode(repository.pinned["payload"]))
        repository.pinned = sign("pinset", payload, repository.signers["pinset"])
        repository.publish_timestamp()

    life.start()
    life.refuses(attack)


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_beyond_its_limit_is_refused(life, kind):
    limits = {"root": 16 * 1024, "timestamp": 4 * 1024, "pinset": 1024 * 1024}

    def padded(document, length):
        bare = len(json.dumps({**document, "more": ""}, separators=(",", ":")))
        return {**document, "more": "x" * (length - bare)}

    def attack(repository, over=1):
        repository.publish_changed(kind, lambda document: document.update(padded(document, limits[kind] + over)))

    life.start()
    life.refuses(attack)
    attack(life.repository, over=0)
    life.expects(ACCEPTED)
