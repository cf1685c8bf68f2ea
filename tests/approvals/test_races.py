"""People at once, over HTTP, against two worker processes: published once, and every acknowledgement holds."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from pinwarden_server.installation import init_development
from tests.at_once import at_once
from tests.server.http.conftest import Running

ROUNDS = range(20)
pytestmark = pytest.mark.xdist_group("approval-races")


@dataclass
class House:
    """A real server and the tokens of some people."""

    running: Running
    tokens: dict[str, str]

    def ask(self, owner: str, method: str, path: str, body: Any, **headers: str) -> int:
        answer = self.running.ask(method, f"/admin/v1{path}", token=self.tokens[owner], body=body, **headers)
        return int(answer.status)

    def guarded(self, name: str, required: int) -> int:
        """Publish a pin set that requires approvals, propose its next version, and return the number of the change."""
        draft = Running.draft
        assert self.ask("root", "PUT", f"/pinsets/{name}", draft(), If_None_Match="*") == 201
        policy = {"approvals_required": required, "replaces": 0}
        assert self.ask("root", "PUT", f"/pinsets/{name}/policy", policy) == 200
        path = f"/admin/v1/pinsets/{name}"
        answer = self.running.ask("PUT", path, token=self.tokens["erin"], body=draft("n", "m"), If_Match='"1.1"')
        assert answer.status == 202
        return int(json.loads(answer.data)["id"])

    def change(self, number: int) -> dict[str, Any]:
        return dict(json.loads(self.running.ask("GET", f"/admin/v1/changes/{number}").data))

    def approve(self, owner: str, number: int) -> Callable[[], int]:
        digest = sha256(b64decode(self.change(number)["payload"])).hexdigest()
        return lambda: self.ask(owner, "POST", f"/changes/{number}/approvals", {"sha256": digest})

    def versions(self, name: str) -> int:
        [(count,)] = self.running.rows(f"SELECT count(*) FROM versions WHERE name = '{name}'")
        return int(count)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("races")
    running = Running(init_development(folder / "server", bind="127.0.0.1:0", label="test", now=datetime.now(UTC)))
    people = {"root": "admin", "erin": "editor", "anna": "approver", "anna2": "approver", "ben": "approver"}
    tokens = {}
    for name, role in people.items():
        body = {"role": role, "names": ["*"], "lifetime_seconds": 3600, "owner": name.rstrip("2")}
        tokens[name] = json.loads(running.ask("POST", "/admin/v1/tokens", body=body).data)["token"]
    yield House(running, tokens)
    running.stop()


@pytest.mark.parametrize("turn", ROUNDS)
def test_two_approvals_at_once_are_both_kept_and_publish_once(house: House, turn: int) -> None:
    name = f"two-{turn}"
    number = house.guarded(name, 2)
    answers = at_once(house.approve("anna", number), house.approve("ben", number))
    assert sorted(answers) == [200, 202]
    assert house.versions(name) == 2
    assert house.change(number)["approved"]["says"] == "2 of 2 approvals"


@pytest.mark.parametrize("turn", ROUNDS)
def test_one_person_with_two_tokens_at_once_counts_once(house: House, turn: int) -> None:
    name = f"same-{turn}"
    number = house.guarded(name, 2)
    assert sorted(at_once(house.approve("anna", number), house.approve("anna2", number))) == [202, 422]
    assert (house.versions(name), house.change(number)["approved"]["says"]) == (1, "1 of 2 approvals")


@pytest.mark.parametrize("turn", ROUNDS)
def test_the_last_approval_and_a_rejection_at_once_leave_one_of_the_two(house: House, turn: int) -> None:
    name = f"reject-{turn}"
    number = house.guarded(name, 1)
    path = f"/changes/{number}/rejection"
    approved, rejected = at_once(
        house.approve("anna", number), lambda: house.ask("ben", "POST", path, {"reason": "no"})
    )
    assert (approved, rejected) in ((200, 409), (409, 200))
    assert house.change(number)["state"] == ("published" if approved == 200 else "rejected")
    assert house.versions(name) == (2 if approved == 200 else 1)


@pytest.mark.parametrize("turn", ROUNDS)
def test_the_last_approval_and_a_publication_at_once_leave_one_of_the_two(house: House, turn: int) -> None:
    name = f"publish-{turn}"
    number = house.guarded(name, 1)
    draft = Running.draft("stolen", "spare", break_glass=True, reason="stolen")
    approved, broken = at_once(
        house.approve("anna", number),
        lambda: house.ask("root", "PUT", f"/pinsets/{name}", draft, If_Match='"1.1"'),
    )
    assert (approved, broken) in ((200, 412), (409, 200))
    assert (house.versions(name), house.change(number)["state"]) == (2, "published" if approved == 200 else "stale")


@pytest.mark.parametrize("turn", ROUNDS)
def test_the_last_approval_and_a_higher_number_at_once_never_publish_below_it(house: House, turn: int) -> None:
    name = f"raise-{turn}"
    number = house.guarded(name, 1)
    policy = {"approvals_required": 2, "replaces": 1}
    approved, raised = at_once(
        house.approve("anna", number), lambda: house.ask("root", "PUT", f"/pinsets/{name}/policy", policy)
    )
    assert (approved in (200, 202), raised) == (True, 200)
    actions = [
        row[0]
        for row in house.running.rows(f"SELECT action FROM audit WHERE subject = '{name}' ORDER BY seq DESC LIMIT 2")
    ]
    assert actions == (["policy.raise", "pinset.publish"] if approved == 200 else ["change.approve", "policy.raise"])
    assert house.versions(name) == (2 if approved == 200 else 1)
