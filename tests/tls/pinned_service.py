"""
One pinned service under way: its pin set, the server that serves it, and the client that enforces it.

The pin sets are signed by a throw-away authority; the client is PinClient itself, under a clock that a test moves.
"""

import socket
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pinned_chains import World
from pinned_dialogues import Http
from pinned_peers import Peer

from pinwarden import PinClient
from pinwarden.documents import Host
from pinwarden.testing import ThrowawayAuthority

SECRET = b"the application's secret"
WRONG = b"w" * 32


class Pins:
    """
    One pin set under way: the authority that signs it, the server that serves it, the client that enforces it.

    Attributes:
        client: the PinClient.
        server: the pin server's dialogue; ``server.paths`` are the requests so far.
    """

    def __init__(self, world: World, authority: ThrowawayAuthority, peer: Peer, server: Http) -> None:
        self._world, self.authority, self.peer, self.server = world, authority, peer, server
        self.now: datetime = authority.now
        self.client: PinClient

    def publish(self, hosts: Sequence[Host] | Mapping[str, Sequence[bytes]], **changes: Any) -> None:
        """Sign the next version and serve it; the client does not know yet."""
        self.authority.publish(hosts, **changes)
        self.server.pages["/v1/bundles/app/1"] = self.authority.bundle().to_bytes()

    def switch(self, hosts: Sequence[Host] | Mapping[str, Sequence[bytes]], **changes: Any) -> None:
        """Publish, and have the client adopt it."""
        self.publish(hosts, **changes)
        self.client.refresh()

    def advance(self, **span: float) -> None:
        """Move the client's clock, and the authority's."""
        self.now += timedelta(**span)

    def context(self, **changes: Any) -> ssl.SSLContext:
        """Return an armed client context that trusts the world's roots; *changes* are attributes to set before."""
        return self.client.ssl_context(self._world.client_context(**changes))


def dial(peer: Peer) -> socket.socket:
    """Return a TCP connection to *peer*."""
    return socket.create_connection(peer.address, timeout=10)
