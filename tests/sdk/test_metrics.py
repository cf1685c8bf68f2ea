"""Metrics of clients, as Prometheus scrapes them and as OpenTelemetry collects them."""

import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from pinwarden import ConfigError, FetchError, PinClient, PinMismatchError
from pinwarden.cache import MemoryCache
from pinwarden.enforce import Chain
from pinwarden.integrations import opentelemetry, prometheus
from pinwarden.integrations.measurements import MEASUREMENTS
from pinwarden.testing import pinned

GOOD, BACKUP, WRONG = b"1" * 32, b"2" * 32, b"x" * 32
HOST = "api.example.com"
PAGE = (Path(__file__).parents[2] / "docs/life.md").read_text("utf-8")


@pytest.fixture
def client(make_client: Any, server: Any, authority: Any) -> Any:
    """A client that has refused one connection, let two through in report mode, and failed to refresh once."""
    authority.publish([pinned(HOST, GOOD, BACKUP), pinned("report.example.com", GOOD, mode="report")])
    server.serve(authority)
    made = make_client()
    made.refresh()
    with pytest.raises(PinMismatchError):
        made._guard.admit(HOST, lambda: Chain((WRONG,), True), may_block=False)
    for _ in range(2):
        made._guard.admit("report.example.com", lambda: Chain((WRONG,), True), may_block=False)
    server.answers.clear()
    with pytest.raises(FetchError):
        made.refresh()
    return made


def expected(client: Any, authority: Any, clock: Any) -> dict[str, float]:
    """Return the values by name, without prefix and suffix."""
    document = client._guard.snapshot.trust
    return {
        "root_version": 1,
        "pinset_epoch": 1,
        "pinset_version": 2,
        "pinset_hosts": 2,
        "pinset_expires_timestamp_seconds": document.pinset.expires.timestamp(),
        "fresh_until_timestamp_seconds": document.timestamp.expires.timestamp(),
        "last_refresh_timestamp_seconds": clock.now.timestamp(),
        "refresh_failures": 1,
        "persist_failed": 0,
        "connections_refused": 1,
        "connections_reported": 2,
        "reports_sent": 0,
        "reports_dropped": 0,
    }


def test_prometheus_scrapes_what_the_client_counts(client: Any, authority: Any, clock: Any) -> None:
    registry = CollectorRegistry()
    collector = prometheus.register(client, registry=registry)
    labels = {"authority": authority.authority, "pinset": "app"}
    found = {
        row.name: registry.get_sample_value(f"pinwarden_{row.name}{'_total' if row.is_counter else ''}", labels)
        for row in MEASUREMENTS
    }
    assert found == expected(client, authority, clock)
    states = {
        state: registry.get_sample_value("pinwarden_state", {**labels, "state": state})
        for state in ("empty", "expired", "stale", "fresh")
    }
    assert states == {"empty": 0, "expired": 0, "stale": 0, "fresh": 1}
    clock.advance(days=4)
    assert registry.get_sample_value("pinwarden_state", {**labels, "state": "stale"}) == 1
    registry.unregister(collector)
    assert generate_latest(registry) == b""


def test_opentelemetry_collects_the_same(client: Any, authority: Any, clock: Any) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    opentelemetry.instrument(client, meter_provider=provider)
    (resource,) = reader.get_metrics_data().resource_metrics
    (scope,) = resource.scope_metrics
    labels = {"authority": authority.authority, "pinset": "app"}
    points = {metric.name: metric.data.data_points for metric in scope.metrics}
    states = {point.attributes["state"]: point.value for point in points.pop("pinwarden.state")}
    provider.shutdown()
    assert scope.scope.name == "pinwarden"
    assert states == {"empty": 0, "expired": 0, "stale": 0, "fresh": 1}
    assert {name.removeprefix("pinwarden."): point.value for name, (point,) in points.items()} == expected(
        client, authority, clock
    )
    assert [dict(point.attributes) for (point,) in points.values()] == [labels] * len(points)


def test_a_client_that_never_refreshed_has_no_times_yet(make_client: Any) -> None:
    registry = CollectorRegistry()
    client = make_client(url="http://127.0.0.1:1")
    prometheus.register(client, registry=registry)
    text = generate_latest(registry).decode()
    assert re.findall(r"^pinwarden_state\{.*state=\"(.*)\"\} 1\.0$", text, re.MULTILINE) == ["empty"]
    assert re.findall(r"^pinwarden_\w*timestamp_seconds\{.*$", text, re.MULTILINE) == []


def test_several_clients_have_labels_of_their_own_and_a_forgotten_one_disappears(
    make_client: Any, authority: Any
) -> None:
    registry = CollectorRegistry()
    second = PinClient("http://127.0.0.1:1", pinset="other", root=authority.root_json, cache=MemoryCache())
    kept = make_client(url="http://127.0.0.1:1")
    prometheus.register(kept, second, registry=registry)

    def named() -> list[str]:
        return re.findall(
            r"^pinwarden_root_version\{.*pinset=\"(.*)\"\}", generate_latest(registry).decode(), re.MULTILINE
        )

    assert named() == ["app", "other"]
    del second
    gc.collect()
    assert named() == ["app"]


@pytest.mark.parametrize("make", [prometheus.register, opentelemetry.instrument])
def test_nothing_to_measure_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match=r"^there is nothing to measure: expected one PinClient or more\.$"):
        make()


@pytest.mark.parametrize(
    ("module", "call", "missing", "extra"),
    [
        ("prometheus", "prometheus.register(client)", "prometheus_client", "prometheus"),
        ("opentelemetry", "opentelemetry.instrument(client)", "opentelemetry", "otel"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_the_extra_that_brings_it(
    module: str, call: str, missing: str, extra: str, authority: Any
) -> None:
    program = f"""
import sys
from pinwarden import PinClient, ConfigError
from pinwarden.cache import MemoryCache
from pinwarden.integrations import {module}
print(sorted(name for name in sys.modules if name.partition(".")[0] == "{missing}"))
sys.modules["{missing}"] = None
client = PinClient("http://127.0.0.1:1", pinset="app", root={authority.root_json!r}, cache=MemoryCache())
try:
    {call}
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, told = done.stdout.splitlines()
    assert loaded == "[]"  # importing the integration loads nothing
    assert told.startswith(f"{missing} cannot be imported: ")
    assert told.endswith(f"pip install 'pinwarden[{extra}]' brings it.")


def test_the_page_has_the_table_of_the_code() -> None:
    shown = re.findall(r"^\| `pinwarden_(\w+)` \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    rows = [
        (f"{row.name}_total" if row.is_counter else row.name, "counter" if row.is_counter else "gauge", row.meaning)
        for row in MEASUREMENTS
    ]
    assert shown[1:] == rows
    assert shown[0][:2] == ("state", "gauge")
