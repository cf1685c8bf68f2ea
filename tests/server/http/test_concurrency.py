"""Many at once, on real worker processes: nothing acknowledged is lost, and nobody sees a version fall."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden_server import audit
from pinwarden_server.store import open_store

PUBLISHERS, PUBLICATIONS = 16, 4
PATH = "/admin/v1/pinsets/contested"
BUNDLE = "/v1/bundles/contested/1"


def publisher(server: Any, number: int) -> list[str]:
    """Publish PUBLICATIONS times over whatever is in force, as a person would; return the versions acknowledged."""
    acknowledged: list[str] = []
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        headers = {"Authorization": f"Bearer {server.admin}", "Content-Type": "application/json"}
        etag = http.request("GET", server.url + PATH, headers=headers).headers["ETag"]
        while len(acknowledged) < PUBLICATIONS:
            mark = f"{number} {len(acknowledged)}"
            body = json.dumps(server.draft(mark, f"spare of {mark}", reason=mark)).encode()
            answer = http.request("PUT", server.url + PATH, body=body, headers={**headers, "If-Match": etag})
            etag = answer.headers["ETag"]  # of the new version, or of the one that was faster
            if answer.status == 200:
                acknowledged.append(answer.json()["version"])
            else:
                server.problem(answer, 412, "stale-version")
    return acknowledged


def reader(server: Any, over: threading.Event) -> list[int]:
    """Fetch like a client that verifies everything, until the publishers are done; return the versions seen."""
    seen: list[int] = []
    root = server.installation.root_json.read_bytes()
    state = trust.begin(root, name="contested")
    with urllib3.PoolManager(retries=False, timeout=60) as http:
        while not over.wait(0.02):
            bundle = Bundle.parse(http.request("GET", server.url + BUNDLE).data)
            state = trust.advance_bundle(state, bundle, now=server.now())
            seen.append(state.pinset.version)
    return seen


def test_sixteen_publishers_lose_no_update_and_no_reader_sees_a_version_fall(start):
    server = start(PINWARDEN_SERVER_WORKERS="2", PINWARDEN_SERVER_THREADS="8")
    created = server.ask("PUT", PATH, body=server.draft(), If_None_Match="*")
    assert created.status == 201
    over = threading.Event()
    with ThreadPoolExecutor(PUBLISHERS + 2) as pool:
        readers = [pool.submit(reader, server, over) for _ in range(2)]
        publishers = [pool.submit(publisher, server, number) for number in range(PUBLISHERS)]
        try:
            acknowledged = [version for future in publishers for version in future.result()]
        finally:
            over.set()
        seen = [future.result() for future in readers]
    stored = server.rows("SELECT epoch || '.' || version FROM versions WHERE name = 'contested'")
    assert sorted([*acknowledged, "1.1"]) == sorted(row[0] for row in stored)
    assert len(set(acknowledged)) == PUBLISHERS * PUBLICATIONS
    assert all(versions == sorted(versions) for versions in seen)
    reasons = server.rows("SELECT reason FROM versions WHERE name = 'contested' AND version > 1")
    wanted = {f"{number} {turn}" for number in range(PUBLISHERS) for turn in range(PUBLICATIONS)}
    assert {row[0] for row in reasons} == wanted
    latest = max(int(version.partition(".")[2]) for version in acknowledged)
    for worker in server.workers:
        with server.silenced(worker):
            assert server.version_of(server.fetch(BUNDLE).data) == f"1.{latest}"
    store = open_store(server.installation.settings().database_url)
    assert audit.verify_chain(store.reader).rows == 2 + 1 + PUBLISHERS * PUBLICATIONS
    store.close()


def test_of_sixteen_who_create_one_pin_set_one_succeeds(server):
    def create(number: int) -> int:
        body = server.draft(f"{number}", "spare")
        return int(server.ask("PUT", "/admin/v1/pinsets/wanted", body=body, If_None_Match="*").status)

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        statuses = sorted(pool.map(create, range(PUBLISHERS)))
    assert statuses == [201] + [412] * (PUBLISHERS - 1)
    assert server.rows("SELECT count(*) FROM versions WHERE name = 'wanted'") == [(1,)]


def test_one_request_sent_over_many_connections_and_workers_is_done_once(server):
    created = server.ask("PUT", "/admin/v1/pinsets/repeated", body=server.draft(), If_None_Match="*")
    ask = {"body": server.draft("new", "spare"), "If_Match": created.headers["ETag"], "Idempotency_Key": "one"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.ask("PUT", "/admin/v1/pinsets/repeated", **ask), range(8)))
    assert {(answer.status, answer.data) for answer in answers} == {(200, answers[0].data)}
    assert server.rows("SELECT count(*) FROM versions WHERE name = 'repeated'") == [(2,)]
