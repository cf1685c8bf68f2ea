"""
Kill the pin server; go on from memory, then from disk.

It may import the stage. Nothing starts the server again.
"""

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from pinwarden import PinClient
from pinwarden.cache import MemoryCache
from pinwarden_demo.client_process import refreshed
from pinwarden_demo.libraries import Round, every_library, play_round
from pinwarden_demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What was measured.

    Attributes:
        source: where the pins were.
        published, held: the version in force when the server was killed, and that of the client afterwards.
        refresh: what asking the server raised, by its name.
        state: of the client afterwards.
        right_key, intercepted: calls to the real service, and through the interceptor.
    """

    source: str
    published: str
    held: str | None
    refresh: str | None
    state: str
    right_key: Round
    intercepted: Round

    @property
    def leaked(self) -> int:
        """Application bytes that reached who must get none."""
        return self.intercepted.bytes_read


def measure_outage(stage: Stage, sabotaged: bool) -> Facts:
    """Kill the server under a running client; sabotaged: the client is one that then does without pins."""
    _kill_server(stage)
    pins = _careless_client(stage) if sabotaged else stage.pins
    after, orders = refreshed(pins), stage.orders
    calls = every_library(pins.ssl_context(stage.context()), orders.url)
    right_key = play_round(calls, orders.service)
    with orders.wire.leading_to(orders.interceptor):
        intercepted = play_round(calls, orders.interceptor)
    return Facts("memory", stage.version, after["version"], after["error"], after["state"], right_key, intercepted)


def measure_restart(stage: Stage, sabotaged: bool) -> Facts:
    """Start a new client process without a server; sabotaged: its cache was deleted."""
    _kill_server(stage)
    if sabotaged:
        shutil.rmtree(Path(stage.application.cache))
    orders = stage.orders
    with stage.process() as process:
        after = process.refresh()
        right_key = play_round(process.every_library(orders.url), orders.service)
        with orders.wire.leading_to(orders.interceptor):
            intercepted = play_round(process.every_library(orders.url), orders.interceptor)
    return Facts("disk", stage.version, after["version"], after["error"], after["state"], right_key, intercepted)


def tell(facts: Facts) -> list[str]:
    """Return the facts as sentences."""
    who = "The running client" if facts.source == "memory" else "A new process"
    holds = f"holds {facts.held} from {facts.source}" if facts.held else "holds no pins"
    right, wrong = facts.right_key, facts.intercepted
    return [
        f"All processes of the pin server were killed; a refresh ends with {facts.refresh}. {who} {holds}.",
        (
            f"Right key: {right.through} of {right.sent} calls passed. Interceptor: {wrong.sent - wrong.through} of "
            f"{wrong.sent} calls refused, {facts.leaked} bytes read."
        ),
    ]


def _kill_server(stage: Stage) -> None:
    """Kill it once the long-lived client, and the cache that it shares with every process, hold the latest version."""
    if not stage.server.is_killed:
        stage.pins.refresh()
        stage.server.kill()


def _careless_client(stage: Stage) -> PinClient:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the SDK warns of exactly this choice
        return stage.client(cache=MemoryCache(), when_empty="platform")
