"""
A pinned service, its attackers, and clients whose pins come from a real pin server over TLS.

The pin sets are signed by a throw-away authority; the clients are PinClient itself, under a clock that a test moves.
"""

import math
import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

# The certificates and servers are too long for this file, and pytest's import mode gives test folders no names.
sys.path.insert(0, str(Path(__file__).parent))

from pinned_chains import Chain, World
from pinned_peers import Dialogue, Http, Peer, echo

from pinwarden import PinClient, tls
from pinwarden.documents import Host
from pinwarden.testing import ThrowawayAuthority

SECRET = b"the application's secret"
WRONG = b"w" * 32


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The service's chain and the attacker's chains."""
    return World(tmp_path_factory.mktemp("chains"))


@pytest.fixture
def serve(world: World) -> Iterator[Callable[..., Peer]]:
    """Return a function that starts a server: an echo with the service's chain, unless told otherwise."""
    peers: list[Peer] = []

    def start(
        chain: Chain | None = world.honest, dialogue: Dialogue = echo, prelude: Dialogue | None = None, **settings: Any
    ) -> Peer:
        context = world.server_context(chain) if chain else None
        if context is None:
            peers.append(Peer(None, dialogue))
            return peers[-1]
        context.num_tickets = 0  # an unread ticket turns close() into a reset, which may overtake what was sent
        for name, value in settings.items():
            setattr(context, name, value)
        peers.append(Peer(context, dialogue, prelude))
        return peers[-1]

    yield start
    for peer in peers:
        peer.finish()


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


@pytest.fixture
def pin(world: World, serve: Any, tmp_path: Path) -> Iterator[Callable[..., Pins]]:
    """Return a function that makes a client which trusts a pin set with these hosts already."""
    made: list[Pins] = []

    def make(
        hosts: Sequence[Host] | Mapping[str, Sequence[bytes]] | None,
        *,
        options: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Pins:
        with pytest.warns(UserWarning, match="keys that anyone can compute"):
            authority = ThrowawayAuthority()
        server = Http({})
        peer = serve(dialogue=server)
        pins = Pins(world, authority, peer, server)
        bootstrap = None
        if hosts is not None:
            pins.publish(hosts, **changes)
            bootstrap = authority.bundle().to_bytes()
        pins.client = PinClient(
            f"https://localhost:{peer.port}",
            pinset="app",
            root=authority.root_json,
            cache=tmp_path / f"cache-{len(made)}",
            bootstrap=bootstrap,
            ca_file=str(world.cafile),
            clock=lambda: pins.now,
            **(options or {}),
        )
        pins.client._guard.due = math.inf  # no refresh in passing: a test refreshes when it means to
        made.append(pins)
        return pins

    yield make
    for pins in made:
        pins.client.close()


@pytest.fixture
def everywhere() -> Iterator[Callable[[Pins], None]]:
    """Return a function that enforces pins in the whole process, until the test ends."""
    yield lambda pins: pins.client.enforce()
    tls.lift_process()


def dial(peer: Peer) -> socket.socket:
    """Return a TCP connection to *peer*."""
    return socket.create_connection(peer.address, timeout=10)
