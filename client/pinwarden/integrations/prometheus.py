"""
Clients as Prometheus metrics.

It may import this package's measurements and, when called, ``prometheus_client``. It reads at each scrape, so that no
connection pays for metrics, and never keeps a client alive.
"""

from collections.abc import Iterator
from typing import Any

from pinwarden.client import PinClient
from pinwarden.integrations.measurements import (
    MEASUREMENTS,
    STATE_MEANING,
    STATE_NAME,
    Clients,
    library,
    states,
)

__all__ = ["Collector", "register"]

LABELS = ("authority", "pinset")


def register(*clients: PinClient, registry: Any = None) -> "Collector":
    """
    Register metrics of *clients*; docs/life.md lists them.

    Call it once with all clients of the process. Under prometheus_client's multiprocess mode, register in the registry
    that each worker scrapes itself: values that are read at the scrape are not shared through files.

    Args:
        clients: whose pin sets differ, or their values would have the same labels.
        registry: a ``CollectorRegistry``; default: ``prometheus_client.REGISTRY``.

    Returns:
        The collector, for ``registry.unregister()``.

    Raises:
        ConfigError: prometheus_client is not installed, or there is no client. ValueError: registered already.
    """
    target = library("prometheus_client", extra="prometheus").REGISTRY if registry is None else registry
    collector = Collector(*clients)
    target.register(collector)
    return collector


class Collector:
    """A collector for ``CollectorRegistry.register``."""

    def __init__(self, *clients: PinClient) -> None:
        self._core = library("prometheus_client.core", extra="prometheus")
        self._clients = Clients(clients)

    def collect(self) -> Iterator[Any]:
        """Yield one metric family per measurement, read now."""
        found = list(self._clients.statuses())
        state = self._core.GaugeMetricFamily(f"pinwarden_{STATE_NAME}", STATE_MEANING, labels=[*LABELS, "state"])
        for labels, status in found:
            for name, holds in states(status):
                state.add_metric([*labels.values(), name], holds)
        yield state
        for row in MEASUREMENTS:
            kind = self._core.CounterMetricFamily if row.is_counter else self._core.GaugeMetricFamily
            family = kind(f"pinwarden_{row.name}", row.meaning, labels=LABELS)
            for labels, status in found:
                if (value := row.read(status)) is not None:
                    family.add_metric(list(labels.values()), value)
            yield family
