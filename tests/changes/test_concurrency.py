"""Several people at once: a change is published once, by whoever completes it, and no signature is lost."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden_server import changes, changes_publishing, changes_signing
from pinwarden_server.publishing import renew_timestamp
from tests.at_once import at_once

if TYPE_CHECKING:
    from conftest import Office


def published(office: "Office") -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in office.rows("SELECT epoch, version FROM versions WHERE name = 'payments'")]


@pytest.mark.parametrize("turn", range(4))
def test_three_signatures_at_once_publish_once(office: "Office", turn: int) -> None:
    number = office.propose("live", "spare")["id"]
    payload = office.payload(number)
    bodies = [person.signature(payload) for person in office.town.people]
    answers = at_once(*(lambda body=body: office.hand_in(number, body) for body in bodies))
    # One waits, one publishes, and the third comes too late or was the one that waited.
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200, 202, 409]
    assert published(office) == [(1, 1)]
    assert office.change(number)["state"] == "published"
    signed = Bundle.parse(office.client.get("/v1/bundles/payments/1").data).pinset.signatures
    assert len(signed) == 2
    late = next(answer for answer in answers if answer.status_code == 409)
    assert office.problem(late, 409, "change-closed")["state"] == "published"


def test_two_changes_that_are_completed_at_once_publish_one_and_outdate_the_other(office: "Office") -> None:
    office.publish("live", "spare")
    alice, bob, _ = office.town.people
    numbers = [office.propose(word, "spare", base="1.1")["id"] for word in ("a", "b")]
    for number in numbers:
        office.sign(number, alice)
    pairs = [(number, bob.signature(office.payload(number))) for number in numbers]
    answers = at_once(*(lambda pair=pair: office.hand_in(*pair) for pair in pairs))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert sorted(office.change(number)["state"] for number in numbers) == ["published", "stale"]
    assert len(published(office)) == 2


def test_the_same_signature_under_one_key_at_once_is_counted_once(office: "Office") -> None:
    number = office.propose("live", "spare")["id"]
    body = office.town.people[0].signature(office.payload(number))
    answers = at_once(*[lambda: office.hand_in(number, body, Idempotency_Key="same")] * 4)
    assert [answer.status_code for answer in answers] == [202] * 4
    assert len(office.change(number)["signatures"]) == 1
    assert [action for action, _ in office.audit()].count("change.sign") == 1


def test_the_same_proposal_under_one_key_at_once_is_one_change(office: "Office") -> None:
    asked = {"body": office.draft("live", "spare"), "If_None_Match": "*", "Idempotency_Key": "same"}
    answers = at_once(*[lambda: office.ask("PUT", "/admin/v1/pinsets/payments", **asked)] * 4)
    assert {(answer.status_code, answer.json["id"]) for answer in answers} == {(202, answers[0].json["id"])}
    assert len(office.ask("GET", "/admin/v1/changes").json["changes"]) == 1


def between(monkeypatch: pytest.MonkeyPatch, room: Any, step: str, meanwhile: Callable[[], object]) -> None:
    """Let *meanwhile* happen once, right before a use case takes *step*: the order that threads meet by chance only."""
    original, happened = getattr(room, step), []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if not happened:
            happened.append(True)
            meanwhile()
        return original(*arguments, **named)

    monkeypatch.setattr(room, step, interrupted)


def test_a_change_that_is_rejected_while_someone_signs_gets_no_signature(
    office: "Office", monkeypatch: pytest.MonkeyPatch
) -> None:
    number = office.propose("live", "spare")["id"]
    body, reject = office.town.people[0].signature(office.payload(number)), f"/admin/v1/changes/{number}/rejection"
    between(
        monkeypatch, changes_signing, "checked_signature", lambda: office.ask("POST", reject, body={"reason": "no"})
    )
    assert office.problem(office.hand_in(number, body), 409, "change-closed")["state"] == "rejected"
    assert office.change(number)["signatures"] == []


def test_a_proposal_is_refused_when_its_base_is_replaced_while_it_is_made(
    office: "Office", monkeypatch: pytest.MonkeyPatch
) -> None:
    office.publish("live", "spare")
    number = office.propose("first", "spare", base="1.1")["id"]
    between(monkeypatch, changes, "check_proposal", lambda: office.sign(number, *office.town.people[:2]))
    late = office.ask("PUT", "/admin/v1/pinsets/payments", body=office.draft("late", "spare"), If_Match='"1.1"')
    assert office.problem(late, 412, "stale-version")["current"] == "1.2"
    assert office.ask("GET", "/admin/v1/changes?state=waiting").json["changes"] == []


def test_a_timestamp_that_is_renewed_while_a_change_is_published_does_not_stop_it(
    office: "Office", monkeypatch: pytest.MonkeyPatch
) -> None:
    office.publish("live", "spare")
    number = office.propose("next", "spare", base="1.1")["id"]
    site, now = office.node.site, office.clock()
    between(monkeypatch, changes_publishing, "bring_into_force", lambda: renew_timestamp(site, "payments", now))
    assert office.sign(number, *office.town.people[:2]).json["version"] == "1.2"
    assert office.ask("GET", "/admin/v1/pinsets/payments").json["version"] == "1.2"


def test_a_change_is_stale_by_what_is_in_force_whatever_its_own_row_says(office: "Office") -> None:
    office.publish("live", "spare")
    numbers = [office.propose(word, "spare", base="1.1")["id"] for word in ("a", "b")]
    office.sign(numbers[0], *office.town.people[:2])
    with closing(sqlite3.connect(office.installation.folder / "pinwarden.db")) as connection:
        connection.execute("UPDATE changes SET state = 'waiting' WHERE id = ?", (numbers[1],))
        connection.commit()
    alice, bob, _ = office.town.people
    for person in (alice, bob):
        assert office.problem(office.sign(numbers[1], person), 409, "change-closed")["state"] == "stale"
    assert published(office) == [(1, 1), (1, 2)]


def test_a_rejection_and_the_last_signature_at_once_leave_one_of_the_two(office: "Office") -> None:
    number = office.propose("live", "spare")["id"]
    alice, bob, _ = office.town.people
    office.sign(number, alice)
    body = bob.signature(office.payload(number))
    signed, rejected = at_once(
        lambda: office.hand_in(number, body),
        lambda: office.ask("POST", f"/admin/v1/changes/{number}/rejection", body={"reason": "no"}),
    )
    assert sorted((signed.status_code, rejected.status_code)) == [200, 409]
    state = "published" if signed.status_code == 200 else "rejected"
    assert office.change(number)["state"] == state
    assert published(office) == ([(1, 1)] if state == "published" else [])
