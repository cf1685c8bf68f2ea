"""
Rotate a key under load: publish first, switch then, retire last.

It may import the stage. The load never pauses, and no failure of it is tried again.
"""

import time
from dataclasses import dataclass
from functools import partial

from pinwarden import PinClient
from pinwarden.strict_json import encode_base64
from pinwarden.testing.certificates import Identity, new_key, pin_of_key
from pinwarden_demo.libraries import Round, call, play_round
from pinwarden_demo.load import SteadyLoad
from pinwarden_demo.stage import Stage

POLL_SECONDS = 0.25
CALLS_PER_PHASE = 25
PATIENCE_SECONDS = 15.0
LOADED = ("requests", "httpx")


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What was measured.

    Attributes:
        sent, failed: calls of the load, and its failures by the name of their error.
        old_key, new_key: calls of the load that were answered under each key.
        versions: those in force, in turn.
        reached: the version that each client under load held at the end.
        retired: a call to a service that presents the old key after all.
    """

    sent: int
    failed: dict[str, int]
    old_key: int
    new_key: int
    versions: tuple[str, ...]
    reached: tuple[str, ...]
    retired: Round

    @property
    def leaked(self) -> int:
        """Application bytes that reached who must get none: the old key's holder, once a version retired that key."""
        return self.retired.bytes_read if len(self.versions) == 3 else 0


def measure(stage: Stage, sabotaged: bool) -> Facts:
    """Play the step; sabotaged: the service takes a new key, as renewal tools do, and nothing is published."""
    payments = stage.payments
    old, new = payments.service.identity, stage.ca.issue(payments.name) if sabotaged else payments.backup
    clients = [stage.client(cache=stage.folder / f"cache-{name}", poll_seconds=POLL_SECONDS) for name in LOADED]
    for pins in clients:
        pins.refresh()
        pins.start()
    callers = {
        name: partial(call, name, payments.url, pins.ssl_context(stage.context()))
        for name, pins in zip(LOADED, clients, strict=True)
    }
    served = payments.service.served.copy()
    with SteadyLoad(callers) as load:
        versions = _rotate(stage, new, clients, load, publishing=not sabotaged)
    payments.service.settle()
    answered = payments.service.served - served
    with payments.service.presenting(old):
        retired = play_round([callers[LOADED[0]]], payments.service)
    for pins in clients:
        pins.close()
    return Facts(
        sent=load.sent,
        failed=dict(load.failed),
        old_key=answered[encode_base64(old.pin)],
        new_key=answered[encode_base64(new.pin)],
        versions=versions,
        reached=tuple(_held(pins) for pins in clients),
        retired=retired,
    )


def _rotate(
    stage: Stage, new: Identity, clients: list[PinClient], load: SteadyLoad, *, publishing: bool
) -> tuple[str, ...]:
    """Promote the backup, let the clients poll, switch, retire the old key; return the versions in force in turn."""
    payments = stage.payments
    versions = [_held(clients[0])]
    load.wait_for(CALLS_PER_PHASE)
    if publishing:
        payments.pins, payments.backups = [*payments.pins, new.pin], [pin_of_key(new_key())]
        versions.append(_publish(stage, clients))
    load.wait_for(CALLS_PER_PHASE)
    payments.service.identity = new
    load.wait_for(CALLS_PER_PHASE)
    if publishing:
        payments.pins = [new.pin]
        versions.append(_publish(stage, clients))
    load.wait_for(CALLS_PER_PHASE)
    return tuple(versions)


def tell(facts: Facts) -> list[str]:
    """Return the facts as sentences."""
    failed = sum(facts.failed.values())
    errors = f" ({', '.join(sorted(facts.failed))})" if facts.failed else ""
    published = (
        f"Published {facts.versions[1]} (backup promoted, new backup), clients polled it, the service switched keys, "
        f"published {facts.versions[2]} (old key retired)."
        if len(facts.versions) == 3
        else f"The service switched to a new key; {facts.versions[0]} stayed in force."
    )
    return [
        published,
        (
            f"{facts.sent} calls meanwhile, each with a handshake of its own: {facts.old_key} answered under the old "
            f"key, {facts.new_key} under the new one, {failed} failed{errors}."
        ),
        f"Afterwards the old key {'still passes' if facts.retired.through else 'is refused'}.",
    ]


def _publish(stage: Stage, clients: list[PinClient]) -> str:
    """Publish what the hosts say, and return the version when every client has polled it, or had time enough to."""
    stage.publish()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(_held(pins) != stage.version for pins in clients) and time.monotonic() < deadline:
        time.sleep(0.02)
    return stage.version


def _held(pins: PinClient) -> str:
    status = pins.status()
    return f"{status.epoch}.{status.version}"
