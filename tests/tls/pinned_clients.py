"""
Every client library of the lock, each as its users write it: one function that sends something and returns the answer.

A function takes the port and a TLS context, or None where the library shall make its own, and leaves no connection
open. It raises whatever the library raises.
"""

import asyncio
import contextlib
import http.client
import socket
import ssl
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import anyio
import httpx
import requests
import trio
import urllib3
import uvloop
import websockets.asyncio.client
import websockets.sync.client
from requests.adapters import HTTPAdapter

HOST = "localhost"
Context = ssl.SSLContext | None


def http_client(port: int, context: Context) -> bytes:
    with contextlib.closing(http.client.HTTPSConnection(HOST, port, context=context, timeout=10)) as connection:
        connection.request("GET", "/")
        return connection.getresponse().read()


def urllib_request(port: int, context: Context) -> bytes:
    with urllib.request.urlopen(f"https://{HOST}:{port}/", context=context, timeout=10) as response:
        return response.read()


def urllib3_pool(port: int, context: Context) -> bytes:
    with urllib3.PoolManager(ssl_context=context) as pool:
        return pool.request("GET", f"https://{HOST}:{port}/").data


def urllib3_once(port: int, context: Context) -> bytes:
    with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
        return pool.request("GET", f"https://{HOST}:{port}/").data


class ContextAdapter(HTTPAdapter):
    """The way that the documentation of requests shows to hand it a context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **kwargs)


def requests_session(port: int, context: Context) -> bytes:
    with requests.Session() as session:
        if context is not None:
            session.mount("https://", ContextAdapter(context))
        return session.get(f"https://{HOST}:{port}/", timeout=10).content


def httpx_sync(port: int, context: Context) -> bytes:
    with httpx.Client(verify=context or True) as client:
        return client.get(f"https://{HOST}:{port}/").content


async def _httpx(port: int, context: Context, **options: Any) -> bytes:
    async with httpx.AsyncClient(verify=context or True, **options) as client:
        return (await client.get(f"https://{HOST}:{port}/")).content


def httpx_asyncio(port: int, context: Context) -> bytes:
    return asyncio.run(_httpx(port, context))


def httpx_trio(port: int, context: Context) -> bytes:
    return trio.run(_httpx, port, context)


def httpx_http2(port: int, context: Context) -> bytes:
    with httpx.Client(verify=context or True, http1=False, http2=True) as client:
        response = client.get(f"https://{HOST}:{port}/")
        assert response.http_version == "HTTP/2"
        return response.content


def httpx_asyncio_http2(port: int, context: Context) -> bytes:
    return asyncio.run(_httpx(port, context, http1=False, http2=True))


async def _aiohttp(port: int, context: Context) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://{HOST}:{port}/", ssl=context or True) as response,
    ):
        return await response.read()


def aiohttp_session(port: int, context: Context) -> bytes:
    return asyncio.run(_aiohttp(port, context))


def aiohttp_uvloop(port: int, context: Context) -> bytes:
    return uvloop.run(_aiohttp(port, context))


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        writer.write(b"hello")
        await writer.drain()
        return await reader.readexactly(5)
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # what ended the connection is raised here once more
        await writer.wait_closed()


async def _streams(port: int, context: Context) -> bytes:
    return await _converse(*await asyncio.open_connection(HOST, port, ssl=context or True))


def asyncio_streams(port: int, context: Context) -> bytes:
    return asyncio.run(_streams(port, context))


def uvloop_streams(port: int, context: Context) -> bytes:
    return uvloop.run(_streams(port, context))


async def _start_tls(port: int, context: Context) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        await reader.readline()
        writer.write(b"STLS\r\n")
        await reader.readline()
        await writer.start_tls(context or ssl.create_default_context(), server_hostname=HOST)
        writer.write(b"NOOP\r\n")
        return await reader.readline()
    finally:
        await _close(writer)


def asyncio_start_tls(port: int, context: Context) -> bytes:
    return asyncio.run(_start_tls(port, context))


def uvloop_start_tls(port: int, context: Context) -> bytes:
    return uvloop.run(_start_tls(port, context))


async def _trio(port: int, context: Context) -> bytes:
    async with await trio.open_ssl_over_tcp_stream(HOST, port, ssl_context=context) as stream:
        await stream.send_all(b"hello")
        return await stream.receive_some(5)


def trio_stream(port: int, context: Context) -> bytes:
    return trio.run(_trio, port, context)


async def _websocket(port: int, context: Context) -> bytes:
    async with websockets.asyncio.client.connect(f"wss://{HOST}:{port}/", ssl=context or True) as socket_:
        await socket_.send("hello")
        return (await socket_.recv()).encode()


def websockets_asyncio(port: int, context: Context) -> bytes:
    return asyncio.run(_websocket(port, context))


def websockets_sync(port: int, context: Context) -> bytes:
    with websockets.sync.client.connect(f"wss://{HOST}:{port}/", ssl=context) as socket_:
        socket_.send("hello")
        return socket_.recv().encode()


def wrapped_socket(port: int, context: Context) -> bytes:
    context = context or ssl.create_default_context()
    with (
        socket.create_connection((HOST, port), timeout=10) as line,
        context.wrap_socket(line, server_hostname=HOST) as tls_line,
    ):
        tls_line.sendall(b"hello")
        return tls_line.recv(5)


async def _anyio(port: int, context: Context) -> bytes:
    # The servers here end TLS without a farewell, as most do; anyio would object to that.
    options = {"tls": True, "ssl_context": context, "tls_standard_compatible": False}
    async with await anyio.connect_tcp(HOST, port, **options) as stream:
        await stream.send(b"hello")
        return await stream.receive(5)


def anyio_asyncio(port: int, context: Context) -> bytes:
    return anyio.run(_anyio, port, context, backend="asyncio")


def anyio_trio(port: int, context: Context) -> bytes:
    return anyio.run(_anyio, port, context, backend="trio")


Client = Callable[[int, Context], bytes]
Run = Callable[[Coroutine[Any, Any, bytes]], bytes]
