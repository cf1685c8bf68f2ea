"""
Holes 1 and 2: bytes that move before the handshake was judged, or after it failed.
"""

import contextlib
import errno
import os
import socket
import ssl
from typing import Any

import pytest
from pinned_attacks import (
    GREETING,
    HOST,
    MOVES,
    ONLY_WRONG,
    TAKES,
    UNSECURED_MOVES,
    UNSECURED_TAKES,
    greet,
    judge,
    object_to,
    obvious,
    refused,
    write_through_bio,
)
from pinned_peers import Peer
from pinned_service import SECRET, dial

from pinwarden import PinMismatchError


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_hole_1_writing_before_any_handshake_sends_nothing(world: Any, serve: Any, pin: Any, move: Any) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        peer = serve()

        def act() -> None:
            with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False) as line:
                move(line)

        return judge(peer, act)

    assert attack(obvious(world.client_context())) == (SECRET, None)
    assert refused(attack(pin(ONLY_WRONG).context()))
    assert attack(pin({HOST: [world.leaf.pin]}).context()) == (SECRET, None)


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_hole_1_reading_before_any_handshake_gives_nothing(world: Any, serve: Any, pin: Any, take: Any) -> None:
    def attack(context: ssl.SSLContext) -> object:
        with context.wrap_socket(
            dial(serve(dialogue=greet)), server_hostname=HOST, do_handshake_on_connect=False
        ) as line:
            return take(line)

    assert attack(obvious(world.client_context()))
    with pytest.raises(PinMismatchError):
        attack(pin(ONLY_WRONG).context())
    assert attack(pin({HOST: [world.leaf.pin]}).context())


def test_hole_1_an_ssl_object_that_writes_before_any_handshake_sends_nothing(world: Any, serve: Any, pin: Any) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        peer = serve()
        return judge(peer, lambda: write_through_bio(peer, context))

    assert attack(obvious(world.client_context())) == (SECRET, None)
    assert refused(attack(pin(ONLY_WRONG).context()))
    assert attack(pin({HOST: [world.leaf.pin]}).context()) == (SECRET, None)


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_hole_2_nothing_goes_out_in_plaintext_after_a_failed_connect(
    world: Any, serve: Any, pin: Any, move: Any
) -> None:
    def attack(context: ssl.SSLContext) -> Peer:
        peer: Peer = serve()
        with context.wrap_socket(socket.socket(), server_hostname=HOST) as line:
            with pytest.raises(PinMismatchError):
                line.connect(peer.address)
            with contextlib.suppress(OSError, ValueError):
                move(line)
        peer.finish()
        return peer

    # write() is the one method of SSLSocket that refuses when the TLS state is gone; the others send as they are.
    assert (SECRET in attack(obvious(world.client_context())).wire) == (move is not MOVES["write"])
    guarded = attack(pin(ONLY_WRONG).context())
    assert SECRET not in guarded.wire
    assert guarded.received == b""


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_hole_2_a_failure_is_remembered_and_raised_again(world: Any, serve: Any, pin: Any, move: Any) -> None:
    with pin(ONLY_WRONG).context().wrap_socket(socket.socket(), server_hostname=HOST) as line:
        for attempt in (lambda: line.connect(serve().address), lambda: move(line), line.do_handshake):
            with pytest.raises(PinMismatchError):
                attempt()


def test_hole_2_a_handshake_that_tls_itself_refuses_is_remembered_too(serve: Any, world: Any, pin: Any) -> None:
    peer = serve()
    context = pin({HOST: [world.leaf.pin]}).client.ssl_context()  # does not trust the world's roots
    with context.wrap_socket(socket.socket(), server_hostname=HOST) as line:
        for attempt in (lambda: line.connect(peer.address), lambda: line.sendall(SECRET)):
            with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
                attempt()
    assert peer.finish() == b""
    assert SECRET not in peer.wire


class Bare(ssl.SSLSocket):
    """A library's socket class that handshakes without a look at the timeout, as gevent's does."""

    def do_handshake(self, *args: Any) -> None:
        self._sslobj.do_handshake()


def test_hole_2_a_refused_handshake_tells_the_refusal_again_whatever_the_class_beneath_would_tell(
    world: Any, serve: Any, pin: Any
) -> None:
    peer, context = serve(), world.client_context()
    context.sslsocket_class = Bare
    pin(ONLY_WRONG).client.ssl_context(context)
    with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False) as line:
        for _ in range(2):
            with pytest.raises(PinMismatchError):
                line.do_handshake()
    assert peer.finish() == b""


def test_hole_2_a_refused_ssl_object_stays_refused_when_the_pin_comes_back(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin(ONLY_WRONG), serve()
    with object_to(peer, pins.context()) as (tls_object, pump):
        with pytest.raises(PinMismatchError):
            pump(tls_object.do_handshake)
        pins.switch({HOST: [world.leaf.pin]})
        for attempt in (tls_object.do_handshake, lambda: tls_object.write(SECRET), lambda: tls_object.read(1)):
            with pytest.raises(PinMismatchError, match=r"app 1\.1"):
                attempt()
    assert peer.finish() == b""


@pytest.mark.parametrize("move", UNSECURED_MOVES.values(), ids=UNSECURED_MOVES)
def test_hole_2_a_handshake_that_timed_out_leaves_no_plaintext_socket_behind(world: Any, pin: Any, move: Any) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        failure = None
        with socket.create_server(("127.0.0.1", 0)) as mute:
            with context.wrap_socket(socket.socket(), server_hostname=HOST) as line:
                line.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    line.connect(mute.getsockname())
                try:
                    move(line)
                except (OSError, ValueError) as error:
                    failure = error
            accepted, _ = mute.accept()
            with accepted, accepted.makefile("rb") as wire:
                return wire.read(), failure

    assert (SECRET in attack(world.client_context())[0]) == (move is not MOVES["write"])
    wire, failure = attack(pin({HOST: [world.leaf.pin]}).context())
    assert SECRET not in wire
    assert isinstance(failure, OSError)
    assert failure.errno == errno.ENOTCONN


@pytest.mark.parametrize("take", UNSECURED_TAKES.values(), ids=UNSECURED_TAKES)
def test_hole_2_after_a_handshake_that_timed_out_nothing_is_read_in_plaintext(world: Any, pin: Any, take: Any) -> None:
    def attack(context: ssl.SSLContext) -> object:
        with (
            socket.create_server(("127.0.0.1", 0)) as mute,
            context.wrap_socket(socket.socket(), server_hostname=HOST) as line,
        ):
            line.settimeout(0.05)
            with pytest.raises(TimeoutError):
                line.connect(mute.getsockname())
            accepted, _ = mute.accept()
            with accepted:
                accepted.sendall(GREETING)
                line.settimeout(10)
                return take(line)

    assert attack(world.client_context())
    with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)) as failed:
        attack(pin({HOST: [world.leaf.pin]}).context())
    assert failed.value.errno == errno.ENOTCONN
