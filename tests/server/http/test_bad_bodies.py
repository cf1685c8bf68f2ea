"""
Every way of sending a bad body: a problem document that says what was expected, what came and what to do.

The service is shared: each test compares all tables and all public files before and after.
"""

import gzip
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest

from pinwarden.documents import MAX_HOSTS

PAYMENTS = "/admin/v1/pinsets/payments"
TOKENS = "/admin/v1/tokens"
NOTHING = "Nothing stored has changed."
STRICT = "strict JSON (RFC 7493)"
ACCEPTABLE = "hosts and pins that clients accept"
FIELDS = "the fields of this request alone"


def pin(word: str) -> dict[str, str]:
    return {"sha256": b64encode(sha256(word.encode()).digest()).decode()}


def draft(**fields: Any) -> bytes:
    """Return a good body for PUT with *fields* added or replaced."""
    host = {"host": "api.example.com", "pins": [pin("new")], "backups": [pin("spare")]}
    return json.dumps({"hosts": [host], **fields}).encode()


def of_host(**fields: Any) -> bytes:
    """Return the body of a draft whose only host has *fields* added or replaced."""
    host = {"host": "api.example.com", "pins": [pin("new")], "backups": [pin("spare")]}
    return json.dumps({"hosts": [{**host, **fields}]}).encode()


def lifetime(text: str) -> bytes:
    """Return a draft whose lifetime is spelt *text*."""
    return draft()[:-1] + b', "lifetime_seconds": ' + text.encode() + b"}"


# Body, then `expected` and `got` of the problem document.
NOT_STRICT_JSON = {
    "nothing": (b"", STRICT, None),
    "half an object": (b"{", STRICT, None),
    "an array": (b"[]", "object", "array"),
    "a text": (b'"payments"', "object", "string"),
    "two objects": (draft() * 2, STRICT, None),
    "a float": (lifetime("86400.0"), STRICT, None),
    "not a number": (lifetime("NaN"), STRICT, None),
    "a number beyond 2^53": (lifetime("9007199254740993"), STRICT, None),
    "a number of 5,000 digits": (lifetime("1" * 5000), STRICT, None),
    "a field twice": (b'{"hosts": [], "hosts": []}', STRICT, None),
    "a field twice, deep inside": (b'{"hosts": [{"host": "a.example.com", "host": "b.example.com"}]}', STRICT, None),
    "latin-1": ('{"reason": "ä"}'.encode("latin-1"), STRICT, None),
    "a byte order mark": (b"\xef\xbb\xbf" + draft(), STRICT, None),
    "UTF-16": (draft().decode().encode("utf-16"), STRICT, None),
    "half a surrogate pair": (draft()[:-1] + b', "reason": "\\ud800"}', STRICT, None),
    "too deep": (b'{"hosts":' + b"[" * 5000 + b"]" * 5000 + b"}", "depth 16", None),
    "a comma too many": (draft()[:-1] + b",}", STRICT, None),
    "a comment": (b"/* why */" + draft(), STRICT, None),
    "gzip": (gzip.compress(draft(), mtime=0), STRICT, None),
}

WRONG_FIELDS = {
    "no hosts": (b"{}", "field 'hosts'", "none at /hosts"),
    "hosts null": (b'{"hosts": null}', "an array", "null at /hosts"),
    "hosts as text": (b'{"hosts": "api.example.com"}', "an array", "a string at /hosts"),
    "an unknown field": (draft(expires="2027"), FIELDS, "unknown field 'expires' at /expires"),
    "another spelling": (draft(Reason="x"), FIELDS, "unknown field 'Reason' at /Reason"),
    "an unknown field of a host": (of_host(pin=[]), FIELDS, "unknown field 'pin' at /hosts/0/pin"),
    "a number as text": (draft(lifetime_seconds="86400"), "an integer", "a string at /lifetime_seconds"),
    "a number as truth": (draft(lifetime_seconds=True), "an integer", "true or false at /lifetime_seconds"),
    "no life": (draft(lifetime_seconds=0), "an integer >= 1", "0 at /lifetime_seconds"),
    "eleven years": (draft(lifetime_seconds=346_896_000), "an integer <= 315360000", "346896000 at /lifetime_seconds"),
    "a word that is none": (draft(on_stale="ignore"), "one of the words for this field", '"ignore" at /on_stale'),
    "a mode that is none": (of_host(mode="off"), "one of the words for this field", '"off" at /hosts/0/mode'),
    "no percent": (of_host(enforce_percent=0), "an integer >= 1", "0 at /hosts/0/enforce_percent"),
    "a code that is none": (draft(force=["PIN1"]), r"a string matching regex '^PIN[0-9]{3}\\Z'", '"PIN1" at /force/0'),
    "one code as text": (draft(force="PIN008"), "an array", "a string at /force"),
    "a NUL in the reason": (
        draft(reason="a\0b"),
        r"a string matching regex '^[^\\x00]*\\Z'",
        r'"a\u0000b" at /reason',
    ),
    "an endless reason": (draft(reason="x" * 1001), "a string of length <= 1000", f'"{"x" * 56}... at /reason'),
}

IMPOSSIBLE_CONTENT = {
    "a host in capitals": (of_host(host="API.example.com"), "host 'API.example.com' is not a host pattern"),
    "a host with a port": (
        of_host(host="api.example.com:443"),
        "host 'api.example.com:443' is not a canonical address",
    ),
    "an address for a host": (of_host(host="https://a.example"), "host 'https://a.example' is not a canonical address"),
    "every host": (of_host(host="*"), "host '*' is not a host pattern"),
    "a host beyond ASCII": (of_host(host="bücher.example"), "host 'bücher.example' is not a host pattern"),
    "a NUL in a host": (of_host(host="a\0.example.com"), r"host 'a\x00.example.com' is not a host pattern"),
}

IMPOSSIBLE_PINS = {
    "hex": ("ab" * 32, "pin has the wrong length"),
    "base64 for URLs": ("-" * 43 + "=", "pin is not base64"),
    "spare bits": ("A" * 42 + "B=", "pin is not canonical base64"),
    "a line end": (pin("new")["sha256"] + "\n", "pin is not base64"),
}

REFUSED_BY_CLIENTS = {
    "no pin": (of_host(pins=[]), "pinset.hosts[0] (api.example.com) has no pin"),
    "a denied key": (draft(deny=[pin("new")["sha256"]]), "pinset.hosts[0] (api.example.com) pins a denied key"),
    "reports in the clear": (draft(report_to="http://reports.example.net/"), "pinset.report_to is not usable"),
    "reports to a script": (draft(report_to="javascript:alert(1)"), "pinset.report_to is not usable"),
}


def table(rows: dict[str, Any], names: str) -> Any:
    return pytest.mark.parametrize(names, rows.values(), ids=rows)


@table(NOT_STRICT_JSON, "body, expected, got")
def test_a_body_that_is_not_strict_json_is_refused(refused, body: bytes, expected: str, got: str | None):
    hint = "Send one JSON object, UTF-8, no floats, no duplicate keys."
    for method, path in (("PUT", PAYMENTS), ("POST", f"{PAYMENTS}/preview"), ("POST", f"{PAYMENTS}/rollback")):
        document = refused(method, path, 400, "malformed-json", body=body, If_Match='"1.1"')
        assert (document["expected"], document["got"]) == (expected, got)
        assert document["detail"].endswith(f"{NOTHING} {hint}")
        assert [(found["code"], found["pointer"], found["hint"]) for found in document["violations"]] == [
            ("DRAFT", "", hint)
        ]


@table(WRONG_FIELDS, "body, expected, got")
def test_a_body_of_another_form_is_refused_with_the_place(refused, body: bytes, expected: str, got: str):
    document = refused("PUT", PAYMENTS, 422, "invalid", body=body, If_Match='"1.1"')
    value, _, pointer = got.rpartition(" at ")
    hint = "docs/admin-api.md lists the fields of this request."
    assert (document["expected"], document["got"]) == (expected, got)
    assert document["detail"].endswith(f"{NOTHING} {hint}")
    assert document["violations"] == [
        {"code": "DRAFT", "pointer": pointer, "message": f"expected {expected}, got {value}", "hint": hint}
    ]


@table(IMPOSSIBLE_CONTENT, "body, message")
def test_an_impossible_host_is_refused_with_its_place(refused, body: bytes, message: str):
    document = refused("PUT", PAYMENTS, 422, "invalid", body=body, If_Match='"1.1"')
    assert (document["expected"], document["got"]) == (ACCEPTABLE, f"{message} at /hosts/0/host")
    (violation,) = document["violations"]
    assert (violation["code"], violation["pointer"], violation["message"]) == ("V8", "/hosts/0/host", message)
    assert violation["hint"].startswith("Spell hosts as clients do: lower case, no port")


@table(IMPOSSIBLE_PINS, "text, message")
def test_an_impossible_pin_is_refused_wherever_it_stands(refused, text: str, message: str):
    bad, good = {"sha256": text}, pin("other")
    places = {
        "/hosts/0/pins/0/sha256": of_host(pins=[bad]),
        "/hosts/0/backups/1/sha256": of_host(backups=[good, bad]),
        "/deny/0": draft(deny=[text]),
    }
    for pointer, body in places.items():
        document = refused("PUT", PAYMENTS, 422, "invalid", body=body, If_Match='"1.1"')
        assert (document["expected"], document["got"]) == (ACCEPTABLE, f"{message} at {pointer}")
        assert "`pinwarden pin HOST` prints it" in document["violations"][0]["hint"]


@table(REFUSED_BY_CLIENTS, "body, message")
def test_what_clients_would_refuse_is_never_signed(refused, body: bytes, message: str):
    document = refused("PUT", PAYMENTS, 422, "invalid", body=body, If_Match='"1.1"')
    assert [(found["code"], found["message"]) for found in document["violations"]] == [("V8", message)]
    assert document["expected"]
    assert "clients refuse such a document" in document["detail"]


def test_more_hosts_than_any_document_may_have_are_refused(refused):
    hosts = [{"host": f"h{number}.example.com", "pins": [], "backups": []} for number in range(MAX_HOSTS + 1)]
    document = refused("PUT", PAYMENTS, 422, "invalid", body=draft(hosts=hosts), If_Match='"1.1"')
    assert document["expected"] == f"an array of length <= {MAX_HOSTS}"
    assert len(document["got"]) < 100


ROLLBACKS = {
    "to nothing": (b"{}", 422, "invalid"),
    "to zero": (b'{"to": 0}', 422, "invalid"),
    "to a tag": (b'{"to": "1.1"}', 422, "invalid"),
    "to the future": (b'{"to": 9}', 404, "not-found"),
    "with content": (b'{"to": 1, "hosts": []}', 422, "invalid"),
}


@table(ROLLBACKS, "body, status, slug")
def test_a_rollback_to_what_never_was_is_refused(refused, body: bytes, status: int, slug: str):
    refused("POST", f"{PAYMENTS}/rollback", status, slug, body=body, If_Match='"1.1"')


TOKEN_BODIES = {
    "no role": {"lifetime_seconds": 60},
    "a role that is none": {"role": "root", "lifetime_seconds": 60},
    "no end": {"role": "reader"},
    "an end in the past": {"role": "reader", "lifetime_seconds": -1},
    "eleven years": {"role": "reader", "lifetime_seconds": 346_896_000},
    "no pin sets": {"role": "reader", "lifetime_seconds": 60, "names": []},
    "a pattern with two stars": {"role": "reader", "lifetime_seconds": 60, "names": ["*pay*"]},
    "an impossible name": {"role": "reader", "lifetime_seconds": 60, "names": ["../etc"]},
    "capitals": {"role": "reader", "lifetime_seconds": 60, "names": ["Payments"]},
    "a secret of one's own": {"role": "reader", "lifetime_seconds": 60, "secret": "hunter2"},
    "a label without end": {"role": "reader", "lifetime_seconds": 60, "label": "x" * 201},
}


@pytest.mark.parametrize("body", TOKEN_BODIES.values(), ids=TOKEN_BODIES)
def test_an_impossible_token_is_not_issued(refused, body: Any):
    document = refused("POST", TOKENS, 422, "invalid", body=body)
    assert document["expected"]
    assert document["got"]


@pytest.mark.parametrize(
    ("media_type", "got"),
    [
        ("text/plain", "text/plain"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
        ("application/problem+json", "application/problem+json"),
        ("application/json, text/plain", "application/json, text/plain"),
        ("", "no Content-Type"),
        ("j" * 500, "j" * 80),
    ],
)
def test_a_body_of_another_media_type_is_not_looked_at(refused, media_type: str, got: str):
    for method, path in (("PUT", PAYMENTS), ("POST", f"{PAYMENTS}/preview"), ("POST", TOKENS)):
        request = {"body": draft(), "Content_Type": media_type, "If_Match": '"1.1"'}
        document = refused(method, path, 415, "unsupported-media-type", **request)
        assert (document["expected"], document["got"]) == ("Content-Type: application/json", got)


def test_a_body_without_any_content_type_is_not_looked_at(shared):
    headers = {"Authorization": f"Bearer {shared.admin}", "If-Match": '"1.1"'}
    answer = shared.client.put(PAYMENTS, data=draft(), headers=headers)
    assert shared.problem(answer, 415, "unsupported-media-type")["got"] == "no Content-Type"


@pytest.mark.parametrize("size", [2 * 1024 * 1024 + 1, 9 * 1024 * 1024])
def test_an_oversize_body_is_refused_and_the_connection_closed(shared, size: int):
    before = shared.stored()
    answer = shared.ask("PUT", PAYMENTS, body=b" " * size, If_Match='"1.1"')
    document = shared.problem(answer, 413, "too-large")
    assert (document["expected"], document["got"]) == ("at most 2097152 bytes", f"{size} bytes")
    assert answer.headers["Connection"] == "close"
    assert shared.stored() == before


def test_a_body_of_the_greatest_size_is_read(refused):
    body = draft()[:-1] + b" " * (2 * 1024 * 1024 - len(draft())) + b"}"
    refused("PUT", PAYMENTS, 412, "stale-version", body=body, If_Match='"1.7"')
