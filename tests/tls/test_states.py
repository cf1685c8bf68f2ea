"""The state table on real connections: what fresh, stale, expired and empty let through, and what they say about it."""

import ssl
from dataclasses import dataclass, field
from typing import Any

import pytest
from pinned_service import SECRET, WRONG, dial

from pinwarden import PinMismatchError, PinsUnavailableError
from pinwarden.testing import pinned

HOST, OTHER = "api.example.com", "localhost"
STALE, EXPIRED = 4, 31


@dataclass(frozen=True)
class Row:
    """
    One cell of the table.

    Attributes:
        days: since the documents were issued.
        entry: changes to the host entry; ``right`` is whether its pin is the service's.
        changes: changes to the pin set.
        refusal: what is raised, or None when data flows.
        said: words of a warning that the log must hold.
    """

    days: int
    right: bool
    refusal: type[Exception] | None
    entry: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    deny: bool = False
    said: str = ""


REPORT, PLATFORM, ON_STALE = {"mode": "report"}, {"on_expiry": "platform"}, {"on_stale": "refuse"}

TABLE = {
    "fresh, right": Row(0, True, None),
    "fresh, wrong": Row(0, False, PinMismatchError, said="no key of api.example.com is pinned"),
    "fresh, report, wrong": Row(0, False, None, entry=REPORT, said="let through in report mode"),
    "fresh, report, denied": Row(0, True, None, entry=REPORT, deny=True, said="let through in report mode"),
    "stale, right": Row(STALE, True, None, said="judged by the stale pin set"),
    "stale, wrong": Row(STALE, False, PinMismatchError),
    "stale, on_stale refuse": Row(STALE, True, PinsUnavailableError, changes=ON_STALE),
    "stale, report, wrong": Row(STALE, False, None, entry=REPORT, said="let through in report mode"),
    "stale, report, on_stale refuse": Row(STALE, True, None, entry=REPORT, changes=ON_STALE),
    "expired": Row(EXPIRED, True, PinsUnavailableError),
    "expired, on_stale refuse": Row(EXPIRED, True, PinsUnavailableError, changes=ON_STALE),
    "expired, platform, right": Row(EXPIRED, True, None, entry=PLATFORM, said="ordinary CA checks only"),
    "expired, platform, wrong": Row(EXPIRED, False, None, entry=PLATFORM, said="ordinary CA checks only"),
    "expired, platform, denied": Row(EXPIRED, True, PinMismatchError, entry=PLATFORM, deny=True),
    "expired, report, wrong": Row(EXPIRED, False, None, entry=REPORT),
}


def exchange(peer: Any, context: ssl.SSLContext, host: str = HOST) -> None:
    with context.wrap_socket(dial(peer), server_hostname=host) as line:
        line.sendall(SECRET)
        assert line.recv(len(SECRET)) == SECRET


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_the_state_table_holds_on_the_wire(world: Any, serve: Any, pin: Any, caplog: Any, row: Row) -> None:
    entry = pinned(HOST, world.leaf.pin if row.right else WRONG, **row.entry)
    deny = (world.root.pin,) if row.deny else ()
    pins, peer = pin([entry], deny=deny, **row.changes), serve()
    pins.advance(days=row.days)
    if row.refusal is None:
        exchange(peer, pins.context())
        assert peer.finish() == SECRET
    else:
        with pytest.raises(row.refusal):
            exchange(peer, pins.context())
        assert peer.finish() == b""
    assert row.said in caplog.text
    status = pins.client.status()
    assert (status.refused, status.reported) == (int(row.refusal is not None), int("report mode" in row.said))


@pytest.mark.parametrize("days", [0, STALE, EXPIRED])
def test_hosts_without_pins_are_left_alone_in_every_state_but_empty(
    world: Any, serve: Any, pin: Any, days: int
) -> None:
    pins = pin({HOST: [WRONG]}, on_stale="refuse")
    pins.advance(days=days)
    exchange(serve(), pins.context(), OTHER)


@pytest.mark.parametrize("host", [HOST, OTHER])
def test_while_nothing_is_trusted_every_host_is_refused(world: Any, serve: Any, pin: Any, host: str) -> None:
    peer = serve()
    with pytest.raises(PinsUnavailableError, match="no pin set"):
        exchange(peer, pin(None).context(), host)
    assert peer.finish() == b""


def test_the_first_connection_fetches_the_first_pins_itself(world: Any, serve: Any, pin: Any) -> None:
    pins, peer = pin(None), serve()
    pins.publish({HOST: [world.leaf.pin]})
    exchange(peer, pins.context())
    assert (peer.finish(), pins.server.paths) == (SECRET, ["/v1/bundles/app/1"])


def test_when_empty_platform_lets_through_what_ordinary_checks_accept(world: Any, serve: Any, pin: Any) -> None:
    with pytest.warns(RuntimeWarning, match="switches pinning off"):
        pins = pin(None, options={"when_empty": "platform"})
    exchange(serve(), pins.context())
    pins.switch({HOST: [WRONG]})
    peer = serve()
    with pytest.raises(PinMismatchError):
        exchange(peer, pins.context())
    assert peer.finish() == b""


def test_a_refusal_is_logged_once_per_connection_and_a_report_once_per_hour(
    world: Any, serve: Any, pin: Any, caplog: Any
) -> None:
    peer, pins = serve(), pin([pinned(HOST, WRONG, mode="report"), pinned(OTHER, WRONG)])
    context = pins.context()
    for _ in range(3):
        exchange(peer, context)
        with pytest.raises(PinMismatchError):
            exchange(peer, context, OTHER)
    assert caplog.text.count("let through in report mode") == 1
    assert caplog.text.count(f"connection to {OTHER} refused") == 3
    assert (pins.client.status().refused, pins.client.status().reported) == (3, 3)
