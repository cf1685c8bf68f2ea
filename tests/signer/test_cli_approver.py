"""``pinwarden change sign --approver`` on an approver's machine: what it signs, and whom it does not believe."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from pinwarden.testing import pinned
from pinwarden_keys import LIGHT_KDF, write_key_file, write_passphrase_file
from pinwarden_keys.signer_file import SoftwareSigner
from tests.changes.test_cli_change import Desk
from tests.signer.house import House, found_house, house_of
from tests.signer.safe import ALICE, BOB, CAROL, PASSPHRASE, PINS, Clock, Safe, seed_of


@dataclass(frozen=True)
class Approver:
    """Someone with a key file on a machine of their own, whom no root names."""

    signer: SoftwareSigner
    key_file: Path
    passphrase_file: Path


@pytest.fixture
def people(tmp_path: Path) -> list[Approver]:
    made = []
    for signer in (ALICE, BOB, CAROL):
        home = tmp_path / str(signer.label)
        home.mkdir()
        write_key_file(home / "own.key", seed_of(str(signer.label)), PASSPHRASE, label=signer.label, kdf=LIGHT_KDF)
        write_passphrase_file(home / "passphrase", PASSPHRASE)
        made.append(Approver(signer, home / "own.key", home / "passphrase"))
    return made


@pytest.fixture
def desk(safe: Safe, clock: Clock, tmp_path: Path) -> Iterator[Desk]:
    """One version in force, approved by alice and bob, and the server on a socket."""
    with safe.listening(clock):
        installation = found_house(tmp_path / "server", safe, now=clock())
        with house_of(installation, clock) as house:
            house.approve(house.propose("live", "spare"), ALICE, BOB)
            made = Desk(house, tmp_path)
            (tmp_path / "root.json").write_bytes(safe.root)
            (tmp_path / "token").touch(mode=0o600)
            (tmp_path / "token").write_text(house.admin)
            server = make_server("127.0.0.1", 0, made.application, threaded=True)
            made.url = f"http://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            with capture_logs():  # the server's log would be printed into the answers of commands
                yield made
            server.shutdown()
            thread.join()
            server.server_close()


def house(desk: Desk) -> House:
    assert isinstance(desk.office, House)
    return desk.office


def test_two_approvers_whom_no_root_names_have_it_published(desk: Desk, people: list[Approver]) -> None:
    alice, bob, _ = people
    number = house(desk).propose("next", "spare", base="1.1")
    first = desk.sign(alice, number, "--approver")
    assert (first.exit_code, first.stdout) == (
        5,
        f"change {number}, payments 1.2: waiting, approved by {ALICE.keyid[:16]}\n",
    )
    assert "note: claimed approvals: 1 of 2: missing bob or carol" in first.stderr
    listed = desk.run(None, "list", "--state", "waiting")
    assert "1 of 2: missing bob or carol" in listed.stdout
    shown = desk.run(bob, "show", str(number))
    assert "  claimed approvals: 1 of 2: missing bob or carol" in shown.stdout.splitlines()
    second = desk.sign(bob, number, "--approver")
    assert (second.exit_code, second.stdout) == (
        0,
        f"change {number}, payments 1.2: published, approved by {BOB.keyid[:16]}\n",
    )


def test_without_saying_so_nobody_signs_with_a_key_that_the_root_does_not_name(
    desk: Desk, people: list[Approver]
) -> None:
    number = house(desk).propose("next", "spare", base="1.1")
    refused = desk.sign(people[0], number)
    assert refused.exit_code == 1
    assert f"this key may not sign pin set 'payments': expected one of {PINS.keyid[:16]}" in refused.stderr
    assert "add --approver" in refused.stderr
    assert desk.handed_in == []


def test_json_tells_approvals_from_signatures_that_the_root_counts(desk: Desk, people: list[Approver]) -> None:
    number = house(desk).propose("next", "spare", base="1.1")
    told = json.loads(desk.sign(people[0], number, "--approver", "--json").stdout)
    assert (told["approved"], told["signed"], told["state"]) == ([ALICE.keyid], [], "waiting")
    assert told["tally"] == f"0 of 1: missing {PINS.keyid[:16]}"


def test_a_server_that_shows_other_pins_gets_an_approval_of_what_it_showed_and_publishes_nothing(
    desk: Desk, people: list[Approver]
) -> None:
    """The approver sees the evil pins, computed on their own machine; should they not look, the bytes still differ."""
    number = house(desk).propose("next", "spare", base="1.1")
    desk.lie_about_payload(number, hosts=(pinned("api.example.com", b"\xee" * 32, b"\xef" * 32),))
    signed = desk.sign(people[0], number, "--approver")
    assert signed.exit_code == 1
    assert "no key in common with what is in force" in signed.stderr
    assert "is not over the payload of change" in signed.stderr
    assert house(desk).change(number)["signatures"] == []


def test_an_approver_refuses_another_epoch_as_everybody_does(desk: Desk, people: list[Approver]) -> None:
    number = house(desk).propose("next", "spare", base="1.1")
    desk.lie_about_payload(number, epoch=2)
    assert desk.sign(people[0], number, "--approver").exit_code == 1
    assert desk.handed_in == []
