"""
Sessions of requests whose connections are judged by pins.

It may import requests and PinClient. A session from here verifies certificates always: what would switch that off is
refused before anything is sent.
"""

import os
import ssl
from pathlib import Path
from typing import Any, NoReturn

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from pinwarden.client import PinClient
from pinwarden.errors import ConfigError

__all__ = ["PinnedAdapter", "pinned_session"]


class PinnedAdapter(HTTPAdapter):
    """
    Judges the connections of a session, those to an HTTPS proxy included; mount it on ``https://`` and ``http://``.

    Which CAs count stays as requests decides it: ``verify=``, ``REQUESTS_CA_BUNDLE``, else its own bundle; for an HTTPS
    proxy only the last two. Client certificates by ``cert=`` work as ever.

    Args:
        pins: who judges.
        context: an ordinary client context, which alone says what is trusted: ``verify=`` and ``cert=`` are not read.
        options: those of HTTPAdapter, such as ``max_retries``.
    """

    def __init__(self, pins: PinClient, *, context: ssl.SSLContext | None = None, **options: Any) -> None:
        self._pins = pins
        self._own = None if context is None else pins.ssl_context(context)
        self._contexts: dict[tuple[object, object], ssl.SSLContext] = {}
        super().__init__(**options)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """Make the pools; whichever way a connection comes about, it is judged."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context(True, None), **pool_kwargs)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Return the pools behind *proxy*, the connection to which is judged too."""
        proxy_kwargs["ssl_context"] = self._context(True, None)
        if not proxy.lower().startswith("socks"):
            proxy_kwargs["proxy_ssl_context"] = self._context(_ca_bundle_of_the_environment(), None)
        return super().proxy_manager_for(proxy, **proxy_kwargs)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        """
        Send one request over a judged connection.

        Raises:
            ConfigError: ``verify=False``.
        """
        self._context(verify, cert)  # here, because requests takes a ValueError further in for a bad address
        return super().send(request, stream, timeout, verify, cert, proxies)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return where to connect, and the armed context for it."""
        context = self._context(verify, cert)
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": context, "cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave CAs and client certificate to the context; requests would load its own CAs into it."""
        conn.cert_reqs = "CERT_REQUIRED"

    def _context(self, verify: Any, cert: Any) -> ssl.SSLContext:
        """Return the context for these settings: one for each, because CAs and certificates stay in it for good."""
        if verify is False:
            raise ConfigError(
                "a pinned session verifies certificates: verify=False is refused",
                holds="Nothing was sent.",
                hint="For a private CA give its file: verify='ca.pem'.",
            )
        if self._own is not None:
            return self._own
        key = (verify, cert)
        if key not in self._contexts:
            self._contexts[key] = self._pins.ssl_context(_ordinary_context(verify, cert))
        return self._contexts[key]

    def __getstate__(self) -> NoReturn:
        raise TypeError("a pinned adapter belongs to its process: make another one there")


def pinned_session(pins: PinClient, *, context: ssl.SSLContext | None = None) -> requests.Session:
    """
    Return a session all of whose TLS connections are judged by *pins*.

    A refusal is raised as ``requests.exceptions.SSLError``, with ours inside (``pinwarden.find_pin_error``).

    Args:
        context: as for :class:`PinnedAdapter`.
    """
    session = requests.Session()
    adapter = PinnedAdapter(pins, context=context)
    session.mount("https://", adapter)
    session.mount("http://", adapter)  # it may go through a proxy that speaks TLS
    return session


def _ordinary_context(verify: Any, cert: Any) -> ssl.SSLContext:
    trusted = Path(DEFAULT_CA_BUNDLE_PATH if verify is True or verify is None else verify)
    context = (
        ssl.create_default_context(capath=trusted) if trusted.is_dir() else ssl.create_default_context(cafile=trusted)
    )
    if cert:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context


def _ca_bundle_of_the_environment() -> str | bool:
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
