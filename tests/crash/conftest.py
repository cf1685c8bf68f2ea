"""
A fork server for crash tests, and the oracle that judges what each death left behind.

A child is forked from this warm process, arms one failpoint, works, and tells over a pipe what it signed and what was
acknowledged to it, until SIGKILL ends it. That proves that a process may die anywhere, not that a disk may lose power.
"""

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinwarden import failpoints, trust
from pinwarden.bundle import Bundle
from pinwarden.cache import DiskCache
from pinwarden.documents import PinSet, Root, Timestamp
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import FetchError
from pinwarden.history import End, Entry, Segment, check_chain
from pinwarden.strict_json import parse_object, spell
from pinwarden.testing import pinned
from pinwarden.update import Updater
from pinwarden_keys import Founding, Signer, found_authority
from pinwarden_keys.ceremony import assemble, next_root, roles_of, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_ops.cli_audit import audit as audit_command
from pinwarden_server import audit
from pinwarden_server.bell import Bell
from pinwarden_server.drafts import Draft
from pinwarden_server.founding import found, reconcile
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.publishing import publish
from pinwarden_server.renewal import Renewer
from pinwarden_server.root_offers import RootOffer
from pinwarden_server.root_publishing import PublishedRoot, publish_root
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act, Policy, Published, Site
from pinwarden_server.store import Store, migrate, open_store
from pinwarden_server.tags import parse_tag
from tests.interrupted_signer import InterruptedSigner
from tests.server.domain.conftest import KEPT

NAME = "payments"
LIFE = timedelta(hours=1)
Say = Callable[[dict[str, object]], None]
Work = Callable[["Stage", Site, Say], None]


def telling(say: Say) -> Callable[[bytes], None]:
    """Return what says what is about to be signed: the oracle must know of versions that never got further."""

    def tell(message: bytes) -> None:
        _, _, _, _, payload = message.split(b" ", 4)
        say({"signed": payload.decode()})

    return tell


@dataclass(frozen=True)
class TreeSource:
    """The published tree, as a client's fetcher."""

    folder: Path

    @dataclass(frozen=True)
    class Answer:
        body: bytes
        etag: str | None = None

    def bundle(self, name: str, root_version: int, *, held: object, etag: str | None) -> "TreeSource.Answer":
        file = self.folder / f"v1/bundles/{name}/{root_version}"
        if not file.is_file():
            raise FetchError(f"no {file}", status=404)
        return self.Answer(file.read_bytes())

    def root(self, version: int) -> bytes | None:
        file = self.folder / f"v1/roots/{version}"
        return file.read_bytes() if file.is_file() else None


@dataclass
class Stage:
    """One server's folder, its keys, a clock that tests push, and everything that was ever seen of its versions."""

    folder: Path
    founding: Founding
    now: datetime
    contents: dict[tuple[str, int, int], str] = field(default_factory=dict)
    acknowledged: dict[tuple[int, int], str] = field(default_factory=dict)
    seen: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    acknowledged_roots: set[int] = field(default_factory=lambda: {1})
    store: Store | None = None
    bell: Bell | None = None

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/store.db"

    @property
    def tree(self) -> PublishedTree:
        return PublishedTree(self.folder / "tree")

    def site(self, say: Say | None = None) -> Site:
        """
        Return the server on connections of its own; close the store after use, no connection may live through a fork.

        The engines stay, for what they compiled: every child would compile it again otherwise.
        """
        if self.store is None or self.bell is None:
            self.store, self.bell = open_store(self.url), Bell.open(self.folder / "run/bell")
        seeds = {"timestamp": self.founding.timestamp_seed, "pinset": self.founding.pinset_seed}
        signers: list[Signer] = [SoftwareSigner(seed, uri=f"memory:{name}") for name, seed in seeds.items()]
        if say:
            signers = [InterruptedSigner(signer, telling(say)) for signer in signers]
        policy = Policy(timestamp_lifetime=timedelta(minutes=45))
        return Site(self.store, self.tree, self.bell, Signers(signers), policy)

    def found(self) -> None:
        migrate(self.url)
        site = self.site()
        found(site, self.founding.root_json, Act("setup", self.now))
        self.acknowledge(self.publish(site))
        site.store.close()

    def publish(self, site: Site, name: str = NAME) -> Published:
        """Publish a pin set that no version had before."""
        hosts = (pinned("api.example.com", os.urandom(32), KEPT),)
        current = site.store.reader.find_current(name)
        draft = Draft(hosts, lifetime_seconds=int(LIFE.total_seconds()))
        return publish(site, name, draft, current.tag if current else None, Act("tester", self.now))

    def publish_root(self, site: Site) -> PublishedRoot:
        """Publish the next root; in odd seconds it raises the pin sets' epoch, so that they are signed again too."""
        newest = site.store.reader.roots()[-1]
        root = Root.parse(newest.payload)
        grants = tuple(replace(grant, epoch=grant.epoch + self.now.second % 2) for grant in root.pinset)
        following = next_root(root, replace(roles_of(root), pinset=grants), now=self.now, lifetime=timedelta(days=365))
        draft = RootDraft(following.encode(), newest, {})
        signers = [SoftwareSigner(seed, uri="memory:root") for seed in self.founding.root_seeds]
        signed = assemble(draft, [sign_draft(draft, signer) for signer in signers])
        offer = RootOffer(signed, "one key is enough here", ("ROOT006", "ROOT007"))
        return publish_root(site, offer, Act("tester", self.now))

    def renew(self, site: Site) -> list[str]:
        """Renew what is due; return the names."""
        done = Renewer(site, holder=f"worker {os.getpid()}", clock=lambda: self.now).tick()
        assert done.failed == {}
        return list(done.renewed)

    def update_client(self) -> trust.TrustState:
        """Let a client with a disk cache fetch from the tree, from what its cache holds."""
        cache = DiskCache(self.folder / "cache", self.authority, NAME)
        state = trust.absorb(trust.begin(self.founding.root_json, name=NAME), cache.load())
        updater = Updater(TreeSource(self.tree.folder), cache, adopt=lambda _: None)
        newer = updater.update(state, self.now)
        assert updater.health.failed == 0
        return newer

    def cached(self) -> trust.TrustState:
        """Return what a client that starts now trusts."""
        cache = DiskCache(self.folder / "cache", self.authority, NAME)
        return trust.absorb(trust.begin(self.founding.root_json, name=NAME), cache.load())

    @property
    def authority(self) -> str:
        return self.founding.authority

    def acknowledge(self, outcome: Published) -> None:
        self.acknowledged[outcome.tag] = "published"

    def die_at(self, point: str, work: Work) -> list[dict[str, object]]:
        """Fork a child that runs *work* and dies at *point*; return what it said until then."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._work_and_die(point, work, writing)
        os.close(writing)
        with open(reading, "rb") as stream:
            said = [json.loads(line) for line in stream]
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (point, status, said[-1:])
        for message in said:
            if "acknowledged" in message:
                self.acknowledged[parse_tag(str(message["acknowledged"]))] = "published"
            elif "acknowledged root" in message:
                self.acknowledged_roots.add(int(str(message["acknowledged root"])))
            elif "signed" in message:
                self.see_payload(str(message["signed"]).encode())
        return said

    def _work_and_die(self, point: str, work: Work, descriptor: int) -> None:
        def say(message: dict[str, object]) -> None:
            os.write(descriptor, json.dumps(message).encode() + b"\n")

        try:
            site = self.site(say)
            work(self, site, say)
            say({"survived": point})
        except BaseException:
            say({"failed": traceback.format_exc()})
        finally:
            os._exit(1)

    def see_payload(self, payload: bytes) -> tuple[int, int]:
        """Remember that this version has this content; it must never be seen with another."""
        if payload not in self.seen:
            value = parse_object(payload, limit=len(payload), what="payload")
            if value["type"] == "audit-checkpoint":
                return self.see("audit log", (1, value["size"]), value["hash"])
            tag = (value["epoch"], value["version"])
            self.seen[payload] = self.see(f"{value['type']} {value['name']}", tag, sha256(payload).hexdigest())
        return self.seen[payload]

    def see(self, kind: str, tag: tuple[int, int], digest: str) -> tuple[int, int]:
        known = self.contents.setdefault((kind, *tag), digest)
        assert known == digest, f"{kind} {tag} has two contents"
        return tag

    def check(self) -> None:
        """The oracle: database, audit, tree and cache, as the dead process left them; then after reconciling."""
        site = self.site()
        try:
            stored, stamped = self._check_store(site)
            self._check_roots(site)
            served = self._check_tree(stored, stamped)
            assert self._check_history(site) >= served  # no version is served that its history does not list
            self._fetch_from_half_a_tree()
            assert reconcile(site) >= 0
            reconciled = self._check_tree(stored, stamped)
            assert reconciled >= served
            assert reconciled == site.store.reader.current(NAME).tag == self._check_history(site)
            self._check_every_root_is_served(site)
            table = PublicTable(self.tree, site.bell)
            newest = len(site.store.reader.roots())
            entry = table.get(f"/v1/bundles/{NAME}/{newest}")
            assert entry is not None and parse_tag(entry.tag) == reconciled
            self._check_cache(stored)
        finally:
            site.store.close()

    def audit(self) -> None:
        """Let an auditor, who remembers every checkpoint that was served before, verify the log as it is now."""
        reader, (log, root) = self.store.reader, (self.folder / "log.jsonl", self.folder / "root.json")
        log.write_text("".join(f"{spell(row.to_json()).decode()}\n" for row in reader.audit(limit=1_000_000)))
        root.write_bytes(self.founding.root_json)
        served = self.tree.folder / "v1/audit/checkpoint"
        kept = ["--checkpoint", str(served)] if served.exists() else []
        words = ["verify", str(log), "--root", str(root), "--state-dir", str(self.folder / "auditor"), *kept]
        done = CliRunner().invoke(audit_command, words, env={"PINWARDEN_OPS_URL": None})
        assert done.exit_code == 0, done.output

    def _check_history(self, site: Site) -> tuple[int, int]:
        """Every stored version is in the history once, in order, in a chain; return the newest that the tree lists."""
        entries: list[Entry] = []
        while following := site.store.reader.history(NAME, after=len(entries)):
            entries += following
        check_chain(End.begin(self.authority, NAME), entries)
        assert [entry.tag for entry in entries] == site.store.reader.version_tags(NAME)
        shown = Segment.parse((self.tree.folder / f"v1/history/{NAME}").read_bytes()).entries
        assert list(shown) == entries[shown[0].seq - 1 : shown[-1].seq]
        return shown[-1].tag

    def _check_store(self, site: Site) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        """Return the versions of all pin sets that are stored, and of all timestamps that the audit log knows."""
        reader = site.store.reader
        rows = reader.versions(NAME, limit=1_000_000)
        audited: dict[tuple[int, int], str] = {}
        stamped: set[tuple[int, int]] = set()
        for link in reader.audit(limit=1_000_000):
            detail = link.to_json()["detail"]
            assert isinstance(detail, dict)
            if link.action.startswith(("pinset.", "timestamp.")) and link.subject == NAME:
                tag = parse_tag(detail["version"])
                self.see(f"pinset {NAME}", tag, detail["sha256"])
                stamped.add(self.see(f"timestamp {NAME}", parse_tag(detail["timestamp"]), detail["timestamp_sha256"]))
                if link.action != "timestamp.renew":
                    assert tag not in audited, f"{tag} was published twice"
                    audited[tag] = detail["sha256"]
        assert audit.verify_chain(reader).rows == len(reader.audit(limit=1_000_000))
        stored = {self.see_payload(row.envelope.payload) for row in rows}
        assert len(stored) == len(rows)
        assert set(audited) == stored, "documents and audit rows differ"
        assert set(self.acknowledged) <= stored, "an acknowledged publication is lost"
        current = reader.current(NAME)
        assert current.tag == max(stored)
        assert self.see_payload(current.timestamp.payload) in stamped, "a timestamp without an audit row"
        return stored, stamped

    def _check_tree(self, stored: set[tuple[int, int]], stamped: set[tuple[int, int]]) -> tuple[int, int]:
        folder = self.tree.folder / "v1"
        for file in (folder / "pinsets" / NAME / "versions").iterdir():
            envelope = Envelope.parse(file.read_bytes(), expect=PINSET_TYPE)
            assert self.see_payload(envelope.payload) == parse_tag(file.name)
            assert parse_tag(file.name) in stored, "the tree shows what was never committed"
        self.see_payload(
            Envelope.parse((folder / "pinsets" / NAME / "timestamp").read_bytes(), expect=TIMESTAMP_TYPE).payload
        )
        bundle = self._newest_bundle()
        newest = Envelope.parse((folder / "roots" / str(self._roots_served())).read_bytes(), expect=ROOT_TYPE)
        state = trust.begin(newest, name=NAME)
        if bundle is not None:
            state = trust.advance_bundle(state, bundle, now=self.now)
        else:  # the root was renamed, and its bundles not yet: those of the root before still lead on
            former = self._newest_bundle(behind=1)
            assert former is not None
            before = Envelope.parse((folder / "roots" / str(self._roots_served() - 1)).read_bytes(), expect=ROOT_TYPE)
            bundle, state = former, trust.advance_bundle(trust.begin(before, name=NAME), former, now=self.now)
        assert state.pinset is not None
        self.see_payload(bundle.pinset.payload)
        assert self.see_payload(bundle.timestamp.payload) in stamped, "the tree shows a timestamp without an audit row"
        served = (PinSet.parse(bundle.pinset.payload).epoch, PinSet.parse(bundle.pinset.payload).version)
        assert served in stored
        assert served >= max(self.acknowledged), "an acknowledged publication is not served"
        assert Timestamp.parse(bundle.timestamp.payload).pinset.version == served[1]
        return served

    def _roots_served(self) -> int:
        """Return the newest root of the tree, which every bundle's timestamp must not be ahead of."""
        served = sorted(int(path.name) for path in (self.tree.folder / "v1/roots").iterdir())
        assert served == list(range(1, len(served) + 1)), "a root is missing from the chain"
        for file in (self.tree.folder / "v1/bundles" / NAME).iterdir():
            bundle = Bundle.parse(file.read_bytes())
            assert Timestamp.parse(bundle.timestamp.payload).root_version <= len(served), "a root that is not served"
            assert int(file.name) + len(bundle.roots) <= len(served)
        return len(served)

    def _newest_bundle(self, *, behind: int = 0) -> Bundle | None:
        file = self.tree.folder / "v1/bundles" / NAME / str(self._roots_served() - behind)
        return Bundle.parse(file.read_bytes()) if file.is_file() else None

    def _check_roots(self, site: Site) -> None:
        """Every acknowledged root is stored, each has its audit row, and the chain holds."""
        roots = site.store.reader.roots()
        assert self.acknowledged_roots <= set(range(1, len(roots) + 1)), "an acknowledged root is lost"
        rows = [row.to_json()["detail"] for row in site.store.reader.audit(limit=1_000_000)]
        audited = [row["version"] for row in rows if isinstance(row, dict) and "authority" in row]
        assert audited == list(range(1, len(roots) + 1))
        state = trust.begin(self.founding.root_json, name=NAME)
        for version, root in enumerate(roots, 1):
            self.see("root", (0, version), sha256(root.payload).hexdigest())
            state = trust.advance_root(state, root) if version > 1 else state
        assert max(self.acknowledged_roots) <= self._roots_served(), "an acknowledged root is not served"

    def _check_every_root_is_served(self, site: Site) -> None:
        newest = len(site.store.reader.roots())
        assert self._roots_served() == newest
        for name in site.store.reader.pinsets():
            folder = self.tree.folder / "v1/bundles" / name.name
            held = sorted(int(path.name) for path in folder.iterdir())
            assert held == list(range(max(1, newest - 8), newest + 1)), "bundles of other roots than are served"
            for number in held:
                bundle = Bundle.parse((folder / str(number)).read_bytes())
                assert number + len(bundle.roots) == newest

    def _fetch_from_half_a_tree(self) -> None:
        """Clients may find nothing new for a moment, and never anything that they must refuse."""
        try:
            self.update_client()
        except FetchError as error:
            if error.status != 404:
                raise

    def _check_cache(self, stored: set[tuple[int, int]]) -> None:
        before = self.cached()
        after = self.update_client()  # raises when the floor of the cache were above what is served
        assert after.adopted_pinset is not None and after.adopted_pinset.tag in stored
        if before.adopted_pinset is not None:
            assert before.adopted_pinset.tag <= after.adopted_pinset.tag
        assert self.cached().adopted_pinset == after.adopted_pinset
        left = {path.suffix for path in (self.folder / "cache").iterdir()}
        assert left == {".json", ".lock"}, "a killed client left a file that the next one did not clear away"


@pytest.fixture
def rounds() -> int:
    """How often each point is died at."""
    return int(os.environ.get("PINWARDEN_CRASH_ROUNDS", "40"))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A founded server with one published pin set, and a client whose cache holds it."""
    now = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    founding = found_authority("crash", now=now, entropy=os.urandom)
    stage = Stage(tmp_path, founding, now)
    stage.found()
    stage.update_client()
    yield stage
    failpoints.arm(None)
