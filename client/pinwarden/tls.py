"""
The hooks: every TLS connection that Python's ``ssl`` makes is judged after its handshake and before its first byte.

It may import ``ssl``, ``spki`` and ``errors``, and hands the verdict to a guard. It never weakens a context, never
replaces ``ssl.SSLSocket`` itself, and leaves server-side sockets alone. docs/enforcement.md tells what cannot be reached.
"""

import copy
import errno
import importlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from pinwarden.enforce import Chain
from pinwarden.errors import ConfigError, MalformedError
from pinwarden.spki import pin_of

_ssl: Any = importlib.import_module("_ssl")
_DER = getattr(_ssl, "ENCODING_DER", None)
# The property of ssl.SSLContext turns the number into an enum member, ten times the cost of reading it.
_RAW_VERIFY_MODE = _ssl._SSLContext.verify_mode.__get__


class Guard(Protocol):
    """
    Who decides about connections.

    Attributes:
        token: replaced by another object whenever an open connection must be judged again (spec E8).
    """

    token: object

    def expects(self, host: str | None) -> bool:
        """Tell whether connections to *host* need their chain judged; False promises that admit() would let any pass."""

    def admit(self, host: str | None, chain: Chain | None, *, may_block: bool) -> object:
        """Return the token under which the connection may go on, or raise; *chain* is None where nothing is expected."""


class _Free:
    """Stands where a guard would, for connections that are never judged: servers and exempt contexts."""

    token: object = None


class _Undecided:
    """Stands where a guard would until the first handshake or byte asks for one."""

    token: object = object()


_FREE, _UNDECIDED = _Free(), _Undecided()
# Attributes of contexts.
_GUARD, _EXEMPT, _HARDENED = "_pinwarden_guard", "_pinwarden_exempt", "_pinwarden_hardened"
_process_guard: Guard | None = None


class _Gate:
    """
    What armed sockets and armed SSL objects share: one check after the handshake, one comparison before each byte.

    Seven ways around a naive check were reproduced; the comments name the number under which docs/enforcement.md
    explains each.
    """

    # Class attributes, so that the gate works from the first line of any constructor, gevent's included.
    _pw_guard: Any = _UNDECIDED
    _pw_token: object = None
    _pw_chain: Chain | None = None
    _pw_failure: BaseException | None = None
    _pw_weakest: int = int(ssl.CERT_REQUIRED)

    context: ssl.SSLContext
    server_hostname: str | None
    server_side: bool
    _sslobj: Any

    def _pw_note_mode(self, context: ssl.SSLContext) -> None:
        # Hole 6: the mode may differ between the making of the SSL object and the check; the weakest one counts.
        self._pw_weakest = min(self._pw_weakest, _mode_of(context))

    def _pw_handshaken(self, *, may_block: bool) -> None:
        """Judge the chain of a handshake that just succeeded."""
        guard = None if self.server_side else _guard_of(self.context)
        if guard is None:
            self._pw_guard, self._pw_token = _FREE, None
            return
        self._pw_note_mode(self.context)
        self._pw_judge(guard, may_block=may_block)

    def _pw_judge(self, guard: Guard, *, may_block: bool) -> None:
        try:
            if self._pw_chain is None and guard.expects(self.server_hostname):
                self._pw_chain = _chain_of(self._sslobj, verified=self._pw_weakest != 0)
            self._pw_token = guard.admit(self.server_hostname, self._pw_chain, may_block=may_block)
            self._pw_guard = guard
        except Exception as failure:
            self._pw_fail(failure)
            raise

    def _pw_fail(self, failure: BaseException) -> None:
        # Hole 2: CPython forgets the TLS state after a failure and would send what follows in plaintext.
        self._pw_failure = _fresh(failure)
        self._pw_guard, self._pw_token = _UNDECIDED, None
        self._pw_close()

    def _pw_close(self) -> None:
        """Make further bytes impossible, where this object owns a connection."""

    def _pw_gate(self) -> None:
        """Called when a byte is about to move on a connection that is unjudged, refused, or judged by older pins."""
        if self._pw_failure is not None:
            raise _fresh(self._pw_failure)
        if self._pw_guard is _UNDECIDED:
            self._pw_first_byte()
        else:  # spec E8
            self._pw_judge(self._pw_guard, may_block=False)

    def _pw_first_byte(self) -> None:
        # Hole 1: OpenSSL would handshake by itself inside the first read or write, and nothing would be judged.
        self.do_handshake()

    def do_handshake(self) -> None:
        raise NotImplementedError  # pragma: no cover - every armed class has ssl's


class _SocketGate(_Gate):
    """Mixed in front of ``ssl.SSLSocket`` or a subclass of it."""

    do_handshake_on_connect: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # gevent constructs its sockets directly; the standard library comes through _create() and never here.
        context = kwargs.get("_context") or kwargs.get("context")
        if context is not None:
            self._pw_note_mode(context)
            if (guard := _guard_of(context)) is not None and not kwargs.get("server_side"):
                _prepare(context, guard, kwargs)
        super().__init__(*args, **kwargs)

    @classmethod
    def _create(cls, **kwargs: Any) -> Any:
        context: ssl.SSLContext = kwargs["context"]
        guard = None if kwargs.get("server_side") else _guard_of(context)
        if guard is None:
            return super()._create(**kwargs)  # type: ignore[misc]
        mode = _mode_of(context)
        _prepare(context, guard, kwargs)
        handshake = kwargs.pop("do_handshake_on_connect", True)
        # The handshake waits until the new socket knows under which mode its SSL object was made.
        self = super()._create(**kwargs, do_handshake_on_connect=False)  # type: ignore[misc]
        self.do_handshake_on_connect = handshake
        self._pw_weakest = min(mode, _mode_of(context))
        if handshake and self._connected:
            try:
                if self.gettimeout() == 0.0:
                    raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
                self.do_handshake()
            except BaseException:
                with suppress(OSError):
                    self.close()
                raise
        return self

    def _real_connect(self, *args: Any) -> Any:
        self._pw_note_mode(self.context)
        return super()._real_connect(*args)  # type: ignore[misc]

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        if self._pw_failure is not None:
            raise _fresh(self._pw_failure)
        try:
            super().do_handshake(*args, **kwargs)  # type: ignore[safe-super]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            if not self.server_side:
                self._pw_fail(failure)
            raise
        self._pw_handshaken(may_block=self.gettimeout() != 0.0)  # type: ignore[attr-defined]

    def _pw_first_byte(self) -> None:
        if self.server_side or _guard_of(self.context) is None:
            self._pw_guard, self._pw_token = _FREE, None
        elif self._sslobj is None:
            # Nothing was ever negotiated here, so whatever is sent now would go out in plaintext.
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        else:
            self.do_handshake()

    def _pw_close(self) -> None:
        base: Any = super()
        with suppress(OSError, ValueError):
            base.shutdown(socket.SHUT_RDWR)  # makefile() objects may keep the descriptor open after close()
        with suppress(OSError):
            base.close()


class _ObjectGate(_Gate):
    """Mixed in front of ``ssl.SSLObject`` or a subclass of it: asyncio, trio, uvloop and TLS inside TLS."""

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Any:
        context: ssl.SSLContext = kwargs["context"]
        guard = None if kwargs.get("server_side") else _guard_of(context)
        if guard is not None:
            _prepare(context, guard, kwargs)
        mode = _mode_of(context)
        self = super()._create(*args, **kwargs)  # type: ignore[misc]
        if guard is not None:
            self._pw_weakest = min(mode, _mode_of(context))
        return self

    def do_handshake(self) -> None:
        if self._pw_failure is not None:
            raise _fresh(self._pw_failure)
        super().do_handshake()  # type: ignore[safe-super]
        self._pw_handshaken(may_block=True)


# Everything that moves application bytes. unwrap() only sends close_notify, and what it returns is a plain socket by
# the application's own wish.
_SOCKET_METHODS = (
    "read",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendfile",
    "sendmsg",
    "sendto",
    "write",
)
_OBJECT_METHODS = ("read", "write")
_armed_classes: dict[type, type] = {}


def _armed(base: type) -> type:
    """Return the subclass of *base*, an SSL socket or SSL object class, in which every byte passes the gate."""
    if issubclass(base, _Gate):
        return base
    armed = _armed_classes.get(base)
    if armed is None:
        mixin, names = (
            (_ObjectGate, _OBJECT_METHODS) if issubclass(base, ssl.SSLObject) else (_SocketGate, _SOCKET_METHODS)
        )
        members = {name: _gated(getattr(base, name)) for name in names if hasattr(base, name)}
        armed = _armed_classes[base] = type(f"Pinned{base.__name__}", (mixin, base), members)
    return armed


def _gated(inner: Callable[..., Any]) -> Callable[..., Any]:
    # The inner function is bound here because super() would double what the gate costs per send.
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._pw_token is not self._pw_guard.token:
            self._pw_gate()
        return inner(self, *args, **kwargs)

    method.__name__, method.__doc__ = inner.__name__, inner.__doc__
    return method


class _ClassHook:
    """
    Data descriptor in place of ``sslsocket_class`` or ``sslobject_class``.

    Hole 3: an attribute set on one context (truststore's inner one) would win over a plain class attribute, but not
    over a data descriptor. Hole 4: it is put on every subclass of SSLContext that has an attribute of its own.
    """

    def __init__(self, name: str, original: Any) -> None:
        self.name = name
        self.original = original

    def __get__(self, context: ssl.SSLContext | None, owner: type | None = None) -> Any:
        if context is None:
            return self.original
        base = context.__dict__.get(self.name) or self.original
        return base if _EXEMPT in context.__dict__ else _armed(base)

    def __set__(self, context: ssl.SSLContext, value: Any) -> None:
        context.__dict__[self.name] = value

    def __delete__(self, context: ssl.SSLContext) -> None:
        context.__dict__.pop(self.name, None)


_HOOKED = ("sslsocket_class", "sslobject_class")


def exempt(context: ssl.SSLContext) -> ssl.SSLContext:
    """
    Return *context*, whose connections are from now on never judged by pins.

    For the connection to the pin server itself (spec E10): a bad document must never block its own repair.
    """
    for inner in _with_inner(context):
        inner.__dict__[_EXEMPT] = True
    return context


def arm_context(context: ssl.SSLContext, guard: Guard) -> ssl.SSLContext:
    """
    Return *context*, every client connection of which *guard* judges from now on.

    Raises:
        ConfigError: the context is a server's, or this Python cannot show a verified chain.
    """
    check_platform()
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ConfigError(
            "a server's TLS context cannot be pinned", expected="a client context", got="PROTOCOL_TLS_SERVER"
        )
    for inner in _with_inner(context):
        inner.__dict__[_GUARD] = guard
        _forbid_renegotiation(inner)
        for name in _HOOKED:
            setattr(inner, name, _armed(getattr(inner, name)))
    return context


def enforce_process(guard: Guard) -> None:
    """
    Have *guard* judge every client connection that this process makes through ``ssl``, whoever makes it.

    Call it after monkey patching (gevent). Calling it again with the same guard also covers context classes that were
    defined since.

    Raises:
        ConfigError: another guard is in charge, or this Python cannot show a verified chain.
    """
    global _process_guard
    check_platform()
    if _process_guard is not None and _process_guard is not guard:
        raise ConfigError(
            "another PinClient enforces pins in this process already",
            hint="Enforce one process-wide, and give the other one's ssl_context() to the connections that it judges.",
        )
    _process_guard = guard
    for owner in _context_classes():
        for name in _HOOKED:
            own = owner.__dict__.get(name)
            if own is not None and not isinstance(own, _ClassHook):
                setattr(owner, name, _ClassHook(name, own))


def lift_process() -> None:
    """Undo :func:`enforce_process`; for tests. Connections that are open stay under the guard that judged them."""
    global _process_guard
    _process_guard = None
    for owner in _context_classes():
        for name in _HOOKED:
            own = owner.__dict__.get(name)
            if isinstance(own, _ClassHook):
                setattr(owner, name, own.original)


def uncovered_context_classes() -> list[str]:
    """Return the context classes of this process whose connections escape process-wide enforcement."""
    return [
        f"{owner.__module__}.{owner.__qualname__}"
        for owner in _context_classes()
        if any(name in owner.__dict__ and not isinstance(owner.__dict__[name], _ClassHook) for name in _HOOKED)
    ]


def check_platform() -> None:
    """Raise ConfigError when this Python cannot show the verified chain (CPython 3.10 and newer can)."""
    if _DER is None or not hasattr(_ssl._SSLSocket, "get_verified_chain"):
        raise ConfigError(
            "this Python's ssl module cannot show a verified chain, so pins cannot be enforced",
            expected="CPython 3.11 or newer",
            got=ssl.OPENSSL_VERSION,
        )


def _real_context_class() -> type[ssl.SSLContext]:
    # truststore replaces the name ssl.SSLContext by a subclass; the hooks belong on the class that ssl itself defined.
    mro = ssl.SSLContext.__mro__
    owner: type[ssl.SSLContext] = mro[mro.index(_ssl._SSLContext) - 1]
    return owner


def _context_classes() -> Iterator[type[ssl.SSLContext]]:
    queue = [_real_context_class()]
    while queue:
        owner = queue.pop()
        yield owner
        queue.extend(owner.__subclasses__())


def _with_inner(context: ssl.SSLContext) -> Iterator[ssl.SSLContext]:
    yield context
    inner = getattr(context, "_ctx", None)  # hole 3: truststore's outer context makes no socket itself
    if isinstance(inner, _real_context_class()):
        yield inner


def _guard_of(context: ssl.SSLContext) -> Guard | None:
    own = context.__dict__
    if _EXEMPT in own:
        return None
    guard: Guard | None = own.get(_GUARD, _process_guard)
    return guard


def _prepare(context: ssl.SSLContext, guard: Guard, arguments: dict[str, Any]) -> None:
    """Close what a context or a caller left open: renegotiation, and (hole 7) sessions made under a weaker mode."""
    _forbid_renegotiation(context)
    for name in ("session", "_session"):
        if arguments.get(name) is not None and guard.expects(arguments.get("server_hostname")):
            arguments[name] = None


def _forbid_renegotiation(context: ssl.SSLContext) -> None:
    if _HARDENED not in context.__dict__:  # reading .options builds an enum, which costs more than the whole check
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.__dict__[_HARDENED] = True


def _mode_of(context: ssl.SSLContext) -> int:
    mode: int = _RAW_VERIFY_MODE(context)
    return mode


def _chain_of(sslobj: Any, *, verified: bool) -> Chain:
    """Return the keys of the peer of a live connection; the leaf alone where no chain was verified (spec E5, E6)."""
    try:
        if verified and not sslobj.session_reused:
            certificates = sslobj.get_verified_chain()
            if certificates:
                return Chain(tuple(pin_of(one.public_bytes(_DER)) for one in certificates), True)
        leaf = sslobj.getpeercert(True)
        return Chain((pin_of(leaf),) if leaf else (), False)
    except MalformedError:
        return Chain((), False)  # a key that cannot be read matches nothing


def _fresh(failure: BaseException) -> BaseException:
    """Return a copy without traceback: the original would pin every frame that it passed through in memory."""
    try:
        return copy.copy(failure)
    except Exception:
        return failure.with_traceback(None)
