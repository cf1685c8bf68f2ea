"""
Three lies of a pin server, told to a client that it had served well before.

It may import the stage. The liar holds no key of the authority, and changes nothing but what it serves.
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

from pinwarden import PinClient, PinMismatchError
from pinwarden_demo.client_process import refreshed
from pinwarden_demo.hostile import HostileProxy, of_a_foreign_authority, with_one_bit_flipped
from pinwarden_demo.libraries import Round, call, play_round
from pinwarden_demo.sabotage import credulous_verifier
from pinwarden_demo.stage import PINSET, Stage

OTHER_PINSET = "elsewhere"


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One lie and what it did.

    Attributes:
        lie: what was served.
        error: what the refresh raised, by its name, or None when it was accepted.
        before, after: version in force.
        pins_stay: whether the pins in force are the same as before.
        lies_told: how often the server lied.
        right_key, intercepted: a call to the real service afterwards, and one through the interceptor.
    """

    lie: str
    error: str | None
    before: str | None
    after: str | None
    pins_stay: bool
    lies_told: int
    right_key: Round
    intercepted: Round


@dataclass(frozen=True, slots=True)
class Facts:
    """What was measured: one attempt per lie."""

    attempts: tuple[Attempt, ...]

    @property
    def leaked(self) -> int:
        """Application bytes that reached who must get none."""
        return sum(one.intercepted.bytes_read for one in self.attempts)


def measure_tampered(stage: Stage, sabotaged: bool) -> Facts:
    """Serve the bundle in force with one bit of a pin changed; sabotaged: the client's verifier accepts everything."""
    lie = with_one_bit_flipped(stage.server.bundle(PINSET), stage.payments.name)
    return _attempts(stage, [("a pin set with one bit of a pin changed", lie)], sabotaged)


def measure_rollback(stage: Stage, sabotaged: bool) -> Facts:
    """Serve a genuine version from before a key was stolen and taken out of the pins; sabotaged: as above."""
    payments = stage.payments
    payments.backups.append(payments.interceptor.identity.pin)
    stage.publish()
    older = stage.server.bundle(PINSET)
    payments.backups.remove(payments.interceptor.identity.pin)
    lie = f"the genuine {stage.version}, which still trusts a key that was stolen since"
    stage.publish()
    return _attempts(stage, [(lie, older)], sabotaged)


def measure_foreign(stage: Stage, sabotaged: bool) -> Facts:
    """Serve flawless documents that mean something else; sabotaged: as above."""
    pins = {host.name: host.interceptor.identity.pin for host in stage.hosts}
    stage.server.put(OTHER_PINSET, {"hosts": [stage.orders.entry()]}, replaces=None)
    lies = [
        ("a pin set of the attacker's own authority", of_a_foreign_authority(PINSET, pins)),
        (f"our own authority's pin set {OTHER_PINSET!r}", stage.server.bundle(OTHER_PINSET)),
    ]
    return _attempts(stage, lies, sabotaged)


def tell(facts: Facts) -> list[str]:
    """Return the facts as sentences."""
    return [
        f"Served {one.lie}: {f'refused ({one.error})' if one.error else 'accepted'}. "
        f"{one.before} {_became(one)}. "
        f"The right key {'passes' if one.right_key.through else 'is refused'}; "
        f"the interceptor reads {one.intercepted.bytes_read} bytes."
        for one in facts.attempts
    ]


def _became(one: Attempt) -> str:
    if one.after != one.before:
        return f"became {one.after}"
    return "and its pins stay" if one.pins_stay else "stays, with other pins"


def _attempts(stage: Stage, lies: Sequence[tuple[str, bytes]], sabotaged: bool) -> Facts:
    return Facts(tuple(_attempt(stage, lie, bundle, sabotaged) for lie, bundle in lies))


def _attempt(stage: Stage, lie: str, bundle: bytes, sabotaged: bool) -> Attempt:
    payments = stage.payments
    with closing(HostileProxy(stage.server.url)) as proxy, ExitStack() as exits:
        pins = stage.application.client(url=proxy.url, cache=stage.folder / f"cache of {proxy.port}")
        exits.callback(pins.close)
        before, pinned = refreshed(pins), _pins_in_force(stage, pins)
        context = pins.ssl_context(stage.context())
        exits.enter_context(proxy.telling(bundle))
        if sabotaged:
            exits.enter_context(credulous_verifier())
        after, pins_stay = refreshed(pins), _pins_in_force(stage, pins) == pinned
        ask = [lambda: call("requests", payments.url, context)]
        right_key = play_round(ask, payments.service)
        with payments.wire.leading_to(payments.interceptor):
            intercepted = play_round(ask, payments.interceptor)
    return Attempt(
        lie=lie,
        error=after["error"],
        before=before["version"],
        after=after["version"],
        pins_stay=pins_stay,
        lies_told=proxy.lies_told,
        right_key=right_key,
        intercepted=intercepted,
    )


def _pins_in_force(stage: Stage, pins: PinClient) -> tuple[str, ...]:
    """Return what *pins* would accept for payments: the refusal of a key that nobody pinned names it all."""
    try:
        pins.check(stage.payments.name, [stage.ca.certificate])
    except PinMismatchError as refusal:
        return refusal.expected_pins
    return ()
