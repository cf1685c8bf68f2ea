"""Pin sets that people sign and others approve: a change waits for both, and for its time, in any order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden.strict_json import format_time
from pinwarden_server.renewal import Renewer
from tests.changes.conftest import Office, found_town, office_of
from tests.server.http.conftest import serving

NAME = "/admin/v1/pinsets/payments"


class Both(Office):
    """The town's office, whose payments require one approval besides two signatures."""

    def approve(self, number: int, owner: str) -> Any:
        body = {"role": "approver", "names": ["*"], "lifetime_seconds": 3600, "owner": owner}
        token = self.ask("POST", "/admin/v1/tokens", body=body).json["token"]
        digest = sha256(self.payload(number)).hexdigest()
        return self.ask("POST", f"/admin/v1/changes/{number}/approvals", token=token, body={"sha256": digest})

    def tick(self) -> dict[int, str]:
        return Renewer(self.node.site, holder="test", clock=self.clock).tick().blocked


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    town = found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    with serving(town.installation) as service:
        plain = office_of(service, town)
        office = Both(plain.installation, plain.app, plain.clock, plain.admin, town)
        office.publish("live", "spare")
        policy = {"approvals_required": 1, "replaces": 0}
        assert office.ask("PUT", f"{NAME}/policy", body=policy).status_code == 200
        yield office


def test_the_approval_may_come_last(both: Both) -> None:
    number = both.propose("next", "spare", base="1.1")["id"]
    assert both.change(number)["waiting_for"] == ["signatures", "approvals"]
    signed = both.sign(number, *both.town.people[:2])
    assert (signed.status_code, signed.json["waiting_for"]) == (202, ["approvals"])
    payload = both.payload(number)
    assert both.approve(number, "anna").status_code == 200
    served = Bundle.parse(both.client.get("/v1/bundles/payments/1").data).pinset
    assert (served.payload, len(served.signatures)) == (payload, 2)


def test_a_signature_may_come_last(both: Both) -> None:
    number = both.propose("next", "spare", base="1.1")["id"]
    both.sign(number, both.town.people[0])
    assert both.approve(number, "anna").json["waiting_for"] == ["signatures"]
    assert both.sign(number, both.town.people[1]).status_code == 200
    assert both.change(number)["published_as"] == both.change(number)["version"]


def test_what_people_signed_waits_for_its_time(both: Both) -> None:
    at = both.clock().replace(microsecond=0) + timedelta(days=2)
    number = both.propose("next", "spare", base="1.1", not_before=format_time(at))["id"]
    both.approve(number, "anna")
    answer = both.sign(number, *both.town.people[:2])
    assert (answer.status_code, answer.json["waiting_for"]) == (202, ["time"])
    payload = both.payload(number)
    both.clock.advance(days=1)
    assert (both.tick(), both.change(number)["state"]) == ({}, "waiting")
    both.clock.advance(days=1, minutes=1)
    assert (both.tick(), both.change(number)["state"]) == ({}, "published")
    assert Bundle.parse(both.client.get("/v1/bundles/payments/1").data).pinset.payload == payload


def test_what_is_not_signed_at_its_time_waits_on_for_the_signature(both: Both) -> None:
    at = both.clock().replace(microsecond=0) + timedelta(hours=1)
    number = both.propose("next", "spare", base="1.1", not_before=format_time(at))["id"]
    both.sign(number, both.town.people[0])
    both.clock.advance(hours=2)
    both.approve(number, "anna")
    assert (both.tick(), both.change(number)["waiting_for"]) == ({}, ["signatures"])
    assert both.sign(number, both.town.people[1]).status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"break_glass": True, "reason": "stolen"}, "there is no glass to break"),
        ({"lifetime_seconds": 3600, "not_before": 7200}, "would have expired before it is published"),
    ],
)
def test_what_the_keys_of_people_do_not_allow_is_refused(both: Both, fields: dict[str, Any], words: str) -> None:
    if "not_before" in fields:
        at = both.clock().replace(microsecond=0) + timedelta(seconds=fields["not_before"])
        fields = {**fields, "not_before": format_time(at)}
    rows = both.rows("SELECT count(*) FROM changes"), both.rows("SELECT count(*) FROM audit")
    answer = both.ask("PUT", NAME, body=both.draft("next", "spare", **fields), If_Match='"1.1"')
    assert words in both.problem(answer, 422, "invalid")["detail"]
    assert rows == (both.rows("SELECT count(*) FROM changes"), both.rows("SELECT count(*) FROM audit"))


def test_a_signature_over_what_the_server_signs_is_refused(both: Both) -> None:
    both.create("orders")
    both.ask("PUT", "/admin/v1/pinsets/orders/policy", body={"approvals_required": 1, "replaces": 0})
    number = both.propose("next", "spare", name="orders", base="1.1")["id"]
    before = both.stored()
    answer = both.hand_in(number, both.town.people[0].signature(both.payload(number)))
    assert both.problem(answer, 422, "signature-refused")["expected"] == "an approval"
    assert both.stored() == before


def test_a_key_of_the_server_beside_that_of_a_person_signs_in_part_and_waits_for_both(both: Both) -> None:
    both.sign(both.propose(name="mixed")["id"], both.town.people[0])
    both.ask("PUT", "/admin/v1/pinsets/mixed/policy", body={"approvals_required": 1, "replaces": 0})
    number = both.propose("next", "spare", name="mixed", base="1.1")["id"]
    assert both.sign(number, both.town.people[0]).json["waiting_for"] == ["approvals"]
    assert both.approve(number, "anna").status_code == 200


def test_a_renewal_by_people_needs_signatures_alone(both: Both) -> None:
    asked = both.ask("POST", f"{NAME}/renewal", body={}, If_Match='"1.1"')
    assert (asked.status_code, asked.json["waiting_for"]) == (202, ["signatures"])
    assert both.sign(asked.json["id"], *both.town.people[:2]).status_code == 200
