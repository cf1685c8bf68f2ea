"""
The gate: sockets and SSL objects that are judged after their handshake and before each byte.

It may import ``contexts`` and ``spki``. It never replaces ``ssl.SSLSocket`` itself (``ssl`` uses the global name and
would break), and leaves server-side connections alone.
"""

import copy
import errno
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pinwarden.enforce import Chain
from pinwarden.errors import MalformedError
from pinwarden.spki import pin_of
from pinwarden.tls.contexts import DER, NO_RENEGOTIATION, Guard, guard_of, mode_of, options_of, prepare


class _Free:
    """Stands where a guard would, for connections that are never judged: servers and exempt contexts."""

    token: object = None


class _Undecided:
    """Stands where a guard would until the first handshake or byte asks for one."""

    token: object = object()


_FREE, _UNDECIDED = _Free(), _Undecided()
_REQUIRED = int(ssl.CERT_REQUIRED)


class _Gate:
    """
    What armed sockets and armed SSL objects share: one check after the handshake, one comparison before each byte.

    Seven ways around a naive check were reproduced; the comments name the number under which docs/enforcement.md
    explains each.
    """

    # Class attributes, so that the gate works from the first line of any constructor, gevent's included.
    _pw_guard: Any = _UNDECIDED
    _pw_token: object = None
    _pw_leaf: bytes | None = None
    _pw_chain: Chain | None = None
    _pw_failure: BaseException | None = None
    _pw_weakest: int = _REQUIRED

    context: ssl.SSLContext
    server_hostname: str | None
    server_side: bool
    _sslobj: Any

    def _pw_note_mode(self, context: ssl.SSLContext) -> None:
        # Hole 6: the mode may differ between the making of the SSL object and the check; the weakest one counts.
        self._pw_weakest = min(self._pw_weakest, mode_of(context))

    def _pw_judge(self, *, may_block: bool) -> None:
        """Judge the connection, whose handshake is done, by the pins in force now."""
        guard = self._pw_guard
        if guard is _UNDECIDED:
            guard = None if self.server_side else guard_of(self.context)
        if guard is None:
            self._pw_guard, self._pw_token = _FREE, None
            return
        try:
            self._pw_token = guard.admit(self.server_hostname, self._pw_read_chain, may_block, self._pw_read_key)
        except Exception as failure:
            self._pw_fail(failure)
            raise
        self._pw_guard = guard

    def _pw_read_key(self, depth: int) -> bytes | None:
        """
        Return the pin of one certificate, or None where that proves nothing.

        At 0 it is the leaf, whose key the peer proved to hold, read once per connection; above, what stands *depth*
        steps up in the chain that this handshake verified.
        """
        if depth:
            return self._pw_read_above(depth)
        if self._pw_leaf is None and self._sslobj is not None:  # None after unwrap()
            certificate = self._sslobj.getpeercert(True)
            try:
                self._pw_leaf = pin_of(certificate) if certificate else None
            except MalformedError:
                return None  # a key that cannot be read matches nothing
        return self._pw_leaf

    def _pw_read_above(self, depth: int) -> bytes | None:
        certificates = self._pw_verified_certificates()
        try:
            return pin_of(certificates[depth].public_bytes(DER)) if depth < len(certificates) else None
        except MalformedError:
            return None  # a key that cannot be read matches nothing

    def _pw_read_chain(self) -> Chain:
        """Return the keys of the peer, read once per connection."""
        if self._sslobj is None and self._pw_chain is None:
            return Chain((), False)  # TLS was taken off again before anybody asked for the keys
        if self._pw_chain is None:
            self._pw_chain = self._pw_verified_chain()
        if self._pw_chain is None:  # spec E5, E6; after unwrap() too, the leaf is all that is certain
            leaf = self._pw_read_key(0)
            certificate = self._sslobj.getpeercert(True) if leaf and self._sslobj is not None else None
            return Chain((leaf,) if leaf else (), False, (certificate,) if certificate else ())
        return self._pw_chain

    def _pw_verified_chain(self) -> Chain | None:
        certificates = tuple([one.public_bytes(DER) for one in self._pw_verified_certificates()])
        try:
            return Chain(tuple([pin_of(one) for one in certificates]), True, certificates) if certificates else None
        except MalformedError:
            return Chain((), False)  # a key that cannot be read matches nothing

    def _pw_verified_certificates(self) -> Sequence[Any]:
        """Return the certificates that this very handshake verified, leaf first; none where it verified nothing."""
        verified = self._pw_weakest != 0 and mode_of(self.context) != 0
        if not verified or self._sslobj is None or self._sslobj.session_reused:
            return ()
        return self._sslobj.get_verified_chain() or ()

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
            self._pw_judge(may_block=False)

    def _pw_first_byte(self: Any) -> None:
        # Hole 1: OpenSSL would handshake by itself inside the first read or write, and nothing would be judged.
        self.do_handshake()


class _SocketGate(_Gate):
    """Mixed in front of ``ssl.SSLSocket`` or a subclass of it."""

    do_handshake_on_connect: bool
    # The methods of the class beneath; super() would cost more than all judging.
    _pw_plain_create: Any
    _pw_plain_do_handshake: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # gevent constructs its sockets directly; the standard library comes through _create() and never here.
        context: Any = kwargs.get("_context") or kwargs.get("context")
        guard = None if context is None or kwargs.get("server_side") else guard_of(context)
        if guard is None:
            super().__init__(*args, **kwargs)
            return
        mode = mode_of(context)
        _prepare_arguments(context, guard, kwargs)
        at_once = kwargs.get("do_handshake_on_connect", False)
        if at_once:
            kwargs["do_handshake_on_connect"] = False  # it waits, as in _create()
        super().__init__(*args, **kwargs)
        self._pw_weakest = min(self._pw_weakest, mode, mode_of(context))
        if at_once:
            self._pw_handshake_at_once(guard)

    # Spelt out as ssl.SSLContext.wrap_socket() calls it: each handshake would pay for keyword dictionaries.
    @classmethod
    def _create(
        cls,
        *,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | None = None,
        context: ssl.SSLContext,
        session: ssl.SSLSession | None = None,
    ) -> Any:
        guard = None if server_side else guard_of(context)
        at_once = do_handshake_on_connect
        if guard is not None:
            mode = mode_of(context)
            if session is not None or not options_of(context) & NO_RENEGOTIATION:  # a call that is seldom needed
                session = prepare(context, guard, server_hostname, session)
            at_once = False  # the handshake waits until the new socket knows under which mode its SSL object was made
        self = cls._pw_plain_create(
            cls,
            sock=sock,
            server_side=server_side,
            do_handshake_on_connect=at_once,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            context=context,
            session=session,
        )
        if guard is None:
            return self
        if mode != _REQUIRED or mode_of(context) != _REQUIRED:
            self._pw_weakest = min(mode, mode_of(context))
        if do_handshake_on_connect:
            self._pw_handshake_at_once(guard)
        return self

    def _pw_handshake_at_once(self: Any, guard: Any) -> None:
        """Do what the class beneath was kept from: handshake now where there is a connection, or as soon as one is."""
        self.do_handshake_on_connect = True
        if not self._connected:
            return
        try:
            if self.gettimeout() == 0.0:
                raise ValueError("do_handshake_on_connect should not be specified for non-blocking sockets")
            if type(self).do_handshake is not _SocketGate.do_handshake:  # a subclass of an armed class
                self.do_handshake()
                return
            # The same without what serves those who still hold the connection when it has failed: nobody does yet.
            self._pw_plain_do_handshake()
            self._pw_token = guard.admit(self.server_hostname, self._pw_read_chain, True, self._pw_read_key)
            self._pw_guard = guard
        except BaseException:
            with suppress(OSError):
                self.close()
            raise

    def _real_connect(self, *args: Any) -> Any:
        self._pw_note_mode(self.context)
        return super()._real_connect(*args)  # type: ignore[misc]

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        if self._pw_failure is not None:
            raise _fresh(self._pw_failure)
        try:
            self._pw_plain_do_handshake(*args, **kwargs)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as failure:
            if not self.server_side:
                self._pw_fail(failure)
            raise
        self._pw_judge(may_block=self.gettimeout() != 0.0)  # type: ignore[attr-defined]

    def _pw_first_byte(self) -> None:
        if self.server_side or guard_of(self.context) is None:
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
        # Libraries set a timeout before each read; on a closed socket that would fail first, and hide why (httpx does).
        # Attributes of this object alone: as methods of the class they would be paid by each handshake and read.
        failure = self._pw_failure

        def repeat(*_: object) -> None:
            if failure is not None:
                raise _fresh(failure)

        self.settimeout = self.setblocking = repeat


class _ObjectGate(_Gate):
    """Mixed in front of ``ssl.SSLObject`` or a subclass of it: asyncio, trio, uvloop and TLS inside TLS."""

    @classmethod
    def _create(cls, *args: Any, **kwargs: Any) -> Any:
        context: ssl.SSLContext = kwargs["context"]
        guard = None if kwargs.get("server_side") else guard_of(context)
        if guard is not None:
            _prepare_arguments(context, guard, kwargs)
        mode = mode_of(context)
        self = super()._create(*args, **kwargs)  # type: ignore[misc]
        if guard is not None:
            self._pw_weakest = min(mode, mode_of(context))
        return self

    def do_handshake(self) -> None:
        if self._pw_failure is not None:
            raise _fresh(self._pw_failure)
        super().do_handshake()  # type: ignore[misc]
        self._pw_judge(may_block=True)


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

# The armed class of a class is kept on it, so that both go together: truststore makes classes for every context.
_ARMED = "_pinwarden_armed"


def armed(base: type) -> type:
    """Return the subclass of *base*, an SSL socket or SSL object class, in which every byte passes the gate."""
    if issubclass(base, _Gate):
        return base
    armed: type | None = base.__dict__.get(_ARMED)
    if armed is None:
        mixin, names = (
            (_ObjectGate, _OBJECT_METHODS) if issubclass(base, ssl.SSLObject) else (_SocketGate, _SOCKET_METHODS)
        )
        members: dict[str, Any] = {name: _gated(getattr(base, name)) for name in names if hasattr(base, name)}
        if mixin is _SocketGate:
            members["_pw_plain_do_handshake"] = base.do_handshake  # type: ignore[attr-defined]
            if hasattr(base, "_create"):  # gevent's class has none, and is constructed
                members["_pw_plain_create"] = staticmethod(base._create.__func__)
        armed = type(f"Pinned{base.__name__}", (mixin, base), members)
        setattr(base, _ARMED, armed)
    return armed


def is_armed(candidate: type) -> bool:
    """Tell whether *candidate* passes every byte through the gate."""
    return issubclass(candidate, _Gate)


def _gated(inner: Callable[..., Any]) -> Callable[..., Any]:
    # The inner function is bound here because super() would double what the gate costs per send.
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._pw_token is not self._pw_guard.token:
            self._pw_gate()
        return inner(self, *args, **kwargs)

    method.__name__, method.__doc__ = inner.__name__, inner.__doc__
    return method


def _prepare_arguments(context: ssl.SSLContext, guard: Guard, arguments: dict[str, Any]) -> None:
    """Apply :func:`prepare` to keyword arguments, under either name that constructors have for the session."""
    for name in ("session", "_session"):
        allowed = prepare(context, guard, arguments.get("server_hostname"), arguments.get(name))
        if name in arguments:
            arguments[name] = allowed


def _fresh(failure: BaseException) -> BaseException:
    """Return a copy without traceback: the original would pin every frame that it passed through in memory."""
    try:
        return copy.copy(failure)
    except TypeError:  # an exception class whose constructor does not fit its own args
        return failure.with_traceback(None)
