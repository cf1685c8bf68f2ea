"""
Holes 3 and 4: contexts whose sockets are made by another context, or by classes of their own.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import truststore
from pinned_attacks import HOST, ONLY_WRONG, WAYS, Obvious, ObviousObject, judge, obvious, refused, send_by_socket
from pinned_libraries import of_the_system
from pinned_service import SECRET, dial

from pinwarden import tls
from pinwarden.selftest import SelfTestError


@pytest.fixture
def inject() -> Iterator[Callable[[], None]]:
    """Return what puts truststore in the place of ssl.SSLContext, until the test ends."""
    yield truststore.inject_into_ssl
    truststore.extract_from_ssl()


@pytest.fixture
def obvious_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the obvious version as class attributes of ssl.SSLContext."""
    monkeypatch.setattr(ssl.SSLContext, "sslsocket_class", Obvious)
    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", ObviousObject)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_the_attack_passes_a_class_attribute(world: Any, serve: Any, way: Any, obvious_everywhere: None) -> None:
    peer = serve()
    assert judge(peer, lambda: way(peer, of_the_system(world))) == (SECRET, None)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_the_attack_passes_an_armed_outer_context(world: Any, serve: Any, way: Any) -> None:
    peer = serve()
    assert judge(peer, lambda: way(peer, obvious(of_the_system(world)))) == (SECRET, None)


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
    inject: Any,
) -> None:
    if injected:
        inject()
    peer, context = serve(), of_the_system(world)
    everywhere(pin(ONLY_WRONG))
    if not made_before:
        context = world.client_context() if injected else of_the_system(world)
    assert isinstance(context, truststore.SSLContext)
    assert refused(judge(peer, lambda: way(peer, context)))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("right", [True, False])
def test_hole_3_truststore_may_take_the_place_of_every_context_after_enforcement_too(
    world: Any, serve: Any, pin: Any, everywhere: Any, inject: Any, way: Any, right: bool
) -> None:
    peer, pins = serve(), pin({HOST: [world.intermediate.pin]} if right else ONLY_WRONG)
    everywhere(pins)
    inject()
    context = world.client_context()
    assert isinstance(context, truststore.SSLContext)
    outcome = judge(peer, lambda: way(peer, context))
    assert outcome == (SECRET, None) if right else refused(outcome)
    assert "every SSLContext class of this process is hooked" in pins.client.selftest()


@contextlib.contextmanager
def verified_by_the_system(context: ssl.SSLContext) -> Iterator[None]:
    """Configure *context* as truststore does on macOS and Windows: the system verifies, OpenSSL does not."""
    checks = context.check_hostname, context.verify_mode
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        yield
    finally:
        context.verify_mode, context.check_hostname = checks[1], checks[0]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("pinned", "reaches"), [("leaf", True), ("intermediate", False)])
def test_hole_3_where_truststore_leaves_verification_to_the_system_only_the_leaf_counts(
    world: Any, serve: Any, pin: Any, way: Any, pinned: str, reaches: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(truststore.SSLContext.wrap_bio.__globals__, "_configure_context", verified_by_the_system)
    peer = serve(world.honest if reaches else world.forged)
    assert judge(peer, lambda: way(peer, of_the_system(world))) == (SECRET, None)
    peer = serve(world.honest if reaches else world.forged)
    context = pin({HOST: [getattr(world, pinned).pin]}).client.ssl_context(of_the_system(world))
    outcome = judge(peer, lambda: way(peer, context))
    assert outcome == (SECRET, None) if reaches else refused(outcome)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_a_context_with_an_inner_one_is_judged_when_it_alone_is_armed(
    world: Any, serve: Any, pin: Any, way: Any
) -> None:
    peer = serve()
    assert refused(judge(peer, lambda: way(peer, pin(ONLY_WRONG).client.ssl_context(of_the_system(world)))))
    peer = serve()
    right = pin({HOST: [world.leaf.pin]}).client.ssl_context(of_the_system(world))
    assert judge(peer, lambda: way(peer, right)) == (SECRET, None)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_hole_3_exempting_a_context_exempts_the_inner_one_that_makes_its_sockets(
    world: Any, serve: Any, pin: Any, everywhere: Any, way: Any
) -> None:
    peer, context = serve(), tls.exempt(of_the_system(world))
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
