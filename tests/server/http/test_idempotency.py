"""A write that is sent twice under one Idempotency-Key happens once, whatever lies between the two."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pinwarden.envelope import PINSET_TYPE
from pinwarden_keys import Signer

PAYMENTS = "/admin/v1/pinsets/payments"


class Meeting:
    """A signer that signs its first *parties* payloads only when so many publications have come as far as this."""

    def __init__(self, signer: Signer, parties: int) -> None:
        self._signer = signer
        self._barrier = threading.Barrier(parties, timeout=20)
        self._left = parties
        self.uri, self.public, self.keyid = signer.uri, signer.public, signer.keyid
        self.close = signer.close

    def sign(self, message: bytes) -> bytes:
        if PINSET_TYPE.encode() in message and self._left > 0:
            self._left -= 1
            self._barrier.wait()
        return self._signer.sign(message)


def send(service: Any, key: str, *words: str, name: str = "payments", **condition: str) -> Any:
    condition = condition or {"If_Match": '"1.1"'}
    path, body = f"/admin/v1/pinsets/{name}", service.draft(*words)
    return service.ask("PUT", path, body=body, Idempotency_Key=key, **condition)


def test_a_repeated_publication_is_answered_alike_and_published_once(service):
    service.create()
    first = send(service, "key-1", "new", "spare")
    before = service.stored()
    again = send(service, "key-1", "new", "spare")
    assert (first.status_code, again.status_code, again.data) == (200, 200, first.data)
    assert first.headers["ETag"] == again.headers["ETag"] == '"1.2"'
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert service.stored() == before


def test_a_repeated_creation_is_still_a_creation(service):
    answers = [send(service, "key-1", If_None_Match="*") for _ in range(2)]
    assert [(answer.status_code, answer.json["created"]) for answer in answers] == [(201, True), (201, True)]
    assert service.rows("SELECT count(*) FROM versions") == [(1,)]


def test_a_repeated_rollback_rolls_back_once(service):
    service.create()
    assert send(service, "other", "new", "spare").status_code == 200
    ask = {"body": {"to": 1}, "If_Match": '"1.2"', "Idempotency_Key": "back"}
    answers = [service.ask("POST", f"{PAYMENTS}/rollback", **ask) for _ in range(2)]
    assert [(answer.status_code, answer.json["version"]) for answer in answers] == [(200, "1.3")] * 2
    assert service.rows("SELECT version FROM versions ORDER BY version") == [(1,), (2,), (3,)]


def test_a_repeated_request_for_a_token_makes_one_and_shows_its_secret_once(service):
    ask = {"body": {"role": "reader", "lifetime_seconds": 60}, "Idempotency_Key": "one"}
    first, again = (service.ask("POST", "/admin/v1/tokens", **ask) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == {**first.json, "token": None}
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert service.rows("SELECT count(*) FROM tokens WHERE role = 'reader'") == [(1,)]


@pytest.mark.parametrize(
    "other",
    [
        lambda service: send(service, "key-1", "another", "body"),
        lambda service: send(service, "key-1", "new", "spare", If_Match='"1.2"'),
        lambda service: send(service, "key-1", "new", "spare", name="orders", If_None_Match="*"),
        lambda service: service.ask(
            "POST", f"{PAYMENTS}/rollback", body={"to": 1}, If_Match='"1.2"', Idempotency_Key="key-1"
        ),
        lambda service: service.ask(
            "POST", "/admin/v1/tokens", body={"role": "admin", "lifetime_seconds": 60}, Idempotency_Key="key-1"
        ),
    ],
    ids=["another body", "another condition", "another name", "another route", "a token"],
)
def test_a_key_that_stood_for_another_request_is_refused(service, other: Callable[..., Any]):
    service.create()
    assert send(service, "key-1", "new", "spare").status_code == 200
    before = service.stored()
    document = service.problem(other(service), 422, "idempotency-key-reused")
    assert "'key-1' was used for another request" in document["detail"]
    assert "Send a fresh key" in document["detail"]
    assert service.stored() == before


def test_two_people_may_use_the_same_key(service):
    service.create()
    editor = service.token("editor")
    assert send(service, "key-1", "new", "spare").status_code == 200
    ask = {"token": editor, "body": service.draft("e", "f"), "If_Match": '"1.2"', "Idempotency_Key": "key-1"}
    assert service.ask("PUT", PAYMENTS, **ask).headers["ETag"] == '"1.3"'


def test_a_refusal_is_not_kept_under_its_key(service):
    service.create()
    assert send(service, "key-1", "alone").status_code == 422  # no backup
    assert send(service, "key-1", "new", "spare").status_code == 200


@pytest.mark.parametrize("key", ["", "with space", "x" * 129, "tab\tbed", "é"])
def test_an_impossible_key_is_refused(service, key: str):
    service.create()
    before = service.stored()
    document = service.problem(send(service, key, "new", "spare"), 422, "invalid")
    assert document["expected"] == "1 to 128 printable characters"
    assert document["violations"][0]["hint"] == "Send a fresh UUID with each new change."
    assert service.stored() == before


@pytest.fixture
def meeting(service) -> Callable[[int], None]:
    """Let so many publications begin before one of them is signed."""

    def meet(parties: int) -> None:
        signers = service.node.site.signers
        signers._signers = {keyid: Meeting(signer, parties) for keyid, signer in signers._signers.items()}

    return meet


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_the_same_request_sent_twice_at_once_is_published_once_and_answered_alike(service, meeting):
    service.create()
    meeting(2)
    first, second = at_once(*[lambda: send(service, "key-1", "new", "spare")] * 2)
    assert (first.status_code, second.status_code, first.data) == (200, 200, second.data)
    assert sorted("Idempotency-Replayed" in answer.headers for answer in (first, second)) == [False, True]
    assert service.rows("SELECT count(*) FROM versions") == [(2,)]


def test_of_two_requests_with_one_key_at_once_the_second_is_told_what_is_wrong(service, meeting):
    service.create()
    meeting(2)
    answers = at_once(
        lambda: send(service, "key-1", "new", "spare"),
        lambda: send(service, "key-1", "new", "spare", name="orders", If_None_Match="*"),
    )
    refused = min(answers, key=lambda answer: answer.status_code == 422 and -1)
    assert sorted(answer.status_code for answer in answers) in ([200, 422], [201, 422])
    service.problem(refused, 422, "idempotency-key-reused")
    assert service.rows("SELECT count(*) FROM versions") == [(2,)]


def test_a_change_that_someone_else_made_meanwhile_is_still_stale(service, meeting):
    service.create()
    meeting(2)
    answers = at_once(lambda: send(service, "mine", "a", "b"), lambda: send(service, "yours", "c", "d"))
    assert sorted(answer.status_code for answer in answers) == [200, 412]


def test_of_the_same_request_sent_eight_times_at_once_one_is_published(service):
    service.create()
    answers = at_once(*[lambda: send(service, "key-1", "new", "spare")] * 8)
    assert {(answer.status_code, answer.data) for answer in answers} == {(200, answers[0].data)}
    assert service.rows("SELECT count(*) FROM versions") == [(2,)]
