"""
Publish a pin set from probed keys, and let a stranger try the same.

It may import the stage. What the stranger knows is public, unless the step is sabotaged.
"""

from dataclasses import dataclass

from pinwarden.strict_json import encode_base64
from pinwarden_demo.client_process import refreshed
from pinwarden_demo.libraries import Round, call, play_round
from pinwarden_demo.stage import Host, Stage

FORGED_TOKEN = "pw_00000000_" + "0" * 43


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What was measured.

    Attributes:
        created: HTTP status of the owner's publication, which found no pin set.
        stranger: HTTP status of a stranger's, which would pin the interceptor's keys.
        version: what the owner published.
        held, state: what a client that knew only root.json trusts after both.
        hosts: how many the pin set has.
        intercepted: a call through the interceptor under those pins.
    """

    created: int
    stranger: int
    version: str
    held: str | None
    state: str
    hosts: int
    intercepted: Round

    @property
    def leaked(self) -> int:
        """Application bytes that reached who must get none."""
        return self.intercepted.bytes_read


def measure(stage: Stage, sabotaged: bool) -> Facts:
    """Play the step; sabotaged: the file with the admin token lies open, and the stranger has read it."""
    for host in stage.hosts:
        host.pins, host.backups = [stage.probe(host)], [host.backup.pin]
    created, version = stage.publish(), stage.version
    token = stage.server.installation.admin_token.read_text().strip() if sabotaged else FORGED_TOKEN
    stranger = stage.publish(token=token, hosts=[_turned(host) for host in stage.hosts])
    held = refreshed(stage.pins)
    with stage.payments.wire.leading_to(stage.payments.interceptor) as interceptor:
        context = stage.pins.ssl_context(stage.context())
        intercepted = play_round([lambda: call("requests", stage.payments.url, context)], interceptor)
    return Facts(
        created=created.status,
        stranger=stranger.status,
        version=version,
        held=held["version"],
        state=held["state"],
        hosts=stage.pins.status().hosts,
        intercepted=intercepted,
    )


def tell(facts: Facts) -> list[str]:
    """Return the facts as sentences."""
    stranger = "was refused" if facts.stranger >= 400 else "succeeded"
    return [
        (
            f"Probed both services and published {facts.version}: {facts.hosts} hosts, each with its key in service "
            "and a backup key."
        ),
        f"A stranger tried to pin the interceptor's keys instead, and {stranger} (HTTP {facts.stranger}).",
        (
            f"A client with nothing but root.json verified {facts.held} and holds it ({facts.state}); "
            f"the interceptor read {facts.leaked} bytes from it."
        ),
    ]


def _turned(host: Host) -> dict[str, object]:
    """Return the entry of *host* as the stranger would like it."""
    return {**host.entry(), "pins": [{"sha256": encode_base64(host.interceptor.identity.pin)}]}
