"""What the server says of its audit log: pages and filters, checkpoints, the metric, the alert."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden_server import metrics
from pinwarden_server.alerts import Level, late_checkpoint
from pinwarden_server.installation import init_development
from pinwarden_server.store import AuditFilter
from tests.audit.conftest import Office
from tests.server.http.conftest import Service, serving
from tests.server.http.test_health import sample
from tests.server.store.rows import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with ExitStack() as stack:
        yield lambda installation, **changes: stack.enter_context(serving(installation, **changes))


@pytest.fixture
def service(tmp_path: Path, serve: Callable[..., Service]) -> Service:
    now = datetime.now(UTC).replace(microsecond=0)
    made = init_development(tmp_path / "server", bind="127.0.0.1:0", label="told", now=now)
    return serve(made, now=now)


def test_the_checkpoints_are_paged_and_the_newest_is_public(service: Service) -> None:
    for _ in range(2):
        service.create(f"set-{service.clock.now.hour}")
        service.clock.advance(hours=1)
        service.node.renewer._clock = service.clock
        service.node.renewer.tick()
    whole = service.ask("GET", "/admin/v1/audit/checkpoints").json
    assert [row["size"] for row in whole["checkpoints"]] == [2, 3, 4]
    assert service.ask("GET", "/admin/v1/audit/checkpoints?after=2&limit=1").json == {
        "checkpoints": whole["checkpoints"][1:2],
        "next": 3,
    }
    assert service.ask("GET", "/admin/v1/audit/checkpoints?after=4").json == {"checkpoints": [], "next": 4}
    assert service.client.get("/v1/audit/checkpoint").json == whole["checkpoints"][-1]["envelope"]


@pytest.mark.parametrize("query", ["size=1", "limit=0", "limit=501", "after=-1", "after=x", "limit=1&limit=2"])
def test_a_page_of_checkpoints_that_makes_no_sense_is_refused(service: Service, query: str) -> None:
    before = service.stored()
    service.problem(service.ask("GET", f"/admin/v1/audit/checkpoints?{query}"), 400, "bad-request")
    assert service.stored() == before


FILTERS: dict[str, tuple[dict[str, Any], list[int]]] = {
    "nothing": ({}, [1, 2, 3, 4, 5]),
    "a pin set": ({"name": "payments"}, [2, 3]),
    "a pin set that is spelt like a token": ({"name": "token"}, [4]),
    "another one": ({"name": "unknown"}, []),
    "an actor": ({"actor": "token:bob"}, [4]),
    "capitals are others": ({"actor": "token:BOB"}, []),
    "a beginning of actors": ({"actor": "token:*"}, [2, 3, 4, 5]),
    "a beginning in capitals": ({"actor": "TOKEN:*"}, []),
    "signs that LIKE would understand": ({"actor": "token_%*"}, []),
    "an action": ({"action": "pinset.create"}, [2, 4]),
    "a room of actions": ({"action": "pinset.*"}, [2, 3, 4]),
    "since": ({"since": NOW + HOUR}, [3, 4, 5]),
    "until, excluded": ({"until": NOW + HOUR}, [1, 2]),
    "all of them": ({"name": "payments", "actor": "token:a*", "action": "pinset.*", "since": NOW + HOUR}, [3]),
    "what no database can hold": ({"actor": "token:\0", "action": "\ud800*"}, []),
}


@pytest.mark.parametrize("words", FILTERS)
def test_rows_are_filtered_alike_by_both_stores(office_of_two: Office, words: str) -> None:
    asked, expected = FILTERS[words]
    rows = office_of_two.site.store.reader.audit(only=AuditFilter(**asked))
    assert [row.seq for row in rows] == expected


@pytest.fixture
def office_of_two(office: Office) -> Office:
    """Rows: the root; payments by alice, and again an hour later; ``token`` by bob; a token that is spelt payments."""
    office.tamper("DELETE FROM history; DELETE FROM pinsets; DELETE FROM versions; DELETE FROM audit WHERE seq > 1")
    office.tamper(
        "INSERT INTO audit VALUES "
        + ", ".join(
            f"({seq}, {int((NOW + hours * HOUR).timestamp())}, '{actor}', '{action}', '{subject}', '{{}}', '', '{seq}')"
            for seq, hours, actor, action, subject in (
                (2, 0, "token\\:alice", "pinset.create", "payments"),
                (3, 1, "token\\:alice", "pinset.publish", "payments"),
                (4, 1, "token\\:bob", "pinset.create", "token"),
                (5, 2, "token\\:carol", "token.issue", "payments"),
            )
        )
    )
    return office


def test_the_filters_are_parameters_of_the_address(service: Service) -> None:
    service.create("payments")
    service.create("orders")
    seen = service.ask("GET", "/admin/v1/audit?name=orders&action=pinset.*&actor=token:*").json
    assert [(row["subject"], row["action"]) for row in seen["rows"]] == [("orders", "pinset.create")]
    later = (service.clock.now + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert service.ask("GET", f"/admin/v1/audit?since={later}&after=1").json == {"rows": [], "next": 1}
    assert len(service.ask("GET", f"/admin/v1/audit?until={later}").json["rows"]) == 4


@pytest.mark.parametrize(
    "query", ["name=", "actor=", f"action={'x' * 201}", "since=today", "until=2026-06-01", "actor=a&actor=b"]
)
def test_a_filter_that_makes_no_sense_matches_nothing_and_is_refused(service: Service, query: str) -> None:
    service.problem(service.ask("GET", f"/admin/v1/audit?{query}"), 400, "bad-request")


LATE = {
    "all covered": (None, timedelta(0), False),
    "not yet": (NOW, 2 * HOUR - timedelta(seconds=1), False),
    "two intervals": (NOW, 2 * HOUR, True),
    "for days": (NOW, timedelta(days=3), True),
}


@pytest.mark.parametrize("words", LATE)
def test_rows_that_wait_for_two_intervals_are_worth_an_alert(words: str) -> None:
    since, later, is_late = LATE[words]
    found = late_checkpoint(since, HOUR, NOW + later)
    assert [(alert.subject, alert.level, alert.expires) for alert in found] == (
        [("audit", Level.WARNING, NOW + 2 * HOUR)] if is_late else []
    )


def test_metric_and_statusz_tell_that_nobody_signs_and_are_silent_once_somebody_does(
    service: Service, serve: Callable[..., Service]
) -> None:
    service.create()
    keyless = serve(service.installation, now=service.clock.now, signers=())
    for one in (keyless, service):
        one.node.renewer._clock = one.clock
        one.clock.advance(hours=3)
    failed = metrics.CHECKPOINTS.labels("failed")._value.get()
    assert keyless.node.renewer.tick().unsigned != ""
    keyless.node.renewer.stop()
    text = keyless.ask("GET", "/metrics").text
    assert sample(text, "pinwarden_audit_checkpoint_age_seconds") == 3 * 3600
    assert sample(text, 'pinwarden_audit_checkpoints_total{outcome="failed"}') == failed + 1
    (alert,) = keyless.ask("GET", "/statusz").json["alerts"]
    assert (alert["subject"], alert["level"]) == ("audit", "warning")
    assert "for 3 hours" in alert["message"]
    assert service.node.renewer.tick().checkpoint == 3
    assert sample(service.ask("GET", "/metrics").text, "pinwarden_audit_checkpoint_age_seconds") == 0
    assert service.ask("GET", "/statusz").json["alerts"] == []
