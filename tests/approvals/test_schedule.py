"""Scheduled publications: not before their time, by the renewer, judged once more, and never in silence."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden_server import schedule
from pinwarden_server.store import Reader
from tests.approvals.conftest import desk_on

if TYPE_CHECKING:
    from conftest import Desk

    from pinwarden_server.installation import Installation

Refused = Callable[..., dict[str, Any]]


@pytest.fixture
def free(installation: "Installation") -> Iterator["Desk"]:
    """Version 1.1 of payments is in force, and nothing requires approvals."""
    with desk_on(installation) as desk:
        desk.create()
        yield desk


def test_it_is_published_at_its_time_by_the_renewer(free: "Desk") -> None:
    number = free.propose("next", "spare", not_before=free.at(hours=8), reason="at night")
    shown = free.change(number)
    assert (shown["waiting_for"], shown["not_before"]) == (["time"], free.at(hours=8))
    free.clock.advance(hours=7, minutes=59)
    assert (free.tick(), free.in_force()) == ({}, "1.1")
    free.clock.advance(minutes=1)
    assert free.tick() == {}
    done = free.change(number)
    assert (done["state"], done["closed"]["actor"]) == ("published", "system:schedule")
    assert done["published_as"] == free.in_force() != "1.1"
    assert free.version_of(free.client.get("/v1/bundles/payments/1").data) == free.in_force()


def test_its_life_begins_when_it_is_published(free: "Desk") -> None:
    free.propose("next", "spare", not_before=free.at(days=10), lifetime_seconds=24 * 3600)
    free.clock.advance(days=10, minutes=5)
    free.tick()
    shown = free.ask("GET", "/admin/v1/pinsets/payments").json
    assert (shown["issued"], shown["expires"]) == (free.at(), free.at(days=1))


def test_a_server_that_was_down_at_the_time_publishes_late_and_says_so(free: "Desk") -> None:
    free.propose("next", "spare", not_before=free.at(hours=1))
    free.clock.advance(hours=3)
    free.tick()
    action, detail = free.audit()[-1]
    assert (action, 2 * 3600 <= detail["late_seconds"] < 2 * 3600 + 60) == ("pinset.publish", True)


def test_it_waits_for_time_and_approvals_whichever_is_later(desk: "Desk") -> None:
    early, late = (desk.propose(word, "spare", not_before=desk.at(hours=2)) for word in ("early", "late"))
    assert desk.change(early)["waiting_for"] == ["approvals", "time"]
    desk.approve(early, "anna")
    answer = desk.approve(early, "ben")
    assert (answer.status_code, answer.json["waiting_for"]) == (202, ["time"])
    desk.clock.advance(hours=2)
    assert (desk.tick(), desk.change(early)["state"], desk.change(late)["state"]) == ({}, "published", "stale")
    third = desk.propose("third", "spare", base=desk.in_force(), not_before=desk.at(hours=2))
    desk.clock.advance(hours=3)
    assert (desk.tick(), desk.change(third)["waiting_for"]) == ({}, ["approvals"])
    desk.approve(third, "anna")
    assert desk.approve(third, "ben").status_code == 200


def test_a_rollback_may_wait_for_its_time_too(free: "Desk") -> None:
    free.put("next", "spare")
    body = {"to": 1, "reason": "back", "not_before": free.at(hours=1)}
    asked = free.ask("POST", "/admin/v1/pinsets/payments/rollback", body=body, If_Match='"1.2"')
    assert (asked.status_code, asked.json["action"]) == (202, "pinset.rollback")
    free.clock.advance(hours=1)
    free.tick()
    rows = free.ask("GET", "/admin/v1/pinsets/payments/versions").json["versions"]
    assert rows[0]["reason"] == "rollback to version 1: back"


def test_it_is_stale_once_another_content_is_in_force(free: "Desk") -> None:
    number = free.propose("next", "spare", not_before=free.at(hours=1))
    assert free.put("other", "spare").status_code == 200
    free.clock.advance(hours=1)
    assert (free.tick(), free.change(number)["state"]) == ({}, "stale")


def test_it_can_be_rejected_before_its_time(free: "Desk") -> None:
    number = free.propose("next", "spare", not_before=free.at(hours=1))
    assert free.reject(number, "erin").status_code == 200
    free.clock.advance(hours=1)
    assert (free.tick(), free.in_force()) == ({}, "1.1")


def test_what_lint_refuses_by_then_is_not_published_and_says_why(installation: "Installation") -> None:
    with desk_on(installation) as before:
        before.create()
        number, due = before.propose("next", "spare", not_before=before.at(hours=1)), before.clock()
    with desk_on(installation, own_hosts=("api.example.com",)) as desk:
        desk.clock.now = due
        desk.clock.advance(hours=1)
        (why,) = desk.tick().values()
        assert "got PIN008" in why
        assert (desk.in_force(), desk.change(number)["blocked"]) == ("1.1", why)
        assert desk.audit()[-1] == ("change.block", {"change": number, "why": why})
        desk.tick()
        assert [action for action, _ in desk.audit()].count("change.block") == 1
        status = desk.ask("GET", "/statusz").json
        assert [(line["change"], line["why"]) for line in status["pending"]["blocked"]] == [(number, why)]
        assert [(alert["subject"], alert["level"]) for alert in status["alerts"] if "change" in alert["subject"]] == [
            (f"change {number}", "critical")
        ]
        assert "pinwarden_changes_blocked 1.0" in desk.ask("GET", "/metrics").text
    with desk_on(installation) as after:  # what was in its way is gone
        after.clock.now = due
        after.clock.advance(hours=2)
        assert after.tick() == {}
        assert (after.change(number)["state"], after.change(number)["blocked"]) == ("published", None)


def test_what_a_stolen_token_scheduled_is_not_published_once_it_is_revoked(free: "Desk") -> None:
    number = free.propose("thief", "spare", not_before=free.at(hours=1))
    assert free.ask("DELETE", f"/admin/v1/tokens/{free.as_('erin').split('_')[1]}").status_code == 200
    free.clock.advance(hours=1)
    assert list(free.tick()) == [number]
    assert free.in_force() == "1.1"
    assert free.change(number)["blocked"].startswith("the token or session that scheduled it was revoked")


def test_one_change_that_is_blocked_keeps_no_other_from_being_published(free: "Desk") -> None:
    free.create("orders")
    first = free.propose("thief", "spare", not_before=free.at(hours=1))
    body = free.draft("next", "spare", not_before=free.at(hours=1))
    second = free.ask("PUT", "/admin/v1/pinsets/orders", body=body, If_Match='"1.1"').json["id"]
    free.ask("DELETE", f"/admin/v1/tokens/{free.as_('erin').split('_')[1]}")
    free.clock.advance(hours=1)
    assert list(free.tick()) == [first]
    assert free.change(second)["state"] == "published"


def test_many_proposals_that_nobody_approves_keep_no_scheduled_one_from_its_time(
    desk: "Desk", monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        desk.propose("never", "spare")
    desk.create("orders")
    body = desk.draft("next", "spare", not_before=desk.at(hours=1))
    number = desk.ask("PUT", "/admin/v1/pinsets/orders", body=body, If_Match='"1.1"').json["id"]
    look = Reader.due_changes
    monkeypatch.setattr(Reader, "due_changes", lambda self, now, *, after=0: look(self, now, after=after, limit=2))
    desk.clock.advance(hours=1)
    assert (desk.tick(), desk.change(number)["state"]) == ({}, "published")


def test_a_defect_among_scheduled_changes_does_not_end_renewals(
    free: "Desk", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = free.propose("next", "spare", not_before=free.at(days=2))
    monkeypatch.setattr(schedule, "standing_of", lambda *arguments: 1 / 0)
    free.clock.advance(days=2)
    stamp = free.ask("GET", "/admin/v1/pinsets/payments").json["timestamp"]["version"]
    assert free.tick() == {}
    assert free.ask("GET", "/admin/v1/pinsets/payments").json["timestamp"]["version"] > stamp
    assert free.change(number)["state"] == "waiting"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("later", "slug"),
    [({"seconds": 0}, "invalid"), ({"hours": -1}, "invalid"), ({"days": 30, "seconds": 2}, "invalid")],
)
def test_times_that_are_over_or_too_far_away_are_refused(
    desk: "Desk", refused: Refused, later: dict[str, float], slug: str
) -> None:
    refusal = refused(lambda: desk.put("next", "spare", not_before=desk.at(**later)), 422, slug)
    assert refusal["violations"][0]["pointer"] == "/not_before"


@pytest.mark.parametrize("text", ["tomorrow", "2026-06-01 08:00:00", "2026-06-01T08:00:00+02:00", 5, ""])
def test_what_is_no_time_is_refused(desk: "Desk", refused: Refused, text: Any) -> None:
    assert refused(lambda: desk.put("next", "spare", not_before=text), 422, "invalid")["violations"][0]["pointer"] == (
        "/not_before"
    )


def test_thirty_days_ahead_is_the_farthest(free: "Desk") -> None:
    free.clock.now = datetime.fromtimestamp(int(free.clock.now.timestamp()), free.clock.now.tzinfo)
    number = free.propose("next", "spare", not_before=free.at(days=30))
    free.clock.advance(days=30)
    free.tick()
    assert free.change(number)["state"] == "published"
