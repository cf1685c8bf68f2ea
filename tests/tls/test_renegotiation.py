"""Renegotiation, in which a server of TLS 1.2 can put another certificate in the place of the one that was judged."""

import ssl
from typing import Any

import pytest
from pinned_attacks import send_by_socket
from pinned_renegotiation import Turncoat
from pinned_service import SECRET, dial

HOST = "api.example.com"


@pytest.mark.parametrize("process_wide", [False, True], ids=["one context", "whole process"])
def test_renegotiation_is_refused_because_nobody_would_judge_its_chain(
    world: Any, pin: Any, everywhere: Any, process_wide: bool
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[Turncoat, BaseException | None]:
        peer, failure = Turncoat(world.honest, world.bought, world.folder), None
        with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
            line.sendall(b"hello")
            try:
                assert line.recv(2) == b"go"
                assert line.getpeercert(binary_form=True) == world.leaf.der  # ssl still shows the first one
                line.sendall(SECRET)
            except ssl.SSLError as error:
                failure = error
        peer.finish()
        return peer, failure

    ordinary = world.client_context()
    peer, failure = attack(ordinary)
    assert (peer.renegotiated, peer.before, peer.after, failure) == (True, b"hello", SECRET, None)
    pins = pin({HOST: [world.leaf.pin]})
    context = ordinary if process_wide else pins.context()
    if process_wide:
        everywhere(pins)
    peer, failure = attack(context)
    assert (peer.renegotiated, peer.before, peer.after) == (False, b"hello", b"")
    assert isinstance(failure, ssl.SSLError)


def test_renegotiation_stays_forbidden_when_the_options_are_set_afterwards(
    world: Any, serve: Any, pin: Any, everywhere: Any
) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    armed, ordinary = pins.context(), world.client_context()
    everywhere(pins)
    for context in (armed, ordinary):
        send_by_socket(peer, context)
        context.options = ssl.OP_ALL  # some code assigns instead of adding
        send_by_socket(peer, context)
        assert context.options & ssl.OP_NO_RENEGOTIATION
