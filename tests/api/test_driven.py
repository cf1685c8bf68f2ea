"""
The description of the HTTP API as a machine reads it: schemathesis makes requests of it, right and wrong ones, sends
them to a real server as several callers, and holds every answer to the description.

The requests are the same in every run. Whatever they were, the server has to end as its audit log says that it was
left: what was refused has moved nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from pinwarden_server.auth import Role
from pinwarden_server.openapi import document
from pinwarden_server.operations import OPERATIONS
from tests.api.conftest import House, built

pytestmark = pytest.mark.xdist_group("driven")  # one server, and the last test looks back on all the others

ADMIN, EDITOR, NOBODY = Role.ADMIN.value, Role.EDITOR.value, "nobody"
URI_TOO_LONG = 414  # gunicorn's own, before any operation: the description says so
CHANGING = {"PUT", "POST", "DELETE"}
# What exists on the server, so that requests reach what lies behind a 404: two people sign payments, the server orders.
KNOWN = {
    "path.name": ["payments", "orders"],
    "path.tag": ["1.1"],
    "path.root": [1],
    "path.change_id": [1],
    "header.If-Match": ['"1.1"', '"1.2"'],
    "query.name": ["payments"],
}
DOCUMENT = document()
# What no schema can make: a signature or a root that counts, the id of a token, a hundred versions.
NEVER_ACCEPTED = {"signChange", "publishRoot", "previewRoot", "revokeToken", "fetchSegment"}
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
        "operations": [
            # GET of this address asks for a root called preview: 404, and GET stands in Allow.
            {
                "include-operation-id": "previewRoot",
                "checks": {"allow_header_conformance": {"enabled": False}, "unsupported_method": {"enabled": False}},
            }
        ],
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
ADMIN_PATHS = {path: methods for path, methods in DOCUMENT["paths"].items() if path.startswith("/admin/")}
ADMIN_SIDE = schemathesis.openapi.from_dict({**DOCUMENT, "paths": ADMIN_PATHS}, config=CONFIG)


@dataclass
class Driven:
    """A house that is asked for everything, and what it answered."""

    house: House
    before: dict[str, bytes]
    session: requests.Session = field(default_factory=requests.Session)
    seen: Counter[tuple[str, int]] = field(default_factory=Counter)
    done: int = 0

    def drive(self, case: schemathesis.Case, caller: str) -> int:
        """Send *case* as *caller*, hold the answer to the description and return its status."""
        token = self.house.tokens.get((caller, "everything"))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent: dict[str, Any] = {"base_url": self.house.running.url, "session": self.session, "headers": headers}
        self._adjust(case)
        answer = case.call(**sent)
        self.seen[str(case.operation.definition.raw["operationId"]), answer.status_code] += 1
        changes = case.method in CHANGING and "/preview" not in case.path and answer.status_code < 300
        self.done += changes and "idempotency-replayed" not in answer.headers
        if answer.status_code != URI_TOO_LONG:
            case.validate_response(answer, headers=headers, transport_kwargs={"session": self.session})
        return int(answer.status_code)

    def _adjust(self, case: schemathesis.Case) -> None:
        # Numbers of changes are known at run time only, and both conditions at once are refused before anything else.
        if case.path_parameters.get("change_id") in ("1", 1):
            case.path_parameters["change_id"] = str(self.house.change_id)
        if {"If-Match", "If-None-Match"} <= set(case.headers):
            del case.headers[("If-Match", "If-None-Match")[self.seen.total() % 2]]

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
    """A house with a pin set that its own key signs beside the one that people sign."""
    with built(tmp_path_factory.mktemp("driven")) as house:
        orders = house.ask("PUT", "/admin/v1/pinsets/orders", body=house.running.draft(), If_None_Match="*")
        assert orders.status == 201, orders.data
        driven = Driven(house, {})
        driven.before, driven.done = driven.public(), driven.audited()
        yield driven


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


@SCHEMA.parametrize()
@at_most(50)
def test_an_administrator_is_answered_as_described(case: schemathesis.Case, driven: Driven):
    driven.drive(case, ADMIN)


@ADMIN_SIDE.parametrize()
@at_most(20)
def test_an_editor_is_answered_as_described(case: schemathesis.Case, driven: Driven):
    driven.drive(case, EDITOR)


@ADMIN_SIDE.parametrize()
@at_most(10)
def test_nobody_is_refused_as_described(case: schemathesis.Case, driven: Driven):
    assert driven.drive(case, NOBODY) >= 400


def test_afterwards_nothing_failed_and_nothing_moved_but_what_was_audited(driven: Driven):
    assert driven.audited() == driven.done
    assert driven.public() == driven.before
    assert {(name, status) for name, status in driven.seen if status >= 500} == set()
    assert "Traceback" not in driven.house.running.log
    accepted = {name for name, status in driven.seen if status < 400}
    assert {each.id for each in OPERATIONS} - accepted == NEVER_ACCEPTED
