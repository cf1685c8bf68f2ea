"""``audit verify``: whoever touches the log is found out, up to the last checkpoint that anybody kept, and by name."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden.checkpoint import Checkpoint
from pinwarden.documents import Root
from pinwarden.envelope import CHECKPOINT_TYPE, Envelope
from pinwarden_keys import found_authority, sign_envelope
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_ops.audit_judge import Kind
from pinwarden_ops.audit_words import MEANS
from pinwarden_server import audit as chain
from pinwarden_server.backup import make_backup
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.restore import restore_backup
from pinwarden_server.site import Act
from pinwarden_server.store import AuditRow
from tests.audit.conftest import Desk, Office
from tests.docs.pages import REPOSITORY
from tests.server.store.rows import NOW

DETACH = "UPDATE versions SET audit_seq = 1;"


def rewrite(office: Office, first: int = 1, **changes: Any) -> None:
    """Write the chain anew from row *first* on, with hashes that fit: what only a kept checkpoint finds."""
    rows = office.site.store.reader.audit(limit=10_000)
    previous = rows[first - 2].hash if first > 1 else chain.BEFORE_THE_FIRST
    statements = []
    for row in rows[first - 1 :]:
        told: AuditRow = replace(row, previous=previous, **(changes if row.seq == first else {}))
        told = replace(told, hash=chain.link(told))
        statements.append(
            f"UPDATE audit SET actor = '{told.actor.replace(':', chr(92) + ':')}', at = {int(told.at.timestamp())}, "
            f"previous = '{told.previous}', hash = '{told.hash}' WHERE seq = {told.seq}"
        )
        previous = told.hash
    office.tamper(";".join([*statements, f"UPDATE audit_head SET hash = '{previous}'"]))


def cut(office: Office, last: int) -> None:
    """Remove every row after *last*, and move the head there."""
    office.tamper(
        f"{DETACH}DELETE FROM audit WHERE seq > {last};"
        f"UPDATE audit_head SET seq = {last}, hash = (SELECT hash FROM audit WHERE seq = {last})"
    )


def edit(office: Office) -> None:
    office.tamper("UPDATE audit SET actor = 'mallory' WHERE seq = 2")


def delete_in_the_middle(office: Office) -> None:
    office.tamper(f"{DETACH}DELETE FROM audit WHERE seq = 3")


def delete_the_last(office: Office) -> None:
    cut(office, 3)


def swap(office: Office) -> None:
    office.tamper(
        f"{DETACH}UPDATE audit SET seq = 95 - seq WHERE seq IN (2, 3); UPDATE audit SET seq = seq - 90 WHERE seq > 90"
    )


def insert(office: Office) -> None:
    office.tamper(
        f"{DETACH}UPDATE audit SET seq = seq + 100 WHERE seq > 2; UPDATE audit SET seq = seq - 99 WHERE seq > 100;"
        "INSERT INTO audit SELECT 3, at, actor, action, subject, detail, hash, 'abc' FROM audit WHERE seq = 2;"
        "UPDATE audit_head SET seq = seq + 1"
    )


def rewrite_everything(office: Office) -> None:
    rewrite(office, 2, actor="mallory")


def rewrite_everything_and_sign_again(office: Office) -> None:
    """What a thief of the whole server can: database and timestamp key."""
    office.tamper("DELETE FROM checkpoints")
    rewrite(office, 2, actor="mallory")
    assert make_checkpoint(office.site, office.now) is not None


def replace_a_checkpoint(office: Office) -> None:
    office.tamper("UPDATE checkpoints SET envelope = (SELECT envelope FROM checkpoints WHERE size = 6) WHERE size = 5")


def remove_a_checkpoint(office: Office) -> None:
    office.tamper("DELETE FROM checkpoints WHERE size = 5")


def forge_a_checkpoint(office: Office) -> None:
    """Signed by a key that the root does not name, over the very log that there is."""
    stranger = SoftwareSigner(b"m" * 32, uri="memory:stranger")
    row = office.site.store.reader.checkpoints()[-1]
    with office.site.store.writer.transaction() as transaction:
        transaction.run(_checkpoints().delete().where(_checkpoints().c.size == row.size))
        envelope = sign_envelope(CHECKPOINT_TYPE, row.envelope.payload, [stranger])
        transaction.append_checkpoint(replace(row, envelope=envelope))


def exchange_the_root(office: Office) -> None:
    """Another root 2, which the root that people hold never agreed to."""
    other = found_authority("other", now=NOW, entropy=os.urandom)
    root = Root.parse(Envelope.parse(other.root_json, expect="application/vnd.pinwarden.root.v1+json").payload)
    key = SoftwareSigner(other.root_seeds[0], uri="memory:other")
    forged = replace(root, version=2, authority=office.root.authority)
    envelope = sign_envelope("application/vnd.pinwarden.root.v1+json", forged.encode(), [key])
    with office.site.store.writer.transaction() as transaction:
        transaction.append_root(2, envelope, office.now)


def turn_the_clock_back(office: Office) -> None:
    now, office.now = office.now, NOW - timedelta(days=1)
    with office.site.store.writer.transaction() as transaction:
        chain.append(transaction, at=office.now, actor="token:x", action="token.issue", subject="y", detail={})
    office.now = now


def restore_an_older_backup(office: Office) -> None:
    """What an operator does after a loss: the newest rows are gone, and the log says so."""
    store = office.site.store
    path = Path(str(office.site.tree.folder) + "-backup.jsonl")
    wipe(office)
    restore_backup(store, path, Act("system:command", office.now))
    for _ in range(2):
        with store.writer.transaction() as transaction:
            chain.append(transaction, at=office.now, actor="token:x", action="token.issue", subject="y", detail={})


def wipe(office: Office) -> None:
    tables = "history changes pinsets versions reservations roots checkpoints audit tokens attempts leases unsettled"
    statements = [f"DELETE FROM {table}" for table in tables.split()]
    office.tamper(";".join([*statements, f"UPDATE audit_head SET seq = 0, hash = '{chain.BEFORE_THE_FIRST}'"]))


def _checkpoints() -> Any:
    from pinwarden_server.store.tables import checkpoints

    return checkpoints


TABLE: dict[str, tuple[Callable[[Office], None], list[str]]] = {
    "a row edited": (edit, ["changed"]),
    "a row deleted in the middle": (delete_in_the_middle, ["missing"]),
    "the last rows deleted": (delete_the_last, ["shortened"]),
    "two rows swapped": (swap, ["unlinked", "changed"]),
    "a row inserted": (insert, ["changed", "unlinked", "rewritten"]),
    "the whole chain rewritten": (rewrite_everything, ["rewritten"]),
    "the whole chain rewritten and signed again": (
        rewrite_everything_and_sign_again,
        ["two-ends", "rewritten", "removed"],
    ),
    "a checkpoint replaced by another": (replace_a_checkpoint, ["removed"]),
    "a checkpoint removed": (remove_a_checkpoint, ["removed"]),
    "a checkpoint by a stranger's key": (forge_a_checkpoint, ["forged", "removed"]),
    "the root exchanged": (exchange_the_root, ["roots"]),
    "the clock turned back": (turn_the_clock_back, ["backdated"]),
    "an older backup restored": (restore_an_older_backup, ["restored"]),
}


@pytest.mark.parametrize("touch", TABLE)
def test_it_is_found_by_its_name_by_whoever_looked_before(desk: Desk, touch: str) -> None:
    office = desk.office
    make_backup(office.site.store.reader, Path(f"{office.site.tree.folder}-backup.jsonl"), now=office.now, tokens=True)
    office.checkpoint()
    office.checkpoint()
    assert desk.verify()["findings"] == []
    before = desk.memory()
    act, kinds = TABLE[touch]
    act(office)
    assert desk.kinds() == kinds
    assert desk.memory() == before  # what this machine remembers moves only when nothing was found


# What only the server's own list of checkpoints shows.
OF_THE_LIST = {"two-ends", "removed"}


@pytest.mark.parametrize("touch", list(TABLE)[:7])
def test_it_is_found_by_whoever_kept_one_checkpoint_and_never_looked(desk: Desk, touch: str) -> None:
    desk.office.checkpoint()
    desk.office.checkpoint()
    kept = desk.keep()
    act, kinds = TABLE[touch]
    act(desk.office)
    desk.office.tamper("DELETE FROM checkpoints")
    found = [kind for kind in desk.kinds("--checkpoint", kept) if kind != "removed"]
    assert found == [kind for kind in kinds if kind not in OF_THE_LIST]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("touch", list(TABLE)[:7])
def test_it_is_found_in_an_export_without_a_server(lite_desk: Desk, touch: str, form: str) -> None:
    lite_desk.office.checkpoint()
    lite_desk.office.checkpoint()
    kept = lite_desk.keep()
    whole = lite_desk.export(form)
    act, kinds = TABLE[touch]
    act(lite_desk.office)
    touched = lite_desk.export(form)
    lite_desk.requests.clear()
    assert lite_desk.verify(whole, "--checkpoint", kept)["findings"] == []
    assert lite_desk.kinds(touched, "--checkpoint", kept) == [kind for kind in kinds if kind not in OF_THE_LIST]
    assert lite_desk.requests == []


def test_what_was_added_and_cut_off_again_between_two_looks_is_found_by_this_machine_alone(lite_desk: Desk) -> None:
    lite_desk.office.checkpoint()
    lite_desk.office.put()
    assert lite_desk.verify()["rows"] == 6
    cut(lite_desk.office, 5)
    (found,) = lite_desk.verify()["findings"]
    assert (found["kind"], found["row"], found["got"]) == ("shortened", 6, "row 5 is the last one")
    assert "seen here on" in found["what"]


def test_a_log_that_holds_is_remembered_and_told_row_by_row(lite_desk: Desk) -> None:
    done = lite_desk.run("verify")
    assert done.exit_code == 0, done.output
    assert "checkpoints  none" in done.stdout
    assert "no checkpoint was held against the log" in done.stderr
    lite_desk.office.checkpoint()
    lite_desk.office.put()
    told = lite_desk.verify()
    assert told == {
        "result": "holds",
        "authority": lite_desk.office.root.authority,
        "rows": 6,
        "end": "6:" + lite_desk.office.site.store.reader.audit_head()[1],
        "checkpoints": 1,
        "served": 1,
        "newest": {"size": 5, "issued": "2026-06-01T13:00:00Z", "source": "server"},
        "older_than_your_root": 0,
        "seen_before": 4,
        "findings": [],
        "left_out": 0,
    }
    again = lite_desk.run("verify")
    assert "rows 6 to 6 are not signed yet" in again.stderr
    assert "seen before  6 rows" in again.stdout


def test_each_finding_has_its_evidence_once_however_often_it_is_found(lite_desk: Desk) -> None:
    lite_desk.office.checkpoint()
    lite_desk.verify()
    rewrite(lite_desk.office, 2, actor="mallory")
    first, second = lite_desk.verify()["findings"], lite_desk.verify()["findings"]
    assert first == second
    evidence = json.loads(Path(first[0]["evidence"]).read_text())
    row = lite_desk.office.site.store.reader.audit(after=4, limit=1)[0]
    assert (evidence["kind"], evidence["row"]) == ("rewritten", row.to_json())
    envelope = Envelope.from_json(evidence["kept"]["envelope"], expect=CHECKPOINT_TYPE)
    assert Checkpoint.parse(envelope.verified_by(lite_desk.office.root.timestamp)).size == 5
    assert len(list((lite_desk.folder / "state").glob("*-rewritten-*.json"))) == len(first) == 1
    assert (first[0]["means"], first[0]["do"]) == MEANS[Kind.REWRITTEN]


def test_what_is_settled_is_left_behind_with_a_row_that_is_known(lite_desk: Desk) -> None:
    lite_desk.office.checkpoint()
    lite_desk.verify()
    turn_the_clock_back(lite_desk.office)
    assert lite_desk.kinds() == ["backdated"]
    row = lite_desk.office.site.store.reader.audit(after=5, limit=1)[0]
    told = lite_desk.verify("--after", f"{row.seq}:{row.hash}")
    assert (told["findings"], told["rows"]) == ([], 6)
    wrong = lite_desk.run("verify", "--after", f"{row.seq}:{'f' * 64}")
    lite_desk.office.put()
    assert lite_desk.kinds("--after", f"{row.seq}:{'f' * 64}") == ["unlinked"]
    assert wrong.exit_code == 0  # nothing follows that could contradict it


def test_many_findings_of_one_kind_are_counted_and_a_few_told(lite_desk: Desk) -> None:
    for _ in range(9):
        lite_desk.office.put()
    lite_desk.office.tamper("UPDATE audit SET actor = 'mallory' WHERE seq > 1")
    told = lite_desk.verify()
    assert ([found["row"] for found in told["findings"]], told["left_out"]) == ([2, 3, 4, 5, 6], 7)


def test_a_restored_server_goes_on_once_people_have_settled_it(lite_desk: Desk) -> None:
    path = Path(f"{lite_desk.office.site.tree.folder}-backup.jsonl")
    make_backup(lite_desk.office.site.store.reader, path, now=NOW, tokens=True)
    lite_desk.office.checkpoint()
    lite_desk.verify()
    restore_an_older_backup(lite_desk.office)
    (found,) = lite_desk.verify()["findings"]
    assert found["kind"] == "restored"
    assert "row 5 says that a backup was restored there" in found["what"]
    shutil.rmtree(lite_desk.folder / "state")
    assert lite_desk.verify()["findings"] == []


def test_checkpoints_under_roots_to_come_count_and_those_under_roots_before_ones_own_are_told(
    house: Any, tmp_path: Path
) -> None:
    house.renew()
    house.rotate(timestamp=[house.add_key("timestamp-2")])
    house.renew()
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(house.token)
    desk = Desk(Office(house.node.site), house.line.url, tmp_path, house.line.paths)
    for version, unjudged in ((1, 0), (2, 1)):
        (tmp_path / "root.json").write_bytes(house.roots[version - 1].to_bytes())
        told = desk.verify("--state-dir", str(tmp_path / f"state-{version}"))
        assert (told["findings"], told["older_than_your_root"], told["checkpoints"]) == ([], unjudged, 2 - unjudged)


REFUSED = {
    "no server at all": ([], 3, "cannot be asked"),
    "a file that is none": (["missing.jsonl"], 2, "cannot be read"),
    "a checkpoint that is none": (["--checkpoint", "root.json"], 2, "is no checkpoint"),
    "a place that is none": (["--after", "7"], 2, "not a place in the audit log"),
    "a root that is none": (["--root", "token"], 2, "cannot begin a chain of trust"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_judged_is_no_finding(lite_desk: Desk, words: str) -> None:
    arguments, code, message = REFUSED[words]
    files = {"missing.jsonl", "root.json", "token"}
    desk = replace(lite_desk, url="http://127.0.0.1:9") if not arguments else lite_desk
    done = desk.run("verify", *(str(desk.folder / word) if word in files else word for word in arguments))
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert message in done.stderr
    assert desk.memory() == {}


@pytest.mark.parametrize("damage", ["cut off", "one letter", "no file of ours", "another format"])
def test_a_memory_that_was_touched_is_refused_and_not_begun_anew(lite_desk: Desk, damage: str) -> None:
    lite_desk.office.checkpoint()
    lite_desk.verify()
    (file,) = (lite_desk.folder / "state").glob("*.audit")
    content = file.read_bytes()
    touched = {
        "cut off": content[:-40],
        "one letter": content.replace(b'"hash', b'"hush').replace(b"payloadType", b"payloadTyqe"),
        "no file of ours": b"\0\xff",
        "another format": content.replace(b"memory-1", b"memory-9"),
    }
    file.write_bytes(touched[damage])
    done = lite_desk.run("verify")
    assert done.exit_code == 2, done.output
    assert "what this machine remembers cannot be used" in done.stderr
    assert file.read_bytes() == touched[damage]


def test_a_forged_memory_hides_nothing_because_its_checkpoints_are_verified_again(lite_desk: Desk) -> None:
    lite_desk.office.checkpoint()
    lite_desk.verify()
    (file,) = (lite_desk.folder / "state").glob("*.audit")
    first, envelope, *_ = file.read_bytes().split(b"\n")
    value = Envelope.parse(envelope, expect=CHECKPOINT_TYPE)
    forged = sign_envelope(CHECKPOINT_TYPE, value.payload, [SoftwareSigner(b"m" * 32, uri="memory:stranger")])
    file.write_bytes(b"\n".join([first, forged.to_bytes(), b""]))
    assert lite_desk.kinds() == ["forged"]


def test_no_escape_sequence_of_a_server_reaches_the_terminal(lite_desk: Desk) -> None:
    lite_desk.office.checkpoint()
    lite_desk.office.tamper("UPDATE audit SET hash = '\x1b]0:owned\x07\x9b31m', actor = '\x1b[31m' WHERE seq = 2")
    done = lite_desk.run("verify")
    assert (done.exit_code, [bad for bad in "\x1b\x07\x9b" if bad in done.output]) == (1, [])


def test_the_page_lists_every_finding_with_its_words() -> None:
    page = (REPOSITORY / "docs/audit.md").read_text("utf-8")
    for kind, words in MEANS.items():
        assert f"| `{kind}` | {words.means} | {words.do} |\n" in page
    assert set(MEANS) == set(Kind)
