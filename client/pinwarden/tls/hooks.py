"""
The hooks: how every TLS connection of one context, or of the process, comes to pass the gate.

It may import ``contexts`` and ``gate``. It changes only the two attributes that ``ssl`` documents as hooks, and how
subclasses of SSLContext come into being.
"""

import ssl
from collections.abc import Iterator
from typing import Any

from pinwarden.errors import ConfigError
from pinwarden.tls.contexts import (
    Guard,
    check_platform,
    guard_of,
    is_exempt,
    put_guard,
    real_context_class,
    set_process_guard,
    with_inner,
)
from pinwarden.tls.gate import armed, is_armed

_HOOKED = ("sslsocket_class", "sslobject_class")


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
        if not isinstance(base, type):  # a property of a subclass
            base = base.__get__(context, owner)
        return base if is_exempt(context) else armed(base)

    def __set__(self, context: ssl.SSLContext, value: Any) -> None:
        context.__dict__[self.name] = value

    def __delete__(self, context: ssl.SSLContext) -> None:
        context.__dict__.pop(self.name, None)


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
    for inner in with_inner(context):
        put_guard(inner, guard)
        for name in _HOOKED:
            setattr(inner, name, armed(getattr(inner, name)))
    return context


def enforce_process(guard: Guard) -> None:
    """
    Have *guard* judge every client connection that this process makes through ``ssl``, whoever makes it.

    Call it after monkey patching (gevent). Calling it again with the same guard also covers context classes that were
    defined since.

    Raises:
        ConfigError: another guard is in charge, or this Python cannot show a verified chain.
    """
    check_platform()
    set_process_guard(guard)
    for owner in _context_classes():
        _hook(owner)
    base = real_context_class()
    if "__init_subclass__" not in base.__dict__:
        base.__init_subclass__ = _hook_subclass  # type: ignore[assignment]


def lift_process() -> None:
    """Undo :func:`enforce_process`; for tests. Connections that are open stay under the guard that judged them."""
    set_process_guard(None)
    for owner in _context_classes():
        for name in _HOOKED:
            own = owner.__dict__.get(name)
            if isinstance(own, _ClassHook):
                setattr(owner, name, own.original)
    base = real_context_class()
    if base.__dict__.get("__init_subclass__") is _hook_subclass:
        del base.__init_subclass__


def uncovered_context_classes() -> list[str]:
    """Return the context classes of this process whose connections escape process-wide enforcement."""
    return [
        f"{owner.__module__}.{owner.__qualname__}"
        for owner in _context_classes()
        if any(name in owner.__dict__ and not isinstance(owner.__dict__[name], _ClassHook) for name in _HOOKED)
    ]


def is_judged(context: ssl.SSLContext) -> bool:
    """Tell whether somebody judges the connections that *context* makes from now on."""
    return guard_of(context) is not None and all(is_armed(getattr(context, name)) for name in _HOOKED)


def _hook(owner: type[ssl.SSLContext]) -> None:
    for name in _HOOKED:
        own = owner.__dict__.get(name)
        if own is not None and not isinstance(own, _ClassHook):
            setattr(owner, name, _ClassHook(name, own))


@classmethod  # type: ignore[misc]
def _hook_subclass(cls: type[ssl.SSLContext], **kwargs: Any) -> None:
    """Hole 4, for classes that are defined after installation; what is assigned to a class later is not seen."""
    super(real_context_class(), cls).__init_subclass__(**kwargs)
    _hook(cls)


def _context_classes() -> Iterator[type[ssl.SSLContext]]:
    queue = [real_context_class()]
    while queue:
        owner = queue.pop()
        yield owner
        queue.extend(owner.__subclasses__())
