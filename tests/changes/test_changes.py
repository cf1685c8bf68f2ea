"""Pin sets that people sign, over the admin API: from the proposal to the version that clients trust."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden.envelope import PINSET_TYPE, Envelope
from pinwarden_server import audit
from pinwarden_server.renewal import Renewer, Round

if TYPE_CHECKING:
    from conftest import Office


def served(office: "Office", name: str = "payments") -> trust.TrustState:
    """Return what a fresh client trusts, from the root of the ceremony."""
    body = office.client.get(f"/v1/bundles/{name}/1").data
    return trust.advance_bundle(trust.begin(office.town.root_json, name=name), Bundle.parse(body), now=office.clock())


def test_a_change_is_published_when_two_of_three_people_have_signed_it(office: "Office") -> None:
    alice, bob, carol = office.town.people
    proposed = office.propose("live", "spare", reason="first pins")
    number = proposed["id"]
    assert (proposed["state"], proposed["version"], proposed["base"]) == ("waiting", "1.1", None)
    assert proposed["tally"] == {
        "threshold": 2,
        "signed": [],
        "missing": [alice.keyid, bob.keyid, carol.keyid],
        "says": f"0 of 2: missing {alice.keyid[:16]} or {bob.keyid[:16]} or {carol.keyid[:16]}",
    }
    assert office.client.get("/v1/bundles/payments/1").status_code == 404
    first = office.sign(number, carol)
    assert (first.status_code, first.json["tally"]["says"]) == (
        202,
        f"1 of 2: missing {alice.keyid[:16]} or {bob.keyid[:16]}",
    )
    assert office.client.get("/v1/bundles/payments/1").status_code == 404
    second = office.sign(number, alice)
    assert (second.status_code, second.json["version"], second.headers["ETag"]) == (200, "1.1", '"1.1"')
    state, shown = served(office), office.change(number)
    assert state.adopted_pinset is not None
    assert state.adopted_pinset.envelope.payload == office.payload(number)
    assert {entry.keyid for entry in state.adopted_pinset.envelope.signatures} == {carol.keyid, alice.keyid}
    assert (shown["state"], shown["closed"]["reason"]) == ("published", "version 1.1")
    assert [entry["keyid"] for entry in shown["signatures"]] == sorted([carol.keyid, alice.keyid])


def test_every_step_is_audited_in_the_transaction_that_made_it(office: "Office") -> None:
    alice, bob, _ = office.town.people
    number = office.propose("live", "spare", reason="first pins")["id"]
    office.sign(number, alice, bob)
    rejected = office.propose("next", "spare", base="1.1")["id"]
    office.ask("POST", f"/admin/v1/changes/{rejected}/rejection", body={"reason": "wrong key"})
    rows = office.audit()[2:]
    assert [action for action, _ in rows] == [
        "change.propose",
        "change.sign",
        "pinset.create",
        "change.propose",
        "change.reject",
    ]
    details = [detail for _, detail in rows]
    assert (details[0]["version"], details[0]["reason"], details[0]["kind"]) == ("1.1", "first pins", "pinset.create")
    assert details[1] == {"change": number, "version": "1.1", "keyid": alice.keyid}
    assert (details[2]["change"], set(details[2]["signed_by"])) == (number, {alice.keyid, bob.keyid})
    assert details[0]["sha256"] == details[2]["sha256"]
    assert details[3]["replaces"] == "1.1"
    assert details[4] == {"change": rejected, "version": "1.2", "reason": "wrong key"}
    assert audit.verify_chain(office.node.site.store.reader).rows == len(rows) + 2


def test_the_server_publishes_at_once_what_its_own_key_may_sign(office: "Office") -> None:
    answer = office.ask("PUT", "/admin/v1/pinsets/orders", body=office.draft(), If_None_Match="*")
    assert (answer.status_code, answer.json["version"]) == (201, "1.1")
    assert office.ask("GET", "/admin/v1/changes").json == {"changes": [], "next": None}


def test_a_key_of_the_server_that_the_grant_names_counts_for_one(office: "Office") -> None:
    proposed = office.propose(name="mixed")
    assert proposed["tally"]["signed"] == [office.town.server_keyid]
    [entry] = office.change(proposed["id"])["signatures"]
    assert entry["actor"] == "system:signers"
    assert office.sign(proposed["id"], office.town.people[0]).status_code == 200
    assert served(office, "mixed").pinset is not None


def test_forced_lint_findings_go_with_the_change_and_are_recorded_when_it_is_published(office: "Office") -> None:
    twice = office.draft("live", "spare")
    twice["hosts"][0]["pins"] *= 2
    bare = office.ask("PUT", "/admin/v1/pinsets/payments", body=twice, If_None_Match="*")
    office.problem(bare, 422, "lint-refused")
    assert office.ask("GET", "/admin/v1/changes").json["changes"] == []
    forced = {**twice, "force": ["PIN015"], "reason": "drill"}
    proposed = office.ask("PUT", "/admin/v1/pinsets/payments", body=forced, If_None_Match="*").json
    assert (proposed["forced"], proposed["reason"]) == (["PIN015"], "drill")
    assert [warning["code"] for warning in proposed["warnings"]] == ["PIN004", "PIN015"]
    published = office.sign(proposed["id"], *office.town.people[:2]).json
    assert [warning["code"] for warning in published["warnings"]] == ["PIN004", "PIN015"]
    detail = office.audit()[-1][1]
    assert (detail["forced"], detail["reason"]) == (["PIN015"], "drill")
    row = office.ask("GET", "/admin/v1/pinsets/payments/versions/1.1").json
    assert (row["forced"], row["reason"]) == (["PIN015"], "drill")


def test_a_rollback_is_a_change_too(office: "Office") -> None:
    office.publish("old", "spare")
    office.publish("new", "spare", base="1.1")
    answer = office.ask("POST", "/admin/v1/pinsets/payments/rollback", body={"to": 1}, If_Match='"1.2"')
    assert (answer.status_code, answer.json["action"], answer.json["version"]) == (202, "pinset.rollback", "1.3")
    office.sign(answer.json["id"], *office.town.people[1:])
    pinset = served(office).pinset
    assert pinset is not None
    assert (pinset.version, str(pinset.hosts[0].pins[0])) == (3, office.pin("old"))


def test_a_renewal_is_a_change_with_the_same_content_and_a_new_life(office: "Office") -> None:
    office.publish("live", "spare")
    office.clock.advance(days=20)
    body = {"reason": "spring"}
    answer = office.ask("POST", "/admin/v1/pinsets/payments/renewal", body=body, If_Match='"1.1"')
    assert (answer.status_code, answer.json["action"], answer.json["reason"]) == (202, "pinset.renew", "spring")
    before = served_document(office)
    office.sign(answer.json["id"], *office.town.people[:2])
    after = served(office).pinset
    assert after is not None
    assert (after.hosts, after.version) == (before.hosts, 2)
    assert after.expires - before.expires == timedelta(days=20)


def served_document(office: "Office") -> PinSet:
    return PinSet.parse(Bundle.parse(office.client.get("/v1/bundles/payments/1").data).pinset.payload)


def test_a_renewal_of_a_pin_set_that_the_server_signs_is_published_at_once(office: "Office") -> None:
    office.create("orders", "live", "spare")
    answer = office.ask("POST", "/admin/v1/pinsets/orders/renewal", body={}, If_Match='"1.1"')
    assert (answer.status_code, answer.json["version"]) == (200, "1.2")
    longer = {"lifetime_seconds": 91 * 86_400}
    before = office.stored()
    refused = office.ask("POST", "/admin/v1/pinsets/orders/renewal", body=longer, If_Match='"1.2"')
    office.problem(refused, 422, "lint-refused")
    assert office.stored() == before


def test_a_pin_set_that_has_expired_can_still_be_renewed_by_people(office: "Office") -> None:
    office.publish("live", "spare")
    office.clock.advance(days=40)
    answer = office.ask("POST", "/admin/v1/pinsets/payments/renewal", body={}, If_Match='"1.1"')
    assert office.sign(answer.json["id"], *office.town.people[:2]).json["version"] == "1.2"
    assert served(office).state_at(office.clock()) == trust.State.FRESH


def test_timestamps_are_renewed_meanwhile_and_pin_sets_are_not(office: "Office") -> None:
    office.publish("live", "spare")
    number = office.propose("next", "spare", base="1.1")["id"]
    office.clock.advance(days=20)
    renewer = Renewer(office.node.site, holder="test", clock=office.clock)
    assert renewer.tick() == Round(("payments",), {}, checkpoint=office.node.site.store.reader.audit_head()[0])
    shown = office.ask("GET", "/admin/v1/pinsets/payments").json
    assert (shown["version"], shown["timestamp"]["version"]) == ("1.1", 4)
    # The change waits on: only its pin set's version counts, not the timestamp's.
    assert office.sign(number, *office.town.people[:2]).json["version"] == "1.2"


def test_a_change_becomes_stale_when_another_is_published_and_says_so(office: "Office") -> None:
    office.publish("live", "spare")
    early, late = office.propose("a", "spare", base="1.1")["id"], office.propose("b", "spare", base="1.1")["id"]
    alice, bob, carol = office.town.people
    office.sign(early, alice)
    assert office.sign(late, alice, bob).json["version"] == "1.3"
    before = office.stored()
    refused = office.problem(office.sign(early, carol), 409, "change-closed")
    assert (refused["state"], refused["expected"], refused["got"]) == ("stale", "a waiting change", "stale")
    assert "propose the change again on top of it" in refused["detail"]
    assert office.stored() == before
    assert office.change(early)["state"] == "stale"
    assert str(served_document(office).hosts[0].pins[0]) == office.pin("b")


def test_a_change_whose_name_was_created_meanwhile_is_stale(office: "Office") -> None:
    first, second = office.propose("a", "spare")["id"], office.propose("b", "spare")["id"]
    office.sign(second, *office.town.people[:2])
    assert office.change(first)["state"] == "stale"
    assert office.problem(office.sign(first, office.town.people[2]), 409, "change-closed")["state"] == "stale"


def test_a_change_that_was_not_signed_in_its_life_has_expired(office: "Office") -> None:
    number = office.propose("live", "spare", lifetime_seconds=86_400)["id"]
    office.sign(number, office.town.people[0])
    office.clock.advance(days=1)
    office.ask("GET", "/admin/v1/roots")  # the last use of a token is recorded once a minute: now
    before = office.stored()
    assert office.problem(office.sign(number, office.town.people[1]), 409, "change-closed")["state"] == "expired"
    rejection = office.ask("POST", f"/admin/v1/changes/{number}/rejection", body={"reason": "late"})
    assert office.problem(rejection, 409, "change-closed")["state"] == "expired"
    assert office.stored() == before
    assert [row["state"] for row in office.ask("GET", "/admin/v1/changes?state=expired").json["changes"]] == ["expired"]


def test_nobody_is_asked_to_sign_what_clients_would_refuse(office: "Office") -> None:
    office.publish("live", "spare")
    token = office.token("editor", "payments", seconds=400 * 86_400)
    office.clock.advance(days=366)  # past the end of the root
    before = office.audit()
    body = office.draft("next", "spare")
    refused = office.ask("PUT", "/admin/v1/pinsets/payments", token=token, body=body, If_Match='"1.1"')
    document = office.problem(refused, 500, "publication-refused")
    assert document["detail"].startswith("a client would refuse what shall be signed: root 1 is past its end")
    assert office.audit() == before
    assert office.rows("SELECT count(*) FROM changes WHERE state = 'waiting'") == [(0,)]


def test_a_rejected_change_is_never_published(office: "Office") -> None:
    number = office.propose("live", "spare")["id"]
    office.sign(number, office.town.people[0])
    answer = office.ask("POST", f"/admin/v1/changes/{number}/rejection", body={"reason": "not my key"})
    assert (answer.status_code, answer.json["state"]) == (200, "rejected")
    assert answer.json["closed"]["reason"] == "not my key"
    before = office.stored()
    for body in (office.town.people[1].signature(office.payload(number)), office.town.people[0].signature(b"")):
        assert office.problem(office.hand_in(number, body), 409, "change-closed")["state"] == "rejected"
    again = office.ask("POST", f"/admin/v1/changes/{number}/rejection", body={"reason": "again"})
    assert office.problem(again, 409, "change-closed")["state"] == "rejected"
    assert office.stored() == before
    assert office.client.get("/v1/bundles/payments/1").status_code == 404


def test_a_change_shows_the_bytes_to_be_signed_and_the_envelope_that_they_replace(office: "Office") -> None:
    office.publish("live", "spare")
    shown = office.change(office.propose("next", "spare", base="1.1", reason="rotation")["id"])
    base = Envelope.from_json(shown["base_envelope"], expect=PINSET_TYPE)
    assert base.payload == Bundle.parse(office.client.get("/v1/bundles/payments/1").data).pinset.payload
    document = PinSet.parse(office.payload(shown["id"]))
    assert (document.epoch, document.version, str(document.hosts[0].pins[0])) == (1, 2, office.pin("next"))
    assert (shown["reason"], shown["base"], shown["closed"]) == ("rotation", "1.1", None)


def test_every_member_of_a_change_is_documented(settled: "Office") -> None:
    page = (Path(__file__).parents[2] / "docs/admin-api.md").read_text("utf-8")
    table = page[page.index("| member | meaning |") :].partition("\n\n")[0]
    documented = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    [row] = settled.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    assert row.keys() == documented
    section = page.partition("### GET /admin/v1/changes/{change_id}")[2].partition("###")[0]
    assert {name for name in settled.change(row["id"]).keys() - row.keys() if f"`{name}`" not in section} == set()


def test_lists_are_filtered_paged_and_limited_to_what_the_token_reaches(office: "Office") -> None:
    numbers = [office.propose(name=name)["id"] for name in ("payments", "payments-eu", "mixed", "payments-us")]
    office.sign(numbers[0], *office.town.people[:2])

    def listed(query: str = "", **asked: Any) -> tuple[list[int], int | None]:
        found = office.ask("GET", f"/admin/v1/changes{query}", **asked).json
        return [row["id"] for row in found["changes"]], found["next"]

    assert listed() == (numbers[::-1], None)
    assert listed("?state=waiting") == (numbers[:0:-1], None)
    assert listed("?name=payments") == ([numbers[0]], None)
    assert listed("?limit=2") == (numbers[:1:-1], numbers[2])
    assert listed(f"?limit=2&before={numbers[2]}") == ([numbers[1], numbers[0]], numbers[0])
    assert listed(token=office.token("reader", "mixed")) == ([numbers[2]], None)
    office.problem(office.ask("GET", "/admin/v1/changes?state=done"), 400, "bad-request")


@pytest.mark.parametrize(
    ("role", "names", "may_read", "may_sign"),
    [
        ("reader", ("*",), True, False),
        ("approver", ("payments",), True, True),
        ("editor", ("pay*",), True, True),
        ("operator", ("*",), True, True),
        ("admin", ("orders",), False, False),
        ("approver", ("orders", "payment"), False, False),
    ],
)
def test_signing_needs_the_right_to_sign_on_that_pin_set(
    settled: "Office", role: str, names: tuple[str, ...], may_read: bool, may_sign: bool
) -> None:
    [row] = settled.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    token = settled.token(role, *names)
    settled.ask("GET", "/admin/v1/roots", token=token)
    before = settled.stored()
    shown = settled.ask("GET", f"/admin/v1/changes/{row['id']}", token=token)
    assert shown.status_code == (200 if may_read else 404)
    bad = {"keyid": "0" * 64, "sig": "A" * 86 + "=="}
    refusal = 422 if may_sign else 403 if may_read else 404  # what a token does not reach is not there for it
    assert settled.hand_in(row["id"], bad, token=token).status_code == refusal
    empty = settled.ask("POST", f"/admin/v1/changes/{row['id']}/rejection", token=token, body={"reason": " "})
    assert empty.status_code == refusal
    assert settled.stored() == before


class TestIdempotency:
    """The same request under the same key is done once, whatever became of the change meanwhile."""

    def test_a_repeated_proposal_is_one_change(self, office: "Office") -> None:
        asked = {"body": office.draft("live", "spare"), "If_None_Match": "*", "Idempotency_Key": "one"}
        first, again = (office.ask("PUT", "/admin/v1/pinsets/payments", **asked) for _ in range(2))
        assert (first.status_code, again.status_code, again.json) == (202, 202, first.json)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert len(office.ask("GET", "/admin/v1/changes").json["changes"]) == 1
        office.sign(first.json["id"], *office.town.people[:2])
        late = office.ask("PUT", "/admin/v1/pinsets/payments", **asked)
        assert (late.status_code, late.json["state"]) == (202, "published")

    def test_a_repeated_signature_gets_its_first_answer(self, office: "Office") -> None:
        number = office.propose("live", "spare")["id"]
        alice, bob, carol = office.town.people
        bodies = {who: who.signature(office.payload(number)) for who in (alice, bob, carol)}
        first = [office.hand_in(number, bodies[alice], Idempotency_Key="alice") for _ in range(2)]
        assert [answer.status_code for answer in first] == [202, 202]
        second = [office.hand_in(number, bodies[bob], Idempotency_Key="bob") for _ in range(2)]
        assert [answer.status_code for answer in second] == [200, 200]
        assert second[0].json == second[1].json
        before = office.stored()
        office.problem(office.hand_in(number, bodies[carol], Idempotency_Key="bob"), 422, "idempotency-key-reused")
        assert office.stored() == before

    def test_a_repeated_rejection_gets_its_first_answer(self, office: "Office") -> None:
        path = f"/admin/v1/changes/{office.propose('live', 'spare')['id']}/rejection"
        asked = {"body": {"reason": "too early"}, "Idempotency_Key": "no"}
        first, again = (office.ask("POST", path, **asked) for _ in range(2))
        assert (first.status_code, again.status_code, again.json) == (200, 200, first.json)
        assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")


BAD = [
    ("no JSON", b"{", "malformed-json", 400),
    ("no fields", b"{}", "invalid", 422),
    ("an unknown field", b'{"keyid": "%s", "sig": "", "x": 1}' % (b"0" * 64), "invalid", 422),
    ("a keyid in capitals", {"keyid": "A" * 64, "sig": "A" * 86 + "=="}, "invalid", 422),
    ("a keyid that is too short", {"keyid": "0" * 63, "sig": "A" * 86 + "=="}, "invalid", 422),
    ("a keyid with a line end", {"keyid": "0" * 64 + "\n", "sig": "A" * 86 + "=="}, "invalid", 422),
    ("a signature that is no base64", {"keyid": "0" * 64, "sig": "-" * 88}, "invalid", 422),
    ("a signature of 63 bytes", {"keyid": "0" * 64, "sig": "A" * 84}, "invalid", 422),
    ("a signature that is not canonical", {"keyid": "0" * 64, "sig": "A" * 85 + "B=="}, "invalid", 422),
    ("a signature that is a number", {"keyid": "0" * 64, "sig": 1}, "invalid", 422),
    ("a key that the grant does not name", {"keyid": "0" * 64, "sig": "A" * 86 + "=="}, "signature-refused", 422),
]


@pytest.mark.parametrize(("reason", "body", "slug", "status"), BAD, ids=[case[0] for case in BAD])
def test_a_bad_body_is_refused_and_leaves_everything_as_it_was(
    settled: "Office", reason: str, body: Any, slug: str, status: int
) -> None:
    [row] = settled.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    before = settled.stored()
    document = settled.problem(settled.hand_in(row["id"], body), status, slug)
    assert document["violations"] != []
    assert settled.stored() == before


@pytest.mark.parametrize("path", ["/changes/0", "/changes/01", "/changes/x", "/changes/9999", "/changes/-1"])
def test_a_change_that_does_not_exist_is_not_found_under_any_verb(settled: "Office", path: str) -> None:
    before = settled.stored()
    for method, end in (("GET", ""), ("POST", "/signatures"), ("POST", "/rejection")):
        settled.problem(settled.ask(method, f"/admin/v1{path}{end}", body=b"{}"), 404, "not-found")
    assert settled.stored() == before


WRONG = {
    "the same person again": (lambda o, n: o.town.people[0].signature(o.payload(n)), "has signed change"),
    "the timestamp key's owner as a person": (
        lambda o, n: {**o.town.people[1].signature(o.payload(n)), "keyid": o.town.server_keyid},
        "may not sign pin set 'payments'",
    ),
    "one person's signature under another's name": (
        lambda o, n: {**o.town.people[1].signature(o.payload(n)), "keyid": o.town.people[2].keyid},
        "is not over the payload of change",
    ),
    "over the payload as a timestamp": (
        lambda o, n: o.town.people[1].signature(o.payload(n), "application/vnd.pinwarden.timestamp.v1+json"),
        "is not over the payload of change",
    ),
    "over the version in force": (
        lambda o, n: o.town.people[1].signature(
            Bundle.parse(o.client.get("/v1/bundles/payments/1").data).pinset.payload
        ),
        "is not over the payload of change",
    ),
    "over one byte less": (
        lambda o, n: o.town.people[1].signature(o.payload(n)[:-1]),
        "is not over the payload of change",
    ),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_signature_that_does_not_count_is_refused_by_name(settled: "Office", reason: str) -> None:
    [row] = settled.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    make, sentence = WRONG[reason]
    before = settled.stored()
    document = settled.problem(settled.hand_in(row["id"], make(settled, row["id"])), 422, "signature-refused")
    assert sentence in document["detail"]
    assert "Nothing stored has changed." in document["detail"]
    [violation] = document["violations"]
    assert violation["code"] == "V3"
    assert settled.stored() == before
    assert json.dumps(document).count("PRIVATE") == 0
