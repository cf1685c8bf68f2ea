"""
The description of the HTTP API as a machine reads it: schemathesis makes requests of it, right and wrong ones, sends
them to a real server as several callers, and holds every answer to the description.

The requests are the same in every run. Whatever they were, the server has to end as its audit log says that it was
left: what was refused has moved nothing.
"""

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from pinwarden_server.auth import Role
from pinwarden_server.openapi import document
from tests.api.conftest import House, built

pytestmark = pytest.mark.xdist_group("driven")  # one server, and the last test looks back on all the others

ADMIN, EDITOR, NOBODY = Role.ADMIN.value, Role.EDITOR.value, "nobody"
URI_TOO_LONG = 414  # gunicorn's own, before any operation: the description says so
CHANGING = {"PUT", "POST", "DELETE"}
# What exists on the server, so that requests reach what lies behind a 404: two people sign payments, the server orders.
# Numbers of changes and ids are known at run time only, and take the place of these.
KNOWN = {
    "path.name": ["payments", "orders"],
    "path.tag": ["1.1"],
    "path.root": [1],
    "path.change_id": [1, 2],
    "path.token_id": ["0" * 16],
    "path.session_id": ["0" * 16],
    "path.link_id": ["0" * 16],
    "header.If-Match": ['"1.1"', '"1.2"'],
    "query.name": ["payments"],
}
# And where only one text will do, it takes the place of every other that is well formed.
ONE_WILL_DO = {
    "approveChange": ("sha256", "[0-9a-f]{64}"),
    "logIn": ("link", "pwl_[0-9a-f]{16}_[A-Za-z0-9_-]{43}"),
}
DOCUMENT = document()
# What no schema can make: a signature or a root that counts, a hundred versions.
NEVER_ACCEPTED = {"signChange", "publishRoot", "previewRoot", "fetchSegment"}
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 20260601,
        "dictionaries": {name: {"values": values} for name, values in KNOWN.items()},
        "parameters": {name: {"dictionary": name, "probability": 0.5} for name in KNOWN},
        "checks": {
            # Whether pins, signatures and versions are the right ones stands in no schema.
            "positive_data_acceptance": {"enabled": False},
            "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 412, 414, 415, 422, 428]},
            "missing_required_header": {"expected-statuses": [400, 401, 403, 404, 415, 422, 428]},
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
ADMIN_PATHS = {path: methods for path, methods in DOCUMENT["paths"].items() if path.startswith("/admin/")}
ADMIN_SIDE = schemathesis.openapi.from_dict({**DOCUMENT, "paths": ADMIN_PATHS}, config=CONFIG)


@dataclass
class Driven:
    """
    A house that is asked for everything, and what it answered.

    Attributes:
        known: what takes the place of a value, by ``<parameter>=<value>`` in the path and by the operation in a body.
        done: how many requests were accepted that have to be in the audit log. ended: by whom, and at which address.
    """

    house: House
    known: dict[str, str]
    before: dict[str, bytes] = field(default_factory=dict)
    session: requests.Session = field(default_factory=requests.Session)
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    done: int = 0
    ended: set[tuple[str, str]] = field(default_factory=set)

    def drive(self, case: schemathesis.Case, caller: str) -> int:
        """Send *case* as *caller*, hold the answer to the description and return its status."""
        name = str(case.operation.definition.raw["operationId"])
        # Only a session can log out.
        held = self.house.sessions if name == "logOut" else self.house.tokens
        token = held.get((caller, "everything"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent: dict[str, Any] = {"base_url": self.house.running.url, "session": self.session, "headers": headers}
        self._adjust(case)
        if caller == ADMIN:
            self._enable(case, name)
        answer = case.call(**sent)
        self.seen[name, answer.status_code] += 1
        self.done += self._is_audited(case, caller, answer)
        if answer.status_code != URI_TOO_LONG:
            case.validate_response(answer, headers=headers, transport_kwargs={"session": self.session})
        return int(answer.status_code)

    def _adjust(self, case: schemathesis.Case) -> None:
        for name, value in case.path_parameters.items():
            case.path_parameters[name] = self.known.get(f"{name}={value}", value)
        # Both conditions at once are refused before anything else.
        if {"If-Match", "If-None-Match"} <= set(case.headers):
            del case.headers[("If-Match", "If-None-Match")[self.seen.total() % 2]]

    def _enable(self, case: schemathesis.Case, name: str) -> None:
        member, pattern = ONE_WILL_DO.get(name, ("", ""))
        body = case.body if isinstance(case.body, dict) else {}
        if isinstance(body.get(member), str) and re.fullmatch(pattern, body[member]):
            body[member] = self.known[name]

    def _is_audited(self, case: schemathesis.Case, caller: str, answer: Any) -> bool:
        if answer.status_code >= 300 or case.method not in CHANGING or "/preview" in case.path:
            return False
        if "idempotency-replayed" in answer.headers:
            return False
        if case.method == "DELETE":
            # Ending once more what was ended is accepted, and nothing happens.
            ended = len(self.ended)
            self.ended.add((caller, case.formatted_path))
            return len(self.ended) > ended
        if case.path.endswith("/policy"):
            return bool(case.body["approvals_required"] != case.body["replaces"])
        return True

    def public(self) -> dict[str, bytes]:
        """Return what is served of the pin set that nobody here can publish."""
        paths = ("/v1/bundles/payments/1", "/v1/pinsets/payments/timestamp", "/v1/history/payments", "/v1/roots/1")
        return {path: self.house.running.fetch(path).data for path in paths}

    def audited(self) -> int:
        """Return how many rows the audit log has."""
        ((rows,),) = self.house.running.rows("SELECT count(*) FROM audit")
        return int(rows)


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """A house with pin sets that its own key signs beside the one that people sign: orders, and one to be reviewed."""
    with built(tmp_path_factory.mktemp("driven")) as house:
        for name in ("orders", "refunds"):
            _told(house, 201, "PUT", f"pinsets/{name}", house.running.draft(), If_None_Match="*")
        _told(house, 200, "PUT", "pinsets/refunds/policy", {"approvals_required": 1, "replaces": 0})
        glass = house.running.draft("next", "spare", break_glass=True, reason="the key was stolen")
        _told(house, 200, "PUT", "pinsets/refunds", glass, If_Match='"1.1"')
        driven = Driven(house, _what_exists(house))
        driven.before, driven.done = driven.public(), driven.audited()
        yield driven


def _what_exists(house: House) -> dict[str, str]:
    payload = b64decode(_told(house, 200, "GET", f"changes/{house.change_id}")["payload"])
    [review] = _told(house, 200, "GET", "pinsets/refunds")["open_reviews"]
    link, unused = (_told(house, 201, "POST", "one-time-links", {"owner": "alice", "role": "reader"}) for _ in range(2))
    return {
        "change_id=1": str(house.change_id),
        "change_id=2": str(review),
        f"token_id={'0' * 16}": house.tokens["reader", "others"].split("_")[1],
        f"session_id={'0' * 16}": house.sessions["reader", "others"].split("_")[1],
        f"link_id={'0' * 16}": unused["id"],
        "approveChange": sha256(payload).hexdigest(),
        "logIn": link["url"].partition("#")[2],
    }


def _told(house: House, status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
    answer = house.ask(method, f"/admin/v1/{path}", body=body, **headers)
    assert answer.status == status, answer.data
    return json.loads(answer.data)


def at_most(examples: int) -> settings:
    """Return settings of a run that is the same each time; a failure is told as it was found, not made smaller."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture
def accepted(driven: Driven) -> Iterator[None]:
    """Fail when all requests of a test were refused, because then they reached nothing that could go wrong."""
    before = driven.seen.copy()
    yield
    answered = driven.seen - before
    for name in {name for name, _ in answered}:
        assert any(status < 400 for each, status in answered if each == name) == (name not in NEVER_ACCEPTED), answered


@pytest.mark.usefixtures("accepted")
@SCHEMA.parametrize()
@at_most(24)
def test_an_administrator_is_answered_as_described(case: schemathesis.Case, driven: Driven):
    driven.drive(case, ADMIN)


@ADMIN_SIDE.parametrize()
@at_most(8)
def test_an_editor_is_answered_as_described(case: schemathesis.Case, driven: Driven):
    driven.drive(case, EDITOR)


@ADMIN_SIDE.parametrize()
@at_most(4)
def test_nobody_is_refused_as_described(case: schemathesis.Case, driven: Driven):
    assert driven.drive(case, NOBODY) >= 400


def test_afterwards_nothing_failed_and_nothing_moved_but_what_was_audited(driven: Driven):
    assert driven.audited() == driven.done
    assert driven.public() == driven.before
    assert {(name, status) for name, status in driven.seen if status >= 500} == set()
    assert "Traceback" not in driven.house.running.log
