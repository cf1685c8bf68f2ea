"""PinClient end to end over real HTTP and a real disk cache: update, cold and warm start, the state table."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pinwarden import (
    ConfigError,
    ExpiredError,
    FetchError,
    Outcome,
    PinClient,
    PinMismatchError,
    PinsUnavailableError,
    RollbackError,
    SignatureError,
    State,
)
from pinwarden.enforce import Chain
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority, ThrowawayKey, pinned

GOOD, BACKUP, WRONG = b"1" * 32, b"2" * 32, b"x" * 32
HOST = "api.example.com"


def admit(client: PinClient, *pins: bytes, host: str = HOST, may_block: bool = True) -> object:
    """Play a handshake whose verified chain has *pins*."""
    return client._guard.admit(host, lambda: Chain(pins, True), may_block=may_block)


def test_a_cold_start_takes_one_request(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    status = make_client().refresh()
    assert (status.state, status.version, status.hosts) == (State.FRESH, 1, 1)
    assert server.paths == ["/v1/bundles/app/1"]


def test_a_warm_start_has_pins_without_any_server(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    make_client().refresh()
    client = make_client(url="http://127.0.0.1:1")
    assert client.status().state == State.FRESH
    assert admit(client, GOOD) is client._guard.token
    assert len(server.paths) == 1


def test_a_bootstrap_bundle_gives_pins_without_cache_or_network(authority: Any, make_client: Any) -> None:
    client = make_client(bootstrap=authority.bundle().to_bytes())
    assert (client.status().state, client.status().version) == (State.FRESH, 1)


def test_the_server_is_told_what_is_held_and_an_etag_saves_the_body(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority, etag='"a"')
    client = make_client()
    client.refresh()
    client.refresh()
    headers = server.requests[1][1]
    assert (headers["Pinwarden-Held"], headers["If-None-Match"]) == ("1.1", '"a"')
    assert len(headers["Pinwarden-Instance"]) == 16
    assert client.status().state == State.FRESH


def test_telemetry_off_sends_no_instance(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    make_client(telemetry=False).refresh()
    assert "Pinwarden-Instance" not in server.requests[0][1]


def test_an_etag_is_not_sent_by_a_fresh_process_that_only_loaded_its_cache(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority, etag='"a"')
    make_client().refresh()
    make_client().refresh()
    assert "If-None-Match" not in server.requests[1][1]


def test_a_tampered_bundle_is_refused_and_the_pins_stay(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    before = client._guard.snapshot
    stranger = ThrowawayKey("stranger")
    authority.pinset_keys = [stranger]
    authority.publish({HOST: [WRONG, BACKUP]})
    server.serve(authority)
    with pytest.raises(SignatureError) as refused:
        client.refresh()
    assert refused.value.step == "V3"
    assert client._guard.snapshot is before
    assert client.status().last_error == str(refused.value)
    assert make_client().status().version == 1


def test_an_older_bundle_is_refused_even_by_a_new_process_with_the_same_cache(
    server: Any, authority: Any, make_client: Any
) -> None:
    older = authority.bundle().to_bytes()
    authority.publish({HOST: [GOOD, BACKUP]})
    server.serve(authority)
    make_client().refresh()
    server.answers["/v1/bundles/app/1"].body = older
    client = make_client()
    with pytest.raises(RollbackError):
        client.refresh()
    assert client.status().version == 2


def test_a_newer_root_stays_when_the_documents_with_it_are_refused(
    server: Any, authority: Any, make_client: Any, clock: Any
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    authority.rotate_root()
    authority.publish({HOST: [GOOD, BACKUP]}, expires=authority.now)
    server.serve(authority)
    with pytest.raises(ExpiredError):
        client.refresh()
    assert (client.status().root, client.status().version) == (2, 1)
    assert make_client().status().root == 2


def test_a_client_many_roots_behind_walks_up_and_asks_once_more(server: Any, authority: Any, make_client: Any) -> None:
    for _ in range(12):
        authority.rotate_root()
    authority.publish({HOST: [GOOD, BACKUP]})
    server.serve(authority)
    client = make_client()
    assert client.refresh().root == 13
    assert server.paths[0] == "/v1/bundles/app/1"
    assert server.paths[1:14] == [f"/v1/roots/{n}" for n in range(2, 15)]
    assert server.paths[14:] == ["/v1/bundles/app/13"]


def test_an_unknown_pin_set_is_a_fetch_error_with_404(make_client: Any) -> None:
    with pytest.raises(FetchError) as failed:
        make_client().refresh()
    assert failed.value.status == 404


def test_a_dead_server_leaves_the_pins_in_force(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    server.close()
    client.close()  # or the server's thread would go on answering the connection that is open
    with pytest.raises(FetchError):
        client.refresh()
    admit(client, GOOD)
    with pytest.raises(PinMismatchError):
        admit(client, WRONG)


def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_update(
    server: Any, authority: Any, make_client: Any, tmp_path: Path
) -> None:
    server.serve(authority)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    client = make_client(cache=blocked / "cache")
    status = client.refresh()
    assert (status.version, status.persist_failed) == (1, 1)


def test_empty_first_use_refreshes_once_inline_and_then_judges(server: Any, authority: Any, make_client: Any) -> None:
    server.serve(authority)
    client = make_client()
    admit(client, GOOD)
    assert server.paths == ["/v1/bundles/app/1"]


def test_empty_without_a_server_refuses_every_handshake(server: Any, make_client: Any) -> None:
    client = make_client()
    for host in (HOST, "unrelated.example"):
        with pytest.raises(PinsUnavailableError):
            admit(client, GOOD, host=host)
    assert client.status().refused == 2
    assert server.paths == ["/v1/bundles/app/1", "/v1/roots/2"]


def test_empty_on_an_event_loop_refuses_without_blocking_and_names_the_way_out(make_client: Any) -> None:
    client = make_client()

    async def handshake() -> None:
        admit(client, GOOD)

    with pytest.raises(PinsUnavailableError, match=r"await asyncio\.to_thread\(pins\.refresh\)"):
        asyncio.run(handshake())


def test_when_empty_platform_is_warned_about_and_lets_through(make_client: Any) -> None:
    with pytest.warns(RuntimeWarning, match="switches pinning off"):
        client = make_client(when_empty="platform")
    admit(client, WRONG)


def test_stale_pins_still_judge(server: Any, authority: Any, make_client: Any, clock: Any) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    clock.advance(days=4)
    assert client.status().state == State.STALE
    admit(client, GOOD)
    with pytest.raises(PinMismatchError):
        admit(client, WRONG)


@pytest.mark.parametrize(
    ("changes", "days", "outcome"),
    [
        ({"on_stale": "refuse"}, 4, PinsUnavailableError),
        ({}, 31, PinsUnavailableError),
    ],
)
def test_stale_and_expired_pins_refuse_where_the_document_says_so(
    make_client: Any, authority: Any, clock: Any, changes: dict[str, Any], days: int, outcome: type[Exception]
) -> None:
    authority.publish({HOST: [GOOD, BACKUP]}, **changes)
    client = make_client(bootstrap=authority.bundle().to_bytes())
    clock.advance(days=days)
    with pytest.raises(outcome):
        admit(client, GOOD)


def test_expired_pins_fall_back_to_the_platform_where_the_document_says_so(
    make_client: Any, authority: Any, clock: Any
) -> None:
    denied = b"d" * 32
    authority.publish([pinned(HOST, GOOD, BACKUP, on_expiry="platform")], deny=(denied,))
    client = make_client(bootstrap=authority.bundle().to_bytes())
    clock.advance(days=31)
    assert client._guard.verdict(client._guard.snapshot, HOST, lambda: Chain((WRONG,), True)).outcome == "platform"
    with pytest.raises(PinMismatchError) as refused:
        admit(client, WRONG, denied)
    assert refused.value.step == "E3"


def test_an_expired_pin_set_is_replaced_on_the_next_handshake_that_may_block(
    server: Any, authority: Any, make_client: Any, clock: Any
) -> None:
    client = make_client(bootstrap=authority.bundle().to_bytes())
    clock.advance(days=31)
    authority.now = clock.now
    authority.publish({HOST: [GOOD, BACKUP]})
    server.serve(authority)
    admit(client, GOOD)
    assert client.status().version == 2


def test_a_mismatch_asks_once_for_newer_pins_and_judges_the_same_chain_again(
    server: Any, authority: Any, make_client: Any
) -> None:
    server.serve(authority)
    client = make_client()
    client.refresh()
    authority.publish({HOST: [b"new" + b"n" * 29, GOOD]})
    server.serve(authority)
    admit(client, b"new" + b"n" * 29)
    assert client.status().version == 2
    with pytest.raises(PinMismatchError):
        admit(client, WRONG)
    assert len(server.paths) == 2  # the second mismatch within ten seconds asks nobody


def test_report_mode_lets_through_and_counts(make_client: Any, authority: Any) -> None:
    authority.publish([pinned(HOST, GOOD, BACKUP, mode="report")])
    client = make_client(bootstrap=authority.bundle().to_bytes())
    admit(client, WRONG)
    assert (client.status().reported, client.status().refused) == (1, 0)


def test_enforce_percent_splits_installations_and_one_installation_stays_on_its_side(
    make_client: Any, authority: Any, tmp_path: Path
) -> None:
    authority.publish([pinned(HOST, GOOD, BACKUP, enforce_percent=50)])
    bootstrap = authority.bundle().to_bytes()

    def outcome(folder: str) -> str:
        client = make_client(bootstrap=bootstrap, cache=tmp_path / folder)
        try:
            admit(client, WRONG, may_block=False)
        except PinMismatchError:
            return "enforced"
        return "reported"

    first = [outcome(f"installation-{n}") for n in range(32)]
    assert set(first) == {"enforced", "reported"}
    assert [outcome(f"installation-{n}") for n in range(32)] == first


@pytest.mark.parametrize(
    ("mode", "percent", "files"),
    [("enforce", 99, ["installation-id", "installation-id.lock"]), ("enforce", 100, []), ("report", 50, [])],
)
def test_an_installation_gets_an_id_only_when_a_share_is_drawn(
    mode: str, percent: int, files: list[str], make_client: Any, authority: Any, tmp_path: Path
) -> None:
    authority.publish([pinned(HOST, GOOD, BACKUP, mode=mode, enforce_percent=percent)])
    make_client(bootstrap=authority.bundle().to_bytes(), cache=tmp_path)
    assert sorted(path.name for path in tmp_path.glob("installation-id*")) == files


def test_check_judges_certificates_that_something_else_verified(make_client: Any, authority: Any, leaf: bytes) -> None:
    from pinwarden.spki import pin_of

    authority.publish({HOST: [pin_of(leaf), BACKUP]})
    client = make_client(bootstrap=authority.bundle().to_bytes())
    assert client.check("API.example.com.", [leaf]).outcome == Outcome.MATCHED
    assert client.check("other.example", [leaf]).outcome == Outcome.UNPINNED


@pytest.fixture(scope="module")
def leaf() -> bytes:
    import ssl

    import trustme

    return ssl.PEM_cert_to_DER_cert(trustme.CA().issue_cert(HOST).cert_chain_pems[0].bytes().decode())


def test_unpinned_hosts_are_refused_where_the_application_asks(make_client: Any, authority: Any) -> None:
    client = make_client(bootstrap=authority.bundle().to_bytes(), unpinned="refuse")
    with pytest.raises(PinMismatchError) as refused:
        admit(client, GOOD, host="unrelated.example")
    assert refused.value.step == "E9"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"root": "no/such/root.json"}, "root cannot be read"),
        ({"root": b"{}"}, "root that this application embeds is unusable"),
        ({"pinset": "No Such Name"}, "pinset is not a name"),
        ({"url": "http://pins.example.com"}, "url is plain http"),
        ({"url": "pins.example.com"}, "not the address of a pin server"),
        ({"url": "https://user:secret@pins.example.com"}, "not the address of a pin server"),
        ({"unpined": "refuse"}, "Did you mean 'unpinned'"),
        ({"unpinned": "maybe"}, "unpinned is unknown"),
        ({"poll_seconds": 0}, "poll_seconds is not a time"),
        ({"bootstrap": b"[]"}, "bootstrap bundle is unusable"),
    ],
)
def test_a_misconfigured_client_fails_at_construction_and_says_how_to_mend_it(
    make_client: Any, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        make_client(**arguments)
    assert "secret" not in str(refused.value)


def test_the_selftest_proves_that_wrong_pins_are_refused_here(make_client: Any) -> None:
    assert len(make_client().selftest()) == 4


def test_a_cache_of_another_pin_set_is_never_mixed_in(make_client: Any, authority: Any, tmp_path: Path) -> None:
    with pytest.warns(InsecureForProductionWarning, match="anyone can compute"):
        other = ThrowawayAuthority(name="other")
    client = make_client(bootstrap=authority.bundle().to_bytes())
    assert client.status().version == 1
    assert make_client(pinset="other", root=other.root_json).status().state == State.EMPTY
