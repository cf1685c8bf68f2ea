"""
What a TLS context carries for us: its guard, its exemption, and what every guarded context must forbid.

It may import ``ssl`` and errors. It never makes a connection and never weakens a setting.
"""

import importlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from pinwarden.enforce import Chain
from pinwarden.errors import ConfigError

_ssl: Any = importlib.import_module("_ssl")

DER = getattr(_ssl, "ENCODING_DER", None)

# The properties of ssl.SSLContext turn numbers into enum members, ten times the cost of reading them; and their setters
# look up the global name ssl.SSLContext, so that they recurse for ever once truststore has replaced it.
# mode_of(context) is context.verify_mode, options_of(context) is context.options, as numbers.
mode_of: Callable[[ssl.SSLContext], int] = _ssl._SSLContext.verify_mode.__get__
options_of: Callable[[ssl.SSLContext], int] = _ssl._SSLContext.options.__get__
NO_RENEGOTIATION = int(ssl.OP_NO_RENEGOTIATION)

_REAL_CONTEXT: type[ssl.SSLContext] = next(
    owner for owner in _ssl._SSLContext.__subclasses__() if (owner.__module__, owner.__name__) == ("ssl", "SSLContext")
)

# Attributes of contexts.
_GUARD, _EXEMPT = "_pinwarden_guard", "_pinwarden_exempt"


class Guard(Protocol):
    """
    Who decides about connections.

    Attributes:
        token: replaced by another object whenever an open connection must be judged again (spec E8).
    """

    token: object

    def expects(self, host: str | None) -> bool:
        """Tell whether pins may decide about connections to *host*; sessions are not resumed for such hosts."""

    def admit(
        self,
        host: str | None,
        chain: Callable[[], Chain],
        may_block: bool,
        key_at: Callable[[int], bytes | None],
    ) -> object:
        """
        Return the token under which the connection may go on, or raise.

        ``chain()`` gives the keys of the peer; ``key_at(depth)`` the pin of one certificate of it, at a third of that
        cost: the leaf's at 0, one that this handshake verified above it, None where there is none.
        """


_process_guard: Guard | None = None


def set_process_guard(guard: Guard | None) -> None:
    """
    Put *guard* in charge of every context that has none of its own; None puts nobody in charge.

    Raises:
        ConfigError: another guard is in charge.
    """
    global _process_guard
    if guard is not None and _process_guard is not None and _process_guard is not guard:
        raise ConfigError(
            "another PinClient enforces pins in this process already",
            hint="Enforce one process-wide, and give the other one's ssl_context() to the connections that it judges.",
        )
    _process_guard = guard


def guard_of(context: ssl.SSLContext) -> Guard | None:
    """Return who judges the connections of *context*, or None for an exempt one or where nobody does."""
    own = context.__dict__
    if _EXEMPT in own:
        return None
    guard: Guard | None = own.get(_GUARD, _process_guard)
    return guard


def exempt(context: ssl.SSLContext) -> ssl.SSLContext:
    """
    Return *context*, whose connections are from now on never judged by pins.

    For the connection to the pin server itself (spec E10): a bad document must never block its own repair.
    """
    for inner in with_inner(context):
        inner.__dict__[_EXEMPT] = True
    return context


def check_platform() -> None:
    """Raise ConfigError when this Python cannot show the verified chain (CPython 3.10 and newer can)."""
    if DER is None or not hasattr(_ssl._SSLSocket, "get_verified_chain"):
        raise ConfigError(
            "this Python's ssl module cannot show a verified chain, so pins cannot be enforced",
            expected="CPython 3.11 or newer",
            got=ssl.OPENSSL_VERSION,
        )


def is_exempt(context: ssl.SSLContext) -> bool:
    """Tell whether :func:`exempt` was called on *context*."""
    return _EXEMPT in context.__dict__


def put_guard(context: ssl.SSLContext, guard: Guard) -> None:
    """Put *guard* in charge of *context*, whoever is in charge of the process."""
    context.__dict__[_GUARD] = guard


def prepare(
    context: ssl.SSLContext, guard: Guard, host: str | bytes | None, session: ssl.SSLSession | None
) -> ssl.SSLSession | None:
    """
    Forbid renegotiation, and return the session that a connection to *host* may resume.

    Hole 7: a session may come from a handshake under a weaker mode; where pins may decide, none is resumed.
    """
    forbid_renegotiation(context)
    return None if session is not None and guard.expects(_as_text(host)) else session


def forbid_renegotiation(context: ssl.SSLContext) -> None:
    """Set OP_NO_RENEGOTIATION, also where somebody took it away: a renegotiated handshake would not be judged."""
    options = options_of(context)
    if not options & NO_RENEGOTIATION:
        _ssl._SSLContext.options.__set__(context, options | NO_RENEGOTIATION)


def _as_text(host: str | bytes | None) -> str | None:
    return host if host is None or isinstance(host, str) else host.decode("ascii")  # ssl takes bytes too


def with_inner(context: ssl.SSLContext) -> Iterator[ssl.SSLContext]:
    """Yield *context* and the context inside it that makes its sockets, if there is one."""
    yield context
    inner = getattr(context, "_ctx", None)  # hole 3: truststore's outer context makes no socket itself
    if isinstance(inner, real_context_class()):
        yield inner


def real_context_class() -> type[ssl.SSLContext]:
    """Return the class that ``ssl`` itself defined; truststore replaces the name ssl.SSLContext by another."""
    return _REAL_CONTEXT
