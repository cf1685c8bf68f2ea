"""
A user's file with every public name in it, as type checkers see it; nobody runs it.

``assert_type`` says what a user may rely on. tests/typing/test_types.py has mypy and pyright read it, in their strict
modes and against the built wheel.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

import aiohttp
import httpx
import pytest
import requests

import pinwarden
from pinwarden import (
    CacheError,
    ConfigError,
    EquivocationError,
    Event,
    ExpiredError,
    FetchError,
    MalformedError,
    Options,
    Outcome,
    PinClient,
    PinMismatchError,
    PinsUnavailableError,
    PinwardenError,
    RollbackError,
    Rollout,
    SignatureError,
    StaleError,
    State,
    Status,
    UntrustedError,
    Verdict,
    WrongPinSetError,
    find_pin_error,
    tls,
)
from pinwarden.cache import Cache, DiskCache, MemoryCache
from pinwarden.documents import Host, Pin, PinSet
from pinwarden.integrations import aiohttp as with_aiohttp
from pinwarden.integrations import httpx as with_httpx
from pinwarden.integrations import opentelemetry as with_opentelemetry
from pinwarden.integrations import prometheus as with_prometheus
from pinwarden.integrations import requests as with_requests
from pinwarden.testing import (
    DAY,
    InsecureForProductionWarning,
    LocalServer,
    ThrowawayAuthority,
    ThrowawayKey,
    ThrowawayPins,
    pinned,
    sign,
)
from pinwarden.testing.contracts import CacheContract
from pinwarden.trust import KeptDocuments

assert_type(pinwarden.__version__, str)


def now() -> datetime:
    return datetime.now(UTC)


class OwnCache:
    """A cache of a user's own; it derives from nothing."""

    describe = "a shelf"

    def __init__(self) -> None:
        self._kept = KeptDocuments()

    def load(self) -> KeptDocuments:
        return self._kept

    def update(self, merge: Callable[[KeptDocuments], KeptDocuments]) -> None:
        self._kept = merge(self._kept)

    def installation_id(self) -> bytes:
        return bytes(16)


def caches() -> list[Cache]:
    return [OwnCache(), MemoryCache(), DiskCache(Path("cache"), "authority", "app")]


def clients() -> None:
    options: Options = {"unpinned": "refuse", "when_empty": "refuse", "poll_seconds": 60, "clock": now}
    pins = PinClient("https://pins.example.com", pinset="app", root="root.json", cache=OwnCache(), **options)
    PinClient("https://pins.example.com", pinset="app", root=Path("root.json"), cache="folder", bootstrap=b"{}")
    assert_type(PinClient.from_env(), PinClient)
    assert_type(PinClient.from_env({"PINWARDEN_URL": "https://pins.example.com"}), PinClient)
    with pins as same:
        assert_type(same, PinClient)
    assert_type(pins.start(), PinClient)
    assert_type(pins.refresh(), Status)
    assert_type(pins.ssl_context(), ssl.SSLContext)
    assert_type(pins.ssl_context(ssl.create_default_context()), ssl.SSLContext)
    assert_type(pins.selftest(), list[str])
    assert_type(pins.check("api.example.com", [b"DER"]), Verdict)
    assert_type(tls.exempt(ssl.create_default_context()), ssl.SSLContext)
    pins.enforce()
    pins.close()


def events(told: Event) -> None:
    assert_type(told.name, str)
    assert_type(told.fields.get("host"), str | int | float | bool | None)
    PinClient(
        ["https://pins.example.com", "https://pins.example.net"],
        pinset="app",
        root="root.json",
        on_event=events,
        reports=False,
        report_certificates=True,
    )


def metrics(pins: PinClient) -> None:
    assert_type(with_prometheus.register(pins), with_prometheus.Collector)
    with_opentelemetry.instrument(pins)


def statuses(status: Status) -> None:
    assert_type(status.server, str | None)
    assert_type(status.reports_dropped, int)
    assert_type(status.state, State)
    assert_type(status.name, str)
    assert_type(status.authority, str)
    assert_type(status.root, int)
    assert_type(status.version, int | None)
    assert_type(status.expires, datetime | None)
    assert_type(status.not_covered, tuple[str, ...])
    assert_type(status.rollout, tuple[Rollout, ...])
    assert_type([one.enforce_percent for one in status.rollout], list[int])
    assert status.state in (State.FRESH, State.STALE, State.EXPIRED, State.EMPTY)


def verdicts(verdict: Verdict) -> None:
    assert_type(verdict.outcome, Outcome)
    assert_type(verdict.host, str | None)
    assert_type(verdict.problem, PinMismatchError | None)
    assert verdict.outcome in (
        Outcome.MATCHED,
        Outcome.BACKUP_USED,
        Outcome.REPORTED,
        Outcome.PLATFORM,
        Outcome.UNPINNED,
    )


def errors(error: Exception) -> str:
    found = find_pin_error(error)
    assert_type(found, PinwardenError | None)
    match found:
        case PinMismatchError():
            assert_type(found.presented, tuple[str, ...])
            assert_type(found.denied, str | None)
            return found.host
        case FetchError():
            assert_type(found.retry_after, float | None)
            return str(found.status)
        case EquivocationError():
            return (found.held + found.shown).decode()
        case MalformedError() | SignatureError() | RollbackError() | ExpiredError() | StaleError() | WrongPinSetError():
            refused: UntrustedError = found
            return refused.what
        case PinsUnavailableError():
            failure: ssl.SSLError = found
            return str(failure)
        case ConfigError():
            value_error: ValueError = found
            return str(value_error)
        case CacheError() | PinwardenError():
            assert_type(found.step, str | None)
            return found.hint or ""
        case None:
            return ""


def sessions(pins: PinClient, context: ssl.SSLContext) -> None:
    assert_type(with_requests.pinned_session(pins), requests.Session)
    assert_type(with_requests.pinned_session(pins, context=context), requests.Session)
    requests.Session().mount("https://", with_requests.PinnedAdapter(pins, max_retries=3))
    assert_type(with_httpx.pinned_client(pins, timeout=5), httpx.Client)
    assert_type(with_httpx.pinned_async_client(pins, context=context), httpx.AsyncClient)

    async def ask() -> None:
        async with with_aiohttp.pinned_session(pins) as session:
            assert_type(session, aiohttp.ClientSession)
        connector: aiohttp.TCPConnector = with_aiohttp.PinnedConnector(pins, context=context, limit=5)
        await connector.close()

    asyncio.run(ask())


def stand_ins() -> None:
    authority = ThrowawayAuthority("app", now=now(), seed="mine")
    host = pinned("api.example.com", bytes(32), mode="report")
    assert_type(host, Host)
    authority.publish([host])
    authority.publish({"api.example.com": [bytes(32)]}, on_stale="refuse")
    envelope = sign("type", b"payload", [ThrowawayKey("seed")])
    assert_type(envelope.payload, bytes)
    assert_type(PinSet.parse(authority.sign_pinset([host]).payload), PinSet)
    assert_type(Host("api.example.com", (Pin(bytes(32)),), (Pin(bytes(32)),)), Host)
    assert_type(DAY, int)
    assert issubclass(InsecureForProductionWarning, UserWarning)
    with LocalServer({"/": b"hello"}) as server, ThrowawayPins([host], authority=authority) as pins:
        assert_type(server.pin, bytes)
        assert_type(server.rekey(), bytes)
        assert_type(server.context(), ssl.SSLContext)
        assert_type(server.received(), bytes)
        assert_type(server.ca_file, Path)
        assert_type(pins.publish([host]), Status)
        assert_type(pins.authority, ThrowawayAuthority)


class TestOwnCache(CacheContract):
    @pytest.fixture
    def open_cache(self) -> Callable[[], Cache]:
        cache = OwnCache()
        return lambda: cache
