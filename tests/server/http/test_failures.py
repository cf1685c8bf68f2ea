"""When something behind the API fails: what clients are told, when they may come back, and what still holds."""

import json
import logging
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from pinwarden_server import audit, errors, problems
from pinwarden_server.errors import AuditBroken, ServerError
from pinwarden_server.store import open_store

PAYMENTS = "/admin/v1/pinsets/payments"
SERVED = "/v1/bundles/payments/1"


def put(service: Any, *words: str, **headers: str) -> Any:
    return service.ask("PUT", PAYMENTS, body=service.draft(*words), **{"If_Match": '"1.1"', **headers})


def unavailable(service: Any, answer: Any, status: int, slug: str) -> dict[str, Any]:
    """Return the problem document of a failure that may pass, which names no file and no key of this machine."""
    document = service.problem(answer, status, slug)
    assert answer.headers["Retry-After"] == "5"
    assert (document["expected"], document["got"], document["violations"]) == (None, None, [])
    assert str(service.installation.folder) not in answer.text
    return document


def test_without_the_database_nothing_is_changed_and_every_write_may_be_repeated(service):
    service.create()
    bundle = service.client.get(SERVED).data
    database = service.installation.folder / "pinwarden.db"
    away = database.with_suffix(".away")
    database.rename(away)
    for method, path in (("PUT", PAYMENTS), ("GET", "/admin/v1/pinsets"), ("POST", f"{PAYMENTS}/rollback")):
        answer = service.ask(method, path, body=b"{}" if method != "GET" else None, If_Match='"1.1"')
        document = unavailable(service, answer, 503, "store-unavailable")
        assert document["detail"].startswith("the database cannot be used: unable to open database file. ")
        assert document["detail"].endswith("then repeat it; over HTTP under the same Idempotency-Key.")
    assert service.client.get(SERVED).data == bundle
    away.rename(database)
    assert put(service, "new", "spare").status_code == 200


def test_a_database_without_tables_says_which_command_makes_them(service):
    database = service.installation.folder / "pinwarden.db"
    for file in service.installation.folder.glob("pinwarden.db*"):
        file.unlink()
    database.touch(0o600)
    document = unavailable(service, service.ask("GET", "/admin/v1/pinsets"), 503, "store-unavailable")
    assert document["detail"].endswith("Run `pinwarden server migrate`.")


def test_a_full_disk_below_the_database_is_told_apart_and_leaves_no_trace(service):
    service.create()
    engine = service.node.site.store.writer._engine
    pages = service.rows("PRAGMA page_count")[0][0]

    def limit(connection: Any) -> None:  # what SQLite does at this limit is what it does on a full disk
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    event.listen(engine, "begin", limit, insert=True)
    hosts = [service.draft("a", "b", host=f"h{number}.example.com")["hosts"][0] for number in range(200)]
    before, bundle = service.rows("SELECT name, version FROM versions"), service.client.get(SERVED).data
    answer = service.ask("PUT", PAYMENTS, body={"hosts": hosts}, If_Match='"1.1"')
    document = unavailable(service, answer, 507, "storage-full")
    assert document["detail"].startswith("the database's disk is full. Published pins are served on. Free space")
    assert service.rows("SELECT name, version FROM versions") == before
    assert service.client.get(SERVED).data == bundle
    event.remove(engine, "begin", limit)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=1000000"))
    assert service.ask("PUT", PAYMENTS, body={"hosts": hosts}, If_Match='"1.1"').status_code == 200


def test_without_its_keys_the_server_publishes_nothing_and_shows_everything(service, serve):
    service.create()
    keyless = serve(service.installation, signers=())
    before = service.rows("SELECT name, version FROM versions"), keyless.client.get(SERVED).data
    document = unavailable(keyless, put(keyless, "new", "spare"), 503, "signer-unavailable")
    assert document["detail"].startswith("too few signers for this role. Nothing stored has changed. ")
    assert (service.rows("SELECT name, version FROM versions"), keyless.client.get(SERVED).data) == before
    assert keyless.ask("GET", PAYMENTS).status_code == 200
    assert keyless.ask("POST", f"{PAYMENTS}/preview", body=service.draft()).status_code == 200


def test_what_is_stored_and_cannot_be_served_says_so_until_the_disk_is_repaired(service):
    service.create()
    bundle = service.installation.folder / "published/v1/bundles/payments/1"
    kept = service.client.get(SERVED).data
    bundle.unlink()
    (bundle / "in the way").mkdir(parents=True)  # a rename onto a folder fails, after the commit
    answer = put(service, "new", "spare", Idempotency_Key="once")
    document = unavailable(service, answer, 503, "not-served-yet")
    assert document["version"] == "1.2"
    assert document["detail"].startswith("version 1.2 of 'payments' is stored and cannot be served yet")
    assert service.rows("SELECT max(version) FROM versions") == [(2,)]
    assert service.client.get(SERVED).data == kept  # what is in memory was published, and is served on
    shutil.rmtree(bundle)
    again = put(service, "new", "spare", Idempotency_Key="once")
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.headers["ETag"]) == (200, "true", '"1.2"')
    assert service.version_of(service.client.get(SERVED).data) == "1.2"


def test_a_tree_that_cannot_be_written_is_noticed_before_the_commit(service):
    service.create()
    work = service.installation.folder / "published/.work"
    shutil.rmtree(work)
    work.write_text("in the way")
    document = unavailable(service, put(service, "new", "spare"), 503, "store-unavailable")
    assert document["detail"].startswith("the published tree cannot be written: Not a directory. ")
    assert service.rows("SELECT version FROM versions") == [(1,)]
    work.unlink()
    assert put(service, "new", "spare").status_code == 200


def test_what_clients_would_refuse_is_a_failure_of_the_server_and_not_repeated(service):
    service.create()
    admin = service.token("admin", seconds=1000 * 86_400)
    service.clock.advance(days=366)  # the root has expired
    before = service.rows("SELECT name, version FROM versions")
    answer = put(service, "new", "spare", Authorization=f"Bearer {admin}")
    document = service.problem(answer, 500, "publication-refused")
    assert document["detail"].startswith("a client would refuse what was just signed: ")
    assert "Retry-After" not in answer.headers
    assert service.rows("SELECT name, version FROM versions") == before


@pytest.fixture
def broken(service):
    """A service whose database holds a version that is no envelope: nobody foresaw that."""
    service.create()
    with service.node.site.store.writer.transaction() as transaction:
        transaction._connection.exec_driver_sql("UPDATE versions SET envelope = CAST('pw_secret_hunter2' AS BLOB)")
    return service


def test_an_error_that_nobody_foresaw_shows_an_id_and_nothing_else(broken, caplog):
    with caplog.at_level(logging.ERROR):
        answer = broken.ask("GET", f"{PAYMENTS}/versions/1")
    document = broken.problem(answer, 500, "internal")
    incident = document["id"]
    assert document == {
        "type": "urn:pinwarden:problem:internal",
        "title": "The server failed",
        "status": 500,
        "detail": f"An unexpected error, which the server's log has under the id {incident}.",
        "expected": None,
        "got": None,
        "violations": [],
        "id": incident,
    }
    (record,) = [record for record in caplog.records if incident in record.getMessage()]
    assert record.exc_info is not None  # the log has the whole story
    assert broken.ask("GET", f"{PAYMENTS}/versions/1").json["id"] != incident


def test_one_broken_row_keeps_neither_readers_nor_other_pin_sets_away(broken):
    assert broken.client.get(SERVED).status_code == 200
    assert broken.create("orders") == '"1.1"'
    assert [row["name"] for row in broken.ask("GET", "/admin/v1/pinsets").json["pinsets"]] == ["orders", "payments"]


def test_every_error_of_the_server_has_a_kind_but_those_that_never_leave_it():
    ours = {error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, ServerError)}
    told = {error for error in ours if any(issubclass(error, mapped) for mapped, _ in problems._KINDS)}
    assert ours - told == {
        ServerError,
        AuditBroken,
        errors.BackupRefused,
        errors.InstallationRefused,
        errors.Unstorable,
    }


def test_after_everything_the_audit_chain_holds_and_any_edit_breaks_it(service, tmp_path):
    service.create()
    put(service, "new", "spare", Idempotency_Key="1")
    put(service, "stale", "spare")
    service.ask("POST", f"{PAYMENTS}/rollback", body={"to": 1, "reason": "back"}, If_Match='"1.2"')
    issued = service.ask("POST", "/admin/v1/tokens", body={"role": "reader", "lifetime_seconds": 60}).json
    service.ask("DELETE", f"/admin/v1/tokens/{issued['id']}")
    service.clock.advance(days=20)
    service.node.renewer.tick()
    rows = service.ask("GET", "/admin/v1/audit").json["rows"]
    actions = ["root.publish", "token.issue", "pinset.create", "pinset.publish", "pinset.rollback"]
    assert [row["action"] for row in rows] == [*actions, "token.issue", "token.revoke", "pinset.renew"]
    assert {row["actor"] for row in rows} == {"system:init", f"token:{service.admin.split('_')[1]}", "system:renewal"}
    report = audit.verify_chain(service.node.site.store.reader)
    assert (report.rows, report.head) == (len(rows), rows[-1]["hash"])
    for number, edit in enumerate(EDITS):
        copy = tmp_path / f"{number}.db"
        service.rows(f"VACUUM INTO '{copy}'")
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute(edit).rowcount == 1
            connection.commit()
        store = open_store(f"sqlite:///{copy}")
        with pytest.raises(AuditBroken):
            audit.verify_chain(store.reader)
        store.close()
    assert audit.verify_chain(service.node.site.store.reader) == report


EDITS = (
    "UPDATE audit SET actor = 'someone else' WHERE seq = 4",
    "UPDATE audit SET detail = replace(detail, 'back', 'hack') WHERE seq = 5",
    "UPDATE audit SET at = at + 1 WHERE seq = 1",
    "DELETE FROM audit WHERE seq = 7",
    "DELETE FROM audit WHERE seq = 8",
)


def test_a_renewal_can_be_delayed_by_a_day_without_any_client_noticing(service):
    service.create()
    service.clock.advance(hours=25)
    assert service.node.renewer.tick().renewed == ("payments",)
    shown = service.ask("GET", "/statusz").json["pinsets"][0]
    expires = service.clock.now.replace(microsecond=0) + timedelta(days=3)
    assert (shown["timestamp_version"], shown["timestamp_expires"]) == (2, expires.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert json.loads(service.ask("GET", PAYMENTS).data)["timestamp"]["version"] == 2
