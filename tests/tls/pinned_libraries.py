"""
The table of libraries: what each client talks to, and what its users catch for a wrong pin.

docs/enforcement.md shows the second column, and a test compares the two.
"""

from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import aiohttp
import httpx
import pinned_clients as clients
import requests
import trio
import urllib3
from pinned_dialogues import FTP, IMAP, POP3, SMTP, Http, http2, websocket
from pinned_peers import echo

from pinwarden import PinMismatchError


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
