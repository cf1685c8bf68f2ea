"""A mismatch asks once for newer pins (spec E11): inline where the call may block, else in the background."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio
import uvloop
from pinned_peers import Peer
from pinned_service import SECRET, WRONG, Pins, dial

from pinwarden import PinMismatchError, PinsUnavailableError, guard
from pinwarden.enforce import Chain
from pinwarden.testing import pinned
from tests.waiting import until

HOST = "localhost"
BUNDLE = "/v1/bundles/app/1"


def exchange(peer: Peer, context: ssl.SSLContext) -> None:
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.sendall(SECRET)
        assert line.recv(len(SECRET)) == SECRET


def rotated(world: Any, pin: Any, **options: Any) -> Pins:
    """Return pins that are wrong in the client and right at the pin server."""
    pins: Pins = pin({HOST: [WRONG]}, options=options)
    pins.publish({HOST: [world.leaf.pin]})
    return pins


def test_the_same_connection_goes_on_after_one_refresh(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = rotated(world, pin), serve()
    exchange(peer, pins.context())
    assert (peer.finish(), peer.handshakes) == (SECRET, 1)
    assert pins.server.paths == [BUNDLE]
    assert (pins.client.status().version, pins.client.status().refused) == (2, 0)


def test_many_mismatches_ask_the_pin_server_once(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({HOST: [WRONG]}), serve()
    context = pins.context()
    for _ in range(3):
        with pytest.raises(PinMismatchError):
            exchange(peer, context)
    assert (peer.finish(), pins.server.paths) == (b"", [BUNDLE])


def test_a_new_look_is_taken_when_the_last_one_is_long_ago(
    world: Any, serve: Any, pin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins, peer = pin({HOST: [WRONG]}), serve()
    context = pins.context()
    with pytest.raises(PinMismatchError):
        exchange(peer, context)
    pins.publish({HOST: [world.leaf.pin]})
    monkeypatch.setattr(guard, "SECOND_LOOK_SECONDS", 0.0)
    exchange(peer, context)
    assert pins.server.paths == [BUNDLE, BUNDLE]


def test_threads_that_mismatch_together_share_one_refresh_and_all_go_on(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = rotated(world, pin), serve()
    context, failures = pins.context(), []
    pins.server.gate.clear()

    def connect() -> None:
        try:
            exchange(peer, context)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: peer.handshakes == 4)
    pins.server.gate.set()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert (peer.finish(), pins.server.paths) == (SECRET * 4, [BUNDLE])


def test_a_look_that_fails_leaves_the_refusal_and_the_pins(
    world: Any, serve: Any, pin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pins, peer = pin({HOST: [WRONG]}), serve()
    pins.server.pages[BUNDLE] = b"{}"
    with pytest.raises(PinMismatchError, match=r"app 1\.1"):
        exchange(peer, pins.context())
    assert "refresh failed: " in caplog.text
    assert (peer.finish(), pins.client.status().version) == (b"", 1)


def test_a_look_that_finds_another_wrong_pin_refuses_by_the_newer_one(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({HOST: [WRONG]}), serve()
    pins.publish({HOST: [b"v" * 32]})
    with pytest.raises(PinMismatchError, match=r"app 1\.2"):
        exchange(peer, pins.context())
    assert (peer.finish(), pins.client.status().refused) == (b"", 1)


def test_pins_that_arrive_during_the_judgement_count_even_where_nothing_may_block(world: Any, pin: Any) -> None:
    pins = pin({HOST: [WRONG]})

    def chain() -> Chain:
        if pins.client.status().version == 1:
            pins.switch({HOST: [world.leaf.pin]})
        return Chain((world.leaf.pin,), True)

    assert pins.client._guard.admit(HOST, chain, may_block=False) is pins.client._guard.token
    assert pins.client.status().refused == 0


def test_report_mode_and_unpinned_hosts_cause_no_look(world: Any, serve: Any, pin: Any) -> None:
    pins = pin([pinned(HOST, WRONG, mode="report")])
    exchange(serve(), pins.context())
    strict = pin({"api.example.com": [WRONG]}, options={"unpinned": "refuse"})
    with pytest.raises(PinMismatchError):
        exchange(serve(), strict.context())
    assert (pins.server.paths, strict.server.paths) == ([], [])


async def _asyncio(port: int, context: ssl.SSLContext) -> None:
    _, writer = await asyncio.open_connection(HOST, port, ssl=context)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _trio(port: int, context: ssl.SSLContext) -> None:
    async with await trio.open_ssl_over_tcp_stream(HOST, port, ssl_context=context) as stream:
        await stream.do_handshake()


LOOPS: dict[str, Callable[[int, ssl.SSLContext], None]] = {
    "asyncio": lambda *arguments: asyncio.run(_asyncio(*arguments)),
    "uvloop": lambda *arguments: uvloop.run(_asyncio(*arguments)),
    "trio": lambda *arguments: trio.run(_trio, *arguments),
}


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("started", [False, True])
def test_on_an_event_loop_the_refusal_comes_at_once_and_the_newer_pins_in_the_background(
    world: Any, serve: Any, pin: Any, loop: Any, started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins, peer = rotated(world, pin), serve()
    if started:
        hold_back_first_refresh(pins, monkeypatch)
    pins.server.gate.clear()  # the pin server does not answer before the refusal is there
    with pytest.raises((OSError, trio.BrokenResourceError)):
        loop(peer.port, pins.context())
    assert (pins.client.status().version, pins.client.status().refused) == (1, 1)
    pins.server.gate.set()
    until(lambda: pins.client.status().version == 2)
    loop(peer.port, pins.context())
    assert pins.server.paths == [BUNDLE]
    assert pins.client.status().refused == 1


def hold_back_first_refresh(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the background refresh as if its first run had been long ago."""
    over = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(pins.client._refresher.background, "_run_once", over.set)
        pins.client.start()
        assert over.wait(10)


def test_empty_on_an_event_loop_refuses_at_once_and_trusts_soon(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin(None), serve()
    pins.publish({HOST: [world.leaf.pin]})
    with pytest.raises(PinsUnavailableError, match=r"await asyncio\.to_thread\(pins\.refresh\)"):
        asyncio.run(_asyncio(peer.port, pins.context()))
    until(lambda: pins.client.status().version == 1)
    asyncio.run(_asyncio(peer.port, pins.context()))
    assert peer.finish() == b""


def test_a_non_blocking_socket_is_refused_at_once_too(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = rotated(world, pin), serve()
    pins.server.gate.clear()
    line = dial(peer)
    line.setblocking(False)
    with (
        pins.context().wrap_socket(line, server_hostname=HOST, do_handshake_on_connect=False) as tls_line,
        pytest.raises(PinMismatchError),
    ):
        until_done(tls_line.do_handshake)
    pins.server.gate.set()
    until(lambda: pins.client.status().version == 2)
    assert peer.finish() == b""


def until_done(step: Callable[[], object]) -> object:
    """Repeat *step* of a non-blocking connection until it has what it wants."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            return step()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            time.sleep(0.001)
    raise TimeoutError
