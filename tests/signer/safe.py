"""
A signer process on a folder of its own: real keys, a real root, a real journal, and the people who approve.

``Safe.inside`` is the process as an object, under a clock that the test owns; ``Safe.start`` is the installed command
as a process of its own, over a real socket.
"""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pinwarden.documents import Grant, PinSet, PinSetRef, Role, Root, Timestamp, TimestampRole
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope, Signature, pae
from pinwarden.strict_json import encode_base64
from pinwarden.testing import pinned
from pinwarden_keys import LIGHT_KDF, file_uri, open_signer, write_key_file, write_passphrase_file
from pinwarden_keys.ceremony import Roles, assemble, first_root, keyed, next_root, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_keys.signer_process import SignerProcess, open_process
from pinwarden_keys.signer_process_config import read_config
from pinwarden_keys.signer_process_journal import Journal
from pinwarden_keys.signer_process_socket import Listener
from pinwarden_keys.signer_unix import UnixSigner, unix_uri
from tests.waiting import Watched

DAY = 24 * 3600
AUTHORITY = "safe-00c0ffee00c0ffee"
PASSPHRASE = b"correct horse battery staple"
COMMAND = [sys.executable, "-P", "-c", "from pinwarden_keys.cli_signer import signer; signer()"]
# The interpreter may lie where other users cannot read it, so a process becomes another user once all is loaded.
BECOME = """
import os, sys
from pinwarden_keys import signer_file, signer_unix
from pinwarden_keys.cli_signer import signer
user, group, *groups = map(int, sys.argv.pop(1).split(","))
os.setgroups(groups)
os.setresgid(group, group, group)
os.setresuid(user, user, user)
os.umask(0o077)
"""
START_SECONDS = 30.0
SECTIONS = """
[[pinset]]
names = ["payments*", "mixed"]
approvers = ["alice", "bob", "carol"]
approvals = 2

[[pinset]]
names = ["solo"]
approvers = ["alice"]
approvals = 1
max_lifetime_seconds = 86400

[[pinset]]
names = ["public-*"]
timestamp_only = true
"""


def seed_of(name: str) -> bytes:
    """Return the seed of *name*'s key, the same at each run."""
    return hashlib.sha256(f"safe {name}".encode()).digest()


def person(name: str) -> SoftwareSigner:
    """Return the key of *name*."""
    return SoftwareSigner(seed_of(name), uri=f"memory:{name}", label=name)


OWNER, ALICE, BOB, CAROL, MALLORY = map(person, ("owner", "alice", "bob", "carol", "mallory"))
STAMP, PINS = map(person, ("timestamp", "pinset"))


def roles(*, epoch: int = 1, stamp_epoch: int = 1, max_lifetime: int = 90 * DAY) -> Roles:
    """
    Return the roles: one key for timestamps, and one for pin sets.

    But ``public-*`` carol signs alone, and ``mixed`` she signs together with that key.
    """
    owners, stamps, pins, people = (keyed([each.public]) for each in (OWNER, STAMP, PINS, CAROL))
    both = people | pins
    return Roles(
        Role(tuple(owners), 1, owners),
        TimestampRole(tuple(stamps), 1, stamps, stamp_epoch, 7 * DAY),
        (
            Grant(tuple(people), 1, people, epoch, max_lifetime, ("public-*",)),
            Grant(tuple(both), 2, both, epoch, max_lifetime, ("mixed",)),
            Grant(tuple(pins), 1, pins, epoch, max_lifetime, ("*",)),
        ),
    )


def root_json(now: datetime, *, authority: str = AUTHORITY, **changes: Any) -> bytes:
    """Return root 1, signed."""
    draft = RootDraft(first_root(authority, roles(**changes), now=now, lifetime=timedelta(days=365)).encode(), None, {})
    return assemble(draft, [sign_draft(draft, OWNER)]).to_bytes()


def next_root_json(before: bytes, now: datetime, **changes: Any) -> bytes:
    """Return the root that follows *before*, with changed roles, signed."""
    previous = Envelope.parse(before, expect=ROOT_TYPE)
    root = next_root(Root.parse(previous.payload), roles(**changes), now=now, lifetime=timedelta(days=365))
    draft = RootDraft(root.encode(), previous, {})
    return assemble(draft, [sign_draft(draft, OWNER)]).to_bytes()


def pinset(name: str = "payments", word: str = "live", *, version: int, now: datetime, **changes: Any) -> PinSet:
    """Return a pin set whose content *word* decides."""
    live, spare = (hashlib.sha256(f"{word} {kind}".encode()).digest() for kind in ("live", "spare"))
    document = PinSet(
        authority=AUTHORITY,
        name=name,
        epoch=1,
        version=version,
        issued=now,
        expires=now + timedelta(days=1 if name == "solo" else 30),
        hosts=(pinned("api.example.com", live, spare),),
    )
    return replace(document, **changes)


def timestamp(named: PinSet, *, version: int, now: datetime, **changes: Any) -> Timestamp:
    """Return a timestamp that names *named*."""
    payload = named.encode()
    document = Timestamp(
        authority=AUTHORITY,
        name=named.name,
        epoch=1,
        version=version,
        issued=now,
        expires=now + timedelta(days=3),
        root_version=1,
        pinset=PinSetRef(named.epoch, named.version, hashlib.sha256(payload).digest(), len(payload)),
    )
    return replace(document, **changes)


def message_of(document: PinSet | Timestamp) -> bytes:
    """Return the bytes that signing *document* signs."""
    return pae(PINSET_TYPE if isinstance(document, PinSet) else TIMESTAMP_TYPE, document.encode())


def approvals(document: PinSet | bytes, *people: SoftwareSigner) -> tuple[Signature, ...]:
    """Return what *people* hand in who approve *document*, or whatever message it is."""
    message = document if isinstance(document, bytes) else message_of(document)
    return tuple(Signature(each.keyid, each.sign(message)) for each in people)


@dataclass
class Clock:
    """The present, as a test wants it; whole seconds."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> None:
        self.now += timedelta(**amount)


@dataclass
class Safe:
    """The folder of one signer process."""

    folder: Path
    root: bytes

    @property
    def config(self) -> Path:
        return self.folder / "signer.toml"

    @property
    def socket(self) -> Path:
        return self.folder / "run/signer.sock"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.db"

    @property
    def passphrase(self) -> Path:
        return self.folder / "passphrase"

    def uri(self, key: SoftwareSigner = PINS) -> str:
        return unix_uri(self.socket, key.keyid)

    def write(self, sections: str = SECTIONS, *, root: bytes | None = None, **top: object) -> None:
        """Write the settings, and the root."""
        (self.folder / "root.json").write_bytes(root or self.root)
        keys = [file_uri(self.folder / f"{each.label}.key") for each in (STAMP, PINS)]
        values = {"socket": self.socket, "journal": self.journal, "root": self.folder / "root.json"} | top
        lines = [f'{name} = "{value}"' for name, value in values.items() if name not in ("keys", "callers")]
        lines += [f"keys = {top.get('keys', keys)}", f"callers = {top.get('callers', [])}"]
        people = [f'{each.label} = "{encode_base64(each.public)}"' for each in (ALICE, BOB, CAROL)]
        self.config.write_text("\n".join([*lines, "[approvers]", *people, sections]))
        for file in (self.config, self.folder / "root.json"):
            file.chmod(0o644)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the journal, row by row."""
        with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT * FROM signatures ORDER BY seq").fetchall()

    @contextmanager
    def inside(self, clock: Clock) -> Iterator[SignerProcess]:
        """Yield the process as an object."""
        with closing(open_process(read_config(self.config), passphrase=lambda: PASSPHRASE, clock=clock)) as process:
            yield process

    @contextmanager
    def listening(self, clock: Clock) -> Iterator[SignerProcess]:
        """Yield the process as an object that also answers on its socket, in threads of this process."""
        with self.inside(clock) as process:
            listener = Listener(process, self.socket, frozenset())
            thread = threading.Thread(target=listener.serve)
            thread.start()
            try:
                yield process
            finally:
                listener.stop()
                thread.join()

    @contextmanager
    def running(self, **options: Any) -> Iterator["Running"]:
        """Yield the process as a process; it ends with the block."""
        running = Running(self, **options)
        try:
            yield running
        finally:
            running.stop()


def make_safe(folder: Path, *, now: datetime) -> Safe:
    """Make keys, passphrase, root, settings and journal in *folder*."""
    folder.mkdir(exist_ok=True)
    (folder / "run").mkdir(mode=0o710)
    for each in (STAMP, PINS):
        seed = seed_of(str(each.label))
        write_key_file(folder / f"{each.label}.key", seed, PASSPHRASE, label=each.label, kdf=LIGHT_KDF)
    write_passphrase_file(folder / "passphrase", PASSPHRASE)
    safe = Safe(folder, root_json(now))
    safe.write()
    Journal.create(safe.journal, authority=AUTHORITY)
    return safe


class Running(Watched):
    """``pinwarden signer run``, as *user* in *group* when these are given; the folder belongs to that user then."""

    def __init__(self, safe: Safe, *, user: int | None = None, group: int | None = None, **environment: str) -> None:
        self.safe = safe
        self._options: dict[str, Any] = {"user": user, "group": group, **environment}
        self._log = safe.folder.parent / f"signer-{time.monotonic_ns()}.log"
        command = COMMAND if user is None else as_user(user, "signer()", group or user)
        words = ["run", "--config", str(safe.config), "--passphrase-file", str(safe.passphrase)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *words], stdout=log, stderr=log, cwd="/", env={**os.environ, **environment}
            )
        self.wait_until(lambda: "listening at" in self.log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    @contextmanager
    def hangs(self) -> Iterator[None]:
        """Stop the process for the length of the block, as a swapped machine would."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    @contextmanager
    def away(self) -> Iterator[None]:
        """End the process for the length of the block; another one takes its place."""
        self.stop()
        yield
        self.process = Running(self.safe, **self._options).process

    def stop(self) -> int:
        """Ask the process to end, and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def as_user(user: int, code: str, *groups: int) -> list[str]:
    """Return the command that runs *code* as *user* in *groups*, the first of which new files belong to."""
    return [sys.executable, "-P", "-c", BECOME + code, ",".join(map(str, (user, *groups)))]


def open_unix(safe: Safe, key: SoftwareSigner = PINS) -> UnixSigner:
    """Open *key* in the running process, its pair proven."""
    signer = open_signer(safe.uri(key), public=key.public)
    assert isinstance(signer, UnixSigner)
    return signer
