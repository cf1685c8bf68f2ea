"""Whoever loses a race is told what really happened, with the status that the pages name for it, and a way out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.approvals.conftest import NAME
from tests.approvals.test_glass import BREAKS
from tests.approvals.test_sessions import log_in, revoke
from tests.meanwhile import before_the_commit

if TYPE_CHECKING:
    from conftest import Desk

Ask = Callable[[], Any]
REVOKED = (
    "your token or session was revoked while this was being done: expected a token or session that nobody has revoked, "
    "got one that was revoked after it was let in. Nothing stored has changed. Log in again, or ask an administrator "
    "for another token; then repeat the request."
)


def end_token(desk: "Desk", token: str) -> None:
    assert desk.ask("DELETE", f"/admin/v1/tokens/{token.split('_')[1]}").status_code == 200


def own_token(desk: "Desk", owner: str) -> str:
    return desk.as_(owner)


# What somebody asks for with the token that is revoked meanwhile: who, and the request, made ready before.
def first_approval(desk: "Desk", token: str) -> Ask:
    number = desk.propose("next", "spare")
    return lambda: desk.approve(number, "", token=token)


def last_approval(desk: "Desk", token: str) -> Ask:
    number = desk.propose("next", "spare")
    assert desk.approve(number, "ben").status_code == 202
    return lambda: desk.approve(number, "", token=token)


def first_of_a_lower_number(desk: "Desk", token: str) -> Ask:
    number = desk.require(1, replaces=2).json["id"]
    return lambda: desk.approve(number, "", token=token)


def last_of_a_lower_number(desk: "Desk", token: str) -> Ask:
    number = desk.require(1, replaces=2).json["id"]
    assert desk.approve(number, "ben").status_code == 202
    return lambda: desk.approve(number, "", token=token)


def rejection(desk: "Desk", token: str) -> Ask:
    path = f"/admin/v1/changes/{desk.propose('next', 'spare')}/rejection"
    return lambda: desk.ask("POST", path, token=token, body={"reason": "no"})


def review(desk: "Desk", token: str) -> Ask:
    assert desk.put("next", "spare", by="root", **BREAKS).status_code == 200
    [number] = desk.ask("GET", NAME).json["open_reviews"]
    body = {"verdict": "approved", "reason": "looked at it"}
    return lambda: desk.ask("POST", f"/admin/v1/changes/{number}/review", token=token, body=body)


def proposal(desk: "Desk", token: str) -> Ask:
    return lambda: desk.ask("PUT", NAME, token=token, body=desk.draft("thief", "spare"), If_Match='"1.1"')


def glass(desk: "Desk", token: str) -> Ask:
    body = desk.draft("thief", "spare", **BREAKS)
    return lambda: desk.ask("PUT", NAME, token=token, body=body, If_Match='"1.1"')


def creation(desk: "Desk", token: str) -> Ask:
    path = "/admin/v1/pinsets/orders"
    return lambda: desk.ask("PUT", path, token=token, body=desk.draft("thief", "spare"), If_None_Match="*")


def raising(desk: "Desk", token: str) -> Ask:
    body = {"approvals_required": 9, "replaces": 2}
    return lambda: desk.ask("PUT", f"{NAME}/policy", token=token, body=body)


def lowering(desk: "Desk", token: str) -> Ask:
    body = {"approvals_required": 0, "replaces": 2}
    return lambda: desk.ask("PUT", f"{NAME}/policy", token=token, body=body)


def token(desk: "Desk", token: str) -> Ask:
    """A thief makes a token that outlives the one that was taken away."""
    body = {"role": "admin", "names": ["*"], "lifetime_seconds": 3600}
    return lambda: desk.ask("POST", "/admin/v1/tokens", token=token, body=body)


def link(desk: "Desk", token: str) -> Ask:
    body = {"role": "admin", "owner": "anna"}
    return lambda: desk.ask("POST", "/admin/v1/one-time-links", token=token, body=body)


def revocation(desk: "Desk", token: str) -> Ask:
    path = f"/admin/v1/tokens/{desk.as_('anna').split('_')[1]}"
    return lambda: desk.ask("DELETE", path, token=token)


DEEDS: tuple[tuple[Callable[["Desk", str], Ask], str], ...] = (
    (first_approval, "anna"),
    (last_approval, "anna"),
    (first_of_a_lower_number, "anna"),
    (last_of_a_lower_number, "anna"),
    (rejection, "anna"),
    (review, "olga"),
    (proposal, "erin"),
    (glass, "olga"),
    (creation, "erin"),
    (raising, "root"),
    (lowering, "root"),
    (token, "root"),
    (link, "root"),
    (revocation, "root"),
)


TOKEN, SESSION = (own_token, end_token), (log_in, revoke)
CASES = [(ready, owner, TOKEN) for ready, owner in DEEDS] + [(last_approval, "anna", SESSION), (glass, "olga", SESSION)]


@pytest.mark.parametrize(
    ("ready", "owner", "way"), CASES, ids=[f"{ready.__name__}-{way[0].__name__}" for ready, _, way in CASES]
)
def test_whoever_is_revoked_before_the_commit_does_nothing_and_is_told_so(
    desk: "Desk",
    ready: Callable[["Desk", str], Ask],
    owner: str,
    way: tuple[Callable[["Desk", str], str], Callable[["Desk", str], None]],
) -> None:
    begin, end = way
    token = begin(desk, owner)
    ask, after_the_revocation = ready(desk, token), []

    def meanwhile() -> None:
        end(desk, token)
        after_the_revocation.append(desk.stored())

    with before_the_commit(meanwhile):
        refusal = desk.problem(ask(), 401, "unauthenticated")
    assert refusal["detail"] == REVOKED
    assert [desk.stored()] == after_the_revocation


def rejected(desk: "Desk", number: int) -> str:
    assert desk.reject(number, "olga").status_code == 200
    return f"it was rejected by {desk.actor('olga')} at {desk.at()}, 'no'"


def completed(desk: "Desk", number: int) -> str:
    assert desk.approve(number, "olga").status_code == 200
    return f"it was published by {desk.actor('olga')} at {desk.at()}, 'version {desk.in_force()}'"


def replaced(desk: "Desk", number: int) -> str:
    base = desk.change(number)["base"]
    assert desk.put("other", "spare", by="olga", **BREAKS).status_code == 200
    published = f"published by {desk.actor('olga')} at {desk.at()}"
    return f"it was made to replace version {base}, and version {desk.in_force()} is in force, {published}"


WINNERS = ((rejected, "rejected"), (completed, "published"), (replaced, "stale"))


@pytest.mark.parametrize(("win", "state"), WINNERS, ids=[state for _, state in WINNERS])
@pytest.mark.parametrize("given", [0, 1])
def test_an_approval_that_comes_second_is_told_what_was_first(
    desk: "Desk", win: Callable[["Desk", int], str], state: str, given: int
) -> None:
    desk.require(3, replaces=2)
    number, said = desk.propose("next", "spare"), []
    for owner in ("anna", "root") if given or state == "published" else ():
        desk.approve(number, owner)
    stored = []

    def meanwhile() -> None:
        said.append(win(desk, number))
        stored.append(desk.stored())

    with before_the_commit(meanwhile):
        refusal = desk.problem(desk.approve(number, "ben"), 409, "change-closed")
    assert refusal["state"] == state
    assert refusal["detail"].startswith(f"change {number} does not wait any more: {said[0]}: expected a waiting change")
    assert [desk.stored()] == stored


def test_an_approval_of_a_number_that_somebody_raised_meanwhile_is_told_so(desk: "Desk") -> None:
    number = desk.require(0, replaces=2).json["id"]
    desk.approve(number, "anna")
    with before_the_commit(lambda: desk.require(4, replaces=2)):
        refusal = desk.problem(desk.approve(number, "ben"), 409, "change-closed")
    assert refusal["state"] == "stale"
    told = f"change {number} does not wait any more: it was made to lower 2, which somebody changed meanwhile; 4 are"
    assert refusal["detail"].startswith(told)


def test_the_second_of_two_rejections_is_told_of_the_first(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    with before_the_commit(lambda: desk.reject(number, "olga")):
        refusal = desk.problem(desk.reject(number, "anna"), 409, "change-closed")
    told = f"change {number} does not wait any more: it was rejected by {desk.actor('olga')} at {desk.at()}, 'no'"
    assert refusal["detail"].startswith(told)


def test_a_change_that_waited_too_long_is_told_since_when(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    until = desk.change(number)["waits_until"]
    desk.clock.advance(days=31)
    refusal = desk.problem(desk.approve(number, "anna"), 409, "change-closed")
    assert refusal["detail"].startswith(f"change {number} does not wait any more: its time was over at {until}: ")
