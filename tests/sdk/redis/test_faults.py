"""Faults of Redis in any order under a client that goes on: never below its floor, never without an answer (T4)."""

import logging
import os
import random
import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pinwarden import State
from pinwarden.cache_redis import limits
from tests.sdk.redis.saboteur import Saboteur
from tests.sdk.rival_writers import write_at_once

HOST = "api.example.com"
SOAK = os.environ.get("PINWARDEN_SOAK") == "1"
OPERATIONS = 20_000 if SOAK else 500


def test_no_order_of_faults_lowers_a_client_or_costs_it_its_update(
    make_redis: Any, make_client: Any, server: Any, authority: Any, shelf: Any, monkeypatch: Any, caplog: Any
) -> None:
    caplog.set_level(logging.CRITICAL, "pinwarden")  # what is captured would grow, and is not ours
    dice = random.Random(4)
    redis_server = make_redis()
    authority.rotate_root()
    authority.rotate_root()
    bundles = [authority.publish({HOST: [bytes([n]) * 32, b"2" * 32]}) for n in range(3, 9)]
    server.serve(authority)
    saboteur = Saboteur(redis_server, shelf.prefix, bundles, dice)
    clients = [make_client(cache=redis_server.url) for _ in range(3)]
    reached = [client.refresh().version for client in clients]
    tracemalloc.start()
    for number in range(OPERATIONS):
        if is_stopped := number % 100 == 99:
            saboteur.stop()
        monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.05 if is_stopped else 20.0)
        at = dice.randrange(3)
        if dice.random() < 0.1:
            authority.publish({HOST: [os.urandom(32), b"2" * 32]})
            server.serve(authority)
            assert clients[at].refresh().version == authority.pinset_version
            server.requests.clear()
            server.ports.clear()
        else:
            dice.choice((clients[at]._refresher.fleet.look, clients[at]._refresher.fleet.share))()
        status = clients[at].status()
        assert status.state is State.FRESH
        assert status.version >= reached[at]
        reached[at] = status.version
        saboteur.act()
        if number == 100:
            warm = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - warm
    tracemalloc.stop()
    assert sum(client.status().persist_failed for client in clients) > 0
    assert grown < 1024 * 1024
    assert [client.refresh().version for client in clients] == [authority.pinset_version] * 3
    assert make_client(cache=redis_server.url, url="http://localhost:1").status().version == authority.pinset_version


def test_processes_that_write_at_once_never_tear_or_lower_what_is_kept(
    real: Any, shelf: Any, authority: Any, tmp_path: Path
) -> None:
    (tmp_path / "root").write_bytes(authority.root_json)
    for version in range(2, 22):
        (tmp_path / f"{version}").write_bytes(authority.publish({HOST: [os.urandom(32), b"2" * 32]}).to_bytes())
    orders = ["2,4,6,8,10,12,14,16,18,20", "3,5,7,9,11,13,15,17,19,21", "21,3,20,4,19,5", "11,10,9,8,7,6,5"]
    highest = write_at_once(real.url, tmp_path, orders)
    assert max(highest) == 21
    assert shelf.version() == 21


def test_a_client_without_redis_starts_fetches_and_counts_what_it_could_not_keep(
    make_client: Any, server: Any, authority: Any, caplog: Any
) -> None:
    server.serve(authority)
    client = make_client(cache="redis://127.0.0.1:1")
    assert client.status().state is State.EMPTY
    status = client.refresh()
    assert (status.state, status.version, status.persist_failed) == (State.FRESH, 1, 1)
    assert "could not be kept for the next start: Redis at redis://127.0.0.1:1/0 cannot" in caplog.text


def test_new_roots_that_came_with_a_refused_bundle_are_kept_in_redis_too(
    make_client: Any, server: Any, authority: Any, shelf: Any, real: Any, clock: Any
) -> None:
    authority.rotate_root()
    server.serve(authority)
    clock.advance(days=40)  # the documents have ended; the root has not
    client = make_client(cache=real.url)
    with pytest.raises(Exception, match="has expired"):
        client.refresh()
    assert shelf.start().root.version == 2


def test_a_304_brings_a_flushed_redis_its_documents_back(
    make_client: Any, server: Any, authority: Any, shelf: Any, real: Any
) -> None:
    server.serve(authority, etag='"one"')
    client = make_client(cache=real.url)
    client.refresh()
    with real.client() as other:
        other.flushall()
    client.refresh()
    assert server.requests[-1][1]["If-None-Match"] == '"one"'
    assert shelf.version() == 1


def test_clients_of_one_redis_have_installation_ids_of_their_own(
    make_client: Any, real: Any, patient: None, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    drawn = {make_client(cache=real.url)._installation for _ in range(8)}
    assert len(drawn) == 8
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept = {make_client(cache=real.url)._installation for _ in range(8)}
    assert kept == {bytes.fromhex((tmp_path / "pinwarden" / "installation-id").read_text())}
    assert kept & drawn == set()


def test_redis_is_loaded_by_nobody_who_does_not_use_it(authority: Any, tmp_path: Path) -> None:
    (tmp_path / "root.json").write_bytes(authority.root_json)
    body = """
        import sys
        from pinwarden import PinClient
        client = PinClient("http://localhost:1", pinset="app", root=open(sys.argv[1], "rb").read(), cache=sys.argv[2])
        print([name for name in sys.modules if name.partition(".")[0] == "redis"])
        """
    command = [sys.executable, "-c", textwrap.dedent(body), str(tmp_path / "root.json"), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
