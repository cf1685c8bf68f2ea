"""
Holes 3 and 4: contexts whose sockets are made by another context, or by classes of their own.
"""

import ssl
from typing import Any

import pytest
from pinned_attacks import HOST, ONLY_WRONG, WAYS, Obvious, ObviousObject, judge, obvious, refused, send_by_socket
from pinned_service import SECRET, dial

from pinwarden import tls
from pinwarden.selftest import SelfTestError


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


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_exempting_a_context_exempts_the_inner_one_that_makes_its_sockets(
    world: Any, serve: Any, pin: Any, everywhere: Any, way: Any
) -> None:
    peer, context = serve(), tls.exempt(truststore(world))
    everywhere(pin(ONLY_WRONG))
    assert judge(peer, lambda: way(peer, context)) == (SECRET, None)


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


@pytest.mark.parametrize("process_wide", [False, True], ids=["one context", "whole process"])
@pytest.mark.parametrize("owner", ["class", "context, before", "context, after"])
def test_holes_3_and_4_are_closed_without_taking_a_library_its_own_classes(
    world: Any, serve: Any, pin: Any, everywhere: Any, owner: str, process_wide: bool
) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    context = own_context(world, own_context_class()) if owner == "class" else world.client_context()
    if owner == "context, before":
        context.sslsocket_class = OwnSocket
    if process_wide:
        everywhere(pins)
    else:
        pins.client.ssl_context(context)
    if owner == "context, after":
        context.sslsocket_class = OwnSocket
        if not process_wide:
            pins.client.ssl_context(context)
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        assert isinstance(line, OwnSocket)
        assert line._pw_token is pins.client._guard.token
