"""Several addresses of one pin server: the next one is asked, and none of them can lower what another one gave."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pinwarden import ConfigError, Event, FetchError, PinMismatchError, RollbackError, SignatureError, State, elapsed
from pinwarden.enforce import Chain

GOOD, BACKUP, WRONG = b"1" * 32, b"2" * 32, b"x" * 32
HOST = "api.example.com"
BUNDLE = "/v1/bundles/app/1"


@pytest.fixture
def second(server: Any) -> Iterator[Any]:
    """Another pin server."""
    made = type(server)()
    yield made
    made.close()


def dead() -> str:
    """Return an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def tampered(server: Any) -> None:
    answer = server.answers[BUNDLE]
    answer.body = answer.body.replace(b'"sig":"', b'"sig":"AAAA')


def empty(server: Any) -> None:
    server.answers.clear()


def broken(server: Any) -> None:
    server.answers[BUNDLE].status = 500


def a_web_page(server: Any) -> None:
    server.answers[BUNDLE].headers["Content-Type"] = "text/html"


def older(server: Any) -> None:
    """It serves what was current before."""


@pytest.mark.parametrize("fault", [tampered, empty, broken, a_web_page, older], ids=lambda fault: fault.__name__)
def test_a_bad_answer_of_the_first_server_does_not_stop_the_second(
    fault: Callable[[Any], None], server: Any, second: Any, authority: Any, make_client: Any
) -> None:
    told: list[Event] = []
    server.serve(authority)
    fault(server)
    authority.publish({HOST: [BACKUP, GOOD]})
    second.serve(authority)
    held = authority.bundle().to_bytes() if fault is older else None
    client = make_client(url=[server.url, second.url], bootstrap=held, on_event=told.append)
    status = client.refresh()
    assert (status.state, status.version, status.last_error, status.server) == (State.FRESH, 2, None, second.url)
    assert [event.fields["server"] for event in told if event.name == "server.failed"] == [server.url]


def test_the_floor_that_one_server_set_binds_every_other(
    server: Any, second: Any, authority: Any, make_client: Any
) -> None:
    second.serve(authority)
    authority.publish({HOST: [WRONG, BACKUP]})
    server.serve(authority)
    client = make_client(url=(server.url, second.url))
    client.refresh()
    assert client.status().version == 2
    server.answers.clear()
    before = client._guard.snapshot
    with pytest.raises(RollbackError):
        client.refresh()
    assert client._guard.snapshot is before


def test_when_all_fail_the_refusal_is_told_before_a_failure(
    server: Any, second: Any, authority: Any, make_client: Any
) -> None:
    second.serve(authority)
    tampered(second)
    client = make_client(url=[dead(), server.url, second.url])
    with pytest.raises(SignatureError):
        client.refresh()
    assert client.status().state is State.EMPTY
    assert client.status().server is None


@pytest.mark.parametrize(
    ("waits", "wait"), [(("1000", "2000"), 1000.0), (("1000", None), None), ((None, "1000"), None), (("0", "9"), 0.0)]
)
def test_retry_after_counts_only_when_every_server_asks_for_it(
    waits: tuple[str | None, ...], wait: float | None, server: Any, second: Any, authority: Any, make_client: Any
) -> None:
    for one, seconds in zip((server, second), waits, strict=True):
        one.serve(authority)
        broken(one)
        one.answers[BUNDLE].headers = {"Retry-After": seconds} if seconds else {}
    with pytest.raises(FetchError) as failed:
        make_client(url=[server.url, second.url]).refresh()
    assert failed.value.retry_after == wait


def test_a_server_that_failed_is_asked_last_until_it_has_rested(
    server: Any, second: Any, authority: Any, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = elapsed.seconds()
    monkeypatch.setattr(elapsed, "seconds", lambda: now)
    second.serve(authority)
    client = make_client(url=[server.url, second.url])
    asked = []

    def refresh() -> None:
        before = len(server.paths), len(second.paths)
        client.refresh()
        asked.append((len(server.paths) - before[0] > 0, len(second.paths) - before[1] > 0))

    refresh()  # the first has nothing
    refresh()
    now += 299
    refresh()
    now += 2
    refresh()  # it is tried again, and rests twice as long
    now += 301
    refresh()
    server.serve(authority)
    now += 300
    refresh()
    refresh()
    assert asked == [
        (True, True),
        (False, True),
        (False, True),
        (True, True),
        (False, True),
        (True, False),
        (True, False),
    ]


def test_an_etag_goes_only_to_the_server_that_gave_it(
    server: Any, second: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority, etag='"first"')
    client = make_client(url=[server.url, second.url])
    client.refresh()
    second.serve(authority, etag='"second"')
    server.answers.clear()
    client.refresh()
    client.refresh()
    sent = [headers.get("If-None-Match") for path, headers in second.requests if path == BUNDLE]
    assert sent == [None, '"second"']


def test_a_copy_that_confirms_stale_pins_for_ever_does_not_keep_the_client_from_the_next_server(
    server: Any, second: Any, authority: Any, make_client: Any, clock: Any
) -> None:
    server.serve(authority, etag='"frozen"')
    client = make_client(url=[server.url, second.url])
    client.refresh()
    clock.advance(days=4)
    assert client.refresh().state is State.STALE  # 304 from the first, nothing from the second
    authority.now = clock.now
    authority.publish({HOST: [BACKUP, GOOD]})
    second.serve(authority)
    client._refresher.servers._servers[1].rested = 0.0
    status = client.refresh()
    assert (status.state, status.version, status.server) == (State.FRESH, 2, second.url)


def test_a_handshake_with_a_changed_key_finds_the_new_pins_at_the_second_server(
    server: Any, second: Any, authority: Any, make_client: Any
) -> None:
    old = authority.bundle().to_bytes()
    authority.publish({HOST: [WRONG, BACKUP]})
    second.serve(authority)
    client = make_client(url=[server.url, second.url], bootstrap=old)
    client._guard.admit(HOST, lambda: Chain((WRONG,), True), may_block=True)
    with pytest.raises(PinMismatchError):
        client._guard.admit(HOST, lambda: Chain((GOOD,), True), may_block=True)


def test_the_servers_share_the_ten_seconds_of_a_refresh(server: Any, second: Any, make_client: Any) -> None:
    client = make_client(url=[server.url, second.url])
    assert [one.fetcher._deadline_seconds for one in client._refresher.servers._servers] == [5.0, 5.0]
    assert [one.fetcher._deadline_seconds for one in make_client()._refresher.servers._servers] == [10.0]


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ([], "url names a wrong number of servers: expected 1 to 4, got 0."),
        ([f"https://{n}" for n in range(5)], "url names a wrong number of servers: expected 1 to 4, got 5."),
        (["https://a", "https://a"], "url names one server twice. A second address must be another one to help."),
        (["https://a", None], "url is not the address of a pin server: expected https://HOST, or a list of such, "),
        (["https://a", "https://u:secret@b"], "expected https://HOST, without credentials, query or fragment, got "),
        (["https://a", "http://b.example"], "url is plain http"),
        ({"https://a"}, "got set."),
    ],
)
def test_addresses_that_cannot_be_meant_are_refused_at_construction(
    urls: object, message: str, make_client: Any
) -> None:
    with pytest.raises(ConfigError) as refused:
        make_client(url=urls)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)
