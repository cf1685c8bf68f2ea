"""
The libraries that people use, each pinned in both ways, with a right and a wrong pin; the server's bytes decide.

docs/enforcement.md lists what each raises; this table is where that list comes from.
"""

import ssl
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import aiohttp
import httpx
import pinned_clients as clients
import pytest
import requests
import trio
import urllib3
from conftest import WRONG
from pinned_peers import FTP, IMAP, POP3, SMTP, Http, echo, http2, websocket

from pinwarden import PinMismatchError, find_pin_error


@dataclass(frozen=True)
class Row:
    """
    One library, and what it talks to.

    Attributes:
        raises: what its users catch for a wrong pin.
        connections: how many it makes before it gives up.
    """

    client: Any
    dialogue: Any
    raises: type[BaseException]
    prelude: Any = None
    connections: int = 1
    alpn: str | None = None


def page() -> Http:
    return Http({"/": b"hello"})


ROWS = {
    "http.client": Row(clients.http_client, page, PinMismatchError),
    "urllib.request": Row(clients.urllib_request, page, URLError),
    "urllib3": Row(clients.urllib3_pool, page, urllib3.exceptions.MaxRetryError, connections=4),
    "urllib3, retries=False": Row(clients.urllib3_once, page, urllib3.exceptions.SSLError),
    "requests": Row(clients.requests_session, page, requests.exceptions.SSLError),
    "httpx": Row(clients.httpx_sync, page, httpx.ConnectError),
    "httpx on asyncio": Row(clients.httpx_asyncio, page, httpx.ConnectError),
    "httpx on trio": Row(clients.httpx_trio, page, httpx.ConnectError),
    "httpx, HTTP/2": Row(clients.httpx_http2, lambda: http2, httpx.ConnectError, alpn="h2"),
    "httpx on asyncio, HTTP/2": Row(clients.httpx_asyncio_http2, lambda: http2, httpx.ConnectError, alpn="h2"),
    "aiohttp": Row(clients.aiohttp_session, page, aiohttp.ClientConnectorCertificateError),
    "aiohttp on uvloop": Row(clients.aiohttp_uvloop, page, aiohttp.ClientConnectorCertificateError),
    "asyncio streams": Row(clients.asyncio_streams, lambda: echo, PinMismatchError),
    "asyncio start_tls": Row(clients.asyncio_start_tls, lambda: POP3, PinMismatchError, prelude=POP3.prelude),
    "uvloop streams": Row(clients.uvloop_streams, lambda: echo, PinMismatchError),
    "uvloop start_tls": Row(clients.uvloop_start_tls, lambda: POP3, PinMismatchError, prelude=POP3.prelude),
    "trio": Row(clients.trio_stream, lambda: echo, trio.BrokenResourceError),
    "websockets": Row(clients.websockets_asyncio, lambda: websocket, PinMismatchError),
    "websockets, threads": Row(clients.websockets_sync, lambda: websocket, PinMismatchError),
    "ssl": Row(clients.wrapped_socket, lambda: echo, PinMismatchError),
    "smtplib starttls": Row(clients.smtp, lambda: SMTP, PinMismatchError, prelude=SMTP.prelude),
    "imaplib starttls": Row(clients.imap, lambda: IMAP, PinMismatchError, prelude=IMAP.prelude),
    "poplib stls": Row(clients.pop3, lambda: POP3, PinMismatchError, prelude=POP3.prelude),
    "ftplib": Row(clients.ftp, lambda: FTP, PinMismatchError, prelude=FTP.prelude),
}

# How the context comes about: armed alone, ordinary and made before enforce(), or made by the library itself.
WAYS = ("one context", "whole process", "whole process, the library's own context")


def peer_for(serve: Any, row: Row) -> Any:
    peer = serve(dialogue=row.dialogue(), prelude=row.prelude)
    if row.alpn:
        peer.context.set_alpn_protocols([row.alpn])
    return peer


def context_for(way: str, world: Any, pins: Any, everywhere: Any) -> ssl.SSLContext | None:
    if way == "one context":
        return pins.context()
    ordinary = world.client_context()
    everywhere(pins)
    return ordinary if way == "whole process" else None


@pytest.fixture(autouse=True)
def trusted(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the contexts that libraries make themselves trust the test's roots."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.cafile))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(world.cafile))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", aiohttp.connector._make_ssl_context(True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_with_the_right_pin_the_data_flows(
    world: Any, serve: Any, pin: Any, everywhere: Any, row: Row, way: str
) -> None:
    peer, pins = peer_for(serve, row), pin({"localhost": [world.intermediate.pin]})
    context = context_for(way, world, pins, everywhere)
    answer = row.client(peer.port, context)
    assert b"hello" in answer or answer == b"OK"
    assert peer.finish() != b""
    assert pins.client.status().refused == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_with_a_wrong_pin_no_byte_arrives_and_the_error_is_the_librarys_own(
    world: Any, serve: Any, pin: Any, everywhere: Any, row: Row, way: str
) -> None:
    peer, pins = peer_for(serve, row), pin({"localhost": [WRONG]})
    context = context_for(way, world, pins, everywhere)
    with pytest.raises(row.raises) as raised:
        row.client(peer.port, context)
    found = find_pin_error(raised.value)
    assert isinstance(found, PinMismatchError)
    assert (found.host, len(found.presented)) == ("localhost", 3)
    assert peer.finish() == b""
    assert (peer.connections, pins.client.status().refused) == (row.connections, row.connections)
