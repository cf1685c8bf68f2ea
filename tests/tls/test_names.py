"""Under which name a connection is judged: its canonical spelling, whoever spells it, and what happens without one."""

import socket
import ssl
from typing import Any

import pytest
import urllib3
from pinned_dialogues import Http
from pinned_service import SECRET, WRONG, dial

from pinwarden import PinMismatchError

# host entry, spelling of the application, whether ordinary checks accept this spelling
SPELLINGS = [
    ("api.example.com", "api.example.com", True),
    ("api.example.com", "API.Example.COM", True),
    ("api.example.com", b"api.example.com", True),
    ("api.example.com", "api.example.com.", False),
    ("api.example.com", "API.EXAMPLE.COM.", False),
    ("xn--bcher-kva.example", "bücher.example", True),
    ("xn--bcher-kva.example", "BÜCHER.example", True),
    ("xn--bcher-kva.example", "bücher。example", True),
    ("xn--bcher-kva.example", "XN--BCHER-kva.example", True),
    ("xn--bcher-kva.example", "Bücher.example.", False),
    ("*.wild.example", "One.wild.example", True),
    ("**.wild.example", "one.WILD.example", True),
    ("127.0.0.1", "127.0.0.1", True),
    ("127.0.0.1", "127.0.0.01", True),
    ("127.0.0.1", "127.000.000.001", True),
    ("::1", "::1", True),
    ("::1", "0:0:0:0:0:0:0:1", True),
    ("::1", "0000::0001", True),
]


@pytest.mark.parametrize(("entry", "spelling", "valid"), SPELLINGS)
@pytest.mark.parametrize("right", [True, False])
def test_every_spelling_of_a_pinned_name_is_judged(
    world: Any, serve: Any, pin: Any, entry: str, spelling: str | bytes, valid: bool, right: bool
) -> None:
    context = pin({entry: [world.leaf.pin if right else WRONG]}).context(check_hostname=valid)

    def connect() -> bytes:
        with context.wrap_socket(dial(peer), server_hostname=spelling) as line:
            line.sendall(SECRET)
            return line.recv(len(SECRET))

    peer = serve()
    if right:
        assert connect() == SECRET
        return
    with pytest.raises(PinMismatchError) as refused:
        connect()
    assert refused.value.host == entry.replace("*.wild", "one.wild").replace("*one", "one")
    assert peer.finish() == b""


def test_a_session_for_a_name_given_as_bytes_is_dropped_like_any_other(world: Any, serve: Any, pin: Any) -> None:
    peer = serve(num_tickets=2)
    context = pin({"api.example.com": [world.leaf.pin]}).context()
    session = None
    for _ in range(2):
        with context.wrap_socket(dial(peer), server_hostname=b"api.example.com", session=session) as line:
            line.sendall(SECRET)
            line.recv(len(SECRET))
            session = line.session
    peer.finish()
    assert peer.sessions_reused == 0


@pytest.mark.parametrize("url", ["https://LOCALHOST:{}/", "https://127.0.0.1:{}/"])
def test_urllib3_hands_names_over_as_they_were_judged(world: Any, serve: Any, pin: Any, url: str) -> None:
    peer = serve(dialogue=Http())
    context = pin({"localhost": [WRONG], "127.0.0.1": [WRONG]}).context()
    with urllib3.PoolManager(ssl_context=context, retries=False) as pool, pytest.raises(urllib3.exceptions.SSLError):
        pool.request("GET", url.format(peer.port))
    assert peer.finish() == b""


@pytest.mark.parametrize("unpinned", ["allow", "refuse"])
@pytest.mark.parametrize("name", [None, "localhost"])
def test_a_name_without_pins_or_no_name_at_all_is_left_alone_or_refused_as_the_application_chose(
    world: Any, serve: Any, pin: Any, unpinned: str, name: str | None
) -> None:
    peer = serve()
    pins = pin({"api.example.com": [world.leaf.pin]}, options={"unpinned": unpinned})
    context = pins.context(check_hostname=name is not None)

    def connect() -> None:
        with context.wrap_socket(dial(peer), server_hostname=name) as line:
            line.sendall(SECRET)
            line.recv(len(SECRET))

    if unpinned == "allow":
        connect()
        assert peer.finish() == SECRET
    else:
        with pytest.raises(PinMismatchError) as refused:
            connect()
        assert (refused.value.step, refused.value.host) == ("E9", name or "")
        assert peer.finish() == b""


def test_without_a_name_even_ordinary_checks_need_to_be_switched_off(pin: Any, world: Any) -> None:
    context = pin({"api.example.com": [world.leaf.pin]}).context()
    with socket.socket() as line, pytest.raises(ValueError, match="check_hostname requires server_hostname"):
        context.wrap_socket(line)
    assert context.verify_mode is ssl.CERT_REQUIRED
