"""A backup holds everything, a restore takes nothing on trust, and no number is ever given out twice after it."""

import json
import os
import stat
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pinwarden.testing import pinned
from pinwarden_server import audit
from pinwarden_server.backup import make_backup, read_backup
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import AuditBroken, BackupRefused, Conflict, FloorMissing, StoreUnavailable
from pinwarden_server.founding import reconcile
from pinwarden_server.publishing import publish, renew_timestamp
from pinwarden_server.renewal import Renewer
from pinwarden_server.restore import TIMESTAMPS_AHEAD, floor_at, floor_of, judge, restore_backup, set_floors
from pinwarden_server.site import Act, Published, Site
from pinwarden_server.store import Store, open_store, schema_head
from pinwarden_server.store.copying import Floor, read_everything, unsettled_names
from pinwarden_server.store.logins import append_account, append_link, append_session, spend_id_token
from pinwarden_server.store.tables import audit_head, versions
from tests.postgres import Postgres
from tests.server.domain.conftest import KEPT
from tests.server.store.conftest import linguistic
from tests.server.store.rows import (
    APPROVAL,
    NOW,
    REVIEW,
    SIGNATURE,
    account,
    audited,
    change,
    link,
    session,
    token,
)

BY = Act("tester", NOW + timedelta(hours=1))
SECRET = b"\xab" * 32


def put(site: Site, name: str = "payments") -> Published:
    current = site.store.reader.find_current(name)
    draft = Draft((pinned("api.example.com", os.urandom(32), KEPT),), reason="because")
    return publish(site, name, draft, current.tag if current else None, Act("tester", NOW))


@pytest.fixture
def full(site: Site) -> Site:
    """A server with rows in every table that a backup has."""
    put(site)
    put(site)
    put(site, "orders")
    renew_timestamp(site, "orders", NOW + timedelta(minutes=1))
    with site.store.writer.transaction() as transaction:
        transaction.append_token(token("first"), SECRET)
        append_account(transaction, account("breaker"))
        append_session(transaction, session("now"), SECRET)
        append_link(transaction, link("soon"), SECRET)
        spend_id_token(transaction, "d" * 64, NOW)
        transaction.append_attempt("alice", "key", fingerprint="f", answer='{"ü":1}', at=NOW)
        waits = {"base": (1, 2), "signatures": (SIGNATURE,), "approvals": (APPROVAL,)}
        transaction.append_change(change(audited(transaction), "payments", **waits))
        number = audited(transaction)
        transaction.append_change(change(number, "payments", state="review"))
        assert transaction.append_review(number, REVIEW)
    site.store.writer.take_lease("renewal", "one", now=NOW, until=NOW)
    assert make_checkpoint(site, NOW) is not None
    return site


@pytest.fixture
def file(full: Site, tmp_path: Path) -> Path:
    path = tmp_path / "backup.jsonl"
    make_backup(full.store.reader, path, now=NOW, tokens=False)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of either kind without a table, to restore into."""
    if request.param == "sqlite":
        store = open_store(f"sqlite:///{tmp_path}/restored.db")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        store = open_store(linguistic(server))
    yield store
    store.close()


def content(store: Store, *, tokens: bool = True) -> list[tuple[str, dict[str, Any]]]:
    return list(read_everything(store.reader, tokens=tokens))


def moved(site: Site, store: Store) -> Site:
    """Return the server of *site* on another store."""
    return Site(store, site.tree, site.bell, site.signers, site.policy)


def test_a_backup_moves_everything_between_all_kinds_of_stores(full: Site, empty: Store, tmp_path: Path) -> None:
    path, before = tmp_path / "with-tokens.jsonl", content(full.store)
    made = make_backup(full.store.reader, path, now=NOW, tokens=True)
    assert list(read_backup(path)) == before
    assert {name for name, _ in before} == made.rows.keys()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    restored = restore_backup(empty, path, BY)
    assert (restored.names, restored.chain) == (("orders", "payments"), audit.verify_chain(full.store.reader))
    after = [row for row in content(empty) if row[0] not in ("unsettled", "audit_head")]
    last = empty.reader.audit()[-1]
    assert (last.action, last.to_json()["detail"]) == (
        "store.restore",
        {"rows": restored.chain.rows, "head": restored.chain.head},
    )
    assert [row for row in after if row[0] != "audit" or row[1]["seq"] != last.seq] == [
        row for row in before if row[0] != "audit_head"
    ]
    assert audit.verify_chain(empty.reader).rows == restored.chain.rows + 1
    assert unsettled_names(empty.reader) == ["*", "orders", "payments"]


def test_a_backup_has_no_token_unless_asked_for(full: Site, file: Path) -> None:
    assert content(full.store, tokens=False) == list(read_backup(file))
    secret = b64encode(SECRET).decode()
    assert secret not in file.read_text()
    assert {"tokens", "accounts"} & {name for name, _ in read_backup(file)} == set()
    with_tokens = file.with_name("with-tokens.jsonl")
    made = make_backup(full.store.reader, with_tokens, now=NOW, tokens=True)
    assert (made.rows["tokens"], made.rows["accounts"]) == (1, 1)
    assert {"sessions", "one_time_links", "used_id_tokens"} & made.rows.keys() == set()


def test_a_backup_never_replaces_a_file(full: Site, file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(BackupRefused):
        make_backup(full.store.reader, file, now=NOW, tokens=False)
    assert file.read_bytes() == before
    with pytest.raises(StoreUnavailable):
        make_backup(full.store.reader, file.parent / "none/backup", now=NOW, tokens=False)
    assert [path.name for path in file.parent.glob(".*")] == []


def test_a_backup_is_one_moment_while_others_publish(full: Site, tmp_path: Path) -> None:
    rows = read_everything(full.store.reader, tokens=False)
    first = next(rows)
    put(full)
    seen = [first, *rows]
    assert [values["version"] for name, values in seen if name == "versions" and values["name"] == "payments"] == [1, 2]
    assert len([1 for name, _ in seen if name == "audit"]) == next(v["seq"] for n, v in seen if n == "audit_head")


Lines = list[bytes]
DAMAGES: dict[str, Callable[[Lines], Lines]] = {
    "no end": lambda lines: lines[:-1],
    "a line less": lambda lines: [*lines[:3], *lines[4:]],
    "two lines swapped": lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
    "something behind the end": lambda lines: [*lines, lines[1]],
    "an edited text": lambda lines: [line.replace(b"because", b"Because") for line in lines],
    "an edited actor": lambda lines: [line.replace(b'"setup"', b'"Setup"') for line in lines],
    "an end without its newline": lambda lines: [*lines[:-1], lines[-1][:-1]],
    "half an end": lambda lines: [*lines[:-1], lines[-1][:40]],
    "another file of JSON": lambda lines: [b"{}\n"],
    "no JSON": lambda lines: [b"\x00\xff\n"],
    "nothing": lambda lines: [],
    "another format version": lambda lines: [lines[0].replace(b'"version":1', b'"version":2'), *lines[1:]],
    "another schema": lambda lines: [
        lines[0].replace(b'"schema":"%s"' % schema_head().encode(), b'"schema":"0002"'),
        *lines[1:],
    ],
    "a line that is no row": lambda lines: [lines[0], b"[1]\n", *lines[1:]],
    "a row of no table": lambda lines: [lines[0], b'{"table":"sqlite_master","row":{}}\n', *lines[1:]],
}
ONLY_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # the file is the same for all


@ONLY_SQLITE
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_backup_is_refused_and_the_store_stays_empty(file: Path, tmp_path: Path, what: str) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    damaged = DAMAGES[what](lines)
    assert damaged != lines
    file.write_bytes(b"".join(damaged))
    store = open_store(f"sqlite:///{tmp_path}/restored.db")
    with pytest.raises(BackupRefused):
        restore_backup(store, file, BY)
    assert (store.reader.roots(), store.reader.audit(), unsettled_names(store.reader)) == ((), [], [])
    store.close()


def forged(file: Path, change_row: Callable[[str, dict[str, Any]], dict[str, Any] | None]) -> None:
    """Rewrite the rows of a backup as one does who can compute a checksum too."""
    head = file.read_bytes().splitlines(keepends=True)[0]
    rows = [
        (table, changed) for table, row in read_backup(file) if (changed := change_row(table, dict(row))) is not None
    ]
    lines = [head, *(json.dumps({"table": t, "row": r}, separators=(",", ":")).encode() + b"\n" for t, r in rows)]
    counted: dict[str, int] = {}
    for table, _ in rows:
        counted[table] = counted.get(table, 0) + 1
    end = {"end": {"rows": dict(sorted(counted.items())), "sha256": sha256(b"".join(lines)).hexdigest()}}
    file.write_bytes(b"".join(lines) + json.dumps(end, separators=(",", ":")).encode() + b"\n")


def _swap_envelopes(table: str, row: dict[str, Any]) -> dict[str, Any]:
    if table == "versions" and row["version"] == 2:
        row["version"], row["name"] = 3, "payments"
    return row


FORGERIES: dict[str, Callable[[str, dict[str, Any]], dict[str, Any] | None]] = {
    "an audit row that was edited": lambda t, r: {**r, "actor": "somebody"} if t == "audit" and r["seq"] == 2 else r,
    "an audit row that is gone": lambda t, r: None if t == "audit" and r["seq"] == 3 else r,
    "a version of another number": _swap_envelopes,
    "a version that was not published": lambda t, r: {**r, "envelope": _unsigned(r)} if t == "versions" else r,
    "a signature that is another": lambda t, r: {**r, "envelope": _resigned(r)} if t == "versions" else r,
    "a root that nobody signed": lambda t, r: {**r, "envelope": _resigned(r)} if t == "roots" else r,
    "no root": lambda t, r: None if t == "roots" else r,
    "a timestamp of another pin set": lambda t, r: {**r, "timestamp_envelope": "e30="} if t == "pinsets" else r,
    "counters behind the versions": lambda t, r: {**r, "pinset_version": 0} if t == "reservations" else r,
    "a column of another type": lambda t, r: {**r, "seq": "1"} if t == "audit" and r["seq"] == 1 else r,
    "a column that is missing": lambda t, r: {"seq": 1} if t == "audit" and r["seq"] == 1 else r,
    "a number beyond every database": lambda t, r: {**r, "issued": 2**70} if t == "reservations" else r,
    "a checkpoint of another row": lambda t, r: {**r, "size": 2} if t == "checkpoints" else r,
    "a checkpoint that nobody signed": lambda t, r: {**r, "envelope": _resigned(r)} if t == "checkpoints" else r,
    "a checkpoint that is none": lambda t, r: {**r, "envelope": "e30="} if t == "checkpoints" else r,
    "no base64": lambda t, r: {**r, "envelope": "?"} if t == "roots" else r,
}


def _unsigned(row: dict[str, Any]) -> str:
    value = json.loads(b64decode(row["envelope"]))
    payload = b64decode(value["payload"]).replace(b"api.example.com", b"api.example.net")
    return b64encode(json.dumps({**value, "payload": b64encode(payload).decode()}).encode()).decode()


def _resigned(row: dict[str, Any]) -> str:
    value = json.loads(b64decode(row["envelope"]))
    value["signatures"][0]["sig"] = b64encode(bytes(64)).decode()
    return b64encode(json.dumps(value).encode()).decode()


@ONLY_SQLITE
@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_backup_with_a_right_checksum_is_refused_and_the_store_stays_empty(
    file: Path, tmp_path: Path, what: str
) -> None:
    before = file.read_bytes()
    forged(file, FORGERIES[what])
    assert file.read_bytes() != before
    store = open_store(f"sqlite:///{tmp_path}/restored.db")
    with pytest.raises((BackupRefused, AuditBroken)):
        restore_backup(store, file, BY)
    assert (store.reader.roots(), store.reader.audit(), unsettled_names(store.reader)) == ((), [], [])
    store.close()


def test_a_backup_that_is_rewritten_without_a_change_is_accepted(file: Path, tmp_path: Path) -> None:
    forged(file, lambda table, row: row)
    store = open_store(f"sqlite:///{tmp_path}/restored.db")
    restore_backup(store, file, BY)
    store.close()


def test_a_store_that_is_not_empty_is_refused_and_stays_as_it_was(full: Site, file: Path) -> None:
    before = content(full.store)
    with pytest.raises(Conflict):
        restore_backup(full.store, file, BY)
    assert content(full.store) == before


def test_the_judge_sees_what_was_changed_in_the_store_itself(full: Site) -> None:
    assert judge(full.store.reader) == audit.verify_chain(full.store.reader)
    with full.store.writer.transaction() as transaction:
        transaction.run(update(versions).where(versions.c.version == 1).values(envelope=b"{}"))
    with pytest.raises(Exception, match=r"."):
        judge(full.store.reader)
    with full.store.writer.transaction() as transaction:
        transaction.run(update(audit_head).values(seq=2))
    with pytest.raises(AuditBroken):
        judge(full.store.reader)


def test_nothing_is_published_or_renewed_before_its_floor_is_set(full: Site, file: Path, empty: Store) -> None:
    restore_backup(empty, file, BY)
    site, before = moved(full, empty), content(empty)
    for name in ("payments", "orders", "unknown"):
        with pytest.raises(FloorMissing) as refusal:
            put(site, name)
        assert f"--floor {name}=VERSION" in str(refusal.value)
    later = NOW + timedelta(days=20)
    done = Renewer(site, holder="one", clock=lambda: later).tick()
    assert (done.renewed, sorted(done.failed)) == ((), ["orders", "payments"])
    # A signed end of the audit log is no publication: that the store was restored should be covered soon.
    besides = ("attempts", "checkpoints")
    assert [row for row in content(empty) if row[0] not in besides] == [row for row in before if row[0] not in besides]
    assert reconcile(site) >= 0  # what is in the backup is served


def test_a_floor_lets_one_name_go_on_above_it_and_never_lowers_anything(full: Site, file: Path, empty: Store) -> None:
    restore_backup(empty, file, BY)
    site = moved(full, empty)
    assert set_floors(empty, {"payments": Floor(57, 90)}, BY) == ["*", "orders"]
    published = put(site)
    assert (published.tag, published.timestamp_version) == ((1, 58), 91)
    with pytest.raises(FloorMissing):
        put(site, "orders")
    assert set_floors(empty, {"payments": Floor(3, 3), "orders": Floor(0, 0)}, BY) == ["*"]
    assert put(site).tag == (1, 59)
    assert put(site, "orders").tag == (1, 2)
    assert [row.subject for row in empty.reader.audit() if row.action == "store.floor"] == [
        "payments",
        "orders",
        "payments",
    ]
    assert audit.verify_chain(empty.reader).rows == empty.reader.audit_head()[0]


def test_one_floor_for_all_counts_for_names_that_the_backup_does_not_know(full: Site, file: Path, empty: Store) -> None:
    restore_backup(empty, file, BY)
    site = moved(full, empty)
    assert set_floors(empty, {"orders": Floor(7, 7), "*": Floor(1000, 5000)}, BY) == []
    tags = {name: put(site, name).tag for name in ("payments", "orders", "made-after-the-backup")}
    assert tags == {"payments": (1, 1001), "orders": (1, 8), "made-after-the-backup": (1, 1001)}
    assert empty.reader.current("made-after-the-backup").timestamp_version == 5001
    assert put(site, "made-after-the-backup").tag == (1, 1002)


def test_floors_from_what_is_served_keep_clients_from_ever_seeing_a_number_twice(
    full: Site, file: Path, empty: Store
) -> None:
    put(full)
    put(full)
    renew_timestamp(full, "payments", NOW + timedelta(hours=2))
    seen = full.store.reader.current("payments")
    served = (full.tree.folder / "v1/bundles/payments/1").read_bytes()
    restore_backup(empty, file, BY)
    floor = floor_of(empty.reader.roots(), "payments", served)
    assert floor == Floor(seen.tag[1], seen.timestamp_version, NOW + timedelta(hours=2))
    set_floors(empty, {"payments": floor}, BY)
    published = put(moved(full, empty))
    assert published.tag == (1, seen.tag[1] + 1)
    assert published.timestamp_version == seen.timestamp_version + 1
    assert published.issued == NOW + timedelta(hours=2)  # no client sees a time of issue fall


def test_a_bundle_of_a_stranger_sets_no_floor(full: Site, house_of_strangers: Site, file: Path) -> None:
    put(house_of_strangers)
    strange = (house_of_strangers.tree.folder / "v1/bundles/payments/1").read_bytes()
    with pytest.raises(Exception, match=r"V3|authority|sign"):
        floor_of(full.store.reader.roots(), "payments", strange)


@pytest.fixture
def house_of_strangers(tmp_path: Path) -> Iterator[Site]:
    from pinwarden_server.store import migrate
    from tests.server.store.conftest import site_on

    url = f"sqlite:///{tmp_path}/strange.db"
    migrate(url)
    store = open_store(url)
    site = site_on(store, tmp_path / "strange")
    yield site
    site.bell.close()
    store.close()


def test_an_operators_floor_is_above_every_timestamp_that_there_can_be() -> None:
    assert floor_at(57, 90, None) == Floor(57, 90)
    assert floor_at(57, None, None) == Floor(57, 57 + TIMESTAMPS_AHEAD)
    assert floor_at(5, None, Floor(3, 400)) == Floor(5, 400 + TIMESTAMPS_AHEAD)


def test_a_backup_of_a_restored_store_still_waits_for_its_floors(
    full: Site, file: Path, empty: Store, tmp_path: Path
) -> None:
    restore_backup(empty, file, BY)
    set_floors(empty, {"orders": Floor(9, 9)}, BY)
    again = tmp_path / "again.jsonl"
    make_backup(empty.reader, again, now=NOW, tokens=False)
    third = open_store(f"sqlite:///{tmp_path}/third.db")
    restore_backup(third, again, BY)
    assert unsettled_names(third.reader) == ["*", "orders", "payments"]
    third.close()
