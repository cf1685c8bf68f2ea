"""
The steps: each is one function that does something to the real parts and returns what it measured.

A step may import the stage and everything below it. It judges nothing and prints nothing: ``judge`` decides whether its
promise held, from the facts alone, and ``story`` tells them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pinwarden_demo.stage import Stage
from pinwarden_demo.steps import bad_bundles, interceptor, libraries, offline, publish, rotation


@dataclass(frozen=True, slots=True)
class Step:
    """
    One row of the play.

    Attributes:
        promise: what it proves, as one sentence.
        measure: plays it, with its defence in place or (True) sabotaged, and returns a dataclass of facts.
        tell: turns these facts into sentences.
        needs: the step that must have held, or nothing that this one measures would mean anything.
    """

    name: str
    promise: str
    measure: Callable[[Stage, bool], Any]
    tell: Callable[[Any], list[str]]
    needs: str | None = "publish"


STEPS: tuple[Step, ...] = (
    Step(
        "publish",
        "Only the owner publishes; clients need only root.json.",
        publish.measure,
        publish.tell,
        needs=None,
    ),
    Step(
        "libraries",
        "The right key passes; certificate checks stay on.",
        libraries.measure,
        libraries.tell,
    ),
    Step(
        "interceptor",
        "An interceptor with a trusted CA gets not one byte.",
        interceptor.measure,
        interceptor.tell,
    ),
    Step(
        "tampered",
        "A pin set with one bit changed on its way is refused.",
        bad_bundles.measure_tampered,
        bad_bundles.tell,
    ),
    Step(
        "rollback",
        "An older pin set, once genuine, is refused.",
        bad_bundles.measure_rollback,
        bad_bundles.tell,
    ),
    Step(
        "foreign",
        "Another authority's or another name's pin set is refused.",
        bad_bundles.measure_foreign,
        bad_bundles.tell,
    ),
    Step(
        "rotation",
        "A key is rotated under load, and not one call fails.",
        rotation.measure,
        rotation.tell,
    ),
    Step(
        "outage",
        "With the pin server killed, pins hold from memory.",
        offline.measure_outage,
        offline.tell,
    ),
    Step(
        "restart",
        "With the pin server gone, a restart has pins from disk.",
        offline.measure_restart,
        offline.tell,
    ),
)
NAMES = tuple(step.name for step in STEPS)
