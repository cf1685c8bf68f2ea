"""Two drafts for one place: the second learns at once that another waits, and the loser why it was not published."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.approvals.conftest import NAME, desk_on
from tests.meanwhile import before_the_commit

if TYPE_CHECKING:
    from conftest import Desk

    from pinwarden_server.installation import Installation


def waiting(warnings: list[dict[str, str]]) -> list[str]:
    return [each["message"] for each in warnings if each["code"] == "WAITING"]


def told(do: str, *numbers: int) -> str:
    named = ", ".join(f"{number} by erin" for number in numbers)
    return f"what waits already to {do} this pin set is change {named}: the first to be published ends the others"


def test_the_second_to_create_a_pin_set_learns_that_another_waits(installation: "Installation") -> None:
    with desk_on(installation, approvals_required_default=1) as desk:
        preview = f"{NAME}/preview"
        assert waiting(desk.ask("POST", preview, body=desk.draft()).json["warnings"]) == []
        first = desk.propose(base=None)
        assert waiting(desk.change(first)["warnings"]) == []
        seen = desk.ask("POST", preview, body=desk.draft("other", "spare")).json
        assert (seen["publishable"], waiting(seen["warnings"])) == (True, [told("create", first)])
        second = desk.put("other", "spare", base=None, by="olga")
        assert (second.status_code, waiting(second.json["warnings"])) == (202, [told("create", first)])
        done = desk.approve(first, "anna")
        assert (done.status_code, waiting(done.json["warnings"])) == (200, [])
        lost = desk.problem(desk.approve(second.json["id"], "anna"), 409, "change-closed")
        assert lost["detail"].startswith(
            f"change {second.json['id']} does not wait any more: it was made to create the pin set, and version "
            f"{desk.in_force()} is in force, published by {desk.actor('anna')} at {desk.at()}: expected"
        )


def test_the_loser_of_two_approvals_that_create_at_once_is_told_the_same(installation: "Installation") -> None:
    with desk_on(installation, approvals_required_default=1) as desk:
        first, second = desk.propose(base=None), desk.propose("other", "spare", base=None)
        with before_the_commit(lambda: desk.approve(first, "ben")):
            lost = desk.problem(desk.approve(second, "anna"), 409, "change-closed")
        assert (lost["state"], desk.change(first)["state"]) == ("stale", "published")
        assert "it was made to create the pin set, and version" in lost["detail"]
        assert desk.rows("SELECT count(*) FROM versions") == [(1,)]


def test_a_draft_that_is_proposed_at_the_same_moment_is_told_too(desk: "Desk") -> None:
    rival: list[int] = []
    with before_the_commit(lambda: rival.append(desk.propose("next", "spare"))):
        answer = desk.put("other", "spare", by="olga")
    assert (answer.status_code, waiting(answer.json["warnings"])) == (202, [told("replace", *rival)])


@pytest.mark.parametrize("ends", ["reject", "expire"])
def test_what_does_not_wait_any_more_is_no_rival(desk: "Desk", ends: str) -> None:
    number = desk.propose("next", "spare")
    if ends == "reject":
        desk.reject(number, "olga")
    else:
        desk.clock.advance(days=30)
    assert waiting(desk.ask("POST", f"{NAME}/preview", body=desk.draft("other", "spare")).json["warnings"]) == []


def test_a_renewal_and_a_lower_number_exclude_nothing(desk: "Desk") -> None:
    lower: Any = desk.require(1, replaces=2)
    life = desk.ask("POST", f"{NAME}/renewal", body={"lifetime_seconds": 86400}, If_Match='"1.1"')
    change = desk.change(desk.propose("next", "spare"))
    found = [waiting(each["warnings"]) for each in (lower.json, life.json, change)]
    assert ([lower.status_code, life.status_code], found) == ([202, 202], [[], [], []])


def test_many_rivals_are_counted(desk: "Desk") -> None:
    numbers = [desk.propose("next", "spare") for _ in range(6)]
    [message] = waiting(desk.ask("POST", f"{NAME}/preview", body=desk.draft("other", "spare")).json["warnings"])
    newest = told("replace", *numbers[:1:-1])
    assert message == newest.replace(" by erin: ", " by erin and 2 more: ")
