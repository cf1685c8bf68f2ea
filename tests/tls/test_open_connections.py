"""Connections that are open when the pins change are judged again at their next read or write (spec E8)."""

import asyncio
import contextlib
import http.client
import io
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import trio
import urllib3
import uvloop
from pinned_clients import ContextAdapter
from pinned_dialogues import Http
from pinned_peers import Peer
from pinned_service import SECRET, WRONG, dial

from pinwarden import PinMismatchError, PinsUnavailableError, find_pin_error
from pinwarden.testing import pinned

HOST = "localhost"
MOVES: dict[str, Callable[[ssl.SSLSocket], object]] = {
    "send": lambda line: line.send(SECRET),
    "sendall": lambda line: line.sendall(SECRET),
    "sendfile": lambda line: line.sendfile(io.BytesIO(SECRET)),
    "write": lambda line: line.write(SECRET),
    "read": lambda line: line.read(1),
    "recv": lambda line: line.recv(1),
    "recv_into": lambda line: line.recv_into(bytearray(1)),
    "settimeout, then recv": lambda line: (line.settimeout(1), line.recv(1)),
}


@contextlib.contextmanager
def opened(peer: Peer, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """Open a connection on which data has flowed, with more on its way to the client."""
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.sendall(SECRET + b"?")
        assert (
            line.recv(
                len(SECRET),
            )
            == SECRET
        )
        yield line


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_after_the_pin_is_gone_no_byte_moves_in_either_direction(
    world: Any, serve: Any, pin: Any, move: Callable[[ssl.SSLSocket], object]
) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    with opened(peer, pins.context()) as line:
        pins.switch({HOST: [WRONG]})
        with pytest.raises(PinMismatchError, match=r"app 1\.2"):
            move(line)
        assert line.fileno() == -1
    assert peer.finish() == SECRET + b"?"


@pytest.mark.parametrize(
    "after",
    {
        "another pin that matches": lambda world: {HOST: [world.root.pin]},
        "a backup that matches": lambda world: {HOST: [WRONG, world.intermediate.pin]},
        "withdrawn": lambda world: {},
        "report mode": lambda world: [pinned(HOST, WRONG, mode="report")],
    }.items(),
    ids=lambda case: case[0],
)
@pytest.mark.parametrize("before", ["pinned", "unpinned"])
def test_a_connection_that_the_new_pins_allow_goes_on(
    world: Any, serve: Any, pin: Any, before: str, after: tuple[str, Callable[[Any], Any]]
) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]} if before == "pinned" else {"other.example.com": [WRONG]}), serve()
    with opened(peer, pins.context()) as line:
        pins.switch(after[1](world))
        line.sendall(SECRET)
        assert line.read(1) == b"?"
        assert line._pw_token is pins.client._guard.token
    assert pins.client.status().reported == (1 if after[0] == "report mode" else 0)
    assert peer.finish() == SECRET + b"?" + SECRET


def test_a_connection_of_a_host_that_had_no_pins_is_judged_by_its_first(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({"other.example.com": [WRONG]}), serve()
    with opened(peer, pins.context()) as line:
        pins.switch({HOST: [WRONG]})
        with pytest.raises(PinMismatchError):
            line.sendall(SECRET)
    assert peer.finish() == SECRET + b"?"


def test_a_key_that_is_denied_later_ends_what_it_carries(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    with opened(peer, pins.context()) as line:
        pins.switch({HOST: [world.leaf.pin]}, deny=(world.intermediate.pin,))
        with pytest.raises(PinMismatchError) as refused:
            line.sendall(SECRET)
    assert refused.value.step == "E3"
    assert peer.finish() == SECRET + b"?"


def test_a_refused_connection_stays_refused_when_the_pin_comes_back(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    with opened(peer, pins.context()) as line:
        pins.switch({HOST: [WRONG]})
        with pytest.raises(PinMismatchError):
            line.sendall(SECRET)
        pins.switch({HOST: [world.leaf.pin]})
        with pytest.raises(PinMismatchError, match=r"app 1\.2"):
            line.sendall(SECRET)
    assert peer.finish() == SECRET + b"?"


def test_the_remembered_failure_is_raised_fresh_each_time(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    raised = []
    with opened(peer, pins.context()) as line:
        pins.switch({HOST: [WRONG]})
        for _ in range(5):
            with pytest.raises(PinMismatchError) as refused:
                line.sendall(SECRET)
            raised.append(refused.value)
        for attempt in (lambda: line.settimeout(1), lambda: line.setblocking(True), line.do_handshake):
            with pytest.raises(PinMismatchError):
                attempt()
    assert len({id(error) for error in raised}) == 5
    assert len({str(error) for error in raised}) == 1
    depths = [len(traceback.extract_tb(error.__traceback__)) for error in raised[1:]]
    assert len(set(depths)) == 1
    assert {type(error.presented) for error in raised} == {tuple}


def test_time_alone_does_not_end_an_open_connection_but_the_next_handshake_fails(
    world: Any, serve: Any, pin: Any
) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    with opened(peer, pins.context()) as line:
        pins.advance(days=31)
        line.sendall(SECRET)
        assert line.read(1) == b"?"
    with pytest.raises(PinsUnavailableError, match="has expired"), opened(peer, pins.context()):
        pass
    assert peer.finish() == SECRET + b"?" + SECRET


def test_a_connection_without_tls_any_more_holds_no_key_for_its_first_pins(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({"other.example.com": [WRONG]}), serve()
    with opened(peer, pins.context()) as line:
        line.shutdown(socket.SHUT_RD)  # ssl forgets its state here, and would send plaintext
        pins.switch({HOST: [world.leaf.pin]})
        with pytest.raises(PinMismatchError, match="no verified key"):
            line.sendall(SECRET)
    peer.finish()
    assert SECRET not in peer.wire


def test_files_over_the_socket_fail_too_and_keep_failing(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    with opened(peer, pins.context()) as line:
        reader, writer = line.makefile("rb"), line.makefile("wb", buffering=0)
        pins.switch({HOST: [WRONG]})
        for attempt in (lambda: writer.write(SECRET), lambda: reader.read(1), lambda: writer.write(SECRET)):
            with pytest.raises(PinMismatchError):
                attempt()
    assert peer.finish() == SECRET + b"?"


async def _asyncio(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        writer.write(SECRET)
        assert await reader.readexactly(len(SECRET)) == SECRET
        await asyncio.to_thread(change)
        writer.write(SECRET)
        await reader.readexactly(len(SECRET))
    finally:
        writer.close()


async def _trio(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    async with await trio.open_ssl_over_tcp_stream(HOST, port, ssl_context=context) as stream:
        await stream.send_all(SECRET)
        assert await stream.receive_some(len(SECRET)) == SECRET
        await trio.to_thread.run_sync(change)
        await stream.send_all(SECRET)


def _urllib3(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    with urllib3.PoolManager(ssl_context=context) as pool:
        pool.request("GET", f"https://{HOST}:{port}/")
        change()
        pool.request("POST", f"https://{HOST}:{port}/", body=SECRET)


def _requests(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    with requests.Session() as session:
        session.mount("https://", ContextAdapter(context))
        session.get(f"https://{HOST}:{port}/")
        change()
        session.post(f"https://{HOST}:{port}/", data=SECRET)


def _http_client(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    with contextlib.closing(http.client.HTTPSConnection(HOST, port, context=context)) as connection:
        connection.request("GET", "/")
        connection.getresponse().read()
        change()
        connection.request("POST", "/", body=SECRET)


def _httpx(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    with httpx.Client(verify=context) as client:
        client.get(f"https://{HOST}:{port}/")
        change()
        client.post(f"https://{HOST}:{port}/", content=SECRET)


async def _httpx_async(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    async with httpx.AsyncClient(verify=context) as client:
        await client.get(f"https://{HOST}:{port}/")
        await asyncio.to_thread(change)
        await client.post(f"https://{HOST}:{port}/", content=SECRET)


async def _aiohttp(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"https://{HOST}:{port}/", ssl=context) as response:
            await response.read()
        await asyncio.to_thread(change)
        async with session.post(f"https://{HOST}:{port}/", ssl=context, data=SECRET) as response:
            await response.read()


async def _waiting(port: int, context: ssl.SSLContext, change: Callable[[], None]) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
    try:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await writer.drain()
        await asyncio.to_thread(change)
        received = await reader.read(1)
        pytest.fail(f"{received!r} was read")
    finally:
        writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_on_an_event_loop_no_byte_is_read_after_the_pin_is_gone(
    world: Any, serve: Any, pin: Any, run: Callable[..., None]
) -> None:
    pins, dialogue = pin({HOST: [world.leaf.pin]}), Http()
    peer = serve(dialogue=dialogue)
    dialogue.gate.clear()

    def change() -> None:
        pins.switch({HOST: [WRONG]})
        dialogue.gate.set()  # only now the server answers

    with pytest.raises(PinMismatchError):
        run(_waiting(peer.port, pins.context(), change))


KEPT: dict[str, tuple[Callable[..., Any], bool]] = {
    "asyncio": (lambda *arguments: asyncio.run(_asyncio(*arguments)), False),
    "uvloop": (lambda *arguments: uvloop.run(_asyncio(*arguments)), False),
    "trio": (lambda *arguments: trio.run(_trio, *arguments), False),
    "urllib3": (_urllib3, True),
    "requests": (_requests, True),
    "http.client": (_http_client, True),
    "httpx": (_httpx, True),
    "httpx on asyncio": (lambda *arguments: asyncio.run(_httpx_async(*arguments)), True),
    "aiohttp": (lambda *arguments: asyncio.run(_aiohttp(*arguments)), True),
}


@pytest.mark.parametrize(("client", "speaks_http"), KEPT.values(), ids=KEPT)
def test_libraries_that_keep_connections_do_not_send_on_them_either(
    world: Any, serve: Any, pin: Any, client: Callable[..., Any], speaks_http: bool
) -> None:
    pins = pin({HOST: [world.leaf.pin]})
    peer = serve(dialogue=Http()) if speaks_http else serve()
    with pytest.raises((OSError, httpx.HTTPError, trio.BrokenResourceError, urllib3.exceptions.HTTPError)) as raised:
        client(peer.port, pins.context(), lambda: pins.switch({HOST: [WRONG]}))
    assert isinstance(find_pin_error(raised.value), PinMismatchError)
    received = peer.finish()
    assert received.count(SECRET) == (0 if speaks_http else 1)
    assert b"POST" not in received
