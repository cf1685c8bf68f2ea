"""
Clients as OpenTelemetry metrics.

It may import this package's measurements and, when called, ``opentelemetry``'s API. It reads at each collection, so
that no connection pays for metrics, and never keeps a client alive.
"""

from collections.abc import Callable, Iterable
from typing import Any

from pinwarden.client import PinClient
from pinwarden.integrations.measurements import (
    MEASUREMENTS,
    STATE_MEANING,
    STATE_NAME,
    Clients,
    Measurement,
    library,
    states,
)

__all__ = ["instrument"]


def instrument(*clients: PinClient, meter_provider: Any = None) -> None:
    """
    Give *clients* observable instruments of a meter named ``pinwarden``; docs/life.md lists them.

    Call it once with all clients of the process.

    Args:
        clients: whose pin sets differ, or their values would have the same attributes.
        meter_provider: where the meter comes from; default: the global one.

    Raises:
        ConfigError: opentelemetry-api is not installed, or there is no client.
    """
    from pinwarden import __version__

    metrics = library("opentelemetry.metrics", extra="otel")
    measured = Clients(clients)
    meter = (meter_provider or metrics.get_meter_provider()).get_meter("pinwarden", __version__)

    def observe_state(_: object) -> Iterable[Any]:
        for labels, status in measured.statuses():
            for name, value in states(status):
                yield metrics.Observation(value, {**labels, "state": name})

    def observer_of(row: Measurement) -> Callable[[object], Iterable[Any]]:
        def observe(_: object) -> Iterable[Any]:
            for labels, status in measured.statuses():
                if (value := row.read(status)) is not None:
                    yield metrics.Observation(value, labels)

        return observe

    meter.create_observable_gauge(f"pinwarden.{STATE_NAME}", [observe_state], "1", STATE_MEANING)
    for row in MEASUREMENTS:
        create = meter.create_observable_counter if row.is_counter else meter.create_observable_gauge
        create(f"pinwarden.{row.name}", [observer_of(row)], row.unit, row.meaning)
