"""
The seven holes of the obvious way to check pins, each attacked for real; docs/enforcement.md explains them by number.

Every test first lets the attack succeed against the obvious version, so that it cannot pass because the attack is
clumsy, and then runs it against Pinwarden. What the server received decides.
"""

import contextlib
import errno
import socket
import ssl
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from conftest import SECRET, WRONG, Pins, dial
from pinned_peers import Peer, echo

from pinwarden import PinMismatchError, tls
from pinwarden.selftest import SelfTestError

HOST = "api.example.com"
ONLY_WRONG = {HOST: [WRONG]}
GREETING = b"welcome!"


class Obvious(ssl.SSLSocket):
    """What everybody writes first: check after do_handshake(), raise on a wrong pin. Here every pin is wrong."""

    def do_handshake(self, *args: Any) -> None:
        super().do_handshake(*args)
        if self.server_side:
            return
        raise PinMismatchError("obvious", host=HOST, presented=(), expected_pins=(), document="none")


class ObviousObject(ssl.SSLObject):
    """The same for SSLObject."""

    def do_handshake(self) -> None:
        super().do_handshake()
        if self.server_side:
            return
        raise PinMismatchError("obvious", host=HOST, presented=(), expected_pins=(), document="none")


def obvious(context: ssl.SSLContext) -> ssl.SSLContext:
    """Arm *context* the obvious way."""
    context.sslsocket_class, context.sslobject_class = Obvious, ObviousObject
    return context


def send_all(line: ssl.SSLSocket) -> None:
    line.sendall(SECRET)


def send_file(line: ssl.SSLSocket) -> None:
    with tempfile.TemporaryFile() as file:  # a real one: without TLS, sendfile() hands its descriptor to the kernel
        file.write(SECRET)
        file.seek(0)
        line.sendfile(file)


def send_through_makefile(line: ssl.SSLSocket) -> None:
    with line.makefile("wb") as file:
        file.write(SECRET)


MOVES: dict[str, Callable[[ssl.SSLSocket], object]] = {
    "send": lambda line: line.send(SECRET),
    "sendall": send_all,
    "sendfile": send_file,
    "write": lambda line: line.write(SECRET),
    "makefile": send_through_makefile,
}

TAKES: dict[str, Callable[[ssl.SSLSocket], object]] = {
    "read": lambda line: line.read(8),
    "recv": lambda line: line.recv(8),
    "recv_into": lambda line: line.recv_into(bytearray(8)),
    "makefile": lambda line: line.makefile("rb").read(1),
}


def judge(peer: Peer, attack: Callable[[], object]) -> tuple[bytes, BaseException | None]:
    """Run *attack* and return the application bytes that *peer* got, and what was raised."""
    failure = None
    try:
        attack()
    except (OSError, ValueError) as error:
        failure = error
    return peer.finish(), failure


def refused(outcome: tuple[bytes, BaseException | None]) -> bool:
    """Tell whether no application byte arrived, and Pinwarden said so."""
    received, failure = outcome
    return received == b"" and isinstance(failure, PinMismatchError)


def greet(stream: Any) -> None:
    """Speak first, as SMTP and databases do, and then send back whatever comes."""
    stream.sendall(GREETING)
    echo(stream)


def converse(line: ssl.SSLSocket) -> None:
    """Send the secret to a greeting peer, and wait until it has come back."""
    line.sendall(SECRET)
    with line.makefile("rb") as file:
        assert file.read(len(GREETING) + len(SECRET)) == GREETING + SECRET


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


def write_through_bio(peer: Peer, context: ssl.SSLContext) -> None:
    """Send the secret by ``SSLObject.write`` alone, which handshakes inside."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls_object = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with dial(peer) as line:
        while True:
            try:
                tls_object.write(SECRET)
            except ssl.SSLWantReadError:
                line.sendall(outgoing.read())
                incoming.write(line.recv(65536))
            else:
                line.sendall(outgoing.read())
                return


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


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
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


class Truststore(ssl.SSLContext):
    """
    The shape of ``truststore.SSLContext`` 0.10, line by line: what it hands out is made by a private inner context,
    on which it sets classes of its own.
    """

    def __init__(self, protocol: int) -> None:
        self._ctx = REAL_CONTEXT(protocol)

        class TruststoreSSLSocket(ssl.SSLSocket):
            def do_handshake(self, block: bool = False) -> None:
                super().do_handshake(block)

        class TruststoreSSLObject(ssl.SSLObject):
            def do_handshake(self) -> None:
                super().do_handshake()

        self._ctx.sslsocket_class = TruststoreSSLSocket
        self._ctx.sslobject_class = TruststoreSSLObject

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return self._ctx.wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._ctx.wrap_bio(*args, **kwargs)

    def load_verify_locations(self, *args: Any, **kwargs: Any) -> None:
        self._ctx.load_verify_locations(*args, **kwargs)

    def load_cert_chain(self, *args: Any, **kwargs: Any) -> None:
        self._ctx.load_cert_chain(*args, **kwargs)

    @property
    def options(self) -> ssl.Options:
        return self._ctx.options

    @options.setter
    def options(self, value: ssl.Options) -> None:
        ORIGINAL.options.__set__(self._ctx, value)

    @property
    def verify_mode(self) -> ssl.VerifyMode:
        return self._ctx.verify_mode

    @verify_mode.setter
    def verify_mode(self, value: ssl.VerifyMode) -> None:
        ORIGINAL.verify_mode.__set__(self._ctx, value)

    @property
    def verify_flags(self) -> ssl.VerifyFlags:
        return self._ctx.verify_flags

    @verify_flags.setter
    def verify_flags(self, value: ssl.VerifyFlags) -> None:
        ORIGINAL.verify_flags.__set__(self._ctx, value)

    @property
    def check_hostname(self) -> bool:
        return self._ctx.check_hostname

    @check_hostname.setter
    def check_hostname(self, value: bool) -> None:
        self._ctx.check_hostname = value

    @property
    def protocol(self) -> Any:
        return self._ctx.protocol


REAL_CONTEXT = ssl.SSLContext
ORIGINAL: Any = super(ssl.SSLContext, ssl.SSLContext)  # its setters, which do not go through the replaced name


def truststore(world: Any) -> Truststore:
    context = Truststore(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(world.cafile))
    return context


def send_by_socket(peer: Peer, context: ssl.SSLContext) -> None:
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.sendall(SECRET)


WAYS = {"socket": send_by_socket, "bio": write_through_bio}


@pytest.fixture
def obvious_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the obvious version as class attributes of ssl.SSLContext."""
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", Obvious)
    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", ObviousObject)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_the_attack_passes_a_class_attribute(world: Any, serve: Any, way: Any, obvious_everywhere: None) -> None:
    peer = serve()
    assert judge(peer, lambda: way(peer, truststore(world))) == (SECRET, None)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_the_attack_passes_an_armed_outer_context(world: Any, serve: Any, way: Any) -> None:
    peer = serve()
    assert judge(peer, lambda: way(peer, obvious(truststore(world)))) == (SECRET, None)


@pytest.mark.parametrize("injected", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("made_before", [False, True])
def test_hole_3_a_context_with_an_inner_one_is_judged_process_wide(
    world: Any,
    serve: Any,
    pin: Any,
    everywhere: Any,
    way: Any,
    made_before: bool,
    injected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if injected:  # as truststore.inject_into_ssl() does
        monkeypatch.setattr(ssl, "SSLContext", Truststore)
    peer, context = serve(), truststore(world)
    everywhere(pin(ONLY_WRONG))
    if not made_before:
        context = truststore(world)
    assert refused(judge(peer, lambda: way(peer, context)))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_a_context_with_an_inner_one_is_judged_when_it_alone_is_armed(
    world: Any, serve: Any, pin: Any, way: Any
) -> None:
    peer = serve()
    assert refused(judge(peer, lambda: way(peer, pin(ONLY_WRONG).client.ssl_context(truststore(world)))))
    peer = serve()
    right = pin({HOST: [world.leaf.pin]}).client.ssl_context(truststore(world))
    assert judge(peer, lambda: way(peer, right)) == (SECRET, None)


class OwnSocket(ssl.SSLSocket):
    """A library's socket class."""


class OwnObject(ssl.SSLObject):
    """A library's object class."""


def property_context_class() -> type[ssl.SSLContext]:
    """Define a context class that computes its classes."""

    class Computed(ssl.SSLContext):
        @property
        def sslsocket_class(self) -> type:
            return OwnSocket

        @property
        def sslobject_class(self) -> type:
            return OwnObject

    return Computed


def own_context_class() -> type[ssl.SSLContext]:
    """Define a context class with classes of its own, as gevent does."""

    class Own(ssl.SSLContext):
        sslsocket_class = OwnSocket
        sslobject_class = OwnObject

    return Own


def own_context(world: Any, own: type[ssl.SSLContext]) -> ssl.SSLContext:
    context = own(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(world.cafile))
    return context


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_4_the_attack_passes_a_class_attribute(world: Any, serve: Any, way: Any, obvious_everywhere: None) -> None:
    peer = serve()
    assert judge(peer, lambda: way(peer, own_context(world, own_context_class()))) == (SECRET, None)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("defined", ["before", "after"])
@pytest.mark.parametrize("define", [own_context_class, property_context_class])
def test_hole_4_a_context_class_with_classes_of_its_own_is_judged(
    world: Any, serve: Any, pin: Any, everywhere: Any, way: Any, define: Any, defined: str
) -> None:
    own = define() if defined == "before" else None
    everywhere(pin(ONLY_WRONG))
    context = own_context(world, own or define())
    peer = serve()
    assert refused(judge(peer, lambda: way(peer, context)))


def test_hole_4_a_class_that_is_changed_after_installation_fails_the_selftest(
    world: Any, serve: Any, pin: Any, everywhere: Any
) -> None:
    own, pins = own_context_class(), pin(ONLY_WRONG)
    everywhere(pins)
    own.sslsocket_class = OwnSocket  # gevent patched too late
    with pytest.raises(SelfTestError, match="own_context_class"):
        pins.client.selftest()
    everywhere(pins)
    assert len(pins.client.selftest()) == 6
    peer = serve()
    assert refused(judge(peer, lambda: send_by_socket(peer, own_context(world, own))))


def unverified_chain(line: ssl.SSLSocket) -> list[bytes]:
    """Return what Python calls the verified chain."""
    return [one.public_bytes(tls.contexts.DER) for one in line._sslobj.get_verified_chain()]


@pytest.mark.parametrize("pinned", ["intermediate", "root"])
def test_hole_5_a_forged_leaf_under_cert_none_matches_no_ca_pin(world: Any, serve: Any, pin: Any, pinned: str) -> None:
    ca = getattr(world, pinned)
    lax = {"check_hostname": False, "verify_mode": ssl.CERT_NONE}
    peer = serve(world.forged)
    with world.client_context(**lax).wrap_socket(dial(peer), server_hostname=HOST) as line:
        assert ca.der in unverified_chain(line)  # signatures were not checked, and yet it is there
    peer = serve(world.forged)
    assert refused(judge(peer, lambda: send_by_socket(peer, pin({HOST: [ca.pin]}).context(**lax))))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_5_under_cert_none_a_pinned_leaf_is_accepted(world: Any, serve: Any, pin: Any, way: Any) -> None:
    peer = serve(world.honest)
    context = pin({HOST: [world.leaf.pin]}).context(check_hostname=False, verify_mode=ssl.CERT_NONE)
    assert judge(peer, lambda: way(peer, context)) == (SECRET, None)


@pytest.mark.parametrize("way", ["wrapped first", "connected first"])
def test_hole_6_a_mode_raised_between_making_and_handshake_is_not_believed(
    world: Any, serve: Any, pin: Any, way: str
) -> None:
    def attack(context: ssl.SSLContext) -> tuple[bytes, BaseException | None]:
        peer = serve(world.forged)

        def act() -> None:
            line = dial(peer) if way == "connected first" else socket.socket()
            with context.wrap_socket(line, server_hostname=HOST, do_handshake_on_connect=False) as line:
                if way == "wrapped first":
                    line.connect(peer.address)
                context.verify_mode = ssl.CERT_REQUIRED
                line.do_handshake()
                assert world.intermediate.der in unverified_chain(line)
                line.sendall(SECRET)

        return judge(peer, act)

    lax = {"check_hostname": False, "verify_mode": ssl.CERT_NONE}
    assert attack(world.client_context(**lax)) == (SECRET, None)
    assert refused(attack(pin({HOST: [world.intermediate.pin]}).context(**lax)))


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


class ArmedLater:
    """Arms a context at the moment when it is used."""

    def __init__(self, context: ssl.SSLContext, pins: Pins) -> None:
        self._context, self._pins = context, pins

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return self._pins.client.ssl_context(self._context).wrap_socket(*args, **kwargs)


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
