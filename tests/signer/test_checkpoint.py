"""A signer process as the witness of an audit log: no end that it signed is ever signed shorter, or with a new hash."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.checkpoint import Checkpoint
from pinwarden.documents import Root
from pinwarden.envelope import CHECKPOINT_TYPE, ROOT_TYPE, Envelope, is_signature, pae
from pinwarden.strict_json import encode
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_keys.signer_process import SignerProcess
from pinwarden_keys.signer_process_checkpoint import MOST_PER_DAY
from pinwarden_server.checkpoints import verify_store
from tests.signer.house import House, found_house, house_of
from tests.signer.safe import ALICE, AUTHORITY, BOB, PINS, STAMP, Clock, Safe, next_root_json

ONE, OTHER = "1" * 64, "f" * 64


def end(clock: Clock, size: int = 7, **changes: Any) -> Checkpoint:
    return replace(Checkpoint(AUTHORITY, size, ONE, clock(), 1), **changes)


def sign(process: SignerProcess, checkpoint: Checkpoint | bytes, *, key: SoftwareSigner = STAMP) -> str:
    """Ask for a signature; return the rule that refuses, or "signed"."""
    payload = checkpoint if isinstance(checkpoint, bytes) else checkpoint.encode()
    message = pae(CHECKPOINT_TYPE, payload)
    request = {"do": "sign", "key": key.keyid, "message": base64.b64encode(message).decode(), "approvals": []}
    answer = process.answer(request)
    if "refused" in answer:
        return str(answer["refused"]["rule"])
    assert is_signature(base64.b64decode(answer["signature"]), message, key.public)
    return "signed"


def test_an_end_is_signed_journalled_and_followed_by_longer_ones(
    safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    assert sign(process, end(clock)) == "signed"
    clock.advance(hours=1)
    assert sign(process, end(clock, 8, hash=OTHER)) == "signed"
    assert [row[2:7] for row in safe.rows()] == [("checkpoint", "alone", "*", 1, size) for size in (7, 8)]


REFUSED = {
    "a shorter log": ({"size": 6}, "log"),
    "another hash for the same length": ({"hash": OTHER}, "log"),
    "another authority": ({"size": 8, "authority": "other-00c0ffee00c0ffee"}, "log"),
    "a root that the process does not know": ({"size": 8, "root_version": 2}, "log"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_after_one_end_none_is_signed_with(words: str, safe: Safe, process: SignerProcess, clock: Clock) -> None:
    assert sign(process, end(clock)) == "signed"
    before = safe.rows()
    changes, rule = REFUSED[words]
    assert sign(process, end(clock, **changes)) == rule
    assert safe.rows() == before


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_end_is_signed_at_its_time_alone(minutes: int, safe: Safe, process: SignerProcess, clock: Clock) -> None:
    assert sign(process, end(clock, issued=clock() + timedelta(minutes=minutes))) == "issued"
    assert safe.rows() == []


def test_what_was_signed_and_never_stored_is_signed_again_at_another_time(
    safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    assert sign(process, end(clock)) == "signed"
    clock.advance(minutes=1)
    assert sign(process, end(clock)) == "signed"
    assert len(safe.rows()) == 1


def test_only_the_timestamp_key_signs_it_and_only_as_it_is_spelt(
    safe: Safe, process: SignerProcess, clock: Clock
) -> None:
    assert sign(process, end(clock), key=PINS) == "key"
    with_more = {**json.loads(end(clock).encode()), "more": 1}
    assert sign(process, encode(with_more)) == "form"
    assert sign(process, b"{}") == "P4"
    assert safe.rows() == []


def test_a_day_has_one_a_minute(safe: Safe, process: SignerProcess, clock: Clock, monkeypatch: Any) -> None:
    monkeypatch.setattr("pinwarden_keys.signer_process_checkpoint.MOST_PER_DAY", 3)
    assert MOST_PER_DAY == 1440
    assert [sign(process, end(clock, size)) for size in (1, 2, 3, 4)] == ["signed"] * 3 + ["rate"]
    clock.advance(hours=24, seconds=1)
    assert sign(process, end(clock, 4)) == "signed"


def test_a_new_root_changes_nothing_about_what_was_signed(safe: Safe, clock: Clock) -> None:
    with safe.inside(clock) as process:
        assert sign(process, end(clock)) == "signed"
    safe.write(root=next_root_json(safe.root, clock(), stamp_epoch=2))
    with safe.inside(clock) as process:
        assert sign(process, end(clock, 6, root_version=2)) == "log"
        assert sign(process, end(clock, 8, root_version=2)) == "signed"


@pytest.fixture
def house(safe: Safe, clock: Clock, tmp_path: Path) -> Iterator[House]:
    with safe.listening(clock):
        installation = found_house(tmp_path / "server", safe, now=clock())
        with house_of(installation, clock) as house:
            yield house


def test_a_thief_of_the_database_gets_no_signature_over_a_log_that_was_cut_off(
    house: House, clock: Clock, safe: Safe
) -> None:
    root = Root.parse(Envelope.parse(safe.root, expect=ROOT_TYPE).payload)
    reader = house.node.site.store.reader
    house.approve(house.propose("live", "spare"), ALICE, BOB)
    clock.advance(hours=1)
    size = house.node.renewer.tick().checkpoint
    assert size == reader.audit_head()[0]
    newest = verify_store(reader).newest
    assert newest is not None and newest.authority == root.authority
    with house.node.site.store.writer.transaction() as transaction:
        for statement in (
            "PRAGMA defer_foreign_keys = ON",
            "DELETE FROM checkpoints",
            "UPDATE versions SET audit_seq = 1",
            "DELETE FROM change_signatures",
            "DELETE FROM changes",
            "DELETE FROM audit WHERE seq > 3",
            "UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit WHERE seq = 3)",
        ):
            transaction._connection.exec_driver_sql(statement)
    clock.advance(hours=2)
    done = house.node.renewer.tick()
    assert done.checkpoint is None
    assert "the audit log does not go on from where its end was signed before" in done.unsigned
    assert reader.newest_checkpoint() is None
