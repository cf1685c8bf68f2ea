"""A server whose keys lie in a signer process: what waits for people, what does not, and what a refusal leaves."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Timestamp
from pinwarden_keys import KeeperAwayError
from pinwarden_server import changes_publishing
from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.signers import Signers
from tests.signer.house import House, found_house, house_of
from tests.signer.safe import ALICE, BOB, CAROL, MALLORY, PINS, Clock, Safe


@pytest.fixture
def house(safe: Safe, clock: Clock, tmp_path: Path) -> Iterator[House]:
    with safe.listening(clock):
        installation = found_house(tmp_path / "server", safe, now=clock())
        with house_of(installation, clock) as house:
            yield house


def documents(safe: Safe) -> list[tuple[object, ...]]:
    """Return the journal without what was signed of the audit log."""
    return [row for row in safe.rows() if row[2] != "checkpoint"]


def in_force(house: House, name: str = "payments") -> PinSet:
    return PinSet.parse(Bundle.parse(house.client.get(f"/v1/bundles/{name}/1").data).pinset.payload)


def test_a_draft_waits_for_two_approvals_and_is_published_under_the_key_of_the_process_alone(house: House) -> None:
    number = house.propose("live", "spare")
    assert [each["says"] for each in house.change(number)["approvals"]] == ["0 of 2: missing alice or bob or carol"]
    first = house.approve(number, BOB)
    assert (first.status_code, first.json["approvals"]) == (
        202,
        [
            {
                "key": PINS.keyid,
                "threshold": 2,
                "approved": [BOB.keyid],
                "missing": [ALICE.keyid, CAROL.keyid],
                "says": "1 of 2: missing alice or carol",
            }
        ],
    )
    assert house.client.get("/v1/bundles/payments/1").status_code == 404
    second = house.approve(number, CAROL)
    assert (second.status_code, second.json["version"]) == (200, "1.1")
    envelope = Bundle.parse(house.client.get("/v1/bundles/payments/1").data).pinset
    assert [entry.keyid for entry in envelope.signatures] == [PINS.keyid]
    [audit] = [row for row in house.rows("SELECT action, detail FROM audit") if row[0] == "pinset.create"]
    assert f'"approved_by":["{min(BOB.keyid, CAROL.keyid)}","{max(BOB.keyid, CAROL.keyid)}"]' in audit[1]


def test_renewals_need_nobody_and_rollbacks_need_people_again(house: House, clock: Clock) -> None:
    house.approve(house.propose("live", "spare"), ALICE, BOB)
    first = in_force(house)
    clock.advance(days=16)
    assert house.node.renewer.tick().renewed == ("payments",)
    renewed = in_force(house)
    assert (renewed.version, renewed.hosts) == (2, first.hosts)
    assert renewed.expires - first.expires == timedelta(days=16)
    house.approve(house.propose("next", "spare", base="1.2"), ALICE, CAROL)
    body = {"to": 1, "reason": "the new key is lost"}
    answer = house.ask("POST", "/admin/v1/pinsets/payments/rollback", body=body, If_Match='"1.3"')
    assert answer.status_code == 202, answer.text
    assert in_force(house).version == 3
    assert house.approve(answer.json["id"], BOB, CAROL).json["version"] == "1.4"
    assert in_force(house).hosts == first.hosts


def test_an_operator_renews_without_people_and_another_life_needs_them(house: House) -> None:
    house.approve(house.propose("live", "spare"), ALICE, BOB)
    same = house.ask("POST", "/admin/v1/pinsets/payments/renewal", body={"reason": "monthly"}, If_Match='"1.1"')
    assert (same.status_code, same.json["version"]) == (200, "1.2")
    body = {"reason": "longer", "lifetime_seconds": 40 * 86_400}
    longer = house.ask("POST", "/admin/v1/pinsets/payments/renewal", body=body, If_Match='"1.2"')
    assert (longer.status_code, longer.json["action"], longer.json["state"]) == (202, "pinset.lifetime", "waiting")
    assert house.approve(longer.json["id"], ALICE, BOB).status_code == 200


def test_strangers_repetitions_and_approvals_of_other_bytes_do_not_count(house: House) -> None:
    number, other = house.propose("live", "spare"), house.propose("live", "spare", name="payments-eu")
    house.approve(number, ALICE)
    before = house.stored()
    for refused in (
        house.approve(number, MALLORY),
        house.approve(number, ALICE),
        house.approve(number, BOB, payload=house.payload(other)),
    ):
        house.problem(refused, 422, "signature-refused")
    assert house.stored() == before


def test_a_refusal_of_the_process_is_told_and_keeps_the_change_as_it_was(house: House, clock: Clock) -> None:
    number = house.propose("live", "spare")
    house.approve(number, ALICE)
    clock.advance(days=8)
    before = house.rows("SELECT * FROM change_signatures")
    problem = house.problem(house.approve(number, BOB), 409, "signing-refused")
    assert "the document was not issued lately" in problem["detail"]
    assert house.rows("SELECT * FROM change_signatures") == before
    assert house.change(number)["state"] == "waiting"


def test_a_name_that_the_process_does_not_sign_is_refused(house: House) -> None:
    answer = house.ask("PUT", "/admin/v1/pinsets/orders", body=house.draft("live", "spare"), If_None_Match="*")
    assert answer.status_code == 202, answer.text
    problem = house.problem(house.approve(answer.json["id"], ALICE), 422, "signature-refused")
    assert "may not sign pin set 'orders'" in problem["detail"]


def test_while_the_process_is_away_reads_go_on_and_publishing_says_come_back(
    safe: Safe, clock: Clock, tmp_path: Path
) -> None:
    with ExitStack() as server:
        with safe.listening(clock):
            installation = found_house(tmp_path / "server", safe, now=clock())
            house = server.enter_context(house_of(installation, clock))
            house.approve(house.propose("live", "spare"), ALICE, BOB)
            waiting = house.propose("next", "spare", base="1.1")
            house.approve(waiting, ALICE)
        before = house.stored()
        away = house.approve(waiting, CAROL)
        house.problem(away, 503, "signer-unavailable")
        assert away.headers["Retry-After"] == "5"
        assert in_force(house).version == 1
        assert house.change(waiting)["approvals"] is None
        assert house.stored() == before
        with safe.listening(clock):
            assert house.approve(waiting, CAROL).json["version"] == "1.2"


def test_a_publication_that_failed_after_its_signatures_is_completed_by_the_same_person(
    house: House, safe: Safe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process signed both documents, and the commit failed: what it signed once, it signs again."""
    house.approve(house.propose("live", "spare"), ALICE, BOB)
    number = house.propose("next", "spare", base="1.1")
    house.approve(number, ALICE)

    def fail(*_: object) -> None:
        raise StoreUnavailable("the disk is away", hint="Repeat.")

    with monkeypatch.context() as broken:
        broken.setattr(changes_publishing, "bring_into_force", fail)
        house.problem(house.approve(number, BOB), 503, "store-unavailable")
    assert (in_force(house).version, len(documents(safe))) == (1, 4)
    assert house.approve(number, BOB).json["version"] == "1.2"
    assert len(documents(safe)) == 5  # one timestamp more, and no pin set


def test_a_worker_that_starts_before_the_process_finds_it_later(safe: Safe, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(KeeperAwayError, match="is away"):
        Signers.open([safe.uri()])
    with safe.listening(clock):
        signers = Signers.open([safe.uri()])
    assert signers.keyids == {PINS.keyid}


def test_where_the_root_names_a_person_beside_the_process_both_signatures_are_published(house: House) -> None:
    number = house.propose("live", "spare", name="mixed")
    assert house.change(number)["tally"]["says"] == f"0 of 2: missing {CAROL.keyid[:16]} and {PINS.keyid[:16]}"
    assert house.approve(number, ALICE, BOB).status_code == 202  # the process would sign; carol has not
    assert house.approve(number, CAROL).status_code == 200
    envelope = Bundle.parse(house.client.get("/v1/bundles/mixed/1").data).pinset
    assert {entry.keyid for entry in envelope.signatures} == {CAROL.keyid, PINS.keyid}


def test_where_people_sign_by_the_root_the_process_stamps_what_they_signed_and_goes_on_doing_so(
    house: House, clock: Clock
) -> None:
    number = house.propose("live", "spare", name="public-a")
    assert house.change(number)["approvals"] == []
    assert house.approve(number, CAROL).status_code == 200
    clock.advance(days=2)
    assert house.node.renewer.tick().renewed == ("public-a",)
    stamp = Timestamp.parse(Bundle.parse(house.client.get("/v1/bundles/public-a/1").data).timestamp.payload)
    assert (stamp.issued, stamp.pinset.version) == (clock(), 1)
