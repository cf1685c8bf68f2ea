"""How many approvals a pin set requires: raised at once, lowered only by as many people as it requires now."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.approvals.conftest import NAME, desk_on
from tests.meanwhile import before_the_commit

if TYPE_CHECKING:
    from conftest import Desk

    from pinwarden_server.installation import Installation

Refused = Callable[..., dict[str, Any]]


def required(desk: "Desk") -> int:
    return int(desk.ask("GET", NAME).json["approvals_required"])


def test_it_is_raised_at_once(desk: "Desk") -> None:
    assert desk.require(3, replaces=2, reason="audit").json == {"name": "payments", "approvals_required": 3}
    assert required(desk) == 3
    assert desk.audit()[-1] == ("policy.raise", {"approvals_required": 3, "replaces": 2, "reason": "audit"})


def test_it_is_lowered_by_as_many_people_as_it_requires_now(desk: "Desk") -> None:
    asked = desk.require(0, replaces=2, reason="too slow")
    assert (asked.status_code, asked.json["action"], asked.json["version"]) == (202, "policy.lower", None)
    number = asked.json["id"]
    assert required(desk) == 2
    assert desk.approve(number, "anna").status_code == 202
    assert required(desk) == 2
    done = desk.approve(number, "ben")
    assert (done.status_code, done.json["state"]) == (200, "published")
    assert required(desk) == 0
    assert desk.audit()[-1] == (
        "policy.lower",
        {"approvals_required": 0, "replaces": 2, "reason": "too slow", "change": number, "approvers": ["anna", "ben"]},
    )
    assert desk.put("next", "spare").status_code == 200


def test_the_admin_who_asks_for_less_does_not_count(desk: "Desk", refused: Refused) -> None:
    number = desk.require(1, replaces=2).json["id"]
    refused(lambda: desk.approve(number, "root"), 422, "approval-refused")


def test_publications_do_not_outdate_a_policy_that_waits(desk: "Desk") -> None:
    number = desk.require(1, replaces=2).json["id"]
    change = desk.propose("next", "spare")
    desk.approve(change, "anna")
    desk.approve(change, "ben")
    desk.approve(number, "anna")
    assert desk.approve(number, "ben").status_code == 200
    assert required(desk) == 1


def test_raising_outdates_what_would_lower(desk: "Desk", refused: Refused) -> None:
    number = desk.require(0, replaces=2).json["id"]
    desk.approve(number, "anna")
    assert desk.require(3, replaces=2).status_code == 200
    assert refused(lambda: desk.approve(number, "ben"), 409, "change-closed")["state"] == "stale"
    assert required(desk) == 3


def test_raising_holds_for_what_waits_already(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    desk.approve(number, "anna")
    desk.require(3, replaces=2)
    assert desk.approve(number, "ben").status_code == 202
    assert desk.approve(number, "olga").status_code == 200


def lower(desk: "Desk", to: int) -> None:
    policy = desk.require(to, replaces=2).json["id"]
    assert [desk.approve(policy, owner).status_code for owner in ("anna", "ben")] == [202, 200]


@pytest.mark.parametrize("to", [0, 1])
@pytest.mark.parametrize("given", [0, 1])
@pytest.mark.parametrize("scheduled", [False, True])
def test_lowering_publishes_nothing_that_waits(desk: "Desk", to: int, given: int, scheduled: bool) -> None:
    """Whoever approves a lower number has not looked at the drafts of others, of which some nobody has looked at."""
    manner = {"not_before": desk.at(minutes=1)} if scheduled else {}
    number = desk.propose("next", "spare", **manner)
    for owner in ("anna", "ben")[:given]:
        desk.approve(number, owner)
    lower(desk, to)
    desk.clock.advance(minutes=2)
    assert (desk.tick(), desk.in_force()) == ({}, "1.1")
    shown = desk.change(number)
    assert (shown["state"], shown["waiting_for"]) == ("waiting", ["approvals"])
    assert shown["approved"]["says"] == f"{given} of 2 approvals"


def test_a_lower_number_names_what_it_leaves_waiting(desk: "Desk") -> None:
    desk.require(3, replaces=2)
    number = desk.propose("next", "spare", reason="rotation", deny=[desk.pin("stolen")])
    desk.approve(number, "anna")
    answer = desk.require(2, replaces=3)
    left = [
        {
            "id": number,
            "name": "payments",
            "action": "pinset.publish",
            "actor": desk.actor("erin"),
            "owner": "erin",
            "reason": "rotation",
            "approvals": "1 of 3 approvals",
            "what": "1 host changed, deny changed",
        }
    ]
    assert (answer.status_code, answer.json["left_waiting"]) == (202, left)
    assert desk.change(answer.json["id"])["left_waiting"] == left
    assert desk.change(number)["left_waiting"] == []
    desk.reject(number, "olga")
    assert desk.change(answer.json["id"])["left_waiting"] == []


def test_what_waits_is_published_by_the_number_that_it_was_proposed_under(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    lower(desk, 1)
    assert [desk.approve(number, owner).status_code for owner in ("anna", "ben")] == [202, 200]
    assert desk.change(number)["state"] == "published"


def test_what_is_proposed_again_needs_the_lower_number(desk: "Desk") -> None:
    late = desk.propose("next", "spare")
    lower(desk, 1)
    again = desk.propose("next", "spare")
    assert desk.approve(again, "anna").status_code == 200
    assert (desk.change(again)["state"], desk.change(late)["state"]) == ("published", "stale")


def test_a_number_that_is_lowered_while_somebody_proposes_leaves_nothing_that_waits_for_nobody(desk: "Desk") -> None:
    policy = desk.require(0, replaces=2).json["id"]
    desk.approve(policy, "anna")
    with before_the_commit(lambda: desk.approve(policy, "ben")):
        number = desk.propose("next", "spare")
    assert (required(desk), desk.change(number)["waiting_for"]) == (0, ["approvals"])
    assert [desk.approve(number, owner).status_code for owner in ("anna", "ben")] == [202, 200]


def test_a_number_that_is_lowered_while_somebody_approves_lets_nothing_through(desk: "Desk") -> None:
    number, policy = desk.propose("next", "spare"), desk.require(0, replaces=2).json["id"]
    desk.approve(policy, "anna")
    with before_the_commit(lambda: desk.approve(policy, "ben")):
        assert desk.approve(number, "anna").status_code == 202
    assert (required(desk), desk.in_force(), desk.change(number)["waiting_for"]) == (0, "1.1", ["approvals"])


@pytest.mark.parametrize("owner", ["erin", "anna", "olga"])
def test_nobody_but_an_admin_says_how_many(desk: "Desk", refused: Refused, owner: str) -> None:
    refused(lambda: desk.require(3, replaces=2, by=owner), 403, "forbidden")


def test_a_number_that_somebody_changed_meanwhile_is_not_overwritten(desk: "Desk", refused: Refused) -> None:
    refusal = refused(lambda: desk.require(1, replaces=0), 409, "conflict")
    assert (refusal["expected"], refusal["got"]) == ("0", "2")


@pytest.mark.parametrize("number", [-1, 10, "2", 1.5, None, True])
def test_impossible_numbers_are_refused(desk: "Desk", refused: Refused, number: Any) -> None:
    slug, status = ("malformed-json", 400) if number == 1.5 else ("invalid", 422)
    refused(lambda: desk.require(number, replaces=2), status, slug)


def test_a_pin_set_that_does_not_exist_has_no_policy(desk: "Desk", refused: Refused) -> None:
    body = {"approvals_required": 1, "replaces": 0}
    refused(lambda: desk.ask("PUT", "/admin/v1/pinsets/orders/policy", body=body), 404, "not-found")


def test_the_same_policy_under_one_key_is_set_once(desk: "Desk") -> None:
    body = {"approvals_required": 4, "replaces": 2}
    answers = [desk.ask("PUT", f"{NAME}/policy", body=body, Idempotency_Key="same") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert [action for action, _ in desk.audit()].count("policy.raise") == 2  # the first one is the fixture's


def test_a_new_name_requires_what_the_setting_says_from_its_first_version_on(installation: "Installation") -> None:
    with desk_on(installation, approvals_required_default=1) as desk:
        number = desk.propose(base=None)
        assert desk.ask("GET", NAME).status_code == 404
        assert desk.approve(number, "anna").status_code == 200
        assert required(desk) == 1
    with desk_on(installation, approvals_required_default=0) as desk:
        assert required(desk) == 1
        assert desk.put("next", "spare", base=desk.in_force()).status_code == 202
