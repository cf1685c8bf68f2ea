"""The end of the audit log is signed in time, by one worker, outside every lock, and never once the log was touched."""

import logging
import shutil
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.checkpoint import CHECKPOINT_ADDRESS, Checkpoint, open_checkpoint
from pinwarden.documents import Timestamp
from pinwarden.envelope import CHECKPOINT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import MalformedError, SignatureError, WrongPinSetError
from pinwarden_keys import found_authority
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_server.bell import Bell
from pinwarden_server.checkpoints import make_checkpoint, verify_store, waits_since
from pinwarden_server.errors import AuditBroken, SignerUnavailable
from pinwarden_server.following import Follower
from pinwarden_server.founding import reconcile
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.renewal import Round
from pinwarden_server.signers import Signers
from pinwarden_server.site import Site
from pinwarden_server.store import open_store
from tests.audit.conftest import Office
from tests.rotation.stage import House
from tests.server.store.rows import NOW


def served(site: Site) -> bytes:
    return site.tree.path_of(CHECKPOINT_ADDRESS).read_bytes()


def test_the_renewer_signs_the_end_of_the_log_stores_it_and_serves_the_same_bytes(office: Office) -> None:
    assert office.tick() == Round(checkpoint=3)
    newest = office.site.store.reader.newest_checkpoint()
    assert newest is not None
    size, head = office.site.store.reader.audit_head()
    expected = Checkpoint(office.root.authority, size, head, NOW, 1)
    assert open_checkpoint(newest.envelope, {1: office.root}) == expected
    assert served(office.site) == newest.envelope.to_bytes()
    assert (newest.size, newest.hash, newest.issued, newest.root_version) == (size, head, NOW, 1)
    assert verify_store(office.site.store.reader).newest == expected


def test_one_is_due_when_rows_were_added_and_an_interval_is_over_and_not_before(office: Office) -> None:
    assert office.tick().checkpoint == 3
    assert office.tick(hours=2).checkpoint is None  # nothing was added
    office.put()
    assert waits_since(office.site.store.reader) == office.now
    assert office.tick().checkpoint == 4  # the one before is older than an hour
    office.put()
    assert office.tick(minutes=59, seconds=59).checkpoint is None
    assert office.tick(seconds=1).checkpoint == 5
    assert waits_since(office.site.store.reader) is None
    assert [row.size for row in office.site.store.reader.checkpoints()] == [3, 4, 5]


def test_a_clock_that_went_back_neither_stops_checkpoints_nor_makes_one_older_than_the_last(office: Office) -> None:
    office.tick(hours=20)
    office.now = NOW
    office.put()
    assert office.tick().checkpoint == 4
    times = [row.issued for row in office.site.store.reader.checkpoints()]
    assert times == sorted(times) == [NOW + timedelta(hours=20)] * 2


def test_a_new_root_is_covered_at_once_and_by_its_own_keys(house: House) -> None:
    assert house.node is not None
    reader = house.node.site.store.reader
    house.renew()
    before = reader.newest_checkpoint()
    assert before is not None
    key = house.add_key("timestamp-2")
    house.rotate(timestamp=[key])
    assert house.node is not None
    house.renew()
    after = house.node.site.store.reader.newest_checkpoint()
    assert after is not None and after.size == house.node.site.store.reader.audit_head()[0]
    assert (before.root_version, after.root_version) == (1, 2)
    assert [entry.keyid for entry in after.envelope.signatures] == [key.keyid]
    assert verify_store(house.node.site.store.reader).checkpoints == 2  # the old one still proves what it proved


def test_it_can_never_be_taken_for_a_timestamp_nor_a_timestamp_for_it(office: Office) -> None:
    office.tick()
    row = office.site.store.reader.newest_checkpoint()
    assert row is not None
    with pytest.raises(MalformedError, match="wrong type"):
        Envelope.parse(row.envelope.to_bytes(), expect=TIMESTAMP_TYPE)
    renamed = replace(row.envelope, payload_type=TIMESTAMP_TYPE)
    with pytest.raises(SignatureError):
        renamed.verified_by(office.root.timestamp)
    with pytest.raises(MalformedError):
        Timestamp.parse(row.envelope.payload)
    stamp = office.site.store.reader.current("payments").timestamp
    assert stamp.verified_by(office.root.timestamp) == stamp.payload
    with pytest.raises(SignatureError):
        replace(stamp, payload_type=CHECKPOINT_TYPE).verified_by(office.root.timestamp)
    with pytest.raises(MalformedError):
        Checkpoint.parse(stamp.payload)


class Nosy(SoftwareSigner):
    """A signer during whose work somebody else publishes, and takes the lock of the whole tree."""

    def __init__(self, signer: SoftwareSigner, office: Office) -> None:
        self.__dict__.update(signer.__dict__)
        self._office = office
        self.seen = 0

    def sign(self, message: bytes) -> bytes:
        if message.startswith(b"DSSEv1 %d %s " % (len(CHECKPOINT_TYPE), CHECKPOINT_TYPE.encode())):
            self.seen += 1
            self._office.put("orders")
            with self._office.site.tree.locked_whole():
                pass
        return super().sign(message)


def test_no_transaction_and_no_lock_is_held_while_it_is_signed(office: Office) -> None:
    keys: dict[str, Any] = office.site.signers._signers
    timestamp = next(iter(office.root.timestamp.keys))
    nosy = Nosy(keys[timestamp], office)
    site = replace(office.site, signers=Signers([nosy]))
    made = make_checkpoint(site, office.now)
    assert made is not None
    assert (made.size, nosy.seen, office.site.store.reader.audit_head()[0]) == (3, 1, 4)
    assert verify_store(office.site.store.reader).checkpoints == 1


def test_two_workers_that_sign_the_same_end_store_it_once(office: Office) -> None:
    both, made, failures = threading.Barrier(2), [], []
    keys: dict[str, Any] = office.site.signers._signers

    class Meeting(SoftwareSigner):
        def __init__(self, signer: SoftwareSigner) -> None:
            self.__dict__.update(signer.__dict__)

        def sign(self, message: bytes) -> bytes:
            both.wait(20)
            return super().sign(message)

    site = replace(office.site, signers=Signers([Meeting(keys[keyid]) for keyid in office.root.timestamp.keys]))

    def work() -> None:
        try:
            made.append(make_checkpoint(site, office.now))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(one is None for one in made) == [False, True]
    assert office.rows("SELECT count(*) FROM checkpoints") == [(1,)]


# Versions refer to audit rows; whoever tampers with these does not mind.
DETACH = "UPDATE versions SET audit_seq = 1;"
TOUCHED = {
    "a row edited since the last checkpoint": "UPDATE audit SET actor = 'mallory' WHERE seq = 5",
    "a row removed since": "DELETE FROM audit WHERE seq = 5",
    "the log cut off before the last checkpoint": (
        "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)"
    ),
}


@pytest.mark.parametrize("touch", TOUCHED)
def test_a_log_that_was_touched_is_not_signed_and_the_log_of_the_server_says_so_loudly(
    office: Office, touch: str, caplog: pytest.LogCaptureFixture
) -> None:
    office.checkpoint()
    office.put()
    office.put()
    office.tamper(f"{DETACH}{TOUCHED[touch]}")
    before = office.rows("SELECT * FROM checkpoints"), served(office.site)
    with caplog.at_level(logging.WARNING, "pinwarden.server"):
        done = office.tick(hours=1)
    assert (done.checkpoint, done.failed) == (None, {})
    assert done.unsigned.startswith(("audit row", "the end of the audit chain is missing"))
    assert [record.levelname for record in caplog.records if "was not signed" in record.message] == ["CRITICAL"]
    assert (office.rows("SELECT * FROM checkpoints"), served(office.site)) == before


def test_without_the_timestamp_key_the_round_goes_on_and_says_what_is_missing(office: Office) -> None:
    office.renewer._site = replace(office.site, signers=Signers())
    done = office.tick()
    assert (done.checkpoint, done.failed) == (None, {})
    assert done.unsigned.startswith("too few signers for this role")
    with pytest.raises(SignerUnavailable):
        make_checkpoint(office.renewer._site, office.now)
    assert office.rows("SELECT count(*) FROM checkpoints") == [(0,)]


SWAP = "UPDATE audit SET seq = 5 - seq + 90 WHERE seq IN (2, 3); UPDATE audit SET seq = seq - 90 WHERE seq > 90"
REWRITTEN = {
    "a row edited": ("UPDATE audit SET actor = 'mallory' WHERE seq = 2", "audit row 2 was changed"),
    "a row deleted in the middle": ("DELETE FROM audit WHERE seq = 3", "audit rows are missing"),
    "the last rows deleted": (
        "DELETE FROM audit WHERE seq > 4; UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4)",
        "audit rows up to 5 were rewritten or removed",
    ),
    "two rows swapped": (SWAP, "audit row 2 does not follow"),
    "a checkpoint's columns changed": (
        "UPDATE checkpoints SET hash = (SELECT hash FROM audit WHERE seq = 3) WHERE size = 4",
        "the checkpoint of audit row 4 has columns that its envelope does not have",
    ),
    "a checkpoint moved to another row": (
        "UPDATE checkpoints SET size = 3 WHERE size = 4",
        "the checkpoint of audit row 3 has columns that its envelope does not have",
    ),
    "a checkpoint made of another one's envelope": (
        "UPDATE checkpoints SET envelope = (SELECT envelope FROM checkpoints WHERE size = 4) WHERE size = 5",
        "the checkpoint of audit row 5 has columns that its envelope does not have",
    ),
}


@pytest.mark.parametrize("touch", REWRITTEN)
def test_the_store_is_held_against_its_own_checkpoints(office: Office, touch: str) -> None:
    office.checkpoint()
    office.checkpoint()
    assert verify_store(office.site.store.reader).checkpoints == 2
    statements, message = REWRITTEN[touch]
    office.tamper(f"{DETACH}{statements}")
    with pytest.raises(AuditBroken, match=message):
        verify_store(office.site.store.reader)


def test_a_checkpoint_of_another_authority_or_key_counts_for_nothing(office: Office) -> None:
    office.checkpoint()
    stranger = found_authority("other", now=NOW, entropy=lambda count: bytes(range(count)))
    forged = replace(office.site, signers=Signers([SoftwareSigner(stranger.timestamp_seed, uri="memory:forger")]))
    row = office.site.store.reader.newest_checkpoint()
    assert row is not None
    with pytest.raises(SignerUnavailable):  # our own signers refuse to sign for a role that they do not have
        forged.signers.sign(CHECKPOINT_TYPE, row.envelope.payload, office.root.timestamp)
    elsewhere = replace(Checkpoint.parse(row.envelope.payload), authority=stranger.authority)
    signed = office.site.signers.sign(CHECKPOINT_TYPE, elsewhere.encode(), office.root.timestamp)
    with pytest.raises(WrongPinSetError):
        open_checkpoint(signed, {1: office.root})
    later = replace(elsewhere, authority=office.root.authority, root_version=2)
    signed = office.site.signers.sign(CHECKPOINT_TYPE, later.encode(), office.root.timestamp)
    with pytest.raises(SignatureError, match="names a root that is not known here"):
        open_checkpoint(signed, {1: office.root})


def test_a_file_that_was_lost_comes_back_byte_for_byte_and_stays_on_the_disk(office: Office) -> None:
    office.tick()
    table, before = PublicTable(office.site.tree, office.site.bell), served(office.site)
    entry = table.get(CHECKPOINT_ADDRESS)
    assert entry is not None
    assert (entry.body, entry.media_type) == (before, "application/vnd.pinwarden.envelope.v1+json")
    assert entry.cache_control.startswith("public, max-age=60,")
    assert CHECKPOINT_ADDRESS not in table._entries  # the fast path's dictionary holds what every client asks for
    shutil.rmtree(office.site.tree.folder / "v1")
    assert table.get(CHECKPOINT_ADDRESS) is None
    reconcile(office.site)
    assert served(office.site) == before


def test_another_node_serves_it_as_soon_as_it_looks_though_no_audit_row_tells_of_it(
    office: Office, tmp_path: Path
) -> None:
    other = replace(
        office.site,
        store=open_store(office.site.store.url),
        tree=PublishedTree(tmp_path / "other"),
        bell=Bell.open(tmp_path / "other-run/bell"),
    )
    reconcile(other)
    follower = Follower(other, tmp_path / "following.lock")
    follower._seen = other.store.reader.audit_head()[0]
    assert follower.follow() == 0
    assert not other.tree.path_of(CHECKPOINT_ADDRESS).exists()
    office.tick()
    assert follower.follow() == 0
    assert served(other) == served(office.site)
    other.store.close()
    other.bell.close()


def test_a_commit_of_a_checkpoint_wakes_the_nodes_that_listen(pg_office: Office) -> None:
    with pg_office.site.store.listen() as listener:
        pg_office.tick()
        assert listener.wait(20)
