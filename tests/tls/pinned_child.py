"""
A pinned client in a process and an environment of its own; tests start it as a program.

It reads an order from its standard input and prints what came of it, both JSON. It imports nothing before gevent has
had its chance to patch, and nothing that only the tests' environment has.
"""

import json
import sys
from typing import Any


def main() -> None:
    order = json.load(sys.stdin)
    if order["patch"] == "before":
        patch()
    import pinwarden

    pins = pinwarden.PinClient(
        order["server"],
        pinset="app",
        root=order["root"],
        cache=order["cache"],
        bootstrap=order["bootstrap"],
        ca_file=order["cafile"],
    )
    try:
        print(json.dumps(obey(order, pins)))
    finally:
        pins.close()


def obey(order: dict[str, Any], pins: Any) -> dict[str, Any]:
    """Pin in the way that is asked for, run the client, and tell what came of it."""
    import ssl

    import pinwarden

    report: dict[str, Any] = {}
    context = ssl.create_default_context(cafile=order["cafile"])
    if order["way"] == "one context":
        pins.ssl_context(context)
    else:
        pins.enforce()
        if order["patch"] == "after":
            pins.refresh()  # a thread that is under way would never find its way back
            patch()
            report["selftest"] = failure_of(pins.selftest)
            pins.enforce()
        pins.selftest()
        if order["way"] != "whole process":
            context = None
    try:
        report["answer"] = CLIENTS[order["client"]](f"https://localhost:{order['port']}/", context).decode()
    except Exception as error:
        found = pinwarden.find_pin_error(error)
        report["raised"] = f"{type(error).__module__}.{type(error).__qualname__}"
        report["found"] = [type(found).__name__, getattr(found, "host", None)]
    status = pins.status()
    return {**report, "refused": status.refused, "not_covered": status.not_covered}


def failure_of(step: Any) -> str | None:
    """Return what *step* raises, as text, or None."""
    try:
        step()
    except Exception as failure:
        return str(failure)
    return None


def patch() -> None:
    from gevent import monkey

    monkey.patch_all()


def adapter_for(adapter: type, context: Any) -> Any:
    """Return an adapter of requests, or of what is shaped like it, that hands *context* on."""

    class Adapter(adapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=context, **kwargs)

    return Adapter()


def niquests(url: str, context: Any) -> bytes:
    import niquests

    with niquests.Session(disable_http3=True) as session:
        if context is not None:
            session.mount("https://", adapter_for(niquests.adapters.HTTPAdapter, context))
        return session.get(url, timeout=10).content


def niquests_http3(url: str, context: Any) -> bytes:
    """A server that has offered HTTP/3 before is asked by it, whatever the first answer came through."""
    from urllib.parse import urlsplit

    import niquests

    where = (urlsplit(url).hostname, urlsplit(url).port)
    with niquests.Session(quic_cache_layer={where: where}, disable_ipv6=True) as session:
        response = session.get(url, timeout=10)
        assert response.http_version == 30
        return response.content


def niquests_asyncio(url: str, context: Any) -> bytes:
    import asyncio

    import niquests

    async def get() -> bytes:
        async with niquests.AsyncSession(disable_http3=True) as session:
            if context is not None:
                session.mount("https://", adapter_for(niquests.adapters.AsyncHTTPAdapter, context))
            return (await session.get(url, timeout=10)).content

    return asyncio.run(get())


def pip(url: str, context: Any) -> bytes:
    """pip's own session; a context that it is given is handed on, else it asks the truststore that it carries."""
    import ssl

    from pip._internal.network.session import PipSession
    from pip._vendor import truststore

    own = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(ssl.get_default_verify_paths().cafile)
    with PipSession(ssl_context=context or own) as session:
        return session.get(url, timeout=10).content


def requests(url: str, context: Any) -> bytes:
    import requests

    with requests.Session() as session:
        if context is not None:
            session.mount("https://", adapter_for(requests.adapters.HTTPAdapter, context))
        return session.get(url, timeout=10).content


def urllib_request(url: str, context: Any) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url, context=context, timeout=10) as response:
        return response.read()


CLIENTS = {
    function.__name__: function
    for function in (niquests, niquests_http3, niquests_asyncio, pip, requests, urllib_request)
}

if __name__ == "__main__":
    main()
