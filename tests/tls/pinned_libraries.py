"""
The table of libraries: what each client talks to, and what its users catch for a wrong pin.

docs/enforcement.md shows it, with the versions of the lock, and a test compares the two.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import aiohttp
import botocore.exceptions
import httpx
import pinned_clients as clients
import pinned_clients_mail as mail
import pinned_clients_stores as stores
import pinned_dialogues_stores as said_by_stores
import pymongo
import redis
import requests
import trio
import truststore
import urllib3
from pinned_chains import World
from pinned_dialogues import FTP, IMAP, POP3, SMTP, Http, http2, websocket
from pinned_peers import echo

from pinwarden import PinMismatchError

LOCKS = Path(__file__).parents[2] / "requirements"
PYTHONS = ("3.11", "3.12", "3.13")

# How the context comes about: armed alone, ordinary and made before enforce(), or made by the library itself.
WAYS = ("one context", "whole process", "whole process, the library's own context")
TAKES_NO_CONTEXT, IS_A_CONTEXT = WAYS[2:], WAYS[:2]


@dataclass(frozen=True)
class Row:
    """
    One library, and what it talks to.

    Attributes:
        raises: what its users catch for a wrong pin.
        connections: how many it makes before it gives up; None where it is a matter of time.
        package: the distribution it comes in; none for Python's own.
        ways: in which it can be pinned.
        context: makes an ordinary context for it.
        findable: whether find_pin_error() finds the refusal in what it raises.
    """

    client: Any
    dialogue: Any
    raises: type[BaseException]
    package: str = ""
    prelude: Any = None
    connections: int | None = 1
    alpn: str | None = None
    ways: tuple[str, ...] = WAYS
    context: Callable[[World], ssl.SSLContext] = World.client_context
    findable: bool = True


def page() -> Http:
    return Http({"/": b"hello"})


def stored_object() -> Http:
    return Http({"/bucket/key": b"hello"})


def of_the_system(world: World) -> truststore.SSLContext:
    """Return a context of truststore, which asks the operating system; here that is OpenSSL's file of roots."""
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(world.cafile))
    return context


ROWS = {
    "http.client": Row(clients.http_client, page, PinMismatchError),
    "urllib.request": Row(clients.urllib_request, page, URLError),
    "urllib3": Row(clients.urllib3_pool, page, urllib3.exceptions.MaxRetryError, "urllib3", connections=4),
    "urllib3, retries=False": Row(clients.urllib3_once, page, urllib3.exceptions.SSLError, "urllib3"),
    "requests": Row(clients.requests_session, page, requests.exceptions.SSLError, "requests"),
    "httpx": Row(clients.httpx_sync, page, httpx.ConnectError, "httpx"),
    "httpx on asyncio": Row(clients.httpx_asyncio, page, httpx.ConnectError, "httpx"),
    "httpx on trio": Row(clients.httpx_trio, page, httpx.ConnectError, "httpx"),
    "httpx, HTTP/2": Row(clients.httpx_http2, lambda: http2, httpx.ConnectError, "httpx", alpn="h2"),
    "httpx on asyncio, HTTP/2": Row(clients.httpx_asyncio_http2, lambda: http2, httpx.ConnectError, "httpx", alpn="h2"),
    "aiohttp": Row(clients.aiohttp_session, page, aiohttp.ClientConnectorCertificateError, "aiohttp"),
    "aiohttp on uvloop": Row(clients.aiohttp_uvloop, page, aiohttp.ClientConnectorCertificateError, "aiohttp"),
    "asyncio streams": Row(clients.asyncio_streams, lambda: echo, PinMismatchError),
    "asyncio start_tls": Row(clients.asyncio_start_tls, lambda: POP3, PinMismatchError, prelude=POP3.prelude),
    "uvloop streams": Row(clients.uvloop_streams, lambda: echo, PinMismatchError, "uvloop"),
    "uvloop start_tls": Row(clients.uvloop_start_tls, lambda: POP3, PinMismatchError, "uvloop", POP3.prelude),
    "trio": Row(clients.trio_stream, lambda: echo, trio.BrokenResourceError, "trio"),
    "anyio on asyncio": Row(clients.anyio_asyncio, lambda: echo, PinMismatchError, "anyio"),
    "anyio on trio": Row(clients.anyio_trio, lambda: echo, PinMismatchError, "anyio"),
    "websockets": Row(clients.websockets_asyncio, lambda: websocket, PinMismatchError, "websockets"),
    "websockets, threads": Row(clients.websockets_sync, lambda: websocket, PinMismatchError, "websockets"),
    "ssl": Row(clients.wrapped_socket, lambda: echo, PinMismatchError),
    "smtplib": Row(mail.smtp_ssl, lambda: SMTP.over_tls, PinMismatchError),
    "smtplib starttls": Row(mail.smtp, lambda: SMTP, PinMismatchError, prelude=SMTP.prelude),
    "imaplib": Row(mail.imap_ssl, lambda: IMAP.over_tls, PinMismatchError),
    "imaplib starttls": Row(mail.imap, lambda: IMAP, PinMismatchError, prelude=IMAP.prelude),
    "poplib": Row(mail.pop3_ssl, lambda: POP3.over_tls, PinMismatchError),
    "poplib stls": Row(mail.pop3, lambda: POP3, PinMismatchError, prelude=POP3.prelude),
    "ftplib": Row(mail.ftp, lambda: FTP, PinMismatchError, prelude=FTP.prelude),
    "boto3": Row(stores.boto3_s3, stored_object, botocore.exceptions.SSLError, "boto3", ways=TAKES_NO_CONTEXT),
    "redis": Row(
        stores.redis_sync,
        lambda: said_by_stores.redis,
        redis.ConnectionError,
        "redis",
        connections=3,
        ways=TAKES_NO_CONTEXT,
    ),
    "redis on asyncio": Row(
        stores.redis_asyncio,
        lambda: said_by_stores.redis,
        redis.ConnectionError,
        "redis",
        connections=3,
        ways=TAKES_NO_CONTEXT,
    ),
    "pymongo": Row(
        stores.mongo,
        lambda: said_by_stores.mongo,
        pymongo.errors.ServerSelectionTimeoutError,
        "pymongo",
        connections=None,
        ways=TAKES_NO_CONTEXT,
        findable=False,
    ),
    "pika": Row(stores.rabbit, lambda: said_by_stores.amqp, PinMismatchError, "pika"),
    "truststore, urllib3": Row(
        clients.urllib3_once, page, urllib3.exceptions.SSLError, "truststore", ways=IS_A_CONTEXT, context=of_the_system
    ),
    "truststore, aiohttp": Row(
        clients.aiohttp_session,
        page,
        aiohttp.ClientConnectorCertificateError,
        "truststore",
        ways=IS_A_CONTEXT,
        context=of_the_system,
    ),
}


@dataclass(frozen=True)
class Apart:
    """
    One library that runs in a process of its own.

    Attributes:
        client: the function of ``pinned_child`` that runs it.
        raises, package, ways, connections: as in a Row; the exception by its name.
        lock: the requirements file of its environment; none where ours will do.
        patch: whether gevent patches before or after enforcement, or not at all.
    """

    client: str
    raises: str
    package: str
    lock: str = ""
    patch: str = ""
    ways: tuple[str, ...] = WAYS
    connections: int = 1


APART = {
    "niquests": Apart("niquests", "niquests.exceptions.SSLError", "niquests", "niquests"),
    "niquests on asyncio": Apart("niquests_asyncio", "niquests.exceptions.SSLError", "niquests", "niquests"),
    "pip, requests and truststore inside": Apart(
        "pip", "pip._internal.exceptions.network.SSLVerificationError", "pip", "niquests"
    ),
    "gevent, requests": Apart("requests", "requests.exceptions.SSLError", "gevent", patch="before"),
    "gevent, urllib.request": Apart("urllib_request", "urllib.error.URLError", "gevent", patch="before"),
}


def matrix() -> list[tuple[str, str, str, str]]:
    """Return what docs/enforcement.md shows of each library: name, version, ways, and exception."""
    here = [(name, _version(row.package), _ways(row), row.raises.__name__) for name, row in ROWS.items()]
    apart = [
        (name, _version(row.package, row.lock or "dev"), _ways(row), row.raises.rpartition(".")[2])
        for name, row in APART.items()
    ]
    return here + apart


def _version(package: str, lock: str = "dev") -> str:
    """Return the version that the lock names, which is the one that CI tests."""
    if not package:
        return "Python"
    text = LOCKS.joinpath(f"{lock}.txt").read_text()
    (version,) = re.findall(rf"^{package}==([\w.]+)", text, flags=re.MULTILINE)
    return version


def _ways(row: Row | Apart) -> str:
    ways = {"context": WAYS[0] in row.ways, "process": WAYS[2] in row.ways or WAYS[1] in row.ways}
    return " and ".join(way for way, possible in ways.items() if possible)
