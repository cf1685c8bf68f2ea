"""Lint as a publisher meets it: what blocks, what warns, what may be forced with a reason, and what the audit keeps."""

import base64
import hashlib
import json
from typing import Any

import pytest

DAY = 86_400
NOTHING_HASHED = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


# Warnings that every small draft has; they have tests of their own.
USUAL = {"PIN004", "PIN007", "PIN017"}


def unusual(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Return code and pointer of the findings that not every small draft has."""
    return [(found["code"], found["pointer"]) for found in findings if found["code"] not in USUAL]


def pin(word: str) -> dict[str, str]:
    return {"sha256": base64.b64encode(hashlib.sha256(word.encode()).digest()).decode()}


def host(name: str = "api.example.com", pins: Any = None, backups: Any = None) -> dict[str, Any]:
    return {
        "host": name,
        "pins": [pin("live")] if pins is None else pins,
        "backups": [pin("spare")] if backups is None else backups,
    }


# Draft, code, pointer of the finding, whether it may be forced.
BLOCKING = {
    "no backup": ({"hosts": [host(backups=[])]}, "PIN001", "/hosts/0/backups", False),
    "a longer life than the root allows": (
        {"hosts": [host()], "lifetime_seconds": 366 * DAY},
        "PIN006",
        "/lifetime_seconds",
        False,
    ),
    "the pin server itself": ({"hosts": [host(), host("pins.example.com")]}, "PIN008", "/hosts/1/host", True),
    "the pin server by pattern": ({"hosts": [host("*.example.com")]}, "PIN008", "/hosts/0/host", True),
    "the host of the reports": (
        {"hosts": [host("reports.example.net")], "report_to": "https://reports.example.net/in"},
        "PIN008",
        "/hosts/0/host",
        True,
    ),
    "the hash of nothing": (
        {"hosts": [host(pins=[{"sha256": NOTHING_HASHED}])]},
        "PIN014",
        "/hosts/0/pins/0/sha256",
        True,
    ),
    "a placeholder": (
        {"hosts": [host(backups=[{"sha256": "A" * 43 + "="}])]},
        "PIN014",
        "/hosts/0/backups/0/sha256",
        True,
    ),
    "a backup that is in service": (
        {"hosts": [host(backups=[pin("live")])]},
        "PIN015",
        "/hosts/0/backups/0/sha256",
        False,
    ),
    "a pin twice in one list": (
        {"hosts": [host(backups=[pin("spare"), pin("spare")])]},
        "PIN015",
        "/hosts/0/backups/1/sha256",
        True,
    ),
}
blocking = pytest.mark.parametrize(("draft", "code", "pointer", "forceable"), BLOCKING.values(), ids=BLOCKING)


@pytest.fixture
def service(installation, serve):
    """A service that knows its own public name."""
    return serve(installation, own_hosts=("pins.example.com",))


def put(service: Any, draft: dict[str, Any], **fields: Any) -> Any:
    return service.ask("PUT", "/admin/v1/pinsets/payments", body={**draft, **fields}, If_None_Match="*")


@blocking
def test_a_finding_that_blocks_names_its_place_and_publishes_nothing(service, draft, code, pointer, forceable):
    before = service.stored()
    document = service.problem(put(service, draft), 422, "lint-refused")
    found = {(violation["code"], violation["pointer"]) for violation in document["violations"]}
    assert found == {(code, pointer)}
    assert all(violation["message"] and violation["hint"] for violation in document["violations"])
    assert (document["expected"], document["got"]) == ("no blocking finding", code)
    way_out = f'publish with "force": ["{code}"] and a "reason"' if forceable else "none of this can be forced"
    assert way_out in document["detail"]
    assert service.stored() == before


@blocking
def test_forcing_needs_a_reason_and_is_possible_only_where_clients_could_live_with_it(
    service, draft, code, pointer, forceable
):
    before = service.stored()
    for reason in ("", "   "):
        document = service.problem(put(service, draft, force=[code], reason=reason), 422, "lint-refused")
        assert document["detail"].startswith("forcing needs a reason: ")
    service.problem(put(service, draft, force=["PIN099"], reason="we know"), 422, "lint-refused")
    assert service.stored() == before
    answer = put(service, draft, force=[code], reason="agreed with Ops on Monday")
    if not forceable:
        service.problem(answer, 422, "lint-refused")
        assert service.stored() == before
        return
    assert answer.status_code == 201
    assert unusual(answer.json["warnings"]) == [(code, pointer)]
    (row,) = service.rows("SELECT reason, forced FROM versions")
    assert row == ("agreed with Ops on Monday", code)
    detail = service.ask("GET", "/admin/v1/audit").json["rows"][-1]["detail"]
    assert (detail["reason"], detail["forced"]) == ("agreed with Ops on Monday", [code])


def test_all_findings_are_told_at_once_and_only_the_forced_ones_are_let_through(service):
    draft = {"hosts": [host("pins.example.com"), host("b.example.org", backups=[])]}
    document = service.problem(put(service, draft, force=["PIN008"], reason="we know"), 422, "lint-refused")
    assert [violation["code"] for violation in document["violations"]] == ["PIN001"]
    document = service.problem(put(service, draft), 422, "lint-refused")
    assert [violation["code"] for violation in document["violations"]] == ["PIN001", "PIN008"]


def test_a_code_that_was_forced_for_nothing_is_not_audited_as_forced(service):
    assert put(service, {"hosts": [host()]}, force=["PIN008"], reason="to be safe").status_code == 201
    assert service.rows("SELECT forced FROM versions") == [("",)]
    assert "forced" not in service.ask("GET", "/admin/v1/audit").json["rows"][-1]["detail"]


def test_a_short_life_warns_and_publishes(service):
    answer = put(service, {"hosts": [host()]}, lifetime_seconds=3600)
    assert answer.status_code == 201
    assert unusual(answer.json["warnings"]) == [("PIN006", "/lifetime_seconds")]


def test_a_rollback_is_judged_by_the_lint_of_today(service):
    assert put(service, {"hosts": [host("pins.example.com")]}, force=["PIN008"], reason="once").status_code == 201
    service.ask("PUT", "/admin/v1/pinsets/payments", body={"hosts": [host()]}, If_Match='"1.1"')
    path = "/admin/v1/pinsets/payments/rollback"
    before = service.stored()
    service.problem(service.ask("POST", path, body={"to": 1}, If_Match='"1.2"'), 422, "lint-refused")
    assert service.stored() == before
    body = {"to": 1, "force": ["PIN008"], "reason": "again"}
    answer = service.ask("POST", path, body=body, If_Match='"1.2"')
    assert (answer.status_code, answer.json["version"]) == (200, "1.3")
    assert service.rows("SELECT reason, forced FROM versions WHERE version = 3") == [
        ("rollback to version 1: again", "PIN008")
    ]


@blocking
def test_a_preview_tells_what_would_block_and_stores_nothing(service, draft, code, pointer, forceable):
    before = service.stored()
    path = "/admin/v1/pinsets/payments/preview"
    answer = service.ask("POST", path, body=draft)
    assert (answer.status_code, answer.json["publishable"]) == (200, False)
    assert {(found["code"], found["pointer"]) for found in answer.json["violations"]} == {(code, pointer)}
    forced = service.ask("POST", path, body={**draft, "force": [code], "reason": "we know"})
    assert forced.json["publishable"] is forceable
    assert {code for code, _ in unusual(forced.json["warnings" if forceable else "violations"])} == {code}
    assert service.stored() == before
    assert json.loads(answer.data)["current"] is None
