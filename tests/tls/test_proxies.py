"""
Through proxies: CONNECT over plain TCP and over TLS, so that TLS runs inside TLS and two names are judged.

A proxy takes any name, so that what libraries make of unusual spellings is tried here as well.
"""

import asyncio
import contextlib
import gc
import http.client
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from pinned_clients import ContextAdapter
from pinned_dialogues import Http, Proxy
from pinned_service import WRONG

from pinwarden import PinMismatchError, find_pin_error

PROXY, HOST = "localhost", "api.example.com"  # the second name resolves nowhere: the proxy knows where it is
URL = f"https://{HOST}/"


def _urllib3(proxy: str, context: ssl.SSLContext, url: str = URL) -> bytes:
    with urllib3.ProxyManager(proxy, ssl_context=context, proxy_ssl_context=context, retries=False) as pool:
        return pool.request("GET", url).data


def _requests(proxy: str, context: ssl.SSLContext, url: str = URL) -> bytes:
    with requests.Session() as session:
        session.mount("https://", ContextAdapter(context))
        return session.get(url, proxies={"https": proxy}).content


def _http_client(proxy: str, context: ssl.SSLContext, url: str = URL) -> bytes:
    address = urllib3.util.parse_url(proxy)
    with contextlib.closing(http.client.HTTPSConnection(PROXY, address.port, context=context)) as connection:
        connection.set_tunnel(url.split("/")[2], 443)
        connection.request("GET", "/")
        return connection.getresponse().read()


def _options(proxy: str, context: ssl.SSLContext) -> dict[str, Any]:
    secure = {"ssl_context": context} if proxy.startswith("https") else {}
    return {"verify": context, "proxy": httpx.Proxy(proxy, **secure)}


def _httpx(proxy: str, context: ssl.SSLContext, url: str = URL) -> bytes:
    with httpx.Client(**_options(proxy, context)) as client:
        return client.get(url).content


async def _httpx_async(proxy: str, context: ssl.SSLContext, url: str = URL) -> bytes:
    async with httpx.AsyncClient(**_options(proxy, context)) as client:
        return (await client.get(url)).content


async def _aiohttp(proxy: str, context: ssl.SSLContext, url: str = URL) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy, ssl=context) as response:
        return await response.read()


Client = Callable[..., bytes]
CLIENTS: dict[str, Client] = {
    "urllib3": _urllib3,
    "requests": _requests,
    "httpx": _httpx,
    "httpx on asyncio": lambda *arguments: asyncio.run(_httpx_async(*arguments)),
    "aiohttp": lambda *arguments: asyncio.run(_aiohttp(*arguments)),
    "http.client": _http_client,
}
CASES = [
    (name, scheme)
    for name in CLIENTS
    for scheme in ("http", "https")
    # requests takes no context for the proxy itself, and http.client speaks plaintext to it
    if (name, scheme) not in (("requests", "https"), ("http.client", "https"))
]


@pytest.fixture
def tunnel(serve: Any) -> Callable[[str], tuple[Any, Any, str]]:
    """Return a function that starts a service and a proxy in front of it, which speaks *scheme*."""

    def start(scheme: str) -> tuple[Any, Any, str]:
        service = serve(dialogue=Http({"/": b"hello"}))
        relay = Proxy(service.address)
        proxy = serve(dialogue=relay) if scheme == "https" else serve(None, relay)
        return service, proxy, f"{scheme}://{PROXY}:{proxy.port}"

    return start


def refused_host(client: str, address: str, context: ssl.SSLContext, url: str = URL) -> str:
    """Return the host that was refused; what the exception held is free again, the outer TLS included."""
    with pytest.raises((OSError, aiohttp.ClientError, httpx.HTTPError, urllib3.exceptions.HTTPError)) as raised:
        CLIENTS[client](address, context, url)
    found = find_pin_error(raised.value)
    assert isinstance(found, PinMismatchError)
    host = found.host
    del raised, found
    gc.collect()
    return host


@pytest.mark.parametrize("process_wide", [False, True], ids=["one context", "whole process"])
@pytest.mark.parametrize(("client", "scheme"), CASES)
def test_both_ends_of_a_tunnel_are_judged_by_their_own_names(
    world: Any, pin: Any, everywhere: Any, tunnel: Any, client: str, scheme: str, process_wide: bool
) -> None:
    pins = pin({PROXY: [world.leaf.pin], HOST: [world.intermediate.pin]})
    service, proxy, address = tunnel(scheme)
    context = world.client_context() if process_wide else pins.context()
    if process_wide:
        everywhere(pins)
    assert CLIENTS[client](address, context) == b"hello"
    pins.switch({PROXY: [world.leaf.pin], HOST: [WRONG]})
    before = bytes(service.received)
    assert refused_host(client, address, context) == HOST
    proxy.finish()
    assert service.finish() == before


@pytest.mark.parametrize("client", [name for name, scheme in CASES if scheme == "https"])
def test_a_proxy_with_a_wrong_key_does_not_even_learn_the_destination(
    world: Any, pin: Any, tunnel: Any, client: str
) -> None:
    service, proxy, address = tunnel("https")
    context = pin({PROXY: [WRONG], HOST: [world.leaf.pin]}).context()
    assert refused_host(client, address, context) == PROXY
    assert (proxy.finish(), service.finish(), service.connections) == (b"", b"", 0)


def test_the_context_that_requests_makes_for_a_proxy_itself_is_judged_in_the_whole_process(
    world: Any, pin: Any, everywhere: Any, tunnel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(world.cafile))
    pins = pin({PROXY: [world.leaf.pin], HOST: [world.leaf.pin]})
    everywhere(pins)
    _, _, address = tunnel("https")
    assert requests.get(URL, proxies={"https": address}, timeout=10).content == b"hello"
    pins.switch({PROXY: [WRONG], HOST: [world.leaf.pin]})
    service, proxy, address = tunnel("https")
    with pytest.raises(requests.exceptions.RequestException) as raised:
        requests.get(URL, proxies={"https": address}, timeout=10)
    assert find_pin_error(raised.value).host == PROXY
    assert (proxy.finish(), service.finish(), service.connections) == (b"", b"", 0)


# Spellings of names that the service has certificates for, and what they are judged as.
SPELLINGS = {
    "https://API.Example.COM/": HOST,
    "https://api.example.com./": HOST,
    "https://bücher.example/": "xn--bcher-kva.example",
    "https://BÜCHER.example/": "xn--bcher-kva.example",
    "https://Bücher.example./": "xn--bcher-kva.example",
}
TAKE_THE_DOT_OFF = ("urllib3", "requests")  # to others, ordinary checks refuse it


@pytest.mark.parametrize(
    ("client", "url"),
    [
        (client, url)
        for client in CLIENTS
        for url in SPELLINGS
        if (client in TAKE_THE_DOT_OFF or not url.endswith("./")) and (client != "http.client" or url.isascii())
    ],
)
def test_no_spelling_of_a_pinned_name_gets_past_its_pins(
    world: Any, pin: Any, tunnel: Any, client: str, url: str
) -> None:
    service, proxy, address = tunnel("http")
    assert CLIENTS[client](address, world.client_context(), url) == b"hello"  # ordinary checks are content
    before = bytes(service.received)
    context = pin({HOST: [WRONG], "xn--bcher-kva.example": [WRONG]}).context()
    assert refused_host(client, address, context, url) == SPELLINGS[url]
    proxy.finish()
    assert service.finish() == before
