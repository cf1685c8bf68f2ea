"""
Holes 5, 6 and 7: connections that look verified and were not.
"""

import socket
import ssl
from typing import Any

import pytest
from pinned_attacks import (
    GREETING,
    HOST,
    WAYS,
    converse,
    greet,
    judge,
    object_to,
    refused,
    send_by_socket,
    unverified_chain,
    write_through_bio,
)
from pinned_peers import Peer
from pinned_service import SECRET, WRONG, Pins, dial


@pytest.mark.parametrize("pinned", ["intermediate", "root"])
def test_hole_5_a_forged_leaf_under_cert_none_matches_no_ca_pin(world: Any, serve: Any, pin: Any, pinned: str) -> None:
    ca = getattr(world, pinned)
    lax = {"check_hostname": False, "verify_mode": ssl.CERT_NONE}
    peer = serve(world.forged)
    with world.client_context(**lax).wrap_socket(dial(peer), server_hostname=HOST) as line:
        assert ca.der in unverified_chain(line)  # signatures were not checked, and yet it is there
        line.sendall(SECRET)
    assert peer.finish() == SECRET
    peer = serve(world.forged)
    outcome = judge(peer, lambda: send_by_socket(peer, pin({HOST: [ca.pin]}).context(**lax)))
    assert refused(outcome)
    assert f"no key of {HOST} is pinned (unverified or resumed: only the leaf counts)" in str(outcome[1])


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_5_under_cert_none_a_pinned_leaf_is_accepted(world: Any, serve: Any, pin: Any, way: Any) -> None:
    peer = serve(world.honest)
    context = pin({HOST: [world.leaf.pin]}).context(check_hostname=False, verify_mode=ssl.CERT_NONE)
    assert judge(peer, lambda: way(peer, context)) == (SECRET, None)


@pytest.mark.parametrize("way", ["wrapped first", "wrapped before it was lowered", "connected first"])
def test_hole_6_a_mode_raised_between_making_and_handshake_is_not_believed(
    world: Any, serve: Any, pin: Any, way: str
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        peer = serve(world.forged)

        def act() -> None:
            line = dial(peer) if way == "connected first" else socket.socket()
            if way == "wrapped before it was lowered":
                context.verify_mode = ssl.CERT_REQUIRED
            with context.wrap_socket(line, server_hostname=HOST, do_handshake_on_connect=False) as line:
                context.verify_mode = ssl.CERT_NONE
                if way != "connected first":
                    line.connect(peer.address)
                context.verify_mode = ssl.CERT_REQUIRED
                line.do_handshake()
                assert world.intermediate.der in unverified_chain(line)
                line.sendall(SECRET)

        return judge(peer, act)

    lax = {"check_hostname": False, "verify_mode": ssl.CERT_NONE}
    assert attack(world.client_context(**lax)) == (SECRET, None)
    assert refused(attack(pin({HOST: [world.intermediate.pin]}).context(**lax)))


class LoweredMeanwhile(ssl.SSLContext):
    """Another thread of the application lowers the mode at the very moment when the TLS state is made."""

    def _wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        self.check_hostname, self.verify_mode = False, ssl.CERT_NONE
        return super()._wrap_socket(*args, **kwargs)


@pytest.mark.parametrize("connected", [False, True])
def test_hole_6_a_mode_that_is_lowered_while_the_tls_state_is_made_is_not_believed(
    world: Any, serve: Any, pin: Any, connected: bool
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        context.load_verify_locations(world.cafile)
        peer = serve(world.forged)

        def act() -> None:
            raw = dial(peer) if connected else socket.socket()
            with context.wrap_socket(raw, server_hostname=HOST) as line:
                if not connected:
                    line.connect(peer.address)
                line.sendall(SECRET)

        return judge(peer, act)

    assert attack(LoweredMeanwhile(ssl.PROTOCOL_TLS_CLIENT)) == (SECRET, None)
    armed = pin({HOST: [world.intermediate.pin]}).client.ssl_context(LoweredMeanwhile(ssl.PROTOCOL_TLS_CLIENT))
    assert refused(attack(armed))


def test_hole_6_a_mode_that_is_lowered_only_while_the_tls_state_is_made_is_not_believed(
    world: Any, serve: Any, pin: Any
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        context.load_verify_locations(world.cafile)
        peer = serve(world.forged)

        def act() -> None:
            with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False) as line:
                context.verify_mode = ssl.CERT_REQUIRED
                line.do_handshake()
                line.sendall(SECRET)

        return judge(peer, act)

    assert attack(LoweredMeanwhile(ssl.PROTOCOL_TLS_CLIENT)) == (SECRET, None)
    armed = pin({HOST: [world.intermediate.pin]}).client.ssl_context(LoweredMeanwhile(ssl.PROTOCOL_TLS_CLIENT))
    assert refused(attack(armed))


class RaisedMeanwhile(ssl.SSLContext):
    """Another thread of the application raises the mode as soon as the TLS state is made without checks."""

    def _wrap_socket(self, *args: Any, **kwargs: Any) -> Any:
        made = super()._wrap_socket(*args, **kwargs)
        self.verify_mode = ssl.CERT_REQUIRED
        return made


def test_hole_6_a_mode_that_is_raised_as_soon_as_the_tls_state_is_made_is_not_believed(
    world: Any, serve: Any, pin: Any
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        peer = serve(world.forged)

        def act() -> None:
            with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
                line.sendall(SECRET)

        return judge(peer, act)

    assert attack(RaisedMeanwhile(ssl.PROTOCOL_TLS_CLIENT)) == (SECRET, None)
    armed = pin({HOST: [world.intermediate.pin]}).client.ssl_context(RaisedMeanwhile(ssl.PROTOCOL_TLS_CLIENT))
    assert refused(attack(armed))


def test_hole_6_a_mode_raised_between_making_and_handshake_of_an_object_is_not_believed(
    world: Any, serve: Any, pin: Any
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        peer, made = serve(world.forged), context.wrap_bio

        def wrap_and_raise(*args: Any, **kwargs: Any) -> ssl.SSLObject:
            tls_object = made(*args, **kwargs)
            context.verify_mode = ssl.CERT_REQUIRED
            return tls_object

        context.wrap_bio = wrap_and_raise  # type: ignore[method-assign]
        return judge(peer, lambda: write_through_bio(peer, context))

    lax = {"check_hostname": False, "verify_mode": ssl.CERT_NONE}
    assert attack(world.client_context(**lax)) == (SECRET, None)
    assert refused(attack(pin({HOST: [world.intermediate.pin]}).context(**lax)))


VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}


def session_under_cert_none(peer: Peer, context: ssl.SSLContext) -> ssl.SSLSession:
    """Return a session that *context* made without any check, and then switch the checks on."""
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.recv(8)  # tickets of TLS 1.3 come with the first bytes
        session = line.session
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
    assert session is not None
    return session


class ArmedLater:
    """Arms a context at the moment when it is used."""

    def __init__(self, context: ssl.SSLContext, pins: Pins) -> None:
        self._context, self._pins = context, pins

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return self._pins.client.ssl_context(self._context).wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._pins.client.ssl_context(self._context).wrap_bio(*args, **kwargs)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("handed", ["as an argument", "as an attribute"])
def test_hole_7_a_session_made_under_cert_none_gives_no_access(
    world: Any, serve: Any, pin: Any, version: ssl.TLSVersion, handed: str
) -> None:
    def attack(context: ssl.SSLContext, judged: ssl.SSLContext) -> tuple[Peer, bytes, BaseException | None]:
        context.maximum_version = version
        peer = serve(world.forged, greet, num_tickets=2)
        session = session_under_cert_none(peer, context)

        def act() -> None:
            early = {"session": session} if handed == "as an argument" else {}
            with judged.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False, **early) as line:
                if not early:
                    line.session = session
                line.do_handshake()
                converse(line)

        return peer, *judge(peer, act)

    plain = world.client_context()
    peer, received, failure = attack(plain, plain)
    assert (received, failure, peer.sessions_reused) == (SECRET, None, 1)

    # The session needs the context that made it; the pins come only afterwards, or it would not have come about.
    armed = pin({HOST: [world.intermediate.pin]})
    context = world.client_context()
    peer, received, failure = attack(context, ArmedLater(context, armed))
    assert received == b""
    assert isinstance(failure, ssl.SSLCertVerificationError)
    assert peer.sessions_reused == (0 if handed == "as an argument" else 1)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_hole_7_a_session_made_under_cert_none_is_not_resumed_by_an_ssl_object(
    world: Any, serve: Any, pin: Any, version: ssl.TLSVersion
) -> None:
    resumed = []

    def attack(context: ssl.SSLContext, judged: Any) -> tuple[bytes, BaseException | None]:
        context.maximum_version = version
        peer = serve(world.forged, greet, num_tickets=2)
        session = session_under_cert_none(peer, context)

        def act() -> None:
            with object_to(peer, judged, session=session) as (tls_object, pump):
                try:
                    pump(tls_object.do_handshake)
                finally:  # the client says it: the server of a refused connection sees no end of the handshake
                    resumed.append(tls_object.session_reused)
                pump(lambda: tls_object.write(SECRET))
                came = b""
                while came != GREETING + SECRET:
                    came += pump(lambda: tls_object.read(64))

        return judge(peer, act)

    plain = world.client_context()
    assert attack(plain, plain) == (SECRET, None)
    context = world.client_context()
    received, failure = attack(context, ArmedLater(context, pin({HOST: [world.intermediate.pin]})))
    assert received == b""
    assert resumed == [True, False]
    assert isinstance(failure, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_hole_7_a_resumed_session_of_a_host_without_pins_still_resumes(
    world: Any, serve: Any, pin: Any, version: ssl.TLSVersion
) -> None:
    peer = serve(world.honest, greet, num_tickets=2)
    context = pin({"other.example.com": [WRONG]}).context(maximum_version=version)
    session = None
    for _ in range(2):
        with context.wrap_socket(dial(peer), server_hostname=HOST, session=session) as line:
            line.recv(8)
            session = line.session
    peer.finish()
    assert peer.sessions_reused == 1


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize(("pinned", "reaches"), [("leaf", True), ("intermediate", False)])
def test_hole_7_on_a_resumed_session_only_the_leaf_counts(
    world: Any, serve: Any, pin: Any, version: ssl.TLSVersion, pinned: str, reaches: bool
) -> None:
    peer = serve(world.honest, greet, num_tickets=2)
    context = pin({HOST: [getattr(world, pinned).pin]}).context(maximum_version=version)
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.recv(8)
        session = line.session

    def resume() -> None:
        with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False) as line:
            line.session = session
            converse(line)

    outcome = judge(peer, resume)
    assert peer.sessions_reused == 1
    assert outcome == (SECRET, None) if reaches else refused(outcome)


def test_hole_7_while_nothing_is_trusted_a_session_is_dropped_too(world: Any, serve: Any, pin: Any) -> None:
    pins, peer, context = pin(None), serve(world.honest, greet, num_tickets=2), world.client_context()
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.recv(8)
        session = line.session
    pins.publish({HOST: [world.intermediate.pin]})  # which the handshake itself fetches
    with pins.client.ssl_context(context).wrap_socket(dial(peer), server_hostname=HOST, session=session) as line:
        converse(line)
    assert (peer.finish(), peer.sessions_reused) == (SECRET, 0)


class KeepsItsChain:
    """
    OpenSSL's state of a connection, if it kept the chain that a session was made with.

    Today's forgets it, and has no verified chain to show on a resumed session; others need not.
    """

    def __init__(self, state: Any, chain: list[Any]) -> None:
        self._state, self._chain = state, chain

    def get_verified_chain(self) -> list[Any]:
        return self._chain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


@pytest.mark.parametrize("kept", [False, True], ids=["forgotten", "kept"])
def test_hole_7_what_was_verified_for_a_session_does_not_count_when_it_is_resumed(
    world: Any, serve: Any, pin: Any, kept: bool
) -> None:
    peer = serve(world.honest, greet, num_tickets=2)
    context = pin({HOST: [world.intermediate.pin]}).context()
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.recv(8)
        session, chain = line.session, line._sslobj.get_verified_chain()

    def resume() -> None:
        with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False) as line:
            line.session = session
            if kept:
                line._sslobj = KeepsItsChain(line._sslobj, chain)
            converse(line)

    outcome = judge(peer, resume)
    assert peer.sessions_reused == 1
    assert refused(outcome)
