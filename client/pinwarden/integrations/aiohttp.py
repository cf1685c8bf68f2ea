"""
Sessions of aiohttp whose connections are judged by pins.

It may import aiohttp and PinClient. A connector from here verifies certificates always: what would switch that off for
one request is refused before anything is sent.
"""

import ssl
from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

from pinwarden.client import PinClient
from pinwarden.errors import ConfigError

__all__ = ["PinnedConnector", "pinned_session"]

_AROUND = ("ssl", "verify_ssl", "ssl_context", "fingerprint")


class PinnedConnector(aiohttp.TCPConnector):
    """
    Judges the connections of a session, those to and through a proxy included; make it on the event loop.

    Args:
        pins: who judges.
        context: an ordinary client context that says which CAs count; default: the system's.
        options: those of ``aiohttp.TCPConnector``, but for the ones about TLS.

    Raises:
        ConfigError: an option that would lead around the pins.
    """

    def __init__(self, pins: PinClient, *, context: ssl.SSLContext | None = None, **options: Any) -> None:
        for name in _AROUND:
            if name in options:
                raise ConfigError(
                    f"{name}= would lead connections around the pins",
                    hint="Give context=, an ordinary client context; it is armed here.",
                )
        super().__init__(ssl=pins.ssl_context(context), **options)
        self._pins = pins

    async def connect(self, req: ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout) -> Connection:
        """
        Connect for one request, by the connector's context or by the armed one of the request.

        Raises:
            ConfigError: ``ssl=False`` or a fingerprint.
        """
        if isinstance(req.ssl, ssl.SSLContext):
            self._pins.ssl_context(req.ssl)
        elif req.ssl is not True:
            raise ConfigError(
                f"a pinned session verifies certificates: ssl={req.ssl!r} is refused",
                holds="Nothing was sent.",
                hint="For a private CA give a context that trusts it: ssl=ssl.create_default_context(cafile='ca.pem').",
            )
        return await super().connect(req, traces, timeout)


def pinned_session(pins: PinClient, *, context: ssl.SSLContext | None = None, **options: Any) -> aiohttp.ClientSession:
    """
    Return a session all of whose TLS connections are judged by *pins*; call it on the event loop.

    A refusal is raised as ``aiohttp.ClientConnectorCertificateError``, with ours inside
    (``pinwarden.find_pin_error``). A handshake there does not wait for pins: call
    ``await asyncio.to_thread(pins.refresh)`` first, or give the PinClient a cache or a bootstrap bundle.

    Args:
        context: as for :class:`PinnedConnector`.
        options: those of ``aiohttp.ClientSession``, but for ``connector``.

    Raises:
        ConfigError: an option that would lead around the pins.
    """
    if "connector" in options:
        raise ConfigError("connector= would lead connections around the pins", hint="Make a PinnedConnector.")
    return aiohttp.ClientSession(connector=PinnedConnector(pins, context=context), **options)
