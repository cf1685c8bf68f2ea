"""
The ready sessions, each as a user writes it: with the right pin they work, with a wrong one no byte arrives.

Every row is three lines of a user's code, and the server decides.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import trio

from pinwarden import PinMismatchError, PinsUnavailableError, find_pin_error
from pinwarden.integrations.aiohttp import pinned_session as aiohttp_session
from pinwarden.integrations.httpx import pinned_async_client, pinned_client
from pinwarden.integrations.requests import pinned_session

WRONG = b"w" * 32
PROXIED = "https://api.example.com/"  # resolves nowhere: the proxy knows where it is


def by_requests(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None = None) -> bytes:
    with pinned_session(pins, context=context) as session:
        return session.get(url, timeout=10, proxies={"https": proxy} if proxy else None).content


def by_httpx(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None = None) -> bytes:
    with pinned_client(pins, context=context, proxy=proxy) as client:
        return client.get(url).content


async def _httpx(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None) -> bytes:
    async with pinned_async_client(pins, context=context, proxy=proxy) as client:
        return (await client.get(url)).content


def by_httpx_on_asyncio(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None = None) -> bytes:
    return asyncio.run(_httpx(pins, url, context, proxy))


def by_httpx_on_trio(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None = None) -> bytes:
    return trio.run(_httpx, pins, url, context, proxy)


async def _aiohttp(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None) -> bytes:
    async with aiohttp_session(pins, context=context) as session, session.get(url, proxy=proxy) as response:
        return await response.read()


def by_aiohttp(pins: Any, url: str, context: ssl.SSLContext, proxy: str | None = None) -> bytes:
    return asyncio.run(_aiohttp(pins, url, context, proxy))


LIBRARIES: dict[str, tuple[Callable[..., bytes], type[Exception], type[Exception]]] = {
    # name: (how its users call it, what a wrong pin raises, what it raises while there are no pins)
    "requests": (by_requests, requests.exceptions.SSLError, requests.exceptions.SSLError),
    "httpx": (by_httpx, httpx.ConnectError, httpx.ConnectError),
    "httpx on asyncio": (by_httpx_on_asyncio, httpx.ConnectError, httpx.ConnectError),
    "httpx on trio": (by_httpx_on_trio, httpx.ConnectError, httpx.ConnectError),
    "aiohttp": (by_aiohttp, aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError),
}
every_library = pytest.mark.parametrize("name", LIBRARIES)


@every_library
def test_with_the_right_pin_the_data_flows(throwaway_pins: Any, local_server: Any, name: str) -> None:
    throwaway_pins.publish({"localhost": [local_server.pin]})
    assert LIBRARIES[name][0](throwaway_pins, local_server.url, local_server.context()) == b"hello"
    assert b"GET / HTTP/1.1\r\n" in local_server.received()


@every_library
def test_with_a_wrong_pin_no_byte_arrives(throwaway_pins: Any, local_server: Any, name: str) -> None:
    call, raised, _ = LIBRARIES[name]
    throwaway_pins.publish({"localhost": [WRONG]})
    with pytest.raises(raised) as refused:
        call(throwaway_pins, local_server.url, local_server.context())
    assert type(find_pin_error(refused.value)) is PinMismatchError
    assert (local_server.received(), local_server.connections) == (b"", 1)


@every_library
def test_while_there_are_no_pins_no_byte_arrives_either(throwaway_pins: Any, local_server: Any, name: str) -> None:
    call, _, raised = LIBRARIES[name]
    with pytest.raises(raised) as refused:
        call(throwaway_pins, local_server.url, local_server.context())
    assert type(find_pin_error(refused.value)) is PinsUnavailableError
    assert local_server.received() == b""


def behind(error: BaseException | None) -> list[BaseException]:
    """Return the error and what it hides: trio's says nothing itself."""
    return [] if error is None else [error, *behind(error.__cause__ or error.__context__)]


@every_library
def test_ordinary_checks_stay(throwaway_pins: Any, local_server: Any, name: str) -> None:
    """A CA that nobody trusts is refused, although the key is pinned."""
    throwaway_pins.publish({"localhost": [local_server.pin]})
    with pytest.raises(LIBRARIES[name][1]) as refused:
        LIBRARIES[name][0](throwaway_pins, local_server.url, ssl.create_default_context())
    assert find_pin_error(refused.value) is None
    assert any("unable to get local issuer certificate" in str(one) for one in behind(refused.value))
    assert local_server.received() == b""


def both(local_server: Any, proxy: Any) -> ssl.SSLContext:
    """Return a context that trusts the CAs of the server and of the proxy."""
    context: ssl.SSLContext = local_server.context()
    context.load_verify_locations(proxy.ca_file)
    return context


@pytest.fixture
def behind_the_proxy(local_server: Any) -> Any:
    """The server with a certificate for the name that only the proxy can find."""
    local_server._names = (*local_server._names, "api.example.com")
    local_server.rekey()
    return local_server


@every_library
def test_through_an_https_proxy_both_ends_are_judged_and_data_flows(
    throwaway_pins: Any, behind_the_proxy: Any, proxy: Any, name: str
) -> None:
    throwaway_pins.publish({"localhost": [proxy.pin], "api.example.com": [behind_the_proxy.pin]})
    answer = LIBRARIES[name][0](throwaway_pins, PROXIED, both(behind_the_proxy, proxy), proxy.url)
    assert answer == b"hello"
    assert proxy.asked.startswith(b"CONNECT api.example.com:443 HTTP/1.")


@every_library
def test_a_proxy_with_a_wrong_key_does_not_learn_where_the_request_goes(
    throwaway_pins: Any, behind_the_proxy: Any, proxy: Any, name: str
) -> None:
    throwaway_pins.publish({"localhost": [WRONG], "api.example.com": [behind_the_proxy.pin]})
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError)) as refused:
        LIBRARIES[name][0](throwaway_pins, PROXIED, both(behind_the_proxy, proxy), proxy.url)
    found = find_pin_error(refused.value)
    assert isinstance(found, PinMismatchError)
    assert found.host == "localhost"
    proxy.close()
    assert (bytes(proxy.asked), behind_the_proxy.received()) == (b"", b"")


@every_library
def test_a_server_with_a_wrong_key_behind_a_proxy_gets_no_byte(
    throwaway_pins: Any, behind_the_proxy: Any, proxy: Any, name: str
) -> None:
    throwaway_pins.publish({"localhost": [proxy.pin], "api.example.com": [WRONG]})
    with pytest.raises((OSError, httpx.HTTPError, aiohttp.ClientError)) as refused:
        LIBRARIES[name][0](throwaway_pins, PROXIED, both(behind_the_proxy, proxy), proxy.url)
    found = find_pin_error(refused.value)
    assert isinstance(found, PinMismatchError)
    assert found.host == "api.example.com"
    assert behind_the_proxy.received() == b""
