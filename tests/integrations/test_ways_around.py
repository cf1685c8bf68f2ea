"""Each argument that would lead a ready session around its pins is refused, before anything is sent."""

import asyncio
import copy
import pickle
import ssl
from typing import Any

import aiohttp
import httpx
import pytest
import requests

from pinwarden import ConfigError, PinMismatchError, find_pin_error
from pinwarden.integrations.aiohttp import PinnedConnector
from pinwarden.integrations.aiohttp import pinned_session as aiohttp_session
from pinwarden.integrations.httpx import pinned_async_client, pinned_client
from pinwarden.integrations.requests import PinnedAdapter, pinned_session

WRONG = b"w" * 32


@pytest.fixture
def pins(throwaway_pins: Any) -> Any:
    """A client whose pins refuse the server."""
    throwaway_pins.publish({"localhost": [WRONG]})
    return throwaway_pins


def test_requests_sends_nothing_unverified(pins: Any, local_server: Any) -> None:
    for context in (None, local_server.context()):
        with pinned_session(pins, context=context) as session:
            with pytest.raises(ConfigError, match="verify=False is refused"):
                session.get(local_server.url, verify=False)
            session.verify = False
            with pytest.raises(ConfigError, match="Nothing was sent"):
                session.post(local_server.url, data="secret")
    assert (local_server.received(), local_server.connections) == (b"", 0)


def test_requests_judges_whichever_ca_file_it_is_given(
    pins: Any, local_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pinned_session(pins) as session:
        with pytest.raises(requests.exceptions.SSLError) as refused:
            session.get(local_server.url, verify=str(local_server.ca_file))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(local_server.ca_file))
        with pytest.raises(requests.exceptions.SSLError) as again:
            session.get(local_server.url)
    assert [type(find_pin_error(one.value)) for one in (refused, again)] == [PinMismatchError] * 2
    assert (local_server.received(), local_server.connections) == (b"", 2)


def test_a_ca_file_of_one_request_is_not_trusted_by_the_next(throwaway_pins: Any, local_server: Any) -> None:
    throwaway_pins.publish({"localhost": [local_server.pin]})
    with pinned_session(throwaway_pins) as session:
        assert session.get(local_server.url, verify=str(local_server.ca_file)).content == b"hello"
        with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            session.get(local_server.url)


def test_a_context_of_ones_own_is_given_no_other_cas(throwaway_pins: Any, local_server: Any) -> None:
    throwaway_pins.publish({"localhost": [local_server.pin]})
    context = local_server.context()
    before = context.cert_store_stats()
    with pinned_session(throwaway_pins, context=context) as session:
        assert session.get(local_server.url).content == b"hello"
    assert context.cert_store_stats() == before == {"x509": 1, "crl": 0, "x509_ca": 1}


def test_the_older_way_to_a_connection_is_judged_too(pins: Any, local_server: Any) -> None:
    adapter = PinnedAdapter(pins, context=local_server.context(), max_retries=0)
    pool = adapter.poolmanager.connection_from_url(local_server.url)
    with pytest.raises(Exception, match="no key of localhost is pinned") as refused:
        pool.urlopen("GET", "/", retries=False)
    assert type(find_pin_error(refused.value)) is PinMismatchError
    assert local_server.received() == b""


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_an_adapter_is_not_copied_without_its_pins(pins: Any, copied: Any) -> None:
    with pinned_session(pins) as session, pytest.raises(TypeError, match="belongs to its process"):
        copied(session.adapters["https://"])


@pytest.mark.parametrize("make", [pinned_client, pinned_async_client])
@pytest.mark.parametrize(
    ("name", "value"), [("verify", False), ("cert", "c.pem"), ("transport", httpx.HTTPTransport()), ("mounts", {})]
)
def test_httpx_is_not_led_around(pins: Any, make: Any, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}= would lead connections around the pins"):
        make(pins, **{name: value})


@pytest.mark.parametrize("variable", ["https_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_httpx_does_not_take_an_unjudged_proxy_from_the_environment(
    pins: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    with pytest.raises(ConfigError, match="names an HTTPS proxy"):
        pinned_client(pins)
    pinned_client(pins, trust_env=False).close()
    pinned_client(pins, proxy="http://127.0.0.1:9").close()


def test_httpx_arms_the_context_of_a_proxy_that_has_one(pins: Any, proxy: Any, local_server: Any) -> None:
    given = httpx.Proxy(proxy.url, ssl_context=proxy.context())
    with (
        pinned_client(pins, context=local_server.context(), proxy=given) as client,
        pytest.raises(httpx.ConnectError) as refused,
    ):
        client.get("https://api.example.com/")
    assert type(find_pin_error(refused.value)) is PinMismatchError
    proxy.close()
    assert bytes(proxy.asked) == b""


@pytest.mark.parametrize("name", ["ssl", "verify_ssl", "ssl_context", "fingerprint"])
def test_a_connector_of_aiohttp_is_not_led_around(pins: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}= would lead connections around the pins"):
        PinnedConnector(pins, **{name: False})


def test_a_session_of_aiohttp_takes_no_other_connector(pins: Any) -> None:
    with pytest.raises(ConfigError, match="connector="):
        aiohttp_session(pins, connector=None)


@pytest.mark.parametrize("given", [False, aiohttp.Fingerprint(bytes(32))], ids=["False", "fingerprint"])
def test_aiohttp_sends_nothing_unverified(pins: Any, local_server: Any, given: Any) -> None:
    async def ask() -> None:
        async with aiohttp_session(pins) as session, session.get(local_server.url, ssl=given):
            pass

    with pytest.raises(ConfigError, match="Nothing was sent"):
        asyncio.run(ask())
    assert (local_server.received(), local_server.connections) == (b"", 0)


def test_aiohttp_judges_the_context_of_one_request(pins: Any, local_server: Any) -> None:
    async def ask(context: ssl.SSLContext) -> None:
        async with aiohttp_session(pins) as session, session.get(local_server.url, ssl=context):
            pass

    with pytest.raises(aiohttp.ClientConnectorCertificateError) as refused:
        asyncio.run(ask(local_server.context()))
    assert type(find_pin_error(refused.value)) is PinMismatchError
    assert local_server.received() == b""
