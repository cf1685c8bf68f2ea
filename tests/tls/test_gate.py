"""The gate's other promises: what it forbids, what it leaves alone, and that it holds nothing and hides nothing."""

import copy
import gc
import pickle
import socket
import ssl
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from pinned_peers import Peer
from pinned_service import SECRET, WRONG, dial

from pinwarden import ConfigError, FetchError, PinMismatchError, PinsUnavailableError, find_pin_error, tls

HOST = "localhost"


def exchange(peer: Peer, context: ssl.SSLContext) -> None:
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.sendall(SECRET)
        assert line.recv(len(SECRET)) == SECRET


# What is left alone.


def test_servers_of_the_process_are_left_alone(world: Any, serve: Any, pin: Any, everywhere: Any) -> None:
    ordinary = world.client_context()
    pins = pin({HOST: [WRONG]}, options={"unpinned": "refuse"})
    tls.exempt(ordinary)
    everywhere(pins)
    exchange(serve(), ordinary)  # its server is an SSLObject
    context = world.server_context(world.honest)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        thread = threading.Thread(target=serve_once, args=(context, listener), daemon=True)
        thread.start()
        with ordinary.wrap_socket(socket.create_connection(address, timeout=10), server_hostname=HOST) as line:
            line.sendall(SECRET)
            assert line.recv(len(SECRET)) == SECRET
        thread.join(10)
    assert pins.client.status().refused == 0


def serve_once(context: ssl.SSLContext, listener: socket.socket) -> None:
    """Echo once; the handshake happens inside the first read."""
    with context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False) as tls_listener:
        line, _ = tls_listener.accept()
        with line:
            line.sendall(line.recv(len(SECRET)))


def test_a_subclass_of_an_armed_class_keeps_its_own_handshake_and_is_judged(world: Any, serve: Any, pin: Any) -> None:
    for pinned, judged in ((world.leaf.pin, True), (WRONG, False)):
        context, done = pin({HOST: [pinned]}).context(), []

        class Counting(context.sslsocket_class):  # type: ignore[misc]
            def do_handshake(self, *args: Any) -> None:
                done.append("began")  # noqa: B023  each class is used before the next one is made
                super().do_handshake(*args)
                done.append("ended")  # noqa: B023

        context.sslsocket_class = Counting
        peer = serve()
        if judged:
            exchange(peer, context)
        else:
            with pytest.raises(PinMismatchError):
                exchange(peer, context)
        assert done == (["began", "ended"] if judged else ["began"])


def test_a_servers_context_cannot_be_armed(world: Any, pin: Any) -> None:
    with pytest.raises(ConfigError, match="server's TLS context"):
        pin({HOST: [WRONG]}).client.ssl_context(world.server_context(world.honest))


@pytest.mark.parametrize("way", ["exempt, then armed", "armed, then exempt", "process-wide"])
def test_an_exempt_context_is_never_judged(world: Any, serve: Any, pin: Any, everywhere: Any, way: str) -> None:
    pins, peer, context = pin({HOST: [WRONG]}), serve(), world.client_context()
    if way == "exempt, then armed":
        tls.exempt(context)
    if way == "process-wide":
        everywhere(pins)
    else:
        pins.client.ssl_context(context)
    tls.exempt(context)
    exchange(peer, context)
    assert peer.finish() == SECRET


def test_the_sockets_of_an_exempt_context_are_those_of_the_library_and_nothing_more(
    world: Any, pin: Any, everywhere: Any
) -> None:
    everywhere(pin({HOST: [WRONG]}))
    context = tls.exempt(world.client_context())
    assert (context.sslsocket_class, context.sslobject_class) == (ssl.SSLSocket, ssl.SSLObject)


def test_a_pin_set_that_refuses_its_own_pin_server_can_be_repaired(
    world: Any, serve: Any, pin: Any, everywhere: Any
) -> None:
    pins, peer = pin({HOST: [WRONG]}), serve()  # the pin server is this host, too
    everywhere(pins)
    ordinary = world.client_context()
    pins.switch({HOST: [WRONG, b"v" * 32]})
    with pytest.raises(PinMismatchError):
        exchange(peer, ordinary)
    pins.switch({HOST: [world.leaf.pin]})
    exchange(peer, ordinary)
    assert peer.finish() == SECRET


def test_one_client_enforces_and_others_judge_their_own_contexts(
    world: Any, serve: Any, pin: Any, everywhere: Any
) -> None:
    first, second = pin({HOST: [WRONG]}), pin({HOST: [world.leaf.pin]})
    everywhere(first)
    with pytest.raises(ConfigError, match="another PinClient enforces"):
        second.client.enforce()
    assert not second.client.status().process_wide
    exchange(serve(), second.context())
    with pytest.raises(PinMismatchError):
        exchange(serve(), world.client_context())


def test_lifting_restores_every_class(pin: Any) -> None:
    class Own(ssl.SSLContext):
        sslsocket_class = ssl.SSLSocket

    before = [dict(vars(ssl.SSLContext)), dict(vars(Own))]
    pin_everywhere = pin({HOST: [WRONG]}).client
    pin_everywhere.enforce()
    assert vars(ssl.SSLContext) != before[0]
    tls.lift_process()
    assert [dict(vars(ssl.SSLContext)), dict(vars(Own))] == before


def test_a_subclass_with_keywords_and_a_hook_of_its_own_can_still_be_defined(pin: Any, everywhere: Any) -> None:
    class Parent(ssl.SSLContext):
        def __init_subclass__(cls, /, colour: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.colour = colour

    everywhere(pin({HOST: [WRONG]}))

    class Child(Parent, colour="blue"):
        sslsocket_class = ssl.SSLSocket

    assert Child.colour == "blue"
    assert "Child" not in " ".join(tls.uncovered_context_classes())
    with pytest.raises(TypeError):

        class Bad(ssl.SSLContext, colour="blue"):
            pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_has_been_shown_when_the_refusal_comes(
    world: Any, serve: Any, pin: Any, version: ssl.TLSVersion
) -> None:
    shown = []

    def look(stream: Any) -> None:
        shown.append(stream.tls.getpeercert(True))

    peer = serve(dialogue=look, verify_mode=ssl.CERT_REQUIRED)
    peer.context.load_verify_locations(world.cafile)
    context = pin({HOST: [WRONG]}).context(maximum_version=version)
    world.honest.load_into(context, world.folder)
    with pytest.raises(PinMismatchError):
        exchange(peer, context)
    assert peer.finish() == b""
    assert shown == [world.leaf.der]  # docs/enforcement.md says so; nothing in Python could prevent it


# What it neither holds nor hides.


def test_classes_that_were_armed_for_one_context_go_with_it(world: Any, pin: Any) -> None:
    context = world.client_context()

    class Mine(ssl.SSLSocket):
        pass

    context.sslsocket_class = Mine
    pin({HOST: [WRONG]}).client.ssl_context(context)
    gone = [weakref.ref(Mine), weakref.ref(context.sslsocket_class)]
    assert gone[1]() is not Mine
    del Mine, context
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_a_refused_connection_is_freed_without_the_garbage_collector(world: Any, serve: Any, pin: Any) -> None:
    peer, context = serve(), pin({HOST: [WRONG]}).context()
    line = context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False)
    reference = weakref.ref(line)
    gc.disable()
    try:
        line.do_handshake()
    except PinMismatchError:
        del line
        assert reference() is not None  # the traceback holds it
    finally:
        gc.enable()
    assert reference() is None


def test_a_blocking_handshake_asked_for_on_a_non_blocking_socket_is_the_same_error_as_ever(
    world: Any, serve: Any, pin: Any
) -> None:
    line = dial(serve())
    line.setblocking(False)
    with pytest.raises(ValueError, match="do_handshake_on_connect should not be specified for non-blocking"):
        pin({HOST: [world.leaf.pin]}).context().wrap_socket(line, server_hostname=HOST)


def test_a_guard_that_fails_for_a_reason_of_its_own_refuses(
    world: Any, serve: Any, pin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins, peer = pin({HOST: [world.leaf.pin]}), serve()
    context = pins.context()
    monkeypatch.setattr(pins.client._guard, "admit", lambda *_, **__: 1 / 0)
    with context.wrap_socket(dial(peer), server_hostname=HOST, do_handshake_on_connect=False) as line:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                line.sendall(SECRET)
    assert peer.finish() == b""


@pytest.mark.parametrize("copied", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_survive_copies_and_process_pools_as_ssl_errors(
    world: Any, serve: Any, pin: Any, copied: Callable[[Any], Any]
) -> None:
    with pytest.raises(PinMismatchError) as refused:
        exchange(serve(), pin({HOST: [WRONG]}).context())
    error = refused.value
    twin = copied(error)
    names = ("host", "presented", "document", "args", "errno", "reason", "library", "verify_code", "verify_message")
    assert {name: getattr(twin, name) for name in names} == {name: getattr(error, name) for name in names}
    assert (str(twin), error.args[0], error.reason) == (str(error), 1, "CERTIFICATE_VERIFY_FAILED")
    assert isinstance(twin, ssl.SSLCertVerificationError)


def test_find_pin_error_finds_what_was_wrapped_and_nothing_else() -> None:
    ours = PinsUnavailableError("nothing is trusted")
    wrapped = OSError("outer", ValueError("middle", ours))
    grouped = ExceptionGroup("several", [KeyError("x"), wrapped])
    caught = RuntimeError("raised while handling")
    caught.__context__ = grouped
    looped = RuntimeError("a loop")
    looped.__cause__ = looped
    for error, found in ((ours, ours), (wrapped, ours), (grouped, ours), (caught, ours), (looped, None), (None, None)):
        assert find_pin_error(error) is found
    assert isinstance(find_pin_error(FetchError("the pin server is away")), FetchError)
