"""Clients that share a Redis: one fetches an update, the others have it at once, and nobody is kept from fetching."""

import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pinwarden import CacheError, PinClient, PinMismatchError, State
from pinwarden.bundle import Bundle
from pinwarden.cache_redis import RedisCache, parse_address
from pinwarden.cache_redis import cache as room
from pinwarden.cache_redis import hints as hints_room
from pinwarden.cache_redis.fleet import Fleet
from pinwarden.cache_redis.head import Head
from pinwarden.enforce import Chain
from pinwarden.testing import pinned
from pinwarden.trust import KeptDocuments
from tests.waiting import WAIT_SECONDS, until

HOST = "api.example.com"


def published(authority: Any) -> Bundle:
    bundle: Bundle = authority.publish({HOST: [os.urandom(32), b"2" * 32]})
    return bundle


class Member:
    """A client in a process of its own."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, str(Path(__file__).with_name("member.py")), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._said: set[str] = set()

    def says(self, *expected: str) -> None:
        """Read what it says until all that is *expected* was among it, since the start."""
        assert self.process.stdout is not None
        while not self._said.issuperset(expected):
            line = self.process.stdout.readline()
            assert line, f"it ended, and never said all of {expected}, but {self._said}"
            self._said.add(line.strip())

    def do(self, command: str) -> None:
        """Give it a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Close its standard input and return its exit code."""
        self.process.communicate(timeout=WAIT_SECONDS)
        return self.process.returncode


@pytest.fixture
def join(server: Any, authority: Any, real: Any, tmp_path: Path) -> Iterator[Callable[..., Member]]:
    """Return a function that starts a member of the fleet; every one ends with the test."""
    (tmp_path / "root.json").write_bytes(authority.root_json)
    members: list[Member] = []

    def start(*, lease_seconds: float = 0.05) -> Member:
        members.append(Member(server.url, tmp_path / "root.json", real.url, lease_seconds))
        return members[-1]

    yield start
    for member in members:
        if member.process.poll() is None:
            member.process.kill()
        member.process.communicate()


def test_one_process_fetches_an_update_and_the_others_take_it_without_a_request(
    join: Any, server: Any, authority: Any
) -> None:
    server.serve(authority)
    members = [join(), join(), join()]
    for member in members:
        member.says("trusts 1", "turn is over")
    before = len(server.requests)
    published(authority)
    server.serve(authority)
    members[0].do("refresh")
    for member in members:
        member.says("trusts 2")
    assert server.paths[before:] == ["/v1/bundles/app/1"]
    assert [member.end() for member in members] == [0, 0, 0]


def test_a_process_that_is_stopped_and_goes_on_has_the_update_that_it_slept_through(
    join: Any, server: Any, authority: Any
) -> None:
    server.serve(authority)
    awake, asleep = join(), join()
    awake.says("trusts 1", "turn is over")
    asleep.says("trusts 1", "turn is over")
    asleep.process.send_signal(19)
    published(authority)
    server.serve(authority)
    awake.do("refresh")
    awake.says("trusts 2")
    before = len(server.requests)
    asleep.process.send_signal(18)
    asleep.says("trusts 2")
    assert len(server.requests) == before


class Turns:
    """A member of a fleet in this process, whose refreshes are counted."""

    def __init__(self, shelf: Any) -> None:
        self.refreshes = 0
        self.state = shelf.empty
        self.fleet: Fleet = shelf.cache.join(trust=lambda: self.state, take=self._take)
        self._news = False
        self.fleet.open()

    def _take(self, found: KeptDocuments) -> bool:
        news, self._news = self._news, False
        return news

    def _refresh(self) -> None:
        self.refreshes += 1

    def turn(self) -> int:
        """Do what is due, and return how many refreshes there were so far."""
        self.fleet.turn(self._refresh)
        return self.refreshes

    def hear_news(self) -> None:
        """Be told of a newer document, as by a hint."""
        self._news = True
        self.fleet.look()
        until(self.fleet._news.is_set)  # the thread that listens may have looked first


@pytest.fixture
def turns(shelf: Any, monkeypatch: Any) -> Iterator[Turns]:
    """A member of a fleet with a lease of 50 ms."""
    monkeypatch.setattr(room, "LEASE_SECONDS", 0.05)
    turns = Turns(shelf)
    yield turns
    turns.fleet.close()


def test_of_two_whose_turn_has_come_one_holds_the_lease_and_the_other_waits_for_it(shelf: Any) -> None:
    waits = [shelf.cache.seconds_to_wait() for _ in range(3)]
    assert waits[0] == 0.0
    assert all(0 < wait <= room.LEASE_SECONDS for wait in waits[1:])


@pytest.mark.parametrize(
    "holder",
    [
        lambda client, key: client.set(key, "dead", px=40),
        lambda client, key: client.set(key, "for ever"),
        lambda client, key: client.set(key, "for a year", ex=365 * 86400),
        lambda client, key: client.rpush(key, "of another type"),
    ],
)
def test_whoever_holds_the_lease_stops_no_other_for_longer_than_it_lasts(holder: Any, turns: Turns, shelf: Any) -> None:
    with shelf.server.client() as client:
        for expected in (1, 2, 3):
            holder(client, shelf.key("lease"))
            assert turns.turn() == expected
            client.delete(shelf.key("lease"))


def test_news_spare_a_client_its_own_question_once_and_never_twice_in_a_row(turns: Turns) -> None:
    assert turns.turn() == 1
    for expected in (1, 2, 2, 3, 3, 4):
        turns.hear_news()
        assert turns.turn() == expected


def test_a_redis_that_is_away_spares_nobody_a_question(turns: Turns, shelf: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(shelf.cache, "_address", parse_address("redis://127.0.0.1:1"))
    assert [turns.turn(), turns.turn()] == [1, 2]


def test_a_close_ends_a_turn_that_waits_for_others(shelf: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "LEASE_SECONDS", WAIT_SECONDS)
    shelf.cache.seconds_to_wait()
    waiting = Turns(shelf)
    thread = threading.Thread(target=waiting.turn)
    thread.start()
    until(lambda: waiting.fleet.hints.is_running)
    waiting.fleet.close()
    thread.join(WAIT_SECONDS / 2)
    assert not thread.is_alive()
    assert (waiting.turn(), waiting.fleet.hints.is_running) == (0, False)


@pytest.fixture
def pair(make_client: Any, server: Any, authority: Any, real: Any, patient: None, monkeypatch: Any) -> Any:
    """Two clients of one Redis that trust version 1; the second listens for hints and never polls again."""
    monkeypatch.setattr(room, "LEASE_SECONDS", 0.01)
    server.serve(authority)
    first = make_client(cache=real.url)
    first.refresh()
    second = make_client(cache=real.url, poll_seconds=3600).start()
    until(lambda: second.status().last_refresh)
    until(lambda: second._refresher.fleet.hints._link)
    return first, second


def hints_of(client: PinClient) -> Any:
    return client._refresher.fleet.hints  # type: ignore[union-attr]


def test_an_update_reaches_the_clients_that_listen(pair: Any, server: Any, authority: Any) -> None:
    first, second = pair
    before = len(server.requests)
    for version in (2, 3, 4):
        published(authority)
        server.serve(authority)
        first.refresh()
        until(lambda version=version: second.status().version == version)
    assert len(server.requests) - before == 3


def test_new_roots_reach_the_clients_that_listen(pair: Any, server: Any, authority: Any) -> None:
    first, second = pair
    authority.rotate_root()
    published(authority)
    server.serve(authority)
    first.refresh()
    until(lambda: second.status().version == 2)
    assert second.status().root == 2


def listening(client: PinClient) -> list[threading.Thread]:
    """Start *client*, and return its threads once it listens."""
    before = set(threading.enumerate())
    client.start()
    until(lambda: hints_of(client)._link)
    return [thread for thread in threading.enumerate() if thread not in before]


def counted(client: PinClient) -> list[int]:
    """Return a list that grows with each look of *client* into the cache."""
    looks: list[int] = []
    fleet = client._refresher.fleet
    assert fleet is not None
    load = fleet._cache.load

    def look() -> KeptDocuments:
        looks.append(1)
        return load()

    fleet._cache.load = look  # type: ignore[method-assign]
    return looks


def hearings(client: PinClient) -> list[int]:
    """Return a list that grows with each batch of hints that *client* has heard and is about to judge."""
    heard: list[int] = []
    hints = hints_of(client)
    held = hints._held

    def asked() -> Head | None:
        heard.append(1)
        return held()

    hints._held = asked
    return heard


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"garbage" * 1000,
        b"pinwarden-1 0.0 0.0 0",
        b"pinwarden-1 1.1 1.1 1",
        b"pinwarden-2 9.9 9.9 9",
        b"pinwarden-1 99999999999999999.1 1.1 1",
        "pinwarden-1 \u0669.1 1.1 1".encode(),
        b"pinwarden-1 9.9 9.9 9\n",
    ],
    ids=lambda message: repr(message[:40]),
)
def test_a_hint_that_promises_nothing_makes_nobody_look(
    message: bytes, pair: Any, real: Any, server: Any, authority: Any
) -> None:
    first, second = pair
    looks, heard = counted(second), hearings(second)
    with real.client() as client:
        for _ in range(50):
            client.publish(hints_of(second)._cache.channel, message)
    until(lambda: heard)  # or it would be heard together with the one that is true
    published(authority)
    server.serve(authority)
    first.refresh()
    until(lambda: second.status().version == 2)
    assert len(looks) == 1


def test_a_flood_of_false_promises_costs_a_few_looks_and_the_update_still_comes(
    pair: Any, real: Any, server: Any, authority: Any, monkeypatch: Any
) -> None:
    first, second = pair
    monkeypatch.setattr(hints_room, "MIN_PAUSE_SECONDS", 0.01)
    looks = counted(second)
    with real.client() as client:
        for burst in (*[1] * 60, 3000):
            for _ in range(burst):
                client.publish(hints_of(second)._cache.channel, b"pinwarden-1 9.9 9.9 9")
            time.sleep(0.02)  # longer than one batch is gathered for
    until(lambda: looks)
    assert len(looks) < 16
    published(authority)
    server.serve(authority)
    first.refresh()
    until(lambda: second.status().version == 2)
    assert hints_of(second).is_running


def test_after_a_break_of_the_line_the_client_listens_again_and_misses_nothing(
    pair: Any, real: Any, server: Any, authority: Any
) -> None:
    first, second = pair
    with real.client() as client:
        for version in (2, 3):
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            published(authority)
            server.serve(authority)
            first.refresh()
            until(lambda version=version: second.status().version == version)


def test_a_long_silence_is_broken_by_a_question(pair: Any, real: Any, monkeypatch: Any, make_client: Any) -> None:
    monkeypatch.setattr(hints_room, "QUIET_SECONDS", 0.02)
    with real.client() as client:
        before = client.info("commandstats")["cmdstat_subscribe"]["calls"]
        listener = make_client(cache=real.url, poll_seconds=3600).start()
        until(lambda: client.info("commandstats")["cmdstat_subscribe"]["calls"] > before + 8)
        assert client.pubsub_numsub(hints_of(listener)._cache.channel)[0][1] == 2  # one connection each


def test_closing_ends_the_thread_and_leaves_no_connection(
    make_client: Any, server: Any, authority: Any, real: Any, patient: None, nothing_left: Any
) -> None:
    server.serve(authority)
    with nothing_left():
        client = make_client(cache=real.url)
        for _ in range(2):
            client.start()
            until(lambda: hints_of(client)._link)
            client.close()
            assert not hints_of(client).is_running
        server.join()


def test_a_client_that_everyone_forgot_listens_no_more(
    server: Any, authority: Any, real: Any, patient: None, clock: Any
) -> None:
    server.serve(authority)
    threads = listening(PinClient(server.url, pinset="app", root=authority.root_json, cache=real.url, clock=clock))
    until(lambda: gc.collect() >= 0 and not any(thread.is_alive() for thread in threads))


def test_a_forked_child_listens_for_itself_and_the_parent_goes_on(pair: Any, server: Any, authority: Any) -> None:
    first, second = pair
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"%d" % hints_of(second).is_running)
            until(lambda: second.status().version == 2)
            os.write(writing, b"2")
        finally:
            os._exit(0)
    published(authority)
    server.serve(authority)
    first.refresh()
    until(lambda: second.status().version == 2)
    os.close(writing)
    with open(reading, "rb") as told:
        assert told.read()[1:] == b"2"
    assert os.waitpid(child, 0)[1] == 0


def test_a_document_that_has_ended_puts_no_client_down_that_has_better_ones(
    make_client: Any, server: Any, authority: Any, real: Any, shelf: Any, clock: Any
) -> None:
    server.serve(authority)
    client = make_client(cache=real.url)
    client.refresh()
    ended = authority.sign_pinset(
        [pinned(HOST, b"1" * 32, b"2" * 32, on_expiry="platform")], expires=clock.now.replace(microsecond=0)
    )
    short = Bundle((), authority.sign_timestamp(ended), ended)
    shelf.keep(short)
    clock.advance(seconds=5)
    assert shelf.version() == 2
    assert not client._refresher.fleet.look()
    assert (client.status().version, client.status().state) == (1, State.FRESH)


def test_a_split_view_is_told_once_with_both_envelopes_and_displaces_nothing(
    make_client: Any, server: Any, authority: Any, real: Any, shelf: Any, caplog: Any
) -> None:
    server.serve(authority)
    clients = [make_client(cache=real.url), make_client(cache=real.url)]
    shown = []
    for client, pin in zip(clients, (b"a", b"b"), strict=True):  # a thief with both keys, and two audiences
        authority.pinset_version = authority.timestamp_version = 0
        bundle = authority.publish({HOST: [pin * 32, b"2" * 32]})
        shown.append(bundle)
        server.serve(authority)
        client.refresh()
    second = clients[1]
    assert second._guard.snapshot.trust.pinset.hosts[0].pins[0].sha256 == b"b" * 32
    assert second.status().split_views == 2
    second.refresh()
    assert second.status().split_views == 2
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("split view: ")]
    assert len(told) == 2
    assert told[1].startswith("split view: pinset 1.1 has two contents, SHA-256 ")
    key = told[1].partition("Both are kept in ")[2].partition(". ")[0]
    with real.client() as client:
        evidence = json.loads(client.get(key))
    assert evidence == {
        "format": "pinwarden-evidence-1",
        "kind": "pinset",
        "epoch": 1,
        "version": 1,
        "held": shown[1].pinset.to_json(),
        "shown": shown[0].pinset.to_json(),
    }
    assert shelf.start().pinset.hosts[0].pins[0].sha256 == b"a" * 32
    assert [client.status().split_views for client in clients] == [0, 2]
    authority.publish({HOST: [b"c" * 32, b"2" * 32]})
    server.serve(authority)
    assert clients[0].refresh().version == 2
    assert shelf.version() == 2


def test_unsigned_documents_of_the_same_version_are_no_split_view(
    make_client: Any, server: Any, authority: Any, shelf: Any, real: Any
) -> None:
    server.serve(authority)
    client = make_client(cache=real.url)
    client.refresh()
    with real.client() as other:
        value = other.get(shelf.key("newest"))
        other.set(shelf.key("newest"), value.replace(b'"payload":"', b'"payload":"AAAA'))
    client.refresh()
    assert client.status().split_views == 0
    assert shelf.version() == 1


def test_no_handshake_touches_redis_and_what_it_fetched_is_kept_after_it(
    make_client: Any, server: Any, authority: Any, shelf: Any, real: Any, monkeypatch: Any
) -> None:
    server.serve(authority)
    client = make_client(cache=real.url)
    client.refresh()
    authority.publish({HOST: [b"n" * 32, b"2" * 32]})
    server.serve(authority)
    linked: list[str] = []
    link = RedisCache._link

    def spy(cache: RedisCache) -> Any:
        linked.append(threading.current_thread().name)
        return link(cache)

    monkeypatch.setattr(RedisCache, "_link", spy)
    client._guard.admit(HOST, lambda: Chain((b"n" * 32,), True), may_block=True)
    assert client.status().version == 2
    until(lambda: shelf.version() == 2)
    assert set(linked) - {"pinwarden-share", "MainThread"} == set()
    assert linked[0] == "pinwarden-share"


def test_a_handshake_that_is_refused_waits_for_no_redis(
    make_client: Any, server: Any, authority: Any, monkeypatch: Any, real: Any, patient: None
) -> None:
    server.serve(authority)
    client = make_client(cache=real.url)
    client.refresh()
    released = threading.Event()
    entered = threading.Event()

    def hang(cache: RedisCache) -> Any:
        entered.set()
        released.wait(WAIT_SECONDS)
        raise CacheError("away")

    monkeypatch.setattr(RedisCache, "_link", hang)
    with pytest.raises(PinMismatchError):
        client._guard.admit(HOST, lambda: Chain((b"x" * 32,), True), may_block=True)
    assert entered.wait(WAIT_SECONDS)
    assert client.status().persist_failed == 0  # it still hangs, and nobody waited for it
    released.set()
    until(lambda: client.status().persist_failed == 1)
