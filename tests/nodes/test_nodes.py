"""Several nodes: whoever publishes, every worker of every node serves it; the database may go away meanwhile."""

import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import Root
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden_keys import file_uri, open_signer, passphrase_file
from pinwarden_keys.ceremony import assemble, next_root, roles_of, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_server import audit
from pinwarden_server.installation import Installation
from pinwarden_server.renewal import LEASE
from pinwarden_server.store import Store
from pinwarden_server.store.tables import pinsets
from tests.nodes.conftest import Server, draft, two_nodes
from tests.postgres import Postgres

pytestmark = pytest.mark.xdist_group("nodes")


def served_everywhere(server: Server, name: str) -> set[str | None]:
    """Return what the workers of *server* serve, each asked alone."""
    found = set()
    for worker in server.workers[-2:]:
        with server.silenced(worker):
            found.add(server.served(name))
    return found


def test_a_publication_is_served_by_every_worker_of_its_node_at_once_and_by_every_node_soon(
    nodes: tuple[Server, Server],
) -> None:
    for turn, (here, there) in enumerate((nodes, nodes[::-1], nodes), 1):
        assert here.publish("soon", f"pin {turn}") == f"1.{turn}"
        assert served_everywhere(here, "soon") == {f"1.{turn}"}
        assert here.in_tree("soon") == f"1.{turn}"
        # A worker that reads the tree just before the bell rings is ahead of its siblings by that moment.
        there.wait_until(lambda there=there, turn=turn: served_everywhere(there, "soon") == {f"1.{turn}"})
        assert there.in_tree("soon") == f"1.{turn}"
    bodies = [node.fetch("/v1/bundles/soon/1").data for node in nodes]
    assert bodies[0] == bodies[1]


def test_a_node_that_comes_back_catches_up_even_when_the_database_comes_later_than_the_node(
    tmp_path: Path, postgres: Postgres
) -> None:
    with two_nodes(tmp_path / "nodes", postgres) as (here, there):
        here.publish("payments", "before")
        there.wait_until(lambda: there.served("payments") == "1.1")
        there.tell_to_stop()
        assert there.end() == 0
        here.publish("payments", "meanwhile")
        here.publish("orders", "new")
        postgres.stop()
        again = Server(there.installation)
        try:
            assert (again.served("payments"), again.served("orders")) == ("1.1", None)
            postgres.start()
            again.wait_until(lambda: (again.served("payments"), again.served("orders")) == ("1.2", "1.1"))
        finally:
            again.tell_to_stop()
            assert again.end() == 0


def test_the_worker_that_follows_is_replaced_when_it_is_killed(nodes: tuple[Server, Server]) -> None:
    here, there = nodes
    here.publish("killed", "before")
    there.wait_until(lambda: there.served("killed") == "1.1")
    for worker in list(there.workers):
        os.kill(worker, signal.SIGKILL)
        here.publish("killed", f"after {worker}")
        wanted = here.served("killed")
        there.wait_until(lambda wanted=wanted: there.in_tree("killed") == wanted)
        there.wait_until(lambda wanted=wanted: there.served("killed") == wanted)


def test_one_worker_of_all_nodes_renews(nodes: tuple[Server, Server], store: Store) -> None:
    nodes[0].publish("renewed", "live")
    before = nodes[0].timestamp("renewed")
    now = datetime.now(UTC)
    assert not store.writer.take_lease(LEASE, "stranger", now=now, until=now + timedelta(seconds=1))
    with store.writer.transaction() as transaction:
        transaction.run(pinsets.update().where(pinsets.c.name == "renewed").values(renew_timestamp_after=now))
    for node in nodes:
        node.wait_until(lambda node=node: (node.timestamp("renewed") or 0) > before)
    renewals = [row for row in store.reader.audit(limit=10_000) if row.action == "timestamp.renew"]
    assert [(row.subject, row.actor) for row in renewals] == [("renewed", "system:renewal")]


def test_a_root_that_is_published_to_one_node_is_served_by_the_other(nodes: tuple[Server, Server]) -> None:
    here, there = nodes
    here.publish("rooted", "live")
    answer = here.ask("POST", "/roots", _next_root(here.installation))
    assert answer.status == 201, answer.data
    state = trust.begin(here.installation.root_json.read_bytes(), name="rooted")

    def reached() -> int:
        bundle = Bundle.parse(there.fetch("/v1/bundles/rooted/1").data)
        return trust.advance_bundle(state, bundle, now=datetime.now(UTC)).root.version

    # Each of them apart: the workers of a node hear of it one after the other.
    there.wait_until(lambda: there.fetch("/v1/roots/2").status == 200)
    there.wait_until(lambda: there.served("rooted", root=2) == here.served("rooted", root=2))
    there.wait_until(lambda: reached() == 2)


def _next_root(first: Installation) -> dict[str, Any]:
    envelope = Envelope.parse(first.root_json.read_bytes(), expect=ROOT_TYPE)
    root = Root.parse(envelope.payload)
    following = next_root(root, roles_of(root), now=datetime.now(UTC), lifetime=timedelta(days=365))
    unsigned = RootDraft(following.encode(), envelope, {})
    signer = open_signer(file_uri(first.key("root")), passphrase=passphrase_file(first.passphrase))
    signed = assemble(unsigned, [sign_draft(unsigned, signer)])
    return {"root": signed.to_json(), "reason": "one key is enough here", "force": ["ROOT006", "ROOT007"]}


def test_public_reads_do_not_notice_that_the_database_restarts_and_publishing_comes_back_by_itself(
    nodes: tuple[Server, Server], postgres: Postgres, store: Store
) -> None:
    here, there = nodes
    here.publish("restarted", "before")
    there.wait_until(lambda: served_everywhere(there, "restarted") == {"1.1"})
    over, failures, seen = threading.Event(), [], []

    def read(node: Server) -> None:
        while not over.is_set():
            try:
                seen.append(node.served("restarted"))
            except Exception as error:
                failures.append(repr(error))

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read, node) for node in nodes]
        try:
            postgres.stop(signal.SIGQUIT)
            refused = here.ask("PUT", "/pinsets/restarted", draft("away"), If_Match='"1.1"')
            assert (refused.status, refused.json()["type"]) == (503, "urn:pinwarden:problem:store-unavailable")
            assert "canary" not in refused.data.decode()
            assert here.fetch("/readyz").status == 200
            count = len(seen)
            here.wait_until(lambda: len(seen) > count + 20)
            postgres.start()
            here.wait_until(lambda: here.ask("GET", "/pinsets").status == 200)
            assert here.publish("restarted", "after") == "1.2"
            there.wait_until(lambda: there.served("restarted") == "1.2")
            assert there.publish("restarted", "after that") == "1.3"
            here.wait_until(lambda: here.served("restarted") == "1.3")
        finally:
            over.set()
        for each in reading:
            each.result()
    assert failures == []
    assert set(seen) <= {"1.1", "1.2", "1.3"}
    assert audit.verify_chain(store.reader).rows == store.reader.audit_head()[0]
    logs = here.log + there.log
    assert "this node follows the others again" in logs
    assert "canary" not in logs


PUBLISHERS, PUBLICATIONS = 16, 4


def test_sixteen_publishers_on_two_nodes_lose_no_update(nodes: tuple[Server, Server], store: Store) -> None:
    nodes[0].publish("contested", "first")
    nodes[1].wait_until(lambda: nodes[1].served("contested") == "1.1")

    def publisher(number: int) -> list[str]:
        node, acknowledged = nodes[number % 2], []
        etag = node.ask("GET", "/pinsets/contested").headers["ETag"]
        while len(acknowledged) < PUBLICATIONS:
            mark = f"{number} {len(acknowledged)}"
            answer = node.ask("PUT", "/pinsets/contested", draft(mark, reason=mark), If_Match=etag)
            etag = answer.headers["ETag"]  # of the new version, or of the one that was faster
            if answer.status == 200:
                acknowledged.append(json.loads(answer.data)["version"])
            else:
                assert answer.status == 412, answer.data
        return acknowledged

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        acknowledged = [version for versions in pool.map(publisher, range(PUBLISHERS)) for version in versions]
    rows = store.reader.versions("contested", limit=1000)
    assert sorted([*acknowledged, "1.1"]) == sorted(f"{row.tag[0]}.{row.tag[1]}" for row in rows)
    assert {row.reason for row in rows[:-1]} == {f"{n} {t}" for n in range(PUBLISHERS) for t in range(PUBLICATIONS)}
    newest = f"1.{rows[0].tag[1]}"
    for node in nodes:
        node.wait_until(lambda node=node: node.served("contested") == newest)
        node.wait_until(lambda node=node: served_everywhere(node, "contested") == {newest})
    assert audit.verify_chain(store.reader).rows == store.reader.audit_head()[0]
    published = [row for row in store.reader.audit(limit=10_000) if row.subject == "contested"]
    assert len([row for row in published if row.action in ("pinset.create", "pinset.publish")]) == len(rows)
