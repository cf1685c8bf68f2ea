"""Approvals: by other people than the author, once each, of exactly these bytes; the last one publishes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden_server import approvals, changes_publishing
from pinwarden_server.publishing import renew_pinset
from pinwarden_server.tags import format_tag
from tests.approvals.conftest import desk_on

if TYPE_CHECKING:
    from conftest import Desk

    from pinwarden_server.installation import Installation

Refused = Callable[..., dict[str, Any]]


def test_a_draft_waits_until_as_many_people_as_required_approved_it(desk: "Desk") -> None:
    number = desk.propose("next", "spare", reason="rotation")
    assert desk.in_force() == "1.1"
    first = desk.approve(number, "anna")
    assert (first.status_code, first.json["state"], first.json["waiting_for"]) == (202, "waiting", ["approvals"])
    assert first.json["approved"]["says"] == "1 of 2 approvals"
    assert desk.in_force() == "1.1"
    last = desk.approve(number, "ben", body={"sha256": desk.digest(number), "reason": "compared by telephone"})
    assert (last.status_code, last.json["name"], last.json["version"]) == (200, "payments", desk.in_force())
    done = desk.change(number)
    assert (done["state"], done["published_as"], done["waiting_for"]) == ("published", desk.in_force(), [])
    given = [(each["owner"], each["reason"], each["counts"]) for each in done["approved"]["given"]]
    assert given == [("anna", "", True), ("ben", "compared by telephone", True)]
    served = desk.version_of(desk.client.get("/v1/bundles/payments/1").data)
    assert served == desk.in_force()


def test_the_audit_log_says_who_approved_what(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    digest = desk.digest(number)
    desk.approve(number, "anna")
    desk.approve(number, "ben", body={"sha256": digest, "reason": "compared by telephone"})
    rows = [(action, detail) for action, detail in desk.audit() if action in ("change.approve", "pinset.publish")]
    said = {"change": number, "sha256": digest, "version": desk.change(number)["version"]}
    assert rows[:2] == [
        ("change.approve", {**said, "owner": "anna"}),
        ("change.approve", {**said, "owner": "ben", "reason": "compared by telephone"}),
    ]
    assert (rows[2][0], rows[2][1]["change"], rows[2][1]["approvers"]) == ("pinset.publish", number, ["anna", "ben"])


def test_what_is_published_is_the_content_that_was_approved_with_a_life_of_its_own(desk: "Desk") -> None:
    number = desk.propose("next", "spare", lifetime_seconds=24 * 3600)
    proposed = PinSet.parse(desk.payload(number))
    desk.clock.advance(hours=20)
    desk.approve(number, "anna")
    assert desk.approve(number, "ben").status_code == 200
    bundle = Bundle.parse(desk.client.get("/v1/bundles/payments/1").data)
    published = PinSet.parse(bundle.pinset.payload)
    assert (published.hosts, published.deny, published.report_to) == (
        proposed.hosts,
        proposed.deny,
        proposed.report_to,
    )
    assert published.expires - published.issued == proposed.expires - proposed.issued
    assert published.issued == desk.clock().replace(microsecond=0)
    assert published.version > proposed.version


def test_nothing_is_signed_before_it_is_approved(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    assert desk.change(number)["signatures"] == []
    assert desk.rows("SELECT count(*) FROM change_signatures") == [(0,)]


def test_nobody_approves_what_they_proposed_themselves(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("next", "spare", by="olga")
    refusal = refused(lambda: desk.approve(number, "olga"), 422, "approval-refused")
    assert (refusal["expected"], refusal["got"]) == ("another person than its author", "olga")


def test_another_token_of_the_same_person_is_the_same_person(desk: "Desk", refused: Refused) -> None:
    second = desk.token_of("erin", "approver")
    number = desk.propose("next", "spare", by="erin")
    refused(lambda: desk.approve(number, "erin", token=second), 422, "approval-refused")
    again = desk.token_of("anna", "operator")
    assert desk.approve(number, "anna").status_code == 202
    refusal = refused(lambda: desk.approve(number, "anna", token=again), 422, "approval-refused")
    assert refusal["detail"].startswith(f"you have approved change {number} already")


def test_a_token_without_an_owner_is_a_person_of_its_own(desk: "Desk") -> None:
    tokens = {desk.token("approver") for _ in range(2)}
    number = desk.propose("next", "spare", by="root")
    assert sorted(desk.approve(number, "", token=token).status_code for token in tokens) == [200, 202]


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64])
def test_other_bytes_are_not_approved(desk: "Desk", refused: Refused, digest: str) -> None:
    number = desk.propose("next", "spare")
    refusal = refused(lambda: desk.approve(number, "anna", body={"sha256": digest}), 422, "approval-refused")
    assert (refusal["got"], refusal["violations"][0]["pointer"]) == (digest, "/sha256")


@pytest.mark.parametrize("body", [{}, {"sha256": "A" * 64}, {"sha256": "0" * 63}, {"sha256": "0" * 64, "x": 1}])
def test_an_approval_names_what_it_approves(desk: "Desk", refused: Refused, body: dict[str, Any]) -> None:
    number = desk.propose("next", "spare")
    refused(lambda: desk.approve(number, "anna", body={**body, "reason": ""}), 422, "invalid")


@pytest.mark.parametrize("owner", ["erin", "rita"])
def test_an_editor_and_a_reader_approve_nothing(desk: "Desk", refused: Refused, owner: str) -> None:
    number = desk.propose("next", "spare", by="root")
    token = desk.token_of(owner, "editor" if owner == "erin" else "reader")
    assert refused(lambda: desk.approve(number, owner, token=token), 403, "forbidden")["got"] in ("editor", "reader")


def test_a_change_of_a_foreign_pin_set_is_as_if_it_were_not_there(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("next", "spare")
    token, digest = desk.token_of("olaf", "admin", "orders"), desk.digest(number)
    foreign = refused(lambda: desk.approve(number, "", token=token, body={"sha256": digest}), 404, "not-found")
    missing = refused(lambda: desk.approve(9999, "", token=token, body={"sha256": digest}), 404, "not-found")
    assert foreign["detail"].replace(str(number), "N") == missing["detail"].replace("9999", "N")


def test_a_revoked_token_takes_its_approval_along_and_its_owner_may_approve_again(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    desk.approve(number, "anna")
    stolen = desk.as_("anna")
    assert desk.ask("DELETE", f"/admin/v1/tokens/{stolen.split('_')[1]}").status_code == 200
    assert desk.change(number)["approved"]["says"] == "0 of 2 approvals"
    assert desk.approve(number, "ben").status_code == 202
    assert desk.in_force() == "1.1"
    assert desk.approve(number, "anna", token=desk.token_of("anna")).status_code == 200
    assert desk.change(number)["approved"]["says"] == "2 of 2 approvals"


def test_an_approval_outlives_the_token_that_merely_ended(desk: "Desk") -> None:
    body = {"role": "approver", "names": ["*"], "lifetime_seconds": 60, "owner": "anna"}
    short = desk.ask("POST", "/admin/v1/tokens", body=body).json["token"]
    number = desk.propose("next", "spare")
    assert desk.approve(number, "anna", token=short).status_code == 202
    desk.clock.advance(hours=1)
    assert desk.approve(number, "ben").status_code == 200


def test_a_change_that_is_rejected_is_approved_by_nobody(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("next", "spare")
    desk.approve(number, "anna")
    assert desk.reject(number, "olga").status_code == 200
    assert refused(lambda: desk.approve(number, "ben"), 409, "change-closed")["state"] == "rejected"
    assert desk.in_force() == "1.1"


def test_a_change_is_stale_once_another_content_is_in_force(desk: "Desk", refused: Refused) -> None:
    late, first = desk.propose("late", "spare"), desk.propose("next", "spare")
    desk.approve(late, "anna")
    desk.approve(first, "anna")
    desk.approve(first, "ben")
    assert refused(lambda: desk.approve(late, "ben"), 409, "change-closed")["state"] == "stale"


def test_a_change_waits_thirty_days_and_not_longer(desk: "Desk", refused: Refused) -> None:
    number = desk.propose("next", "spare")
    desk.clock.advance(days=29)
    assert desk.change(number)["state"] == "waiting"
    desk.clock.advance(days=1)
    assert desk.change(number)["state"] == "expired"
    desk.approve(number, "anna")  # the last use of her token is recorded once a minute
    refused(lambda: desk.approve(number, "anna"), 409, "change-closed")


def test_a_renewal_keeps_what_waits_alive_on_top_of_the_new_version(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    desk.approve(number, "anna")
    renewed = desk.ask("POST", "/admin/v1/pinsets/payments/renewal", body={}, If_Match='"1.1"')
    assert renewed.status_code == 200
    assert (desk.change(number)["state"], desk.change(number)["base"]) == ("waiting", renewed.json["version"])
    assert desk.approve(number, "ben").status_code == 200
    assert desk.in_force() != renewed.json["version"]


@pytest.mark.parametrize(
    ("room", "step"),
    [(approvals, "standing_of"), (changes_publishing, "sign_and_publish")],
    ids=["judged", "published"],
)
def test_a_renewal_in_the_midst_of_the_last_approval_costs_nobody_that_approval(
    desk: "Desk", monkeypatch: pytest.MonkeyPatch, room: Any, step: str
) -> None:
    number = desk.propose("next", "spare")
    desk.approve(number, "anna")
    original, renewed = getattr(room, step), []

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if not renewed:
            renewed.append(renew_pinset(desk.node.site, "payments", desk.clock()))
        return original(*arguments, **named)

    monkeypatch.setattr(room, step, interrupted)
    assert desk.approve(number, "ben").status_code == 200
    versions = desk.ask("GET", "/admin/v1/pinsets/payments/versions").json["versions"]
    assert [row["version"] for row in versions][1:] == [format_tag(renewed[0].tag), "1.1"]
    assert desk.change(number)["state"] == "published"


def test_an_automatic_renewal_needs_no_approval_and_keeps_what_waits_alive(desk: "Desk") -> None:
    desk.clock.advance(days=14)
    number = desk.propose("next", "spare")
    desk.clock.advance(days=4)
    assert desk.tick() == {}
    assert desk.in_force() == "1.3"
    assert (desk.change(number)["state"], desk.change(number)["base"]) == ("waiting", "1.3")


@pytest.mark.parametrize("seconds", [1, 60 * 24 * 3600])
def test_a_renewal_with_another_life_has_to_be_approved(desk: "Desk", seconds: int) -> None:
    body = {"lifetime_seconds": seconds}
    asked = desk.ask("POST", "/admin/v1/pinsets/payments/renewal", body=body, token=desk.as_("erin"), If_Match='"1.1"')
    assert (asked.status_code, asked.json["action"], asked.json["waiting_for"]) == (
        202,
        "pinset.lifetime",
        ["approvals"],
    )


@pytest.mark.parametrize(
    ("ask", "body"),
    [
        ("PUT", {"hosts": [], "reason": "withdraw"}),
        ("PUT", {"hosts": [], "deny": ["JHYQ9N7dSrckfQfb2hnIHKmBf4WCB0LK1J1Af/rp5O0="]}),
        ("rollback", {"to": 1, "reason": "back"}),
        ("PUT", {"force": ["PIN014"], "reason": "drill"}),
    ],
)
def test_no_way_of_publishing_goes_past_the_approvals(desk: "Desk", ask: str, body: dict[str, Any]) -> None:
    path, method = f"/admin/v1/pinsets/payments{'/rollback' if ask == 'rollback' else ''}", "PUT"
    if "force" in body:
        body = {**desk.draft("live"), **body}
        body["hosts"][0]["backups"] = [{"sha256": "A" * 43 + "="}]
    answer = desk.ask(
        "POST" if ask == "rollback" else method, path, body=body, token=desk.as_("root"), If_Match='"1.1"'
    )
    assert (answer.status_code, answer.json["waiting_for"]) == (202, ["approvals"])
    assert desk.in_force() == "1.1"


def test_lint_judges_again_before_the_last_approval_publishes(installation: "Installation") -> None:
    with desk_on(installation) as before:
        before.create()
        before.require(1)
        number = before.propose("next", "spare")
    with desk_on(installation, own_hosts=("api.example.com",)) as desk:
        stored = desk.stored()
        refusal = desk.problem(desk.approve(number, "anna"), 422, "lint-refused")
        assert [found["code"] for found in refusal["violations"]] == ["PIN008"]
        assert desk.stored() == stored


def test_the_same_approval_under_one_key_is_given_once(desk: "Desk") -> None:
    number = desk.propose("next", "spare")
    answers = [desk.approve(number, "anna", Idempotency_Key="same") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    last = [desk.approve(number, "ben", Idempotency_Key="last") for _ in range(2)]
    assert [answer.status_code for answer in last] == [200, 200]
    assert last[0].json == last[1].json
    assert [action for action, _ in desk.audit()].count("change.approve") == 2
