"""Breaking the glass: published at once without approvals, seen by everybody, and reviewed by another person."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.approvals.conftest import NAME

if TYPE_CHECKING:
    from conftest import Desk

Refused = Callable[..., dict[str, Any]]
BREAKS = {"break_glass": True, "reason": "the key was stolen"}


def broken(desk: "Desk", by: str = "olga") -> int:
    """Break the glass and return the number of what is to be reviewed."""
    assert desk.put("next", "spare", by=by, **BREAKS).status_code == 200
    [number] = desk.ask("GET", NAME).json["open_reviews"]
    return int(number)


@pytest.mark.parametrize("owner", ["olga", "root"])
def test_it_is_published_at_once_and_is_to_be_reviewed(desk: "Desk", owner: str) -> None:
    number = broken(desk, owner)
    shown = desk.change(number)
    assert (shown["state"], shown["owner"], shown["published_as"]) == ("review", owner, desk.in_force())
    listed = desk.ask("GET", "/admin/v1/changes?state=review").json["changes"]
    assert [row["id"] for row in listed] == [number]
    action, detail = desk.audit()[-1]
    assert (action, detail["broke_glass"], detail["reason"]) == ("pinset.publish", True, "the key was stolen")


def test_an_open_review_is_seen_by_whoever_watches(desk: "Desk") -> None:
    number = broken(desk)
    status = desk.ask("GET", "/statusz").json
    assert [line["change"] for line in status["pending"]["reviews"]] == [number]
    [alert] = [alert for alert in status["alerts"] if alert["subject"] == f"review {number}"]
    assert alert["level"] == "warning"
    assert "pinwarden_reviews_open 1.0" in desk.ask("GET", "/metrics").text
    desk.clock.advance(days=1)
    status = desk.ask("GET", "/statusz").json
    assert [each["level"] for each in status["alerts"] if each["subject"] == f"review {number}"] == ["critical"]


@pytest.mark.parametrize("verdict", ["approved", "objected"])
def test_another_person_closes_the_review_with_a_verdict(desk: "Desk", verdict: str) -> None:
    number = broken(desk)
    done = desk.review(number, "anna", verdict)
    assert (done.status_code, done.json["state"], done.json["review"]["verdict"]) == (200, "published", verdict)
    assert desk.ask("GET", NAME).json["open_reviews"] == []
    assert desk.ask("GET", "/statusz").json["pending"]["reviews"] == []
    assert desk.audit()[-1] == (
        "change.review",
        {"change": number, "owner": "anna", "verdict": verdict, "reason": "looked at it"},
    )


def test_the_author_reviews_nothing_of_their_own(desk: "Desk", refused: Refused) -> None:
    number, second = broken(desk), desk.token_of("olga", "admin")
    refused(lambda: desk.review(number, "olga"), 422, "approval-refused")
    desk.tokens["olga"] = second
    refused(lambda: desk.review(number, "olga"), 422, "approval-refused")


def test_a_review_is_closed_once(desk: "Desk", refused: Refused) -> None:
    number = broken(desk)
    assert [desk.review(number, "anna", Idempotency_Key="same").status_code for _ in range(2)] == [200, 200]
    refused(lambda: desk.review(number, "ben"), 422, "approval-refused")


def test_what_waits_or_was_approved_is_not_reviewed(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("next", "spare")
    refused(lambda: desk.review(number, "anna"), 422, "approval-refused")


@pytest.mark.parametrize("body", [{}, {"verdict": "fine", "reason": "x"}, {"verdict": "approved", "reason": " "}])
def test_a_review_says_what_and_why(desk: "Desk", refused: Refused, body: dict[str, str]) -> None:
    number = broken(desk)
    path = f"/admin/v1/changes/{number}/review"
    refused(lambda: desk.ask("POST", path, token=desk.as_("anna"), body=body), 422, "invalid")


def test_an_editor_breaks_nothing(desk: "Desk", refused: Refused) -> None:
    assert refused(lambda: desk.put("next", "spare", by="erin", **BREAKS), 403, "forbidden")["expected"] == (
        "role operator or admin"
    )


def test_breaking_needs_a_reason_and_no_delay(desk: "Desk", refused: Refused) -> None:
    bodies = ({"break_glass": True}, {"break_glass": True, "reason": " "}, {**BREAKS, "not_before": desk.at(hours=1)})
    pointers = [
        refused(lambda body=body: desk.put("next", "spare", by="olga", **body), 422, "invalid")["violations"][0][
            "pointer"
        ]
        for body in bodies
    ]
    assert pointers == ["/reason", "/reason", "/not_before"]


def test_where_nothing_is_required_there_is_nothing_to_break(desk: "Desk", refused: Refused) -> None:
    desk.create("orders")
    asked = {"body": desk.draft("next", "spare", **BREAKS), "If_Match": '"1.1"'}
    refusal = refused(lambda: desk.ask("PUT", "/admin/v1/pinsets/orders", **asked), 422, "invalid")
    assert refusal["violations"][0]["pointer"] == "/break_glass"


def test_lint_is_not_broken_with_the_glass(desk: "Desk", refused: Refused) -> None:
    refused(lambda: desk.put("live", by="olga", **BREAKS), 422, "lint-refused")


def test_a_rollback_may_break_the_glass(desk: "Desk") -> None:
    broken(desk)
    body = {"to": 1, **BREAKS}
    path = "/admin/v1/pinsets/payments/rollback"
    assert desk.ask("POST", path, body=body, token=desk.as_("root"), If_Match='"1.2"').status_code == 200
    assert len(desk.ask("GET", NAME).json["open_reviews"]) == 2


def test_what_waits_is_stale_once_the_glass_was_broken(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("other", "spare")
    broken(desk)
    assert refused(lambda: desk.approve(number, "anna"), 409, "change-closed")["state"] == "stale"


def test_pending_approvals_have_an_age(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    desk.clock.advance(hours=2)
    desk.propose("other", "spare")
    assert 'pinwarden_approvals_pending_seconds{name="payments"} 7200' in desk.ask("GET", "/metrics").text
    lines = desk.ask("GET", "/statusz").json["pending"]["approvals"]
    assert [line["change"] for line in lines] == [number + 1, number]
