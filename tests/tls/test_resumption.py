"""
Resumed sessions, in all their kinds: a handshake without a certificate, and so without any check.

Sessions that were made without checks are hole 7; these here were made with all of them, and are used elsewhere.
"""

import contextlib
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from pinned_attacks import GREETING, HOST, converse, greet, judge, object_to, refused
from pinned_peers import Peer
from pinned_service import SECRET, WRONG, dial

OTHER = "localhost"  # a name of the attacker's own, for which he has a certificate too

KINDS: dict[str, tuple[ssl.TLSVersion, int]] = {
    "TLS 1.2, session id": (ssl.TLSVersion.TLSv1_2, ssl.OP_NO_TICKET),
    "TLS 1.2, ticket": (ssl.TLSVersion.TLSv1_2, 0),
    "TLS 1.3, PSK": (ssl.TLSVersion.TLSv1_3, 0),
}


def greet_and_part(stream: Any) -> None:
    """Greet, echo, and end TLS in order: a server forgets the session id of a connection that just ended."""
    greet(stream)
    with contextlib.suppress(OSError):  # some have hung up by then
        stream.say_farewell()


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[ssl.TLSVersion, int]:
    """How sessions are kept, one after the other."""
    return request.param


@pytest.fixture
def resuming(serve: Any, kind: tuple[ssl.TLSVersion, int]) -> Callable[[Any], Peer]:
    """Return a function that starts a server which shows *chain* and resumes its sessions."""
    return lambda chain: serve(chain, greet_and_part, num_tickets=2, options=ssl.OP_ALL | kind[1])


def session_for(name: str, peer: Peer, context: ssl.SSLContext) -> ssl.SSLSession:
    """Return a session of an ordinary connection with *peer* under *name*."""
    with context.wrap_socket(dial(peer), server_hostname=name) as line:
        assert line.recv(len(GREETING)) == GREETING  # tickets of TLS 1.3 come with the first bytes
        session = line.session
        line.unwrap()
    assert session is not None
    return session


def resume(peer: Peer, context: ssl.SSLContext, session: ssl.SSLSession, handed: str) -> Callable[[], None]:
    """Return what connects to the pinned name with *session*."""

    def act() -> None:
        early = {"session": session} if handed == "as an argument" else {}
        with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False, **early) as line:
            if not early:
                line.session = session
            line.do_handshake()
            converse(line)

    return act


@pytest.mark.parametrize("handed", ["as an argument", "as an attribute"])
def test_a_session_of_the_attackers_own_name_gives_no_access_under_a_pinned_one(
    world: Any, pin: Any, resuming: Any, kind: Any, handed: str
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[Peer, tuple[bytes, BaseException | None]]:
        peer = resuming(world.bought)
        session = session_for(OTHER, peer, context)
        return peer, judge(peer, resume(peer, context, session, handed))

    peer, outcome = attack(world.client_context(maximum_version=kind[0]))
    assert (outcome, peer.sessions_reused) == ((SECRET, None), 1)
    peer, outcome = attack(pin({HOST: [world.leaf.pin]}).context(maximum_version=kind[0]))
    assert refused(outcome)
    assert peer.sessions_reused == (0 if handed == "as an argument" else 1)


def test_a_session_of_the_attackers_own_name_gives_an_ssl_object_no_access_under_a_pinned_one(
    world: Any, pin: Any, resuming: Any, kind: Any
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[Peer, tuple[bytes, BaseException | None]]:
        peer = resuming(world.bought)
        session = session_for(OTHER, peer, context)

        def act() -> None:
            with object_to(peer, context, session=session) as (tls_object, pump):
                pump(lambda: tls_object.write(SECRET))
                came = b""
                while came != GREETING + SECRET:
                    came += pump(lambda: tls_object.read(64))

        return peer, judge(peer, act)

    peer, outcome = attack(world.client_context(maximum_version=kind[0]))
    assert (outcome, peer.sessions_reused) == ((SECRET, None), 1)
    peer, outcome = attack(pin({HOST: [world.leaf.pin]}).context(maximum_version=kind[0]))
    assert refused(outcome)


def test_a_session_of_another_context_is_dropped_for_a_pinned_host_and_the_handshake_judged(
    world: Any, pin: Any, resuming: Any, kind: Any
) -> None:
    plain, second = (world.client_context(maximum_version=kind[0]) for _ in range(2))
    peer = resuming(world.bought)
    session = session_for(HOST, peer, plain)
    with dial(peer) as line, pytest.raises(ValueError, match="different SSLContext"):
        second.wrap_socket(line, server_hostname=HOST, session=session)  # Python itself refuses to mix them
    pins = pin({HOST: [WRONG]})
    outcome = judge(peer, resume(peer, pins.context(maximum_version=kind[0]), session, "as an argument"))
    assert refused(outcome)
    honest = resuming(world.honest)
    pins.switch({HOST: [world.leaf.pin]})
    outcome = judge(honest, resume(honest, pins.context(maximum_version=kind[0]), session, "as an argument"))
    assert outcome == (SECRET, None)
    assert (peer.sessions_reused, honest.sessions_reused) == (0, 0)


@pytest.mark.parametrize("handed", ["as an argument", "as an attribute"])
def test_a_session_from_before_enforcement_carries_nothing_past_the_pins(
    world: Any, pin: Any, everywhere: Any, resuming: Any, kind: Any, handed: str
) -> None:
    context, peer = world.client_context(maximum_version=kind[0]), resuming(world.bought)
    session = session_for(HOST, peer, context)
    resume(peer, context, session, handed)()
    before = bytes(peer.received)
    assert (before, peer.sessions_reused) == (SECRET, 1)
    everywhere(pin({HOST: [world.intermediate.pin]}))
    received, failure = judge(peer, resume(peer, context, session, handed))
    assert refused((received.removeprefix(before), failure))
