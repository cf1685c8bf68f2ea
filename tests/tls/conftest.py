"""A pinned service, its attackers, and clients whose pins come from a real pin server over TLS."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

# pytest's import mode gives test folders no names, so what fills more than this file is found by its path.
sys.path.insert(0, str(Path(__file__).parent))

from pinned_chains import Chain, World
from pinned_dialogues import Http
from pinned_peers import Dialogue, Peer, echo
from pinned_service import Pins

from pinwarden import PinClient, tls
from pinwarden.documents import Host
from pinwarden.testing import ThrowawayAuthority


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
