"""The stand-ins keep their promises: real refusals in memory, a server that counts bytes, fixtures that clean up."""

import socket
import ssl
import urllib.request
from typing import Any

import pytest

from pinwarden import (
    FetchError,
    PinMismatchError,
    PinsUnavailableError,
    RollbackError,
    State,
    find_pin_error,
    tls,
)
from pinwarden.testing import InsecureForProductionWarning, LocalServer, ThrowawayAuthority, ThrowawayPins, pinned

WRONG = b"w" * 32


def ask(server: LocalServer, context: ssl.SSLContext, path: str = "/", **options: Any) -> bytes:
    request = urllib.request.Request(server.url + path, **options)
    with urllib.request.urlopen(request, context=context, timeout=10) as response:
        answer: bytes = response.read()
    return answer


def refusal(server: LocalServer, context: ssl.SSLContext) -> object:
    with pytest.raises(OSError, match=r"CERTIFICATE|PINS|pin") as raised:
        ask(server, context)
    return type(find_pin_error(raised.value))


def test_the_right_pin_lets_data_flow_and_the_server_keeps_it(throwaway_pins: Any, local_server: Any) -> None:
    status = throwaway_pins.publish({"localhost": [local_server.pin]})
    assert (status.state, status.version, status.hosts) == (State.FRESH, 1, 1)
    context = throwaway_pins.ssl_context(local_server.context())
    assert ask(local_server, context) == b"hello"
    assert ask(local_server, context, data=b"posted") == b"hello"
    received = local_server.received()
    assert received.startswith(b"GET / HTTP/1.1\r\n")
    assert received.endswith(b"\r\n\r\nposted")
    assert local_server.connections == 2


def test_a_wrong_pin_is_refused_and_nothing_arrives(throwaway_pins: Any, local_server: Any) -> None:
    throwaway_pins.publish({"localhost": [WRONG]})
    assert refusal(local_server, throwaway_pins.ssl_context(local_server.context())) is PinMismatchError
    assert (local_server.received(), local_server.connections) == (b"", 1)


def test_a_new_key_is_refused_until_it_is_published(throwaway_pins: Any, local_server: Any) -> None:
    throwaway_pins.publish({"localhost": [local_server.pin]})
    context = throwaway_pins.ssl_context(local_server.context())
    assert ask(local_server, context) == b"hello"
    old, new = local_server.pin, local_server.rekey()
    assert old != new == local_server.pin
    assert refusal(local_server, context) is PinMismatchError
    throwaway_pins.publish({"localhost": [old, new]})
    assert ask(local_server, context) == b"hello"
    assert throwaway_pins.status().refused == 1


def test_the_pin_of_the_ca_holds_over_a_new_key(throwaway_pins: Any, local_server: Any) -> None:
    throwaway_pins.publish({"localhost": [local_server.ca_pin]})
    local_server.rekey()
    assert ask(local_server, throwaway_pins.ssl_context(local_server.context())) == b"hello"


def test_a_mismatch_finds_what_was_published_meanwhile(throwaway_pins: Any, local_server: Any) -> None:
    throwaway_pins.publish({"localhost": [WRONG]})
    throwaway_pins.authority.publish({"localhost": [local_server.pin]})
    assert ask(local_server, throwaway_pins.ssl_context(local_server.context())) == b"hello"
    assert throwaway_pins.status().version == 2


def test_a_client_without_pins_refuses_and_says_that_nothing_was_published(
    throwaway_pins: Any, local_server: Any
) -> None:
    assert throwaway_pins.status().state == State.EMPTY
    with pytest.raises(FetchError, match="has published nothing") as refused:
        throwaway_pins.refresh()
    assert refused.value.status == 404
    assert refusal(local_server, throwaway_pins.ssl_context(local_server.context())) is PinsUnavailableError
    assert local_server.received() == b""


def test_what_no_client_accepts_is_refused_here_too_and_the_pins_stay(throwaway_pins: Any) -> None:
    throwaway_pins.publish({"localhost": [WRONG]})
    throwaway_pins.publish({"localhost": [WRONG]})
    with pytest.raises(RollbackError):
        throwaway_pins.publish({"localhost": [WRONG]}, version=1)
    assert throwaway_pins.status().version == 2


def test_new_roots_reach_the_client(throwaway_pins: Any) -> None:
    for _ in range(10):  # more than one bundle carries
        throwaway_pins.authority.rotate_root()
    assert throwaway_pins.publish({"localhost": [WRONG]}).root == 11


def test_modes_and_options_are_those_of_the_real_client(throwaway_authority: Any, local_server: Any) -> None:
    hosts = [pinned("localhost", WRONG, mode="report")]
    with ThrowawayPins(hosts, authority=throwaway_authority, unpinned="refuse") as pins:
        assert ask(local_server, pins.ssl_context(local_server.context())) == b"hello"
    assert (pins.status().reported, pins.status().refused) == (1, 0)


def test_pages_may_change_and_what_is_missing_is_404(local_server: Any) -> None:
    local_server.pages = {"/new": b"news"}
    assert ask(local_server, local_server.context(), "/new") == b"news"
    with pytest.raises(urllib.request.HTTPError, match="404"):
        ask(local_server, local_server.context())


def test_the_certificate_holds_for_the_names_that_were_asked_for() -> None:
    with LocalServer(names=["api.example.com", "::1"]) as server:
        for name in ("localhost", "127.0.0.1", "api.example.com", "::1"):
            with ssl_to(server, name) as line:
                assert line.getpeercert() != {}
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example\.com"):
            ssl_to(server, "other.example.com")


def ssl_to(server: LocalServer, name: str) -> ssl.SSLSocket:
    line = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    try:
        return server.context().wrap_socket(line, server_hostname=name)
    except BaseException:
        line.close()
        raise


def test_closing_ends_connections_that_a_client_left_open() -> None:
    server = LocalServer()
    with ssl_to(server, "localhost") as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert line.recv(12) == b"HTTP/1.1 200"
        assert server.received() == b"GET / HTTP/1.1\r\n\r\n"
        server.close()
    assert not server.ca_file.exists()


def test_enforcing_in_the_process_ends_with_the_test(throwaway_pins: Any, local_server: Any, enforce_pins: Any) -> None:
    throwaway_pins.publish({"localhost": [WRONG]})
    enforce_pins(throwaway_pins)
    assert refusal(local_server, local_server.context()) is PinMismatchError


def test_the_test_after_it_is_not_judged(local_server: Any) -> None:
    assert not tls.is_judged(local_server.context())
    assert ask(local_server, local_server.context()) == b"hello"


def test_an_authority_announces_itself_but_for_the_fixture() -> None:
    with pytest.warns(InsecureForProductionWarning, match="keys that anyone can compute"):
        ThrowawayAuthority()
    with pytest.warns(InsecureForProductionWarning):
        ThrowawayPins({"localhost": [WRONG]})
