"""People who logged in approve as themselves; how their session ends decides whether what it did counts on."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from pinwarden_server import accounts
from pinwarden_server.site import Act
from pinwarden_server.store import Store
from tests.approvals.conftest import NAME, ROLES

if TYPE_CHECKING:
    from conftest import Desk

Refused = Callable[..., dict[str, Any]]
PASSWORD = "correct horse battery"


def log_in(desk: "Desk", owner: str, role: str | None = None) -> str:
    """Redeem a new one-time link of *owner* and return the token of the session."""
    body = {"owner": owner, "role": role or ROLES[owner]}
    made = desk.ask("POST", "/admin/v1/one-time-links", body=body)
    assert made.status_code == 201, made.text
    return begun(desk, link=made.json["url"].split("#")[1])


def begun(desk: "Desk", **way: str) -> str:
    answer = desk.client.post("/admin/v1/logins", json=way)
    assert answer.status_code == 201, answer.text
    return str(answer.json["token"])


def log_out(desk: "Desk", token: str) -> None:
    assert desk.ask("DELETE", "/admin/v1/sessions/current", token=token).status_code == 200


def revoke(desk: "Desk", token: str) -> None:
    assert desk.ask("DELETE", f"/admin/v1/sessions/{token.split('_')[1]}").status_code == 200


def run_out(desk: "Desk", token: str) -> None:
    desk.clock.advance(days=2)


def log_out_and_revoke(desk: "Desk", token: str) -> None:
    log_out(desk, token)
    revoke(desk, token)


def run_out_and_revoke(desk: "Desk", token: str) -> None:
    run_out(desk, token)
    revoke(desk, token)


HARMLESS = [log_out, run_out]
REVOKING = [revoke, log_out_and_revoke, run_out_and_revoke]


def is_over(desk: "Desk", token: str) -> bool:
    return bool(desk.ask("GET", "/admin/v1/roots", token=token).status_code == 401)


@pytest.mark.parametrize("end", HARMLESS)
def test_an_approval_counts_on_when_its_session_ended_by(desk: "Desk", end: Callable[["Desk", str], None]) -> None:
    number, token = desk.propose("next", "spare"), log_in(desk, "anna")
    assert desk.approve(number, "anna", token=token).status_code == 202
    end(desk, token)
    assert (is_over(desk, token), desk.change(number)["approved"]["says"]) == (True, "1 of 2 approvals")
    assert desk.approve(number, "ben").status_code == 200
    assert desk.change(number)["published_as"] == desk.in_force() != "1.1"


@pytest.mark.parametrize(("end", "says"), [(log_out, "2 of 2 approvals"), (revoke, "1 of 2 approvals")])
def test_what_a_session_was_worth_is_known_for_as_long_as_what_it_approved(
    desk: "Desk", end: Callable[["Desk", str], None], says: str
) -> None:
    number, token = desk.propose("next", "spare"), log_in(desk, "anna")
    assert [desk.approve(number, "ben").status_code, desk.approve(number, "", token=token).status_code] == [202, 200]
    end(desk, token)
    desk.clock.advance(days=80)
    desk.tick()
    assert desk.change(number)["approved"]["says"] == says


@pytest.mark.parametrize("end", REVOKING)
def test_a_session_takes_its_approval_back_when_it_was_ended_by(
    desk: "Desk", end: Callable[["Desk", str], None]
) -> None:
    number, token = desk.propose("next", "spare"), log_in(desk, "anna")
    assert desk.approve(number, "anna", token=token).status_code == 202
    end(desk, token)
    shown = desk.change(number)["approved"]
    assert (is_over(desk, token), shown["says"]) == (True, "0 of 2 approvals")
    assert [(each["owner"], each["counts"]) for each in shown["given"]] == [("anna", False)]
    assert desk.approve(number, "ben").status_code == 202
    assert (desk.in_force(), desk.change(number)["state"]) == ("1.1", "waiting")
    assert desk.approve(number, "anna", token=log_in(desk, "anna")).status_code == 200
    assert desk.change(number)["approved"]["says"] == "2 of 2 approvals"


def test_a_revoked_session_takes_back_its_own_approvals_and_those_of_no_other_session(desk: "Desk") -> None:
    first, second = desk.propose("next", "spare"), desk.propose("other", "spare")
    stolen, own = log_in(desk, "anna"), log_in(desk, "anna")
    desk.approve(first, "anna", token=stolen)
    desk.approve(second, "anna", token=own)
    revoke(desk, stolen)
    assert [desk.change(number)["approved"]["says"] for number in (first, second)] == [
        "0 of 2 approvals",
        "1 of 2 approvals",
    ]


def remove(store: Store, by: Act) -> None:
    assert accounts.delete_account(store, "anna", by) == 1


def change_password(store: Store, by: Act) -> None:
    assert accounts.change_password(store, "anna", b"another horse battery", by) == (1, 0)


@pytest.mark.parametrize("do", [remove, change_password])
def test_what_sessions_of_an_account_approved_does_not_count_after(
    desk: "Desk", do: Callable[[Store, Act], None]
) -> None:
    store, by = desk.node.site.store, Act("system:command", desk.clock())
    accounts.add_account(store, "anna", PASSWORD.encode(), ("approver", ("*",)), by)
    number, token = desk.propose("next", "spare"), begun(desk, account="anna", password=PASSWORD)
    assert desk.approve(number, "anna", token=token).status_code == 202
    do(store, by)
    assert desk.change(number)["approved"]["says"] == "0 of 2 approvals"
    assert (desk.approve(number, "ben").status_code, desk.in_force()) == (202, "1.1")


@pytest.mark.parametrize("end", HARMLESS)
def test_what_a_session_scheduled_is_published_though_it_ended_by(
    desk: "Desk", end: Callable[["Desk", str], None]
) -> None:
    number = scheduled(desk, end)
    assert (desk.tick(), desk.change(number)["state"]) == ({}, "published")


@pytest.mark.parametrize("end", REVOKING)
def test_what_a_stolen_session_scheduled_is_not_published_once_it_was_ended_by(
    desk: "Desk", end: Callable[["Desk", str], None]
) -> None:
    number = scheduled(desk, end)
    (why,) = desk.tick().values()
    assert why.startswith("the token or session that scheduled it was revoked")
    shown = desk.ask("GET", "/admin/v1/pinsets/orders").json["version"], desk.change(number)["blocked"]
    assert shown == ("1.1", why)


def scheduled(desk: "Desk", end: Callable[["Desk", str], None]) -> int:
    """Schedule a version of orders, which need no approval, by a session; end that, and wait for the time."""
    desk.create("orders")
    token, body = log_in(desk, "erin"), desk.draft("next", "spare", not_before=desk.at(days=3))
    answer = desk.ask("PUT", "/admin/v1/pinsets/orders", token=token, body=body, If_Match='"1.1"')
    assert answer.status_code == 202, answer.text
    end(desk, token)
    desk.clock.advance(days=3)
    return int(answer.json["id"])


def test_sessions_and_tokens_of_one_owner_are_one_person(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("next", "spare", by="erin")
    own = log_in(desk, "erin", "approver")
    refusal = refused(lambda: desk.approve(number, "", token=own), 422, "approval-refused")
    assert (refusal["expected"], refusal["got"]) == ("another person than its author", "erin")
    assert desk.approve(number, "anna", token=log_in(desk, "anna")).status_code == 202
    again = log_in(desk, "anna")
    for token in (again, desk.as_("anna")):
        refusal = refused(lambda token=token: desk.approve(number, "", token=token), 422, "approval-refused")
        assert refusal["detail"].startswith(f"you have approved change {number} already")


def by_link(desk: "Desk", owner: str, role: str) -> str:
    return log_in(desk, owner, role)


def by_account(desk: "Desk", owner: str, role: str) -> str:
    store, by = desk.node.site.store, Act("system:command", desk.clock())
    accounts.add_account(store, owner, PASSWORD.encode(), (role, ("*",)), by)
    return begun(desk, account=owner, password=PASSWORD)


@pytest.mark.parametrize("way", [by_link, by_account])
def test_capitals_make_no_second_person_of_anybody(desk: "Desk", refused: Refused, way: Callable[..., str]) -> None:
    number, token = desk.propose("next", "spare", by="erin"), way(desk, "Erin", "approver")
    refusal = refused(lambda: desk.approve(number, "", token=token), 422, "approval-refused")
    assert (refusal["expected"], refusal["got"]) == ("another person than its author", "erin")
    assert desk.approve(number, "anna").status_code == 202
    token = way(desk, "ANNA", "approver")
    refusal = refused(lambda: desk.approve(number, "", token=token), 422, "approval-refused")
    assert (refusal["expected"], refusal["got"]) == ("somebody who has not approved it", "anna")


def test_capitals_that_were_kept_before_they_were_minded_make_no_second_person_either(
    desk: "Desk", refused: Refused
) -> None:
    number = desk.propose("next", "spare", by="erin")
    assert desk.approve(number, "anna").status_code == 202
    with desk.node.site.store.writer.transaction() as transaction:
        transaction.run(text("UPDATE changes SET owner = 'Erin'"))
        transaction.run(text("UPDATE change_approvals SET owner = 'Anna'"))
    for owner in ("erin", "anna"):
        token = desk.token_of(owner, "approver")
        refused(lambda token=token: desk.approve(number, "", token=token), 422, "approval-refused")
    assert desk.approve(number, "ben").status_code == 200


def approval(desk: "Desk", token: str) -> Any:
    """Give the approval that publishes."""
    [waiting] = desk.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    return desk.approve(waiting["id"], "", token=token)


def review(desk: "Desk", token: str) -> Any:
    [number] = desk.ask("GET", NAME).json["open_reviews"]
    body = {"verdict": "approved", "reason": "looked at it"}
    return desk.ask("POST", f"/admin/v1/changes/{number}/review", token=token, body=body)


def policy(desk: "Desk", token: str) -> Any:
    body = {"approvals_required": 3, "replaces": 2}
    return desk.ask("PUT", f"{NAME}/policy", token=token, body=body)


@pytest.mark.parametrize("deed", [approval, review, policy])
def test_a_session_that_began_long_ago_is_asked_to_log_in_again_before_its(
    desk: "Desk", refused: Refused, deed: Callable[["Desk", str], Any]
) -> None:
    assert desk.put("glass", "spare", by="olga", break_glass=True, reason="drill").status_code == 200
    desk.approve(desk.propose("next", "spare", base=desk.in_force()), "ben")
    old = log_in(desk, "zoe", "admin")
    desk.clock.advance(seconds=901)
    fresh = log_in(desk, "zoe", "admin")
    refusal = refused(lambda: deed(desk, old), 401, "step-up-needed")
    assert (refusal["max_age"], refusal["got"]) == (900, "901 seconds ago")
    assert deed(desk, fresh).status_code == 200
