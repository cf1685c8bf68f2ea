"""A client's whole life: made, started, forked, closed, forgotten; and what a second one must not change."""

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden import ConfigError, FetchError, PinClient, PinMismatchError, PinwardenError, State, elapsed
from pinwarden import client as client_module
from pinwarden.cache import MemoryCache
from pinwarden.enforce import Chain
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority, ThrowawayKey, pinned
from pinwarden.trust import state as state_module
from tests.waiting import until

GOOD, BACKUP, WRONG = b"1" * 32, b"2" * 32, b"x" * 32
HOST = "api.example.com"
CHILD_SECONDS = 10.0
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def admit(client: PinClient, *pins: bytes, host: str = HOST) -> object:
    """Play a handshake whose verified chain has *pins*."""
    return client._guard.admit(host, lambda: Chain(pins, True), may_block=True)


def in_child(work: Callable[[], object]) -> str:
    """Run *work* in a forked child and return what it returned, as text; a child that hangs is killed and fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            told = str(work())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + CHILD_SECONDS
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            pytest.fail(f"the child hangs after {CHILD_SECONDS:g} s")
        time.sleep(0.005)
    with open(reading, "rb") as stream:
        return stream.read().decode()


def refresh_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pinwarden-refresh"]


def test_with_starts_and_closes_and_closing_twice_is_harmless(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    with make_client() as client:
        until(lambda: client.status().last_refresh)
        assert client.start() is client
        assert len(refresh_threads()) == 1
    client.close()
    assert refresh_threads() == []
    with client:
        until(lambda: len(server.paths) == 2)
    assert refresh_threads() == []


def test_closing_keeps_the_cache_and_the_pins(server: Any, authority: Any, make_client: Any, tmp_path: Path) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    files = {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
    client.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == files
    admit(client, GOOD)
    with pytest.raises(PinMismatchError):
        admit(client, WRONG)


def test_two_hundred_clients_made_used_and_forgotten_leave_nothing_behind(
    server: Any, authority: Any, make_client: Any, nothing_left: Any, tmp_path: Path
) -> None:
    server.serve(authority)
    registered: list[object] = []
    gc.collect()
    alive = len(client_module._alive)
    with nothing_left(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "register_at_fork", lambda **hooks: registered.append(hooks))
        for number in range(200):
            client = PinClient(server.url, pinset="app", root=authority.root_json, cache=MemoryCache())
            if number % 10 == 0:
                client.start()
                until(lambda client=client: client.status().last_refresh)
            elif number % 10 == 1:
                client.refresh()
        del client
        gc.collect()
        until(lambda: refresh_threads() == [])
        server.join()
    assert registered == []
    assert len(client_module._alive) == alive


def test_a_started_client_lives_as_long_as_something_that_it_judges(
    server: Any, authority: Any, nothing_left: Any
) -> None:
    server.serve(authority)
    client = PinClient(server.url, pinset="app", root=authority.root_json, cache=MemoryCache()).start()
    context, forgotten = client.ssl_context(), weakref.ref(client)
    del client
    gc.collect()
    assert forgotten() is not None
    assert len(refresh_threads()) == 1
    del context
    gc.collect()
    until(lambda: refresh_threads() == [])
    assert forgotten() is None


def test_a_refresh_imports_nothing_because_a_fork_during_an_import_would_block_the_child(
    server: Any, authority: Any, tmp_path: Path
) -> None:
    server.serve(authority)
    (tmp_path / "root.json").write_bytes(authority.root_json)
    program = """
        import sys
        from pathlib import Path
        from pinwarden import PinClient
        client = PinClient(sys.argv[1], pinset="app", root=Path(sys.argv[2]), cache=Path(sys.argv[2]).parent / "cache")
        before = set(sys.modules)
        client.refresh()
        print(sorted(set(sys.modules) - before))
        """
    command = [sys.executable, "-c", textwrap.dedent(program), server.url.replace("127.0.0.1", "localhost")]
    done = subprocess.run([*command, tmp_path / "root.json"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_importing_the_sdk_loads_no_http_library_and_no_x509_parser() -> None:
    program = "import sys, pinwarden; print([m for m in sys.argv[1:] if m in sys.modules])"
    modules = ["http.client", "urllib.request", "urllib3", "click", "cryptography.x509", "asyncio"]
    done = subprocess.run([sys.executable, "-c", program, *modules], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_forked_child_uses_neither_the_parents_connection_nor_its_instance_id(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    assert in_child(lambda: client.refresh().version) == "1"
    client.refresh()
    assert in_child(lambda: client.refresh().version) == "1"
    instances = [headers["Pinwarden-Instance"] for _, headers in server.requests]
    assert instances[0] == instances[2]
    assert len(set(instances)) == 3
    ports = server.ports
    assert ports[0] == ports[2]  # the parent's connection still works
    assert len(set(ports)) == 3


def test_a_child_forked_while_a_refresh_hangs_has_free_locks_and_a_thread_of_its_own(
    server: Any, raw_server: Any, authority: Any, make_client: Any
) -> None:
    reached, release = threading.Event(), threading.Event()
    bundle = authority.bundle().to_bytes()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(bundle) + bundle

    def hang(line: Any) -> None:
        line.head()
        line.send(answer[:200])  # the parent's thread is in the middle of a body
        reached.set()
        release.wait(CHILD_SECONDS)
        line.send(answer[200:])
        line.wait_for_end()

    def prompt(line: Any) -> None:
        while line.head():
            line.send(answer)

    with raw_server(hang, prompt) as slow:
        client = make_client(url=slow.url)
        with client:
            assert reached.wait(CHILD_SECONDS)
            assert client._refresher._lock.locked()

            def look() -> str:
                until(lambda: client.status().version)  # by the thread that the child has of its own
                client.refresh()
                admit(client, GOOD)
                return f"{len(refresh_threads())} {client.status().version}"

            assert in_child(look) == "1 1"
            release.set()
            until(lambda: client.status().version == 1)


@pytest.mark.parametrize("holder", ["_lock", "_errand"])
def test_a_child_gets_unlocked_locks_whoever_held_them(
    holder: str, server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    client = make_client()
    with getattr(client._refresher, holder), client._guard._look_lock, client._refresher.background._lock:
        # EMPTY: the handshake itself refreshes, then a thread is started.
        told = in_child(lambda: (admit(client, GOOD), client.start().status().version)[1])
    assert told == "1"


def test_a_child_forked_while_a_thread_judges_what_is_held_does_not_wait_for_that_thread(
    server: Any, authority: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    trust = client._guard.snapshot.trust
    reached, release, judge = threading.Event(), threading.Event(), state_module.verifies

    def slowly(*arguments: Any) -> bool:
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            release.wait(CHILD_SECONDS)
        return judge(*arguments)

    monkeypatch.setattr(state_module, "verifies", slowly)
    for name in ("pinset", "timestamp", "newest_issue", "fresh_until"):
        thread = threading.Thread(target=getattr, args=(replace(trust), name))
        thread.start()
        try:
            assert name == "newest_issue" or reached.wait(CHILD_SECONDS)  # which verifies nothing
            assert in_child(lambda name=name: getattr(replace(trust), name) == getattr(trust, name)) == "True"
        finally:
            release.set()
            thread.join()
        reached.clear()
        release.clear()


def test_a_preloading_master_forks_workers_that_each_refresh_by_themselves(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    with make_client(poll_seconds=0.05) as client:
        until(lambda: client.status().version == 1)

        def work() -> str:
            first = client.status().last_refresh
            mine = len(refresh_threads())
            client._clock.advance(seconds=1)
            until(lambda: client.status().last_refresh != first)
            client.close()
            return f"{mine} thread, then {len(refresh_threads())}"

        assert [in_child(work) for _ in range(4)] == ["1 thread, then 0"] * 4
        assert len(refresh_threads()) == 1


def test_a_child_of_a_closed_client_starts_no_thread(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    client = make_client(bootstrap=authority.bundle().to_bytes())
    client.start()
    client.close()
    assert in_child(lambda: (admit(client, GOOD), client.status(), len(refresh_threads()))[2]) == "0"


@pytest.mark.parametrize("use", ["status", "refresh", "admit", "start"])
def test_a_child_starts_the_thread_that_its_parent_had_only_when_it_uses_the_client(
    use: str, server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    uses = {"admit": lambda: admit(client, GOOD)}
    with make_client() as client:
        until(lambda: client.status().version)

        def count() -> str:
            unused = len(refresh_threads())
            uses.get(use, getattr(client, use, None))()
            return f"{unused} {len(refresh_threads())}"

        assert in_child(count) == "0 1"
        # A grandchild, as a program that makes itself a daemon has: the one between never used it.
        assert in_child(lambda: in_child(count)) == "0 1"


def test_a_child_that_closes_the_client_before_it_uses_it_starts_no_thread(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    with make_client() as client:
        until(lambda: client.status().version)
        assert (
            in_child(lambda: (client.close(), client.status(), admit(client, GOOD), len(refresh_threads()))[3]) == "0"
        )


def test_children_of_a_parent_with_fresh_pins_do_not_all_ask_at_once(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    with make_client() as client:
        until(lambda: client._refresher.background._failures == 0)

        def wait() -> float:
            client.status()
            return client._refresher.background._due - elapsed.seconds()

        waits = [float(in_child(wait)) for _ in range(8)]
    assert all(-1.0 < wait <= 300 for wait in waits)
    assert len(set(waits)) == 8
    assert len(server.paths) == 1


def test_refreshes_in_passing_back_off_and_honour_retry_after(
    server: Any, authority: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    client = make_client(bootstrap=authority.bundle().to_bytes())

    def due_in(answer: Any) -> float:
        server.answers["/v1/bundles/app/1"] = answer
        with pytest.raises(PinwardenError):
            client.refresh()
        return round(client._guard.due - time.monotonic(), -1)

    server.serve(authority)
    answer = type(server.answers["/v1/roots/1"])
    assert due_in(answer(b"{}")) == 600  # refused
    assert due_in(answer(b"", 500)) == 1200
    assert due_in(answer(b"", 503, {"Retry-After": "3000"})) == 3000
    server.serve(authority)
    client.refresh()
    assert round(client._guard.due - time.monotonic(), -1) == 300


def test_a_process_that_can_start_no_thread_still_judges_connections(
    server: Any, authority: Any, make_client: Any, caplog: Any
) -> None:
    server.serve(authority)
    client = make_client(bootstrap=authority.bundle().to_bytes())

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        admit(client, GOOD)
        with pytest.raises(PinMismatchError):
            admit(client, WRONG)
        with pytest.raises(FetchError, match="cannot be asked"):  # the server of this test needs threads, a fetch none
            client.refresh()
    assert "no refresh in passing: can't create new thread" in caplog.text
    assert not client._refresher._errand.locked()
    assert client.refresh().version == 1


def test_a_defect_in_a_refresh_is_told_in_the_status_too(
    make_client: Any, monkeypatch: pytest.MonkeyPatch, server: Any, authority: Any
) -> None:
    client = make_client()
    with monkeypatch.context() as patch:
        patch.setattr(client._refresher.updater, "update", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            client.refresh()
    assert client.status().last_error == "division by zero"
    server.serve(authority)
    assert client.refresh().last_error is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"root": b""}, "unusable: envelope is not JSON"),
        ({"root": None}, "root is neither a path nor bytes: expected a path, or the bytes themselves, got None."),
        ({"root": 7}, "root is neither a path nor bytes"),
        ({"root": "/"}, "root cannot be read from '/': Is a directory. Give a path, or the bytes themselves."),
        ({"pinset": ""}, "pinset is not a name: expected "),
        ({"pinset": "a/b"}, "pinset is not a name: expected "),
        ({"pinset": "a" * 65}, "pinset is not a name: expected "),
        ({"pinset": None}, "pinset is not a name: expected "),
        ({"url": None}, "url is not the address of a pin server"),
        ({"poll_second": 1}, "PinClient has no option 'poll_second': expected one of allow_http, "),
        ({"poll_second": 1}, "Did you mean 'poll_seconds'?"),
        ({"zzz": 1}, "PinClient has no option 'zzz'"),
        ({"when_empty": "allow"}, "when_empty is unknown: expected refuse or platform, got 'allow'."),
        ({"unpinned": None}, "unpinned is unknown: expected allow or refuse, got None."),
        (
            {"poll_seconds": "5"},
            "poll_seconds is not a time: expected seconds, more than 0 and at most 604800, got '5'.",
        ),
        ({"poll_seconds": True}, "poll_seconds is not a time"),
        ({"poll_seconds": float("nan")}, "poll_seconds is not a time"),
        ({"poll_seconds": float("inf")}, "poll_seconds is not a time"),
        ({"poll_seconds": -1}, "poll_seconds is not a time"),
        ({"bootstrap": "no/such/file"}, "bootstrap cannot be read from 'no/such/file': No such file or directory."),
        ({"bootstrap": b"{}"}, "Take the answer of /v1/bundles/NAME/1, unchanged."),
        ({"cache": ""}, "cache is empty: expected a folder. None chooses one, or memory."),
        ({"cache": "redis://"}, "the Redis URL of the cache is not usable: a host or a port in it is none: expected "),
        ({"cache": 7}, "cache is neither a folder nor a Cache"),
        ({"ca_file": "no/such/ca.pem"}, "ca_file 'no/such/ca.pem' cannot be used: No such file or directory."),
    ],
)
def test_a_client_that_can_never_work_says_at_construction_how_to_mend_it(
    arguments: dict[str, Any], message: str, make_client: Any, nothing_left: Any
) -> None:
    with nothing_left(), pytest.raises(ConfigError) as refused:
        make_client(**arguments)
    assert message in str(refused.value)


def test_a_client_without_a_root_or_a_name_is_a_type_error_that_names_what_is_missing() -> None:
    with pytest.raises(TypeError, match="'pinset' and 'root'"):
        PinClient("https://pins.example.com")  # type: ignore[call-arg]


def test_when_empty_platform_warns_the_line_that_chose_it(make_client: Any, authority: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PinClient(
            "http://localhost:1", pinset="app", root=authority.root_json, cache=MemoryCache(), when_empty="platform"
        )
    assert [(warning.category, warning.filename) for warning in caught] == [(RuntimeWarning, __file__)]
    assert "a bootstrap bundle avoids the need for it" in str(caught[0].message)


def test_a_constructor_never_touches_the_network(authority: Any, make_client: Any, raw_server: Any) -> None:
    with raw_server(lambda line: None) as server:
        make_client(url=server.url)
        assert server.connections == 0


def test_the_test_support_is_enough_to_test_an_application_with() -> None:
    with pytest.warns(InsecureForProductionWarning, match="keys that anyone can compute"):
        authority = ThrowawayAuthority("shop", seed="example")
    bundle = authority.publish({"api.shop.example": [GOOD, BACKUP]})
    client = PinClient(
        "http://localhost:1",
        pinset="shop",
        root=authority.root_json,
        cache=MemoryCache(),
        bootstrap=bundle.to_bytes(),
        clock=lambda: authority.now,
    )
    assert (client.status().state, client.status().version, client.status().authority) == (
        State.FRESH,
        1,
        authority.authority,
    )
    assert repr(client) == f"<PinClient {authority.authority}/shop fresh 1.1>"
    admit(client, GOOD, host="api.shop.example")
    with pytest.raises(PinMismatchError):
        admit(client, WRONG, host="api.shop.example")


def test_the_test_support_makes_the_same_bytes_from_the_same_seed_and_time() -> None:
    def made() -> tuple[bytes, bytes]:
        with pytest.warns(InsecureForProductionWarning, match="anyone can compute"):
            authority = ThrowawayAuthority(seed="same", now=NOW)
        return authority.root_json, authority.publish([pinned(HOST, GOOD)]).to_bytes()

    assert made() == made()


def test_the_test_support_rotates_keys_and_refuses_to_serve_what_was_never_published(make_client: Any) -> None:
    with pytest.warns(InsecureForProductionWarning, match="anyone can compute"):
        authority = ThrowawayAuthority(now=NOW)
    with pytest.raises(LookupError, match=r"call publish\(\) first"):
        authority.bundle()
    authority.timestamp_keys = [ThrowawayKey("new timestamp key")]
    authority.root_keys = [ThrowawayKey("new root key"), *authority.root_keys[:1]]
    authority.rotate_root(timestamp_epoch=2)
    authority.now += timedelta(days=1)
    authority.publish({HOST: [GOOD, BACKUP]})
    client = make_client(root=authority.root_json, bootstrap=authority.bundle().to_bytes(), clock=lambda: authority.now)
    assert (client.status().state, client.status().root) == (State.FRESH, 2)
    with pytest.raises(FetchError):
        client.refresh()
