"""Request bodies: what is refused, where, and that the sentence says what to do."""

import base64
import json
from typing import Any

import pytest

from pinwarden_server.drafts import parse_draft, parse_rollback
from pinwarden_server.errors import BadDraft
from pinwarden_server.tags import parse_tag
from pinwarden_server.token_drafts import parse_token_draft

PIN, OTHER = (base64.b64encode(bytes(range(start, start + 32))).decode() for start in (1, 2))
HOST = {"host": "api.example.com", "pins": [{"sha256": PIN}], "backups": [{"sha256": OTHER, "kind": "ca"}]}


def body(**changes: Any) -> bytes:
    return json.dumps({"hosts": [HOST], **changes}).encode()


def host(**changes: Any) -> bytes:
    return body(hosts=[{**HOST, **changes}])


def test_a_draft_says_what_the_body_says_and_the_rest_has_its_defaults() -> None:
    draft = parse_draft(body(on_stale="refuse", lifetime_seconds=86400, reason="first", force=["PIN008"]))
    (found,) = draft.hosts
    assert (found.host, str(found.pins[0]), found.backups[0].kind) == ("api.example.com", PIN, "ca")
    assert (found.mode, found.enforce_percent, found.on_expiry) == ("enforce", 100, "refuse")
    assert (draft.on_stale, draft.lifetime_seconds, draft.reason, draft.force) == (
        "refuse",
        86400,
        "first",
        ("PIN008",),
    )


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        (body(host=[]), "/host"),
        (b'{"reason": "x"}', "/hosts"),
        (body(hosts={}), "/hosts"),
        (body(hosts=[1]), "/hosts/0"),
        (host(host=None), "/hosts/0/host"),
        (host(hots="x"), "/hosts/0/hots"),
        (host(host="API.example.com"), "/hosts/0/host"),
        (host(host="a.*.example.com"), "/hosts/0/host"),
        (host(mode="observe"), "/hosts/0/mode"),
        (host(enforce_percent="5"), "/hosts/0/enforce_percent"),
        (host(enforce_percent=True), "/hosts/0/enforce_percent"),
        (host(enforce_percent=0), "/hosts/0/enforce_percent"),
        (host(enforce_percent=101), "/hosts/0/enforce_percent"),
        (host(on_expiry="ignore"), "/hosts/0/on_expiry"),
        (host(pins=[{"sha256": PIN[:-2]}]), "/hosts/0/pins/0/sha256"),
        (host(pins=[{"sha256": "AAAA"}]), "/hosts/0/pins/0/sha256"),
        (host(pins=[{"sha256": PIN, "kind": "root"}]), "/hosts/0/pins/0/kind"),
        (host(pins=[{}]), "/hosts/0/pins/0/sha256"),
        (host(pins=[{"sha256": PIN}] * 32), "/hosts/0"),
        (body(deny=["x"]), "/deny/0"),
        (body(deny="x"), "/deny"),
        (body(on_stale="never"), "/on_stale"),
        (body(report_to=5), "/report_to"),
        (body(lifetime_seconds=0), "/lifetime_seconds"),
        (body(lifetime_seconds="60"), "/lifetime_seconds"),
        (body(reason="x" * 1001), "/reason"),
        (body(force=["all"]), "/force/0"),
        (body(force="PIN001"), "/force"),
        (body(hosts=[HOST] * 2001), "/hosts"),
    ],
)
def test_a_wrong_field_is_refused_with_its_pointer(sent: bytes, pointer: str) -> None:
    with pytest.raises(BadDraft) as refusal:
        parse_draft(sent)
    assert [violation.pointer for violation in refusal.value.violations] == [pointer]
    assert not refusal.value.is_syntax
    assert refusal.value.violations[0].message != "" and refusal.value.violations[0].hint != ""
    assert "Nothing stored has changed." in str(refusal.value)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"hosts":[],"hosts":[]}',
        b'{"lifetime_seconds":1.5,"hosts":[]}',
        b'{"hosts":NaN}',
        b'{"hosts":' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"reason":"' + b"x" * (2 * 1024 * 1024) + b'"}',
    ],
    ids=range(10),
)
def test_what_is_no_strict_json_object_is_refused_as_such(sent: bytes) -> None:
    with pytest.raises(BadDraft) as refusal:
        parse_draft(sent)
    assert refusal.value.is_syntax


def test_every_impossible_pin_is_named_at_once() -> None:
    with pytest.raises(BadDraft) as refusal:
        parse_draft(host(host="x y", pins=[{"sha256": "!"}], backups=[{"sha256": "?"}]))
    assert [violation.pointer for violation in refusal.value.violations] == [
        "/hosts/0/host",
        "/hosts/0/pins/0/sha256",
        "/hosts/0/backups/0/sha256",
    ]


@pytest.mark.parametrize("sent", [b"{}", b'{"to":"1"}', b'{"to":0}', b'{"to":1,"from":2}'])
def test_a_rollback_without_a_version_number_is_refused(sent: bytes) -> None:
    with pytest.raises(BadDraft):
        parse_rollback(sent)


@pytest.mark.parametrize(
    "changes", [{"role": "root"}, {"names": []}, {"names": ["*-x"]}, {"names": ["UP"]}, {"lifetime_seconds": -1}]
)
def test_a_token_for_an_impossible_role_name_or_life_is_refused(changes: dict[str, Any]) -> None:
    good = {"role": "editor", "names": ["pay-*"], "lifetime_seconds": 60}
    assert parse_token_draft(json.dumps(good).encode()).names == ("pay-*",)
    with pytest.raises(BadDraft):
        parse_token_draft(json.dumps({**good, **changes}).encode())


@pytest.mark.parametrize("text", ["", "1", "01.2", "1.0", "1.2.3", " 1.2", "1.2\n", "१.२", "-1.2", f"1.{10**16}"])
def test_a_version_in_another_spelling_is_refused(text: str) -> None:
    assert parse_tag("3.12") == (3, 12)
    with pytest.raises(BadDraft):
        parse_tag(text)
