"""
What is counted, and the scrape that shows it together with every time to expiry.

It may import prometheus-client, the public table and what is pending. Labels come from what is published or proposed,
and from our own tables, never from what a client sent, so nobody outside can make them many.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from pinwarden_server.pending import Pending
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_state import published_documents, published_root

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
COUNTED = CollectorRegistry()

FETCHES = Counter(
    "pinwarden_fetches",
    "Bundles asked for, by how far the version that the client held lags behind.",
    ("name", "held"),
    registry=COUNTED,
)
PUBLISHES = Counter("pinwarden_publishes", "Changes of pin sets that were answered.", ("outcome",), registry=COUNTED)
PROBLEMS = Counter("pinwarden_problems", "Problem documents sent, by kind.", ("kind",), registry=COUNTED)
WRONG_ATTEMPTS = Counter(
    "pinwarden_wrong_attempts", "Tokens, links, passwords and ID tokens that let nobody in.", ("way",), registry=COUNTED
)
RENEWALS = Counter("pinwarden_renewals", "Renewals of documents, by outcome.", ("outcome",), registry=COUNTED)
RENEWED_AT = Gauge(
    "pinwarden_renewal_success_timestamp_seconds",
    "When a renewal round of this node last ended without a failure, in seconds since 1970.",
    multiprocess_mode="mostrecent",
    registry=COUNTED,
)
AUDIT_WAITS = Gauge(
    "pinwarden_audit_checkpoint_age_seconds",
    "How long the oldest audit row has waited that no signed checkpoint covers; 0 when all are covered.",
    multiprocess_mode="mostrecent",
    registry=COUNTED,
)
CHECKPOINTS = Counter(
    "pinwarden_audit_checkpoints",
    "Ends of the audit log that were to be signed, by outcome.",
    ("outcome",),
    registry=COUNTED,
)


class ExpiryCollector(Collector):
    """Reads the published documents at each scrape: what expires, and when, as clients see it."""

    def __init__(self, table: PublicTable, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield versions and seconds to expiry; negative once it has passed."""
        now = self._clock()
        version = GaugeMetricFamily("pinwarden_pinset_version", "Version in force.", labels=["name"])
        epoch = GaugeMetricFamily("pinwarden_pinset_epoch", "Epoch in force.", labels=["name"])
        pinset = GaugeMetricFamily(
            "pinwarden_pinset_expiry_seconds", "Seconds until the pin set expires.", labels=["name"]
        )
        stamp = GaugeMetricFamily(
            "pinwarden_timestamp_expiry_seconds", "Seconds until the timestamp expires.", labels=["name"]
        )
        for documents in published_documents(self._table):
            labels = [documents.pinset.name]
            version.add_metric(labels, documents.pinset.version)
            epoch.add_metric(labels, documents.pinset.epoch)
            pinset.add_metric(labels, (documents.pinset.expires - now).total_seconds())
            stamp.add_metric(labels, (documents.timestamp.expires - now).total_seconds())
        yield from (version, epoch, pinset, stamp)
        root = published_root(self._table)
        if root is not None:
            yield GaugeMetricFamily("pinwarden_root_version", "Newest published root.", value=root.version)
            seconds = (root.expires - now).total_seconds()
            yield GaugeMetricFamily(
                "pinwarden_root_expiry_seconds", "Seconds until the newest root expires.", value=seconds
            )


class PendingCollector(Collector):
    """Looks at each scrape for what waits for people; says nothing while the database is away."""

    def __init__(self, look: Callable[[], Pending | None], clock: Callable[[], datetime]) -> None:
        self._look = look
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield ages and counts by pin set."""
        pending = self._look()
        if pending is None:
            return
        age = GaugeMetricFamily(
            "pinwarden_approvals_pending_seconds", "Age of the oldest change that lacks approvals.", labels=["name"]
        )
        for name, seconds in pending.ages(self._clock()).items():
            age.add_metric([name], seconds)
        yield age
        yield GaugeMetricFamily(
            "pinwarden_reviews_open", "Publications without approvals that nobody reviewed.", len(pending.reviews)
        )
        yield GaugeMetricFamily(
            "pinwarden_changes_blocked", "Changes that are due and could not be published.", len(pending.blocked)
        )


class ComponentCollector(Collector):
    """Tells what ``/readyz`` tells, for alerts: which component of the server is in order."""

    def __init__(self, look: Callable[[], Mapping[str, bool]]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Yield 1 for each component that is in order, else 0."""
        family = GaugeMetricFamily(
            "pinwarden_component_ok", "1 when this component of /readyz is ok, else 0.", labels=["component"]
        )
        for name, is_ok in self._look().items():
            family.add_metric([name], float(is_ok))
        yield family


class _OfThisProcess(Collector):
    """The counters of one process, for servers that run as one."""

    def collect(self) -> Iterator[Metric]:
        yield from COUNTED.collect()


def scrape(
    table: PublicTable,
    clock: Callable[[], datetime],
    pending: Callable[[], Pending | None],
    components: Callable[[], Mapping[str, bool]],
) -> bytes:
    """Return the exposition text: the counters of every worker of this node, expiries, what is pending and in order."""
    registry = CollectorRegistry()
    if MULTIPROCESS_VARIABLE in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_OfThisProcess())
    registry.register(ExpiryCollector(table, clock))
    registry.register(PendingCollector(pending, clock))
    registry.register(ComponentCollector(components))
    return generate_latest(registry)
