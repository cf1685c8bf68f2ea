"""
mitmproxy's side of the tests of interception: an addon that prints what it sees, one JSON value per line.

It is loaded by mitmdump in an environment of its own and imports nothing of ours.
"""

import json
from typing import Any

from mitmproxy import ctx
from mitmproxy.proxy.layers.tls import ClientTLSLayer


def tell(event: str, value: object) -> None:
    print(json.dumps([event, value]), flush=True)


class Recorder:
    """Tells where it listens, who came and went, and every application byte and request that it could read."""

    def running(self) -> None:
        ((_, port, *_),) = ctx.master.addons.get("proxyserver").listen_addrs()
        tell("listening", port)

    def client_connected(self, client: Any) -> None:
        tell("connected", client.id)

    def client_disconnected(self, client: Any) -> None:
        tell("gone", client.id)

    def next_layer(self, layer: Any) -> None:
        if any(isinstance(one, ClientTLSLayer) for one in layer.context.layers):
            tell("bytes", layer.data_client().decode("latin-1"))

    def request(self, flow: Any) -> None:
        tell("request", flow.request.pretty_url)


addons = [Recorder()]
