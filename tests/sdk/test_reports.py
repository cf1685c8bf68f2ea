"""Failure reports: what they say and never say, how often, over which connection, and what a dead receiver costs."""

import gc
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509

from pinwarden import (
    EquivocationError,
    Event,
    PinClient,
    PinMismatchError,
    PinsUnavailableError,
    __version__,
    elapsed,
    reports,
    tls,
)
from pinwarden import client as client_module
from pinwarden.cache import MemoryCache
from pinwarden.enforce import Chain
from pinwarden.findings import MAX_REPORT_BYTES, Finding
from pinwarden.spki import pin_of
from pinwarden.strict_json import encode_base64, format_time
from pinwarden.testing import pinned
from tests.sdk.receiver import PATH, WAIT_SECONDS, Receiver
from tests.waiting import until

GOOD, BACKUP, WRONG, CA = b"1" * 32, b"2" * 32, b"x" * 32, b"c" * 32
HOST = "api.example.com"
PAGE = (Path(__file__).parents[2] / "docs/reports.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def no_gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send at once what would be gathered for two seconds."""
    monkeypatch.setattr(reports, "BATCH_SECONDS", 0.0)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver on loopback."""
    made = Receiver(tmp_path)
    yield made
    made.close()


@pytest.fixture
def told() -> list[Event]:
    """What the client told."""
    return []


@pytest.fixture
def client(make_client: Any, authority: Any, receiver: Receiver, told: list[Event]) -> Any:
    """A client whose pin set asks for reports."""
    return reporting(make_client, authority, receiver, on_event=told.append)


def reporting(make_client: Any, authority: Any, receiver: Receiver, **options: Any) -> Any:
    """Return a client whose pin set has an enforced host, a reported one, a denied key, and an address for reports."""
    hosts = [pinned(HOST, GOOD, BACKUP), pinned("report.example.com", GOOD, BACKUP, mode="report")]
    authority.publish(hosts, deny=(b"d" * 32,), report_to=options.pop("report_to", receiver.url))
    made = make_client(bootstrap=authority.bundle().to_bytes(), ca_file=str(receiver.ca_file), **options)
    made._guard.due = float("inf")
    made._refresher._last_attempt = elapsed.seconds()  # too lately for another one in the background
    return made


def meet(client: Any, *pins: bytes, host: str = HOST, verified: bool = True) -> None:
    """Play a handshake; a refusal is what most of these tests are about."""
    with suppress(PinMismatchError, PinsUnavailableError):
        client._guard.admit(host, lambda: Chain(pins, verified), may_block=False)


def heard(told: list[Event], name: str) -> dict[str, object]:
    """Return the fields of the one event of that name, which may still be to come."""
    until(lambda: name in [event.name for event in told])
    (event,) = [event for event in told if event.name == name]
    return dict(event.fields)


def keys(*pins: bytes) -> list[dict[str, str]]:
    return [{"pin": encode_base64(pin)} for pin in pins]


@pytest.mark.parametrize(
    ("pins", "host", "verified", "outcome", "mode"),
    [
        ((WRONG, CA), HOST, True, "blocked", "enforce"),
        ((WRONG,), HOST, False, "blocked", "enforce"),
        ((b"d" * 32, GOOD), HOST, True, "denied", "enforce"),
        ((BACKUP, CA), HOST, True, "backup-used", "enforce"),
        ((WRONG, CA), "report.example.com", True, "reported", "report"),
        ((b"d" * 32,), "report.example.com", True, "reported", "report"),
        ((BACKUP,), "report.example.com", True, "backup-used", "report"),
    ],
)
def test_a_report_says_exactly_this(
    pins: tuple[bytes, ...],
    host: str,
    verified: bool,
    outcome: str,
    mode: str,
    client: Any,
    receiver: Receiver,
    authority: Any,
    clock: Any,
) -> None:
    meet(client, *pins, host=host, verified=verified)
    (body,) = receiver.wait_for(1)
    instance = body.pop("instance")
    assert body == {
        "date-time": format_time(clock.now),
        "hostname": host,
        "port": None,
        "authority": authority.authority,
        "name": "app",
        "epoch": 1,
        "version": 2,
        "mode": mode,
        "outcome": outcome,
        "served-chain": None if verified else keys(*pins),
        "validated-chain": keys(*pins) if verified else [],
        "known-pins": [encode_base64(GOOD), encode_base64(BACKUP)],
        "sdk": f"pinwarden-python/{__version__}",
    }
    assert len(bytes.fromhex(instance)) == 8
    path, headers, _ = receiver.reports[0]
    assert path == PATH
    assert {name.lower() for name in headers} == {
        "host",
        "content-type",
        "content-length",
        "user-agent",
        "accept-encoding",
    }


def shown(*names: str) -> Chain:
    """Return what a server shows: a certificate of its own for each name, issued by one CA."""
    ca = trustme.CA(organization_name="Example Devices")
    certificates = [ca.issue_cert(name).cert_chain_pems[0].bytes().decode() for name in names]
    ders = tuple(ssl.PEM_cert_to_DER_cert(one) for one in certificates)
    return Chain(tuple(pin_of(one) for one in ders), True, ders)


def refuse(client: Any, chain: Chain) -> None:
    with pytest.raises(PinMismatchError):
        client._guard.admit(HOST, lambda: chain, may_block=False)


def test_certificates_stay_at_home_until_the_application_sends_them(
    make_client: Any, authority: Any, receiver: Receiver
) -> None:
    chain = shown("phone-of-nobody.example")
    refuse(reporting(make_client, authority, receiver), chain)
    assert receiver.wait_for(1)[0]["validated-chain"] == keys(*chain.pins)
    refuse(reporting(make_client, authority, receiver, report_certificates=True), chain)
    (entry,) = receiver.wait_for(2)[1]["validated-chain"]
    (der,) = chain.certificates
    read = x509.load_der_x509_certificate(der)
    assert entry == {
        "pin": encode_base64(chain.pins[0]),
        "issuer": read.issuer.rfc4514_string(),
        "subject": read.subject.rfc4514_string(),
        "pem": ssl.DER_cert_to_PEM_cert(der),
    }
    assert "Example Devices" in entry["issuer"]


def test_certificates_that_are_too_many_or_cannot_be_read_leave_the_pins(
    make_client: Any, authority: Any, receiver: Receiver
) -> None:
    usual = shown("a.example", "b.example")
    for number, (odd, fields) in enumerate([(b"no certificate", {"pin", "pem"}), (b"x" * 60_000, {"pin"})]):
        client = reporting(make_client, authority, receiver, report_certificates=True)
        refuse(client, usual._replace(certificates=(usual.certificates[0], odd)))
        first, last = receiver.wait_for(number + 1)[number]["validated-chain"]
        assert [first["pin"], last["pin"]] == [encode_base64(pin) for pin in usual.pins]
        assert set(last) == fields
        assert len(receiver.reports[number][2]) <= MAX_REPORT_BYTES


@pytest.mark.parametrize(
    "case", ["no report_to", "reports off", "unpinned host", "a match", "empty", "stale pins refuse"]
)
def test_nothing_is_sent_about(
    case: str, make_client: Any, authority: Any, receiver: Receiver, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "empty":
        client = make_client(url="http://127.0.0.1:1")
    elif case == "stale pins refuse":
        authority.publish({HOST: [GOOD, BACKUP]}, report_to=receiver.url, on_stale="refuse")
        client = make_client(bootstrap=authority.bundle().to_bytes())
        clock.advance(days=4)
    else:
        changes: dict[str, Any] = {"report_to": None} if case == "no report_to" else {}
        changes |= {"reports": False} if case == "reports off" else {}
        client = reporting(make_client, authority, receiver, unpinned="refuse", **changes)
    noted: list[object] = []
    monkeypatch.setattr(client._reporter, "_start", lambda: noted.append(1))
    meet(
        client,
        GOOD if case in ("a match", "stale pins refuse") else WRONG,
        host="other.org" if "unpinned" in case else HOST,
    )
    assert (noted, list(client._reporter._queue), client.status().reports_dropped) == ([], [], 0)


def test_without_telemetry_a_report_does_not_say_which_process_it_is(
    make_client: Any, authority: Any, receiver: Receiver
) -> None:
    meet(reporting(make_client, authority, receiver, telemetry=False), WRONG)
    assert receiver.wait_for(1)[0]["instance"] is None


def test_one_host_and_outcome_is_reported_once_an_hour(
    client: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = 0.0
    real = elapsed.seconds
    monkeypatch.setattr(elapsed, "seconds", lambda: real() + ahead)
    for _ in range(50):
        meet(client, WRONG)
    receiver.wait_for(1)
    meet(client, BACKUP)
    receiver.wait_for(2)
    ahead = 3601.0
    meet(client, WRONG)
    outcomes = [body["outcome"] for body in receiver.wait_for(3)]
    assert outcomes == ["blocked", "backup-used", "blocked"]
    assert client._reporter.flush(WAIT_SECONDS)
    assert (client.status().reports_sent, client.status().reports_dropped) == (3, 0)


def test_many_reports_share_a_connection(client: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "BATCH_SECONDS", 3600.0)
    for pins, host in [((WRONG,), HOST), ((BACKUP,), HOST), ((b"d" * 32,), HOST), ((WRONG,), "report.example.com")]:
        meet(client, *pins, host=host)
    assert client._reporter.flush(WAIT_SECONDS)
    assert ([body["outcome"] for body in receiver.wait_for(4)], receiver.connections) == (
        ["blocked", "backup-used", "denied", "reported"],
        1,
    )


def test_a_receiver_that_ends_each_connection_still_gets_all_of_a_batch(
    client: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "BATCH_SECONDS", 3600.0)
    receiver.answers = [(204, {"Connection": "close"})] * 3
    for pins in ((WRONG,), (BACKUP,), (b"d" * 32,)):
        meet(client, *pins)
    assert client._reporter.flush(WAIT_SECONDS)
    assert (len(receiver.wait_for(3)), receiver.connections, client.status().reports_sent) == (3, 3, 3)


def test_two_contradicting_documents_are_reported_with_both_envelopes(
    client: Any, server: Any, authority: Any, receiver: Receiver
) -> None:
    held = authority.current
    other = authority.sign_pinset({HOST: [WRONG, BACKUP]}, version=2)
    authority.current = (authority.sign_timestamp(other), other)
    server.serve(authority)
    before = client._guard.snapshot
    with pytest.raises(EquivocationError):
        client.refresh()
    (body,) = receiver.wait_for(1)
    assert client._guard.snapshot is before
    assert (body["outcome"], body["hostname"], body["mode"], body["validated-chain"]) == (
        "equivocation",
        None,
        None,
        [],
    )
    assert [one["envelope"] for one in body["envelopes"]] == [
        json.loads(held[1].to_bytes()),
        json.loads(other.to_bytes()),
    ]


def test_envelopes_that_do_not_fit_go_by_their_hash(
    client: Any, authority: Any, server: Any, receiver: Receiver
) -> None:
    hosts = {f"h{number}.example.com": [GOOD, BACKUP] for number in range(600)}
    authority.publish(hosts, report_to=receiver.url)
    server.serve(authority)
    client.refresh()
    other = authority.sign_pinset({HOST: [WRONG, BACKUP]}, version=3)
    authority.current = (authority.sign_timestamp(other), other)
    server.serve(authority)
    with pytest.raises(EquivocationError):
        client.refresh()
    (body,) = receiver.wait_for(1)
    assert [sorted(one) for one in body["envelopes"]] == [["sha256"], ["sha256"]]


def test_no_chain_makes_a_report_longer_than_it_may_be(client: Any, receiver: Receiver) -> None:
    meet(client, *(bytes([200, number]) * 16 for number in range(100)))
    (body,) = receiver.wait_for(1)
    assert len(body["validated-chain"]) == 16
    assert int(receiver.reports[0][1]["Content-Length"]) < MAX_REPORT_BYTES


def test_pins_cannot_block_the_way_of_a_report(
    make_client: Any, authority: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver is a pinned host with a wrong pin, and the whole process is judged: the report still goes out."""
    hosts = [pinned(HOST, GOOD, BACKUP), pinned("localhost", GOOD, BACKUP)]
    authority.publish(hosts, report_to=receiver.url)
    client = make_client(bootstrap=authority.bundle().to_bytes(), ca_file=str(receiver.ca_file))
    client._refresher._last_attempt = elapsed.seconds()
    client.enforce()
    try:
        meet(client, WRONG)
        assert receiver.wait_for(1)[0]["hostname"] == HOST
    finally:
        tls.lift_process()
    assert client.status().refused == 1


def test_a_receiver_whose_certificate_is_not_good_gets_nothing(
    make_client: Any, authority: Any, receiver: Receiver, told: list[Event]
) -> None:
    made = reporting(make_client, authority, receiver, on_event=told.append)
    made._reporter._ca_file = None  # as without ca_file: only the system's CAs
    meet(made, WRONG)
    assert not made._reporter.flush(WAIT_SECONDS)
    assert receiver.reports == []
    assert "CERTIFICATE_VERIFY_FAILED" in str(heard(told, "reports.failed")["reason"])


def test_a_name_that_the_certificate_does_not_have_gets_nothing(
    make_client: Any, authority: Any, receiver: Receiver
) -> None:
    url = receiver.url.replace("localhost", "127.0.0.1")
    made = reporting(make_client, authority, receiver, report_to=url)
    meet(made, WRONG)
    assert not made._reporter.flush(WAIT_SECONDS)
    assert receiver.reports == []


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 413])
def test_what_the_receiver_will_never_take_is_dropped_and_counted_and_no_redirect_is_followed(
    status: int, client: Any, receiver: Receiver, told: list[Event]
) -> None:
    receiver.answers = [(status, {"Location": receiver.url})]
    meet(client, WRONG)
    meet(client, BACKUP)
    assert client._reporter.flush(WAIT_SECONDS)
    assert [body["outcome"] for body in receiver.wait_for(2)] == ["blocked", "backup-used"]
    assert (client.status().reports_sent, client.status().reports_dropped) == (1, 1)
    assert heard(told, "reports.dropped")["dropped"] == 1


@pytest.mark.parametrize(("status", "retry_after", "pause"), [(500, None, 60), (503, "900", 900), (429, "5", 60)])
def test_a_receiver_that_is_busy_is_asked_again_after_a_pause(
    status: int, retry_after: str | None, pause: float, client: Any, receiver: Receiver
) -> None:
    receiver.answers = [(status, {"Retry-After": retry_after} if retry_after else {})]
    meet(client, WRONG)
    assert not client._reporter.flush(WAIT_SECONDS)
    assert round(client._reporter._due - elapsed.seconds(), -1) == pause
    assert (client.status().reports_sent, client.status().reports_dropped) == (0, 0)
    client._reporter._due = 0.0
    assert client._reporter.flush(WAIT_SECONDS)
    assert client.status().reports_sent == 1


def test_a_receiver_that_is_away_costs_three_attempts_and_then_the_batch(
    make_client: Any, authority: Any, receiver: Receiver, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "FIRST_PAUSE_SECONDS", 0.001)
    made = reporting(make_client, authority, receiver, on_event=told.append, report_to="https://127.0.0.1:1/")
    meet(made, WRONG)
    heard(told, "reports.dropped")
    names = [event.name for event in told if event.name.startswith("reports.")]
    assert names == ["reports.failed", "reports.dropped"]
    assert (len(made._reporter._queue), made.status().reports_dropped) == (0, 1)


@pytest.mark.parametrize(("room", "kept"), [(100, 100), (10_000, 1024)])
def test_memory_is_bounded_however_many_hosts_fail_while_the_receiver_is_away(
    room: int, kept: int, make_client: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reports.MAX_WAITING == 100
    monkeypatch.setattr(reports, "MAX_WAITING", room)
    monkeypatch.setattr(reports, "BATCH_SECONDS", 3600.0)
    hosts = [pinned("**.example.com", GOOD, BACKUP)]
    authority.publish(hosts, report_to="https://127.0.0.1:1/")
    client = make_client(bootstrap=authority.bundle().to_bytes())
    client._refresher._last_attempt = elapsed.seconds()
    for number in range(2000):
        meet(client, WRONG, host=f"h{number}.example.com")
    assert (len(client._reporter._queue), len(client._reporter._last)) == (kept, kept)
    assert client.status().reports_dropped == 2000 - kept


def test_a_receiver_that_hangs_delays_no_handshake_and_neither_the_end_of_the_client(
    make_client: Any, authority: Any, receiver: Receiver, raw_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "FLUSH_SECONDS", 0.05)
    release = threading.Event()
    with raw_server(lambda line: release.wait(WAIT_SECONDS)) as silent:
        made = reporting(make_client, authority, receiver, report_to=f"https://127.0.0.1:{silent.port}/")
        meet(made, WRONG)
        until(lambda: silent.connections)
        meet(made, BACKUP)  # while the thread waits for an answer that does not come
        made.close()
        assert not release.is_set()
        assert len(made._reporter._queue) == 2
        release.set()


@pytest.mark.parametrize(
    "report_to", ["https://host:99999/", "https://[::1/", "https://exa mple/", "https://:1/", "https://\u00fc/"]
)
def test_an_address_that_no_connection_can_be_made_to_costs_the_report_and_nothing_else(
    report_to: str, client: Any, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Finding.of_connection
    monkeypatch.setattr(
        "pinwarden.findings.Finding.of_connection", lambda *facts: replace(real(*facts), report_to=report_to)
    )
    meet(client, WRONG)
    client._reporter.flush(WAIT_SECONDS)
    assert client._reporter._thread.is_alive()
    assert client.status().reports_sent == 0


def test_a_forgotten_client_leaves_no_thread_of_reports(
    make_client: Any, authority: Any, receiver: Receiver, nothing_left: Any
) -> None:
    authority.publish({HOST: [GOOD, BACKUP]}, report_to=receiver.url)
    bundle = authority.bundle().to_bytes()
    made = PinClient(
        "http://127.0.0.1:1",
        pinset="app",
        root=authority.root_json,
        cache=MemoryCache(),
        bootstrap=bundle,
        ca_file=str(receiver.ca_file),
    )
    made._refresher._last_attempt = elapsed.seconds()
    made._guard.due = float("inf")
    meet(made, WRONG)
    receiver.wait_for(1)
    thread = made._reporter._thread
    del made
    gc.collect()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_the_page_names_each_field_that_is_sent_and_no_other(client: Any, receiver: Receiver) -> None:
    meet(client, WRONG)
    (body,) = receiver.wait_for(1)
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert list(body) == sorted(json.loads(example))
    table = PAGE.partition("| field | what it is |")[2].partition("| outcome |")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)}
    assert named == {*body, "envelopes"}
