"""What a client tells, to whom and when: stable names, no lock held, and no listener that can break anything."""

import ast
import json
import logging
import re
import threading
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pinwarden import ConfigError, Event, FetchError, PinMismatchError, PinsUnavailableError, elapsed
from pinwarden.cache import MemoryCache
from pinwarden.enforce import Chain
from pinwarden.errors import CacheError
from pinwarden.events import COMMON, EVENTS
from pinwarden.testing import pinned

GOOD, BACKUP, WRONG = b"1" * 32, b"2" * 32, b"x" * 32
HOST = "api.example.com"
REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/events.md").read_text("utf-8")


def admit(client: Any, *pins: bytes, host: str = HOST, may_block: bool = False) -> object:
    """Play a handshake whose verified chain has *pins*."""
    return client._guard.admit(host, lambda: Chain(pins, True), may_block=may_block)


class FullCache(MemoryCache):
    """Fails to write until it is emptied."""

    full = True

    def update(self, merge: Any) -> None:
        if self.full:
            raise CacheError("the disk is full")
        super().update(merge)


@pytest.fixture
def told() -> list[Event]:
    """What was told so far."""
    return []


@pytest.fixture
def client(make_client: Any, server: Any, authority: Any, told: list[Event]) -> Any:
    """A client with a pin set in force that nobody refreshes unasked."""
    server.serve(authority)
    made = make_client(bootstrap=authority.bundle().to_bytes(), on_event=told.append, cache=FullCache())
    made._guard.due = float("inf")
    made._refresher._last_attempt = elapsed.seconds()  # too lately for another one in the background
    return made


def fields(told: list[Event], name: str) -> dict[str, object]:
    """Return the fields of the one event of that name."""
    (event,) = [event for event in told if event.name == name]
    return dict(event.fields)


def test_a_refresh_tells_what_is_in_force_now_and_what_was(
    client: Any, server: Any, authority: Any, told: list[Event]
) -> None:
    authority.rotate_root()
    authority.publish({HOST: [WRONG, BACKUP], "*.example.com": [GOOD, BACKUP]})
    server.serve(authority)
    client.refresh()
    common = {"authority": authority.authority, "pinset": "app"}
    state = {"server": server.url, "state": "fresh", "root": 2, "epoch": 1, "version": 2}
    assert fields(told, "refresh.succeeded") == {**common, **state}
    assert fields(told, "root.updated") == {**common, "root": 2, "previous_root": 1}
    assert fields(told, "pins.updated") == {
        **common,
        "epoch": 1,
        "version": 2,
        "previous_epoch": 1,
        "previous_version": 1,
        "hosts": 2,
    }
    assert fields(told, "cache.failed") == {**common, "cache": "memory", "reason": "the disk is full."}
    told.clear()
    client.refresh()
    assert [event.name for event in told] == ["refresh.succeeded"]


def test_a_cache_that_cannot_be_written_is_told_once_and_again_when_it_works(
    client: Any, server: Any, authority: Any, told: list[Event]
) -> None:
    for full in (True, True, False, False, True):
        client._cache.full = full
        authority.publish({HOST: [GOOD, BACKUP]})
        server.serve(authority)
        client.refresh()
    assert [event.name for event in told if event.name.startswith("cache.")] == [
        "cache.failed",
        "cache.recovered",
        "cache.failed",
    ]
    assert client.status().persist_failed == 3


def test_failures_are_counted_and_a_state_that_changed_by_time_alone_is_told_at_the_next_refresh(
    client: Any, server: Any, clock: Any, told: list[Event]
) -> None:
    server.answers.clear()
    for failures in (1, 2):
        with pytest.raises(FetchError) as failed:
            client.refresh()
        told_last = [event.fields for event in told if event.name == "refresh.failed"][-1]
        assert {name: told_last[name] for name in EVENTS["refresh.failed"].fields} == {
            "error": "FetchError",
            "reason": str(failed.value),
            "failures": failures,
        }
    assert "state.changed" not in {event.name for event in told}
    for days, state in ((4, "stale"), (30, "expired")):
        told.clear()
        clock.advance(days=days)
        with pytest.raises(FetchError):
            client.refresh()
        assert fields(told, "state.changed")["state"] == state


def test_a_refused_connection_is_told_each_time(client: Any, told: list[Event]) -> None:
    for _ in range(2):
        with pytest.raises(PinMismatchError) as refused:
            admit(client, WRONG)
    refusals = [event.fields for event in told if event.name == "connection.refused"]
    assert [{name: one[name] for name in EVENTS["connection.refused"].fields} for one in refusals] == [
        {"host": HOST, "error": "PinMismatchError", "reason": str(refused.value), "epoch": 1, "version": 1}
    ] * 2


def test_a_refusal_for_want_of_pins_is_told_too(make_client: Any, told: list[Event]) -> None:
    client = make_client(on_event=told.append, url="http://127.0.0.1:1")
    with pytest.raises(PinsUnavailableError):
        admit(client, GOOD, may_block=True)
    assert [event.name for event in told] == ["refresh.failed", "connection.refused"]
    refusal = told[1].fields
    assert (refusal["error"], refusal["epoch"], refusal["version"]) == ("PinsUnavailableError", None, None)


@pytest.mark.parametrize(
    ("name", "host", "days", "pin", "reason"),
    [
        ("connection.reported", "report.example.com", 0, WRONG, "let through in report mode: no key of report.exa"),
        ("connection.backup_used", HOST, 0, BACKUP, "matched a backup pin ("),
        ("connection.stale", HOST, 4, GOOD, "judged by the stale pin set test-"),
        ("connection.platform", "platform.example.com", 31, WRONG, "pin set test-"),
    ],
)
def test_what_is_let_through_but_noteworthy_is_told_once_an_hour(
    name: str,
    host: str,
    days: int,
    pin: bytes,
    reason: str,
    client: Any,
    server: Any,
    authority: Any,
    clock: Any,
    told: list[Event],
) -> None:
    authority.publish(
        [
            pinned(HOST, GOOD, BACKUP),
            pinned("report.example.com", GOOD, mode="report"),
            pinned("platform.example.com", GOOD, on_expiry="platform"),
        ]
    )
    server.serve(authority)
    client.refresh()
    client._guard.due = float("inf")
    clock.advance(days=days)
    told.clear()
    for _ in range(3):
        admit(client, pin, host=host)
    assert [event.name for event in told] == [name]
    assert told[0].fields["host"] == host
    assert str(told[0].fields["reason"]).startswith(reason)


def test_an_empty_client_that_may_go_on_tells_it(make_client: Any, told: list[Event]) -> None:
    with pytest.warns(RuntimeWarning, match="when_empty='platform'"):
        client = make_client(on_event=told.append, url="http://127.0.0.1:1", when_empty="platform")
    admit(client, WRONG)
    assert [(event.name, event.fields["host"]) for event in told] == [("connection.empty", HOST)]


def test_a_record_of_the_log_carries_name_and_fields(client: Any, told: list[Event], caplog: Any) -> None:
    with pytest.raises(PinMismatchError):
        admit(client, WRONG)
    records = [record for record in caplog.records if hasattr(record, "pinwarden_event")]
    assert [(record.pinwarden_event, record.pinwarden_fields) for record in records] == [
        (event.name, dict(event.fields)) for event in told
    ]
    assert [record.levelno for record in records] == [EVENTS[event.name].level for event in told]


def test_a_failure_that_its_caller_gets_is_not_logged_as_a_warning_too(
    client: Any, server: Any, told: list[Event], caplog: Any
) -> None:
    server.answers.clear()
    with caplog.at_level(logging.INFO, "pinwarden"), pytest.raises(FetchError):
        client.refresh()
    assert [event.name for event in told] == ["refresh.failed"]
    assert [record for record in caplog.records if hasattr(record, "pinwarden_event")] == []


@pytest.mark.parametrize("failure", [ZeroDivisionError("a defect"), MemoryError(), RecursionError()])
def test_a_hook_that_fails_is_logged_and_changes_nothing(
    failure: Exception, make_client: Any, server: Any, authority: Any, caplog: Any
) -> None:
    def hook(event: Event) -> None:
        raise failure

    server.serve(authority)
    client = make_client(on_event=hook)
    assert client.refresh().version == 1
    admit(client, GOOD)
    with pytest.raises(PinMismatchError):
        admit(client, WRONG, may_block=True)
    assert "on_event failed for connection.refused; nothing else is affected" in caplog.text
    assert client.status().refused == 1


def test_a_hook_may_call_the_client_and_connect_while_nothing_is_locked(
    make_client: Any, server: Any, authority: Any
) -> None:
    seen: list[object] = []

    def hook(event: Event) -> None:
        def elsewhere() -> None:
            # Another thread, which would wait for ever for a lock that the hook's thread holds.
            locks = (client._refresher._lock, client._guard._look_lock)
            seen.append([lock.acquire(timeout=5) and lock.release() is None for lock in locks])

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with pytest.raises(PinMismatchError):
            admit(client, WRONG)  # is judged, and causes no event of its own
        client.refresh()

    server.serve(authority)
    client = make_client(bootstrap=authority.bundle().to_bytes(), on_event=hook)
    client._guard.due = float("inf")
    with pytest.raises(PinMismatchError):
        admit(client, WRONG, may_block=True)
    assert seen == [[True, True]] * 2  # refresh.succeeded and connection.refused, both after the locks


def test_a_hook_that_is_no_function_is_refused_at_construction(make_client: Any) -> None:
    with pytest.raises(ConfigError, match=r"^on_event cannot be called: expected a function of one Event, got 7\.$"):
        make_client(on_event=7)


def places() -> list[tuple[str, str, list[str]]]:
    """Return each call of ``tell``: where, the names that its first argument can be, and its keywords."""
    found = []
    for path in sorted((REPOSITORY / "client/pinwarden").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "tell":
                name = ast.unparse(node.args[0]).strip("f'\"")
                keywords = sorted(word.arg for word in node.keywords if word.arg and word.arg != "level")
                found.append((f"{path.name}:{node.lineno}", name, keywords))
    return found


def test_every_place_that_tells_gives_the_fields_of_the_table() -> None:
    named: set[str] = set()
    for where, name, keywords in places():
        pattern = re.compile(re.sub(r"\\\{.*?\\\}", "[a-z_]+", re.escape(name)))
        kinds = [known for known, kind in EVENTS.items() if pattern.fullmatch(known)]
        if "{" in name:
            kinds = [known for known in kinds if sorted(EVENTS[known].fields) == keywords]
        assert kinds, f"{where} tells {name}, which the table does not have"
        assert {tuple(sorted(EVENTS[known].fields)) for known in kinds} == {tuple(keywords)}, where
        named.update(kinds)
    assert named == set(EVENTS)


def test_the_page_has_the_table_of_the_code() -> None:
    shown = re.findall(r"^\| `([a-z_.]+)` \| ([A-Z]+) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert shown == [
        (name, logging.getLevelName(kind.level), ", ".join(f"`{field}`" for field in kind.fields), kind.meaning)
        for name, kind in EVENTS.items()
    ]
    assert all(f"`{name}`" in PAGE for name in COMMON)


def test_the_examples_of_the_page_work(client: Any, caplog: Any) -> None:
    first, second = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    formatting = ModuleType("formatting")
    exec(second, formatting.__dict__)
    with pytest.raises(PinMismatchError):
        admit(client, WRONG)
    line = json.loads(formatting.JsonLines().format(caplog.records[-1]))
    assert (line["event"], line["host"], line["level"]) == ("connection.refused", HOST, "ERROR")
    paged: list[object] = []
    hooking: dict[str, Any] = {"page_somebody": lambda *facts: paged.append(facts)}
    exec(first.partition("\n\npins = ")[0], hooking)
    hooking["on_event"](Event("connection.refused", {"host": HOST, "reason": "no key"}))
    hooking["on_event"](Event("pins.updated", {}))
    assert paged == [(HOST, "no key")]


def test_the_first_refresh_tells_which_state_it_found_and_which_it_left(
    client: Any, server: Any, authority: Any, clock: Any
) -> None:
    told: list[str] = []
    client._events._hook = lambda event: told.append(event.name)
    clock.advance(days=4)
    authority.now += timedelta(days=4)
    authority.publish({HOST: [GOOD, BACKUP]})
    server.serve(authority)
    client.refresh()
    assert told == ["cache.failed", "refresh.succeeded", "pins.updated", "state.changed"]
