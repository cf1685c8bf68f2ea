"""The process as a process: who may read what, kill -9 between any two steps, and settings that are refused."""

import ctypes
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pinwarden.strict_json import encode_base64
from pinwarden_keys import KeeperAwayError, SignerError, file_uri
from pinwarden_keys.signer_process import FAILPOINTS
from pinwarden_keys.signer_process_config import read_config
from pinwarden_keys.signer_process_journal import Journal
from tests.signer.safe import (
    ALICE,
    AUTHORITY,
    BOB,
    CAROL,
    COMMAND,
    PINS,
    SECTIONS,
    STAMP,
    Clock,
    Safe,
    approvals,
    as_user,
    make_safe,
    message_of,
    next_root_json,
    open_unix,
    pinset,
    root_json,
    timestamp,
)

# Users that need not exist: the kernel knows numbers only.
SIGNER, SERVER, STRANGER = 61_101, 61_102, 61_103


@pytest.mark.parametrize("point", FAILPOINTS)
def test_a_kill_costs_an_answer_and_never_a_version_with_two_contents(safe: Safe, clock: Clock, point: str) -> None:
    document, other = (pinset(word=word, version=1, now=clock()) for word in ("live", "other"))
    with safe.running(PINWARDEN_FAILPOINT=point) as running:
        # The challenge at the opening is signed too, so that one point is reached before the document.
        with pytest.raises(KeeperAwayError, match="is away"), closing(open_unix(safe)) as signer:
            signer.sign_approved(message_of(document), approvals(document, ALICE, BOB))
        assert running.process.wait(20) == -9
    rows = len(safe.rows())
    assert rows == (1 if point == "signer.journalled" else 0)
    with safe.running(), closing(open_unix(safe)) as signer:
        if rows:
            with pytest.raises(SignerError, match="one of the versions that follow"):
                signer.sign_approved(message_of(other), approvals(other, ALICE, BOB))
        assert signer.sign_approved(message_of(document), approvals(document, ALICE, BOB))
    assert len(safe.rows()) == 1


def test_sigterm_ends_it_and_takes_the_socket_away(safe: Safe) -> None:
    with safe.running() as running:
        assert running.stop() == 0
    assert not safe.socket.exists()


def test_a_signal_that_the_kernel_hands_to_the_thread_of_a_caller_ends_it_as_well(safe: Safe) -> None:
    with safe.running() as running, socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(safe.socket))
        pid = running.process.pid
        tasks = Path(f"/proc/{pid}/task")
        running.wait_until(lambda: len(list(tasks.iterdir())) > 1)
        [thread] = [int(task.name) for task in tasks.iterdir() if int(task.name) != pid]
        assert ctypes.CDLL(None).tgkill(pid, thread, signal.SIGTERM) == 0
        caller.close()
        assert running.process.wait(30) == 0


def test_a_second_process_refuses_to_start_and_the_first_goes_on(safe: Safe, clock: Clock) -> None:
    with safe.running():
        second = command("run", safe)
        assert (second.returncode, "is open in another signer process" in second.stderr) == (1, True)
        with closing(open_unix(safe)) as signer:
            assert signer.label == "pinset"


def command(word: str, safe: Safe, *options: str, become: list[str] = COMMAND) -> "subprocess.CompletedProcess[str]":
    words = [*become, word, "--config", str(safe.config), *options]
    words += ["--passphrase-file", str(safe.passphrase)] if word == "run" else []
    return subprocess.run(words, capture_output=True, text=True, timeout=60, cwd="/")


def test_the_commands_show_keys_and_approvers_and_count_refusals(safe: Safe, clock: Clock) -> None:
    shown = command("show", safe)
    assert shown.stdout.splitlines() == [
        f"key      {safe.uri(STAMP)}",
        f"key      {safe.uri(PINS)}",
        f"root     1 of {AUTHORITY}",
        "names    payments*, mixed: 2 of alice, bob, carol",
        "names    solo: 1 of alice",
        "names    public-*: timestamps only",
    ]
    told = json.loads(command("show", safe, "--json").stdout)
    assert (told["keys"], told["root"]) == ([safe.uri(STAMP), safe.uri(PINS)], {"version": 1, "authority": AUTHORITY})
    assert told["pinsets"] == [
        {"names": ["payments*", "mixed"], "approvals": 2, "approvers": ["alice", "bob", "carol"]},
        {"names": ["solo"], "approvals": 1, "approvers": ["alice"]},
        {"names": ["public-*"], "approvals": 0, "approvers": []},
    ]
    assert command("status", safe).returncode == 3  # nobody listens yet
    with safe.running() as running:
        with closing(open_unix(safe)) as signer, pytest.raises(SignerError):
            signer.sign(message_of(pinset(version=1, now=clock())))
        found = json.loads(command("status", safe).stdout)
        assert found == {"keys": sorted((STAMP.keyid, PINS.keyid)), "signed": 1, "refusals": {"approval": 1}}
        assert "refused by rule approval" in running.log
    again = command("init", safe)
    assert (again.returncode, "exists already" in again.stderr) == (1, True)


@pytest.fixture
def apart() -> Iterator[Safe]:
    """A safe that belongs to a user of its own, in a folder that every user may pass through."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a process as another user")
    folder = Path(tempfile.mkdtemp(prefix="pinwarden-"))
    folder.chmod(0o711)
    safe = make_safe(folder / "safe", now=datetime.now(UTC).replace(microsecond=0))
    safe.write(callers=[str(SERVER)])
    for path in (safe.folder, *safe.folder.rglob("*")):
        os.chown(path, SIGNER, SIGNER)
    safe.folder.chmod(0o711)
    os.chown(safe.socket.parent, SIGNER, SERVER)  # as the unit does: the server's group may pass through
    yield safe
    shutil.rmtree(folder)


LOOK = """
import json, sys
from pathlib import Path
from pinwarden_keys import SignerError, open_signer
said = {}
for name in sys.argv[2:]:
    path = Path(name)
    for word, do in (("read", path.read_bytes), ("write", lambda: path.open("ab").close()), ("remove", path.unlink)):
        try:
            do()
            said[f"{word} {path.name}"] = "done"
        except OSError as error:
            said[f"{word} {path.name}"] = error.strerror
try:
    open_signer(sys.argv[1]).close()
    said["ask"] = "done"
except SignerError as error:
    said["ask"] = getattr(error, "rule", "denied")
print(json.dumps(said))
"""


def looked(safe: Safe, user: int, *groups: int) -> dict[str, str]:
    """Return what *user* can do with the safe's files and its socket."""
    files = [safe.folder / name for name in ("pinset.key", "timestamp.key", "passphrase", "journal.db")]
    words = [*as_user(user, LOOK, *groups), safe.uri(), *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_servers_user_may_ask_and_can_neither_read_nor_change_what_the_process_goes_by(apart: Safe) -> None:
    with apart.running(user=SIGNER, group=SERVER):
        said = looked(apart, SERVER, SERVER)
        assert said.pop("ask") == "done"
        assert set(said.values()) == {"Permission denied"}
        # In the group of the socket, and still another user: the process asks the kernel who it is.
        assert looked(apart, STRANGER, STRANGER, SERVER)["ask"] == "caller"
        assert looked(apart, STRANGER, STRANGER)["ask"] == "denied"  # the folder lets the server's group through alone
    assert len(apart.rows()) == 0


@pytest.mark.parametrize("name", ["signer.toml", "root.json", "journal.db"])
def test_settings_root_and_journal_that_another_user_owns_are_refused(apart: Safe, name: str) -> None:
    os.chown(apart.folder / name, SERVER, SERVER)
    (apart.folder / name).chmod(0o644)
    done = command("run", apart, become=as_user(SIGNER, "signer()", SIGNER))
    assert done.returncode == 1
    assert f"{name} " in done.stderr


@pytest.mark.parametrize("name", ["signer.toml", "root.json", "journal.db"])
def test_files_that_others_may_write_are_refused(safe: Safe, name: str) -> None:
    (safe.folder / name).chmod(0o620)
    done = command("run", safe)
    assert (done.returncode, f"{name} " in done.stderr) == (1, True)


def _without(line: str) -> Callable[[str], str]:
    return lambda text: "\n".join(row for row in text.splitlines() if not row.startswith(line))


def _with(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


SETTINGS: dict[str, tuple[Callable[[str], str], str]] = {
    "no TOML": (lambda text: text + "=", "is not TOML"),
    "an unknown name": (_with("socket =", "sokcet ="), "has an unknown name"),
    "no root": (_without("root"), "lacks 'root'"),
    "no section": (lambda text: text.partition("[[pinset]]")[0], "lacks 'pinset'"),
    "no key": (
        lambda text: "\n".join(
            [*_without("keys")(text).splitlines()[:1], "keys = []", *_without("keys")(text).splitlines()[1:]]
        ),
        "nothing to sign with",
    ),
    "a relative path": (_with('journal = "/', 'journal = "'), "is not an absolute path"),
    "nobody has to approve": (_with("approvals = 2", "approvals = 0"), "out of range"),
    "more approvals than people": (_with("approvals = 2", "approvals = 4"), "can never be met"),
    "a person twice": (_with('"alice", "bob", "carol"', '"alice", "alice"'), "can never be met"),
    "a person without a key": (_with('"alice", "bob"', '"alice", "dave"'), "names people that"),
    "one key under two labels": (_with("[approvers]", f'[approvers]\ndave = "{"@"}"'), "a key is named twice"),
    "a limit that is none": (_with("approvals = 2", "approvals = 2\nversion_step = 0"), "out of range"),
    "approvers where only timestamps are signed": (
        _with("timestamp_only = true", 'timestamp_only = true\napprovers = ["alice"]'),
        "signs timestamps only",
    ),
    "a pattern that is none": (_with("payments*", "pay*ments"), "names of pin sets"),
    "a user that is not there": (_with("callers = []", 'callers = ["nobody-of-that-name"]'), "there is no user"),
}


@pytest.mark.parametrize("words", SETTINGS)
def test_settings_are_refused_that_have(words: str, safe: Safe) -> None:
    change, said = SETTINGS[words]
    alice = next(line for line in safe.config.read_text().splitlines() if line.startswith("alice")).split('"')[1]
    safe.config.write_text(change(safe.config.read_text()).replace('"@"', f'"{alice}"'))
    with pytest.raises(SignerError, match=said):
        read_config(safe.config)


@pytest.mark.parametrize("key", [STAMP, PINS], ids=["timestamp", "pinset"])
def test_an_approver_whose_key_a_machine_holds_is_refused(safe: Safe, clock: Clock, key: Any) -> None:
    old, new = (f'"{encode_base64(each.public)}"' for each in (ALICE, key))
    safe.config.write_text(safe.config.read_text().replace(old, new))
    with pytest.raises(SignerError, match="approver alice is one that a machine signs with"), safe.inside(clock):
        raise AssertionError("it started")


def test_a_process_behind_a_process_is_refused(safe: Safe) -> None:
    safe.write(keys=[safe.uri()])
    with pytest.raises(SignerError, match="nothing to sign with"):
        read_config(safe.config)


def test_a_journal_of_another_authority_an_older_root_and_no_journal_are_refused(safe: Safe, clock: Clock) -> None:
    newer = next_root_json(safe.root, clock())
    safe.write(root=newer)
    with safe.inside(clock):
        pass
    for root in (safe.root, root_json(clock(), authority="safe-ffffffffffffffff")):
        safe.write(root=root)
        with pytest.raises(SignerError, match="does not go together with the journal"), safe.inside(clock):
            raise AssertionError("it started")
    safe.write(root=newer)
    safe.journal.unlink()
    with pytest.raises(SignerError, match="cannot be opened: No such file"), safe.inside(clock):
        raise AssertionError("it started")


def test_rows_of_the_journal_are_neither_changed_nor_removed(safe: Safe, clock: Clock) -> None:
    document = pinset(version=1, now=clock())
    with safe.listening(clock), closing(open_unix(safe)) as signer:
        signer.sign_approved(message_of(document), approvals(document, BOB, CAROL))
    with closing(sqlite3.connect(safe.journal)) as connection:
        for statement in ("UPDATE signatures SET version = 0", "DELETE FROM signatures"):
            with pytest.raises(sqlite3.IntegrityError, match="rows are never"):
                connection.execute(statement)
    assert len(safe.rows()) == 1


def test_a_journal_that_cannot_be_written_is_no_signature_and_works_again_afterwards(safe: Safe, clock: Clock) -> None:
    """A full disk, or another program that holds the file."""
    document = pinset(version=1, now=clock())
    with safe.listening(clock), closing(open_unix(safe)) as signer:
        with closing(sqlite3.connect(safe.journal, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(KeeperAwayError, match="cannot be used: database is locked"):
                signer.sign_approved(message_of(document), approvals(document, ALICE, BOB))
            other.execute("ROLLBACK")
        assert safe.rows() == []
        assert signer.sign_approved(message_of(document), approvals(document, ALICE, BOB))
        stamp = timestamp(document, version=1, now=clock())
        with closing(open_unix(safe, STAMP)) as stamps:
            assert stamps.sign(message_of(stamp))
            assert stamps.sign(message_of(replace(stamp, version=2)))


def test_the_settings_of_these_tests_are_read_as_they_are_meant(safe: Safe) -> None:
    config = read_config(safe.config)
    assert [rule.names for rule in config.rules] == [("payments*", "mixed"), ("solo",), ("public-*",)]
    assert config.keys == tuple(file_uri(safe.folder / f"{key.label}.key") for key in (STAMP, PINS))
    assert [name for name in ("payments-eu", "payments", "solo", "public-a", "solos") if config.rule_for(name)] == [
        "payments-eu",
        "payments",
        "solo",
        "public-a",
    ]
    assert SECTIONS in safe.config.read_text()
    with closing(Journal(safe.journal)) as journal:
        assert journal.fact("authority") == AUTHORITY
