"""Where a connection goes, and that it takes no more than its time."""

import socket
from typing import Any

import pytest

from pinwarden.deadline import Deadline, open_socket


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_an_address_in_digits_needs_no_resolver_whose_lock_a_forked_child_may_miss(
    family: int, host: str, monkeypatch: Any
) -> None:
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with listener, open_socket(host, listener.getsockname()[1], Deadline(20)) as line:
        assert line.getpeername()[:2] == listener.getsockname()[:2]


@pytest.mark.parametrize("host", ["localhost", "127.1"])
def test_any_other_spelling_goes_to_the_resolver(host: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, open_socket(host, listener.getsockname()[1], Deadline(20)) as line:
        assert line.getpeername() == listener.getsockname()
