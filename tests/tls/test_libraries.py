"""
The libraries that people use, each pinned in both ways, with a right and a wrong pin; the server's bytes decide.

docs/enforcement.md lists what each raises; this table is where that list comes from.
"""

import ssl
from typing import Any

import aiohttp
import pytest
from pinned_libraries import ROWS, Row
from pinned_service import WRONG

from pinwarden import PinMismatchError, PinsUnavailableError, find_pin_error

CASES = [pytest.param(row, way, id=f"{name}-{way}") for name, row in ROWS.items() for way in row.ways]


def peer_for(serve: Any, row: Row) -> Any:
    peer = serve(dialogue=row.dialogue(), prelude=row.prelude)
    if row.alpn:
        peer.context.set_alpn_protocols([row.alpn])
    return peer


def context_for(row: Row, way: str, world: Any, pins: Any, everywhere: Any) -> ssl.SSLContext | None:
    ordinary = row.context(world)
    if way == "one context":
        return pins.client.ssl_context(ordinary)
    everywhere(pins)
    return ordinary if way == "whole process" else None


@pytest.fixture(autouse=True)
def trusted(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the contexts that libraries make themselves trust the test's roots."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.cafile))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(world.cafile))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", aiohttp.connector._make_ssl_context(True))


@pytest.mark.parametrize(("row", "way"), CASES)
def test_with_the_right_pin_the_data_flows(
    world: Any, serve: Any, pin: Any, everywhere: Any, row: Row, way: str
) -> None:
    peer, pins = peer_for(serve, row), pin({"localhost": [world.intermediate.pin]})
    context = context_for(row, way, world, pins, everywhere)
    answer = row.client(peer.port, context)
    assert b"hello" in answer or answer == b"OK"
    assert peer.finish() != b""
    assert pins.client.status().refused == 0


@pytest.mark.parametrize(("row", "way"), CASES)
def test_with_a_wrong_pin_no_byte_arrives_and_the_error_is_the_librarys_own(
    world: Any, serve: Any, pin: Any, everywhere: Any, caplog: Any, row: Row, way: str
) -> None:
    peer, pins = peer_for(serve, row), pin({"localhost": [WRONG]})
    context = context_for(row, way, world, pins, everywhere)
    with pytest.raises(row.raises) as raised:
        row.client(peer.port, context)
    found = find_pin_error(raised.value)
    assert isinstance(found, PinMismatchError) == row.findable
    if found:
        assert (found.host, len(found.presented)) == ("localhost", 3)
    assert peer.finish() == b""
    tried = row.connections or peer.connections
    assert (peer.connections, pins.client.status().refused, caplog.text.count("localhost refused")) == (tried,) * 3


# What is raised when nothing is trusted, where that differs from what a wrong pin raises.
WITHOUT_PINS = {
    PinMismatchError: PinsUnavailableError,
    aiohttp.ClientConnectorCertificateError: aiohttp.ClientConnectorSSLError,
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_without_any_pins_no_byte_arrives_either(
    world: Any, serve: Any, pin: Any, everywhere: Any, caplog: Any, row: Row
) -> None:
    peer, pins = peer_for(serve, row), pin(None)
    context = context_for(row, row.ways[0], world, pins, everywhere)
    with pytest.raises(WITHOUT_PINS.get(row.raises, row.raises)) as raised:
        row.client(peer.port, context)
    assert isinstance(find_pin_error(raised.value), PinsUnavailableError) == row.findable
    assert "no pin set" in caplog.text
    assert peer.finish() == b""
