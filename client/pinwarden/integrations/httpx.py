"""
Clients of httpx whose connections are judged by pins.

It may import httpx and PinClient. A client from here verifies certificates always: arguments that would lead its
connections around the context are refused when it is made.
"""

import ssl
from typing import Any
from urllib.request import getproxies

import httpx

from pinwarden.client import PinClient
from pinwarden.errors import ConfigError

__all__ = ["pinned_async_client", "pinned_client"]

_AROUND = {
    "verify": "Give context=, an ordinary client context; it is armed here.",
    "cert": "Load the certificate into a context, and give it as context=.",
    "transport": "Make the transport with verify=pins.ssl_context(), and the client by httpx.Client().",
    "mounts": "Make the transports with verify=pins.ssl_context(), and the client by httpx.Client().",
}


def pinned_client(pins: PinClient, *, context: ssl.SSLContext | None = None, **options: Any) -> httpx.Client:
    """
    Return a client all of whose TLS connections are judged by *pins*, those to an HTTPS proxy included.

    A refusal is raised as ``httpx.ConnectError``, with ours inside (``pinwarden.find_pin_error``).

    Args:
        context: an ordinary client context that says which CAs count; default: those that httpx itself trusts.
        options: those of ``httpx.Client``, but for ``verify``, ``cert``, ``transport`` and ``mounts``.

    Raises:
        ConfigError: an option that would lead around the pins.
    """
    return httpx.Client(**_judged(pins, context, options))


def pinned_async_client(pins: PinClient, *, context: ssl.SSLContext | None = None, **options: Any) -> httpx.AsyncClient:
    """
    Return the same for asyncio and trio.

    On an event loop a handshake does not wait for pins: call ``await asyncio.to_thread(pins.refresh)`` first, or give
    the PinClient a cache or a bootstrap bundle.
    """
    return httpx.AsyncClient(**_judged(pins, context, options))


def _judged(pins: PinClient, context: ssl.SSLContext | None, options: dict[str, Any]) -> dict[str, Any]:
    for name, hint in _AROUND.items():
        if name in options:
            raise ConfigError(f"{name}= would lead connections around the pins", hint=hint)
    trust_env = options.get("trust_env", True)
    armed = pins.ssl_context(context if context is not None else httpx.create_ssl_context(trust_env=trust_env))
    if options.get("proxy") is not None:
        options = {**options, "proxy": _judged_proxy(pins, options["proxy"], armed)}
    elif trust_env:
        _check_environment()
    return {**options, "verify": armed}


def _judged_proxy(pins: PinClient, given: Any, armed: ssl.SSLContext) -> httpx.Proxy:
    proxy = given if isinstance(given, httpx.Proxy) else httpx.Proxy(given)
    if proxy.url.scheme == "https":
        proxy.ssl_context = armed if proxy.ssl_context is None else pins.ssl_context(proxy.ssl_context)
    return proxy


def _check_environment() -> None:
    """Refuse what httpx would connect to with a context of its own: a proxy over TLS that a variable names."""
    for scheme, address in getproxies().items():
        if scheme in ("http", "https", "all") and address.lower().startswith("https:"):
            raise ConfigError(
                f"the environment names an HTTPS proxy for {scheme}, to which httpx would connect without pins",
                hint="Give it as proxy=, or trust_env=False.",
            )
