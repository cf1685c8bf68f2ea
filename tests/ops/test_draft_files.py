"""Files that say what a pin set shall be: what one is read as does not depend on how it is spelt."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinwarden.strict_json import encode_base64
from pinwarden_ops import contents
from pinwarden_ops.draft_files import Draft, read_draft, to_toml
from pinwarden_ops.errors import DraftRefused

PINS = st.binary(min_size=32, max_size=32).map(encode_base64)
LABELS = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)


@st.composite
def drafts(draw: st.DrawFn) -> dict[str, Any]:
    """Return a body of PUT that clients take."""
    names = draw(st.lists(LABELS, unique=True, max_size=4))
    pins = draw(st.lists(PINS, unique=True, min_size=2 * len(names) + 1, max_size=2 * len(names) + 3))
    hosts = [
        {
            "host": draw(st.sampled_from(["", "*.", "**."])) + f"{name}.example.com",
            "pins": [{"sha256": pins[2 * place], "kind": draw(st.sampled_from(["leaf", "ca"]))}],
            "backups": [{"sha256": pins[2 * place + 1]}],
            "mode": draw(st.sampled_from(["enforce", "report"])),
            "enforce_percent": draw(st.integers(1, 100)),
            "on_expiry": "refuse",
        }
        for place, name in enumerate(names)
    ]
    report = draw(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20))
    extra = {
        "deny": pins[2 * len(names) :],
        "on_stale": draw(st.sampled_from(["enforce", "refuse"])),
        "report_to": f"https://reports.example.com/{report}",
        "lifetime_seconds": draw(st.integers(1, 10**8)),
    }
    kept = draw(st.sets(st.sampled_from(sorted(extra))))
    return {"hosts": hosts, **{name: value for name, value in extra.items() if name in kept}}


def said(draft: Draft) -> tuple[dict[str, Any], int | None]:
    return contents.to_json(draft.content), draft.lifetime_seconds


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=100)
@given(body=drafts())
def test_toml_and_json_say_the_same_and_survive_the_round_trip(tmp_path: Path, body: dict[str, Any]) -> None:
    as_json, as_toml = tmp_path / "shop.json", tmp_path / "shop.toml"
    as_json.write_text(json.dumps(body))
    first = read_draft(as_json)
    as_toml.write_text(to_toml(first.content, first.lifetime_seconds))
    assert said(read_draft(as_toml)) == said(first)
    assert contents.is_same(contents.parse_content("shop", first.body()), first.content)
    turned = {**body, "hosts": body["hosts"][::-1], "deny": body.get("deny", [])[::-1]}
    assert contents.is_same(contents.parse_content("shop", turned), first.content)


@settings(max_examples=100)
@given(before=drafts(), after=drafts())
def test_two_contents_are_the_same_exactly_when_no_row_tells_them_apart(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    one, other = contents.parse_content("shop", before), contents.parse_content("shop", after)
    assert contents.is_same(one, other) == (contents.rows_between(one, other) == [])
    assert contents.rows_between(one, one) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=100)
@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
    suffix=st.sampled_from(["toml", "json"]),
)
def test_whatever_stands_in_a_file_is_a_draft_or_one_refusal(tmp_path: Path, content: bytes, suffix: str) -> None:
    file = tmp_path / f"shop.{suffix}"
    file.write_bytes(content)
    with pytest.raises(DraftRefused) as caught:
        read_draft(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"hosts": 1},
        {"hosts": {}},
        {"hosts": [1]},
        {"hosts": [[]]},
        {"hosts": [{"host": 1, "pins": {}, "backups": None}]},
        {"hosts": [{"host": "a.example.com", "pins": [1], "backups": [[]]}]},
        {"hosts": [], "deny": [1]},
        {"hosts": [], "deny": {}},
        {"hosts": [], "report_to": []},
        {"hosts": [], "lifetime_seconds": True},
        {"hosts": [], "lifetime_seconds": "7"},
        {"hosts": [], "reason": ["x"]},
        {"hosts": [], "force": "PIN001"},
        {"hosts": [], "force": [1]},
    ],
)
def test_values_of_wrong_types_are_refused_with_their_place(tmp_path: Path, value: dict[str, Any]) -> None:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(value))
    with pytest.raises(DraftRefused, match=r"shop\.json"):
        read_draft(file)


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text("#" * (3 << 20))
    with pytest.raises(Exception, match="too large"):
        read_draft(file)


EVIDENCE = """
[[hosts]]
host = "api.example.com"
pins = [{sha256 = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE="}]
backups = [{sha256 = "MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=", proof = "a request"}]
certificates = "a chain"
"""


def test_what_only_lint_looks_at_is_sent_and_is_no_part_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(EVIDENCE)
    draft = read_draft(file)
    [host] = draft.body()["hosts"]
    assert (host["certificates"], host["backups"][0]["proof"]) == ("a chain", "a request")
    bare = tmp_path / "bare" / "shop.toml"
    bare.parent.mkdir()
    bare.write_text(EVIDENCE.replace(', proof = "a request"', "").replace('certificates = "a chain"\n', ""))
    assert said(read_draft(bare)) == said(draft)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('certificates = "a chain"', "certificates = 7", "/hosts/0/certificates: is no text"),
        ('proof = "a request"', "proof = []", "/hosts/0/backups/0/proof: is no text"),
        ('MTE="}]', 'MTE=", proof = "x"}]', "/hosts/0/pins/0/proof: unknown field"),
    ],
)
def test_evidence_in_the_wrong_form_or_place_is_refused_by_its_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    file = tmp_path / "shop.toml"
    file.write_text(EVIDENCE.replace(old, new))
    with pytest.raises(DraftRefused) as refused:
        read_draft(file)
    assert place in str(refused.value)
