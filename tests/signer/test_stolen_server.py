"""
The server's own machine in a thief's hands: rows of the database forged, its code driven, roots exchanged.

The process is asked through the honest server's own code, which the thief may call as they like.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Root, Timestamp
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, Envelope, Signature
from pinwarden.testing import pinned
from pinwarden_keys import read_key_file
from pinwarden_server.errors import SigningRefused
from tests.signer.house import House, found_house, house_of
from tests.signer.safe import (
    ALICE,
    BOB,
    CAROL,
    MALLORY,
    PINS,
    Clock,
    Safe,
    approvals,
    next_root_json,
)

EVIL = (pinned("api.example.com", b"\xee" * 32, b"\xef" * 32),)


@pytest.fixture
def house(safe: Safe, clock: Clock, tmp_path: Path) -> Iterator[House]:
    """A server with one version in force, and one change that alice has approved."""
    with safe.listening(clock):
        installation = found_house(tmp_path / "server", safe, now=clock())
        with house_of(installation, clock) as house:
            house.approve(house.propose("live", "spare"), ALICE, BOB)
            house.approve(house.propose("next", "spare", base="1.1"), ALICE)
            yield house


def waiting(house: House) -> int:
    [row] = house.ask("GET", "/admin/v1/changes?state=waiting").json["changes"]
    return int(row["id"])


def execute(house: House, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(house.installation.folder / "pinwarden.db")) as connection:
        connection.execute(statement, values)
        connection.commit()


def test_there_is_no_key_on_the_server(house: House) -> None:
    assert list(house.installation.keys.glob("*.key")) == []
    with pytest.raises(Exception, match="cannot be read"):
        read_key_file(house.installation.key("pinset"))


def test_a_change_whose_payload_was_exchanged_is_refused_with_the_approvals_of_the_real_one(
    safe: Safe, house: House
) -> None:
    number, journal = waiting(house), safe.rows()
    evil = replace(PinSet.parse(house.payload(number)), hosts=EVIL).encode()
    execute(house, "UPDATE changes SET payload = ? WHERE id = ?", evil, number)
    before = house.client.get("/v1/bundles/payments/1").data
    # Bob signs what he is shown; alice's approval was of something else, so there is one.
    problem = house.problem(house.approve(number, BOB), 409, "signing-refused")
    assert problem["got"] == "bob"
    assert (house.client.get("/v1/bundles/payments/1").data, safe.rows()) == (before, journal)


def test_forged_rows_of_approvals_count_for_nothing(safe: Safe, house: House) -> None:
    number, journal = waiting(house), safe.rows()
    [(_, at)] = house.rows(f"SELECT keyid, at FROM change_signatures WHERE change_id = {number}")
    sig = MALLORY.sign(b"anything")
    execute(
        house,
        "INSERT INTO change_signatures (change_id, keyid, sig, at, actor) VALUES (?, ?, ?, ?, 'token:x')",
        *(number, CAROL.keyid, sig, at),
    )
    # The server counts two approvals now, and asks; the process counts one.
    refused = house.approve(number, ALICE)
    problem = house.problem(refused, 409, "signing-refused")
    assert problem["got"] == "alice"
    assert safe.rows() == journal


def test_the_servers_own_code_gets_no_signature_over_pins_that_nobody_approved(safe: Safe, house: House) -> None:
    number, journal = waiting(house), safe.rows()
    evil = replace(PinSet.parse(house.payload(number)), hosts=EVIL)
    stolen = {Signature(*row).keyid: Signature(*row) for row in house.rows("SELECT keyid, sig FROM change_signatures")}
    signers, grant = house.node.site.signers, _grant(house)
    for attempt in (
        lambda: signers.sign_approved(evil.encode(), [PINS.keyid], stolen),
        lambda: signers.sign(PINSET_TYPE, evil.encode(), grant),
        lambda: signers.sign_approved(
            evil.encode(), [PINS.keyid], {each.keyid: each for each in approvals(evil, MALLORY, CAROL)}
        ),
    ):
        with pytest.raises(SigningRefused) as refusal:
            attempt()
        assert refusal.value.needs_people
    assert signers.sign_in_part(PINSET_TYPE, evil.encode(), grant) == ()
    assert safe.rows() == journal


def _grant(house: House) -> Any:
    return Root.parse(house.node.site.store.reader.roots()[-1].payload).grant_for("payments")


def test_a_new_root_is_published_once_the_process_has_it_and_pins_go_on_without_people(
    safe: Safe, clock: Clock, tmp_path: Path
) -> None:
    newer = next_root_json(safe.root, clock(), epoch=2, stamp_epoch=2)
    body: dict[str, Any] = {"root": Envelope.parse(newer, expect=ROOT_TYPE).to_json(), "reason": "keys were stolen"}
    with safe.listening(clock):
        installation = found_house(tmp_path / "server", safe, now=clock())
        with house_of(installation, clock) as house:
            house.approve(house.propose("live", "spare"), ALICE, BOB)
    with safe.listening(clock), house_of(installation, clock) as house:
        before = house.client.get("/v1/bundles/payments/1").data
        found = house.ask("POST", "/admin/v1/roots/preview", body=body).json["violations"]
        body["force"] = [each["code"] for each in found]  # one person's root key is what lint minds here
        house.problem(house.ask("POST", "/admin/v1/roots", body=body), 409, "signing-refused")
        assert house.client.get("/v1/bundles/payments/1").data == before
    safe.write(root=newer)
    with safe.listening(clock), house_of(installation, clock) as house:
        assert house.ask("POST", "/admin/v1/roots", body=body).status_code == 201
        bundle = Bundle.parse(house.client.get("/v1/bundles/payments/1").data)
    document, stamp = PinSet.parse(bundle.pinset.payload), Timestamp.parse(bundle.timestamp.payload)
    assert ((document.epoch, stamp.epoch, stamp.root_version), len(bundle.roots)) == ((2, 2, 2), 1)
