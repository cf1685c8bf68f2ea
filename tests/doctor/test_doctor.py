"""``server doctor``: a healthy installation is called so, and each check finds what it is there for, really broken."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinwarden.cli import pinwarden
from pinwarden_keys import write_key_file
from pinwarden_keys.signer_file import file_uri
from pinwarden_server.doctor import CHECKS, Facts, State, examine
from pinwarden_server.doctor.facts_machine import DiskFact
from pinwarden_server.doctor.facts_store import StoreFacts
from pinwarden_server.doctor.view import page_table
from pinwarden_server.installation import init_production
from pinwarden_server.node import open_site
from pinwarden_server.publishing import renew_timestamp
from pinwarden_server.store import open_store
from pinwarden_server.store.copying import unsettle
from tests.docs.pages import REPOSITORY
from tests.doctor.conftest import Patient, admit
from tests.postgres import PASSWORD, Postgres
from tests.server.http.conftest import Running

OK, WARN, BAD = State.OK, State.WARN, State.BAD
ALL_OK = "and all its components are ok"
# A patient whose server does not run, and for whom no backup was named.
USUAL = {"workers": [WARN], "backup": [WARN]}


def test_a_healthy_installation_is_ok_in_every_check(patient: Patient) -> None:
    assert patient.states() == USUAL
    assert {one.check for one in examine(patient.facts())} == {check.name for check in CHECKS}


def database_away(patient: Patient) -> None:
    (patient.folder / "pinwarden.db").rename(patient.folder / "elsewhere.db")


def schema_of_another_version(patient: Patient) -> None:
    patient.sql("UPDATE alembic_version SET version_num = '0003'")


def no_log_ahead(patient: Patient) -> None:
    patient.sql("PRAGMA journal_mode = DELETE")


def clock_behind(patient: Patient) -> None:
    patient.now -= timedelta(seconds=30)


def clock_far_behind(patient: Patient) -> None:
    patient.now -= timedelta(hours=1)


def clock_ahead(patient: Patient) -> None:
    patient.now += timedelta(minutes=2)


def open_passphrase(patient: Patient) -> None:
    patient.installation.passphrase.chmod(0o644)


def open_database(patient: Patient) -> None:
    (patient.folder / "pinwarden.db").chmod(0o644)


def writable_tree(patient: Patient) -> None:
    (patient.folder / "published").chmod(0o777)


def hidden_tree(patient: Patient) -> None:
    (patient.folder / "published").chmod(0o700)


def missing_key(patient: Patient) -> None:
    patient.installation.key("timestamp").unlink()


def first_token(patient: Patient) -> None:
    patient.installation.admin_token.touch(mode=0o600)


def root_ends_soon(patient: Patient) -> None:
    patient.now += timedelta(days=365 - 20)


def pin_set_ended(patient: Patient) -> None:
    patient.now += timedelta(days=31)


def no_admin_token(patient: Patient) -> None:
    patient.sql("UPDATE tokens SET revoked_at = 1")


def token_ends_soon(patient: Patient) -> None:
    patient.sql("UPDATE tokens SET expires_at = strftime('%s', 'now') + 86400")


def wrong_key(patient: Patient) -> None:
    """A timestamp key of somebody else: it opens, and the root does not know it."""
    file = patient.installation.key("stranger")
    passphrase = patient.installation.passphrase.read_bytes().strip()
    write_key_file(file, b"s" * 32, passphrase)
    keys = file_uri(file), file_uri(patient.installation.key("pinset"))
    patient.changes["signers"] = keys


def no_signer(patient: Patient) -> None:
    patient.changes["signers"] = ()


def damaged_file(patient: Patient) -> None:
    (patient.folder / "published/v1/pinsets/payments/timestamp").write_bytes(b"{}")


def lost_version(patient: Patient) -> None:
    (patient.folder / "published/v1/pinsets/payments/versions/1.1").unlink()


def one_bundle_too_many(patient: Patient) -> None:
    bundles = patient.folder / "published/v1/bundles/payments"
    shutil.copy(bundles / "1", bundles / "7")


def older_database(patient: Patient) -> None:
    """The database of yesterday beneath the files of today."""
    copy = patient.folder.parent / "yesterday.db"
    with closing(sqlite3.connect(patient.folder / "pinwarden.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    site_of_today(patient)
    for file in patient.folder.glob("pinwarden.db*"):
        file.unlink()
    shutil.copy(copy, patient.folder / "pinwarden.db")
    (patient.folder / "pinwarden.db").chmod(0o600)
    patient.sql("PRAGMA journal_mode = WAL")


def site_of_today(patient: Patient) -> None:
    site = open_site(patient.installation.settings(), with_signers=True)
    renew_timestamp(site, "payments", datetime.now(UTC))
    site.signers.close()
    site.store.close()
    site.bell.close()


def waits_for_floor(patient: Patient) -> None:
    store = open_store(patient.installation.settings().database_url)
    with store.writer.transaction() as transaction:
        unsettle(transaction)
    store.close()


def beyond_without_tls(patient: Patient) -> None:
    patient.changes["bind"] = ("0.0.0.0:8750",)


def beyond_with_tls(patient: Patient) -> None:
    patient.changes |= {"bind": ("192.0.2.1:8750",), "tls_terminated_in_front": True}


def believes_anybody(patient: Patient) -> None:
    patient.environ["GUNICORN_CMD_ARGS"] = "--workers 3 --forwarded-allow-ips='*'"


def bound_by_gunicorn(patient: Patient) -> None:
    patient.environ["GUNICORN_CMD_ARGS"] = "-b 0.0.0.0:80"


def crashed_publication(patient: Patient) -> None:
    left = patient.folder / "published/.work/staged-0123456789abcdef"
    left.mkdir()
    os.utime(left, (0, 0))


def nobody_renews(patient: Patient) -> None:
    patient.sql("DELETE FROM leases")


def renewer_died(patient: Patient) -> None:
    patient.sql("UPDATE leases SET expires_at = 1")


def nobody_answers(patient: Patient) -> None:
    (patient.folder / "run/addresses.json").write_text('["http://127.0.0.1:9"]')


def edited_row(patient: Patient) -> None:
    patient.sql("UPDATE audit SET actor = 'mallory' WHERE seq = 2")


def no_checkpoint(patient: Patient) -> None:
    patient.sql("DELETE FROM checkpoints")


def another_checkpoint(patient: Patient) -> None:
    patient.sql("UPDATE checkpoints SET hash = (SELECT hash FROM audit WHERE seq = 1)")


def waits_for_checkpoint(patient: Patient) -> None:
    patient.changes["checkpoint_interval_seconds"] = -1


BROKEN: dict[str, tuple[Callable[[Patient], None], str, State, str]] = {
    "the database is away": (database_away, "database", BAD, "unable to open database file"),
    "another schema": (schema_of_another_version, "database", BAD, "its schema is 0003"),
    "no write-ahead log": (no_log_ahead, "durability", BAD, "journal_mode is delete"),
    "a clock that is behind": (clock_behind, "clock", WARN, "seconds ahead of this machine's"),
    "a clock that is far behind": (clock_far_behind, "clock", BAD, "seconds ahead of this machine's"),
    "a clock that is ahead": (clock_ahead, "clock", BAD, "seconds behind this machine's"),
    "a passphrase open to others": (open_passphrase, "permissions", BAD, "is open to others: mode 0644"),
    "a database open to others": (open_database, "permissions", BAD, "is open to others: mode 0644"),
    "published files that others write": (writable_tree, "permissions", BAD, "is writable by others: mode 0777"),
    "published files that nobody serves": (hidden_tree, "permissions", WARN, "cannot serve it"),
    "a key file that is gone": (missing_key, "permissions", BAD, "timestamp.key is missing"),
    "the first token": (first_token, "permissions", WARN, "the first token still lies in"),
    "a root that ends": (root_ends_soon, "expiries", WARN, "root 1 ends in 1"),
    "a pin set that ended": (pin_set_ended, "expiries", BAD, "pin set 'payments' ended on"),
    "no admin token": (no_admin_token, "tokens", WARN, "no admin token is valid"),
    "a token that ends": (token_ends_soon, "tokens", WARN, "1 end within 14 days"),
    "a signer whose file is gone": (missing_key, "signers", BAD, "cannot be opened"),
    "a signer that the root does not name": (wrong_key, "signers", BAD, "demands 1 timestamp keys"),
    "no signer": (no_signer, "signers", WARN, "no signer is set"),
    "a damaged file": (damaged_file, "published files", BAD, "/v1/pinsets/payments/timestamp"),
    "a lost file": (lost_version, "published files", BAD, "/v1/pinsets/payments/versions/1.1"),
    "a file too many": (one_bundle_too_many, "published files", BAD, "/v1/bundles/payments/7"),
    "an older database": (older_database, "published files", BAD, "are newer than the database"),
    "a floor that is missing": (waits_for_floor, "floors", BAD, "names that the backup does not know, payments"),
    "a bind beyond without TLS": (beyond_without_tls, "network", BAD, "without TLS: 0.0.0.0:8750"),
    "a bind beyond with TLS": (beyond_with_tls, "network", WARN, "192.0.2.1:8750"),
    "a server that believes anybody": (believes_anybody, "network", BAD, "X-Forwarded-* of *"),
    "a bind by gunicorn's arguments": (bound_by_gunicorn, "network", BAD, "without TLS: 0.0.0.0:80"),
    "what a crash left": (crashed_publication, "leftovers", WARN, "staged-0123456789abcdef"),
    "a lease that nobody holds": (nobody_renews, "renewal", WARN, "no worker holds the lease"),
    "a lease that ran out": (renewer_died, "renewal", WARN, "ran out on 1970-01-01T00:00:01Z"),
    "an address that does not answer": (nobody_answers, "workers", BAD, "http://127.0.0.1:9 does not answer"),
    "an edited audit row": (edited_row, "audit log", BAD, "audit row 2 was changed"),
    "no checkpoint": (no_checkpoint, "audit log", WARN, "no checkpoint is signed"),
    "a checkpoint that was changed": (another_checkpoint, "audit log", BAD, "has columns that its envelope does not"),
    "rows that wait for a checkpoint": (waits_for_checkpoint, "audit log", WARN, "rows have waited for a checkpoint"),
}


@pytest.mark.parametrize("words", BROKEN)
def test_the_doctor_finds(words: str, patient: Patient) -> None:
    breaks, check, state, says = BROKEN[words]
    assert [one[0] for one in patient.findings(check) if one[0] is not OK] == USUAL.get(check, [])
    breaks(patient)
    found = [one for one in patient.findings(check) if one[0] is state and says in one[1]]
    assert found != [], patient.findings(check)
    assert [one for one in found if one[2] == ""] == []  # each says what to do


def test_without_the_database_the_rest_is_judged_all_the_same(patient: Patient) -> None:
    database_away(patient)
    open_passphrase(patient)
    states = patient.states()
    # The file that is gone is told as well, and a passphrase that anybody may read unseals nothing.
    assert states == {**USUAL, "database": [BAD], "permissions": [BAD, BAD], "signers": [BAD, BAD, BAD]}
    assert patient.findings("audit log") == [(OK, "not judged: the database was not asked", "")]
    assert patient.findings("clock")[0][0] is OK


def test_a_file_of_another_user_is_found(patient: Patient) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(patient.installation.key("pinset"), 12345, -1)
    (found,) = [one for one in patient.findings("permissions") if one[0] is BAD]
    assert found[1].endswith("pinset.key belongs to user 12345")


@pytest.mark.parametrize(
    ("free_bytes", "share", "inodes", "state"),
    [
        (10**12, 0.5, 0.5, OK),
        (10**12, 0.05, None, OK),  # a twentieth of a large disk is a lot
        (5 * 10**9, 0.05, 0.5, WARN),
        (400 * 10**6, 0.5, 0.5, WARN),
        (10**12, 0.5, 0.05, WARN),
        (40 * 10**6, 0.5, 0.5, BAD),
        (500 * 10**6, 0.01, 0.5, BAD),
        (10**12, 0.5, 0.01, BAD),
    ],
)
def test_a_disk_is_judged_by_space_and_inodes(
    patient: Patient, free_bytes: int, share: float, inodes: float | None, state: State
) -> None:
    facts: Facts = replace(patient.facts(), disks=(DiskFact(Path("/d"), "data", "ext4", free_bytes, share, inodes),))
    assert [one.state for one in examine(facts) if one.check == "disk"] == [state]


def test_a_database_on_a_network_file_system_is_bad(patient: Patient) -> None:
    facts = patient.facts()
    remote = replace(facts, disks=(replace(facts.disks[0], kind="nfs4"), *facts.disks[1:]))
    found = [one for one in examine(remote) if one.check == "durability"]
    assert [(one.state, "lies on nfs4" in one.says) for one in found] == [(BAD, True)]


def test_a_database_that_takes_no_writes_is_bad_although_it_answers(patient: Patient) -> None:
    facts = patient.facts()
    assert isinstance(facts.store, StoreFacts)
    assert facts.store.read_only == ""
    read_only = replace(facts, store=replace(facts.store, read_only="the database can be read, and not written."))
    found = [one for one in examine(read_only) if one.check == "database"]
    assert [(one.state, one.says) for one in found] == [(BAD, "the database can be read, and not written.")]


def test_postgresql_is_asked_for_its_durability_and_its_clock(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "database-url"
    file.touch(mode=0o600)
    file.write_text(postgres.create())
    patient = admit(tmp_path / "server", database_url_file=file)
    # The tests' own server does not wait for the disk, which is exactly what a doctor must find.
    (found,) = patient.findings("durability")
    assert (found[0], found[1]) == (BAD, "fsync is off")
    assert {name: states for name, states in patient.states().items() if name != "durability"} == USUAL
    clock_ahead(patient)
    assert patient.findings("clock")[0][0] is BAD
    postgres.ask("ALTER ROLE pinwarden SET synchronous_commit = off")
    try:
        assert [one[0] for one in patient.findings("durability")] == [BAD, WARN]
    finally:
        postgres.ask("ALTER ROLE pinwarden RESET synchronous_commit")


def test_no_password_and_no_secret_is_shown(postgres: Postgres, tmp_path: Path) -> None:
    file = tmp_path / "database-url"
    file.touch(mode=0o600)
    file.write_text(postgres.create())
    patient = admit(tmp_path / "server", database_url_file=file)
    secret = patient.installation.passphrase.read_text().strip()
    file.write_text(file.read_text().replace(f":{postgres.port}/", ":9/"))
    done = CliRunner().invoke(pinwarden, ["server", "--config", str(patient.installation.config), "doctor"])
    assert (done.exit_code, PASSWORD in done.output, secret in done.output) == (1, False, False)
    assert "cannot be asked" in done.output


def test_a_running_server_is_asked_and_one_that_was_killed_is_found(tmp_path: Path) -> None:
    patient = admit(tmp_path / "server")
    patient.installation.admin_token.touch(mode=0o600)
    running = Running(patient.installation)
    try:
        running.wait_until(lambda: patient.findings("workers") == [(OK, f"{running.url} answers, {ALL_OK}", "")])
    finally:
        running.process.kill()
        running.process.wait(20)
    for worker in running.workers:
        try:
            os.kill(worker, 9)
        except ProcessLookupError:
            continue
    (found,) = patient.findings("workers")
    assert (found[0], "does not answer" in found[1]) == (BAD, True)


def test_a_unix_socket_is_asked_too(tmp_path: Path) -> None:
    patient = admit(tmp_path / "s")
    config = patient.installation.config
    config.write_text(config.read_text().replace('bind = ["127.0.0.1:0"]', f'bind = ["unix:{tmp_path}/x"]'))
    command = ["server", "--config", str(config), "doctor", "--json"]
    patient.installation.admin_token.touch(mode=0o600)
    code = "from pinwarden_server.cli import server; server()"
    process = subprocess.Popen([sys.executable, "-P", "-c", code, "--config", str(config), "run"])
    try:
        deadline = time.monotonic() + 30
        while patient.findings("workers") != [(OK, f"unix:{tmp_path}/x answers, {ALL_OK}", "")]:
            assert time.monotonic() < deadline, patient.findings("workers")
            time.sleep(0.05)
        told = json.loads(CliRunner().invoke(pinwarden, command).stdout)
        assert told["result"] == "warn"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("words", ["whole", "in a folder", "old", "damaged", "open to others", "missing"])
def test_a_backup_is_read_to_its_end(words: str, patient: Patient) -> None:
    file = patient.folder.parent / "backups/pinwarden.jsonl"
    file.parent.mkdir()
    run = ["server", "--config", str(patient.installation.config), "backup", str(file)]
    assert CliRunner().invoke(pinwarden, run).exit_code == 0
    patient.backup = file
    if words == "in a folder":
        patient.backup = file.parent
    elif words == "old":
        patient.now += timedelta(hours=27)
    elif words == "damaged":
        file.write_bytes(file.read_bytes()[:-10])
    elif words == "open to others":
        file.chmod(0o644)
    elif words == "missing":
        file.unlink()
    expected = {"whole": OK, "in a folder": OK, "old": WARN}.get(words, BAD)
    assert [one[0] for one in patient.findings("backup")] == [expected]


def test_nothing_is_changed(patient: Patient) -> None:
    before = patient.digest()
    patient.facts()
    CliRunner().invoke(pinwarden, ["server", "--config", str(patient.installation.config), "doctor"])
    assert patient.digest() == before
    shutil.rmtree(patient.folder / "run")
    shutil.rmtree(patient.folder / "published")
    before = patient.digest()
    assert {"permissions", "published files", "expiries"} <= patient.states().keys()
    assert patient.digest() == before  # nothing that is missing is made


def test_the_command_prints_a_table_or_json_and_exits_with_what_it_found(patient: Patient) -> None:
    command = ["server", "--config", str(patient.installation.config), "doctor"]
    done = CliRunner().invoke(pinwarden, command)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "14 ok, 2 warn, 0 bad"), done.output
    told = json.loads(CliRunner().invoke(pinwarden, [*command, "--json"]).stdout)
    assert (told["result"], {one["check"] for one in told["checks"]}) == ("warn", {check.name for check in CHECKS})
    edited_row(patient)
    bad = CliRunner().invoke(pinwarden, command)
    assert bad.exit_code == 1
    assert "-> Treat it as an incident" in bad.stdout
    patient.installation.config.write_text("bindd = 1\n")
    wrong = CliRunner().invoke(pinwarden, command)
    assert (wrong.exit_code, wrong.stdout) == (2, "")


def test_an_authority_without_a_root_is_judged_as_what_it_is(tmp_path: Path) -> None:
    made = init_production(tmp_path / "server", bind=None, root_json=None, now=datetime.now(UTC))
    patient = Patient(made, datetime.now(UTC))
    found = {one.check: one.state for one in examine(patient.facts())}
    assert (found["expiries"], found["signers"], found["published files"]) == (WARN, OK, OK)


def test_the_page_has_the_table_of_checks() -> None:
    assert page_table(CHECKS) in (REPOSITORY / "docs/doctor.md").read_text("utf-8")
