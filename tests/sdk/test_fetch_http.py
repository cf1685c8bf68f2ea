"""How the pin server is asked: addresses, redirects, waiting times, ETags, kept connections, proxies, TLS."""

import datetime as dt
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pinwarden import ConfigError, FetchError, MalformedError, fetch
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE
from pinwarden.fetch import Fetched, Fetcher

BODY = b'{"a": 1}'


@pytest.fixture
def fetcher() -> Iterator[Callable[..., Fetcher]]:
    """Return a function that makes Fetchers; every one is closed afterwards."""
    made: list[Fetcher] = []

    def make(url: str, **options: Any) -> Fetcher:
        made.append(Fetcher(url, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def reply(status: str = "200 OK", *headers: str, body: bytes = BODY) -> bytes:
    """Return an answer of known length."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


def serve(*replies: bytes, end: str = "wait_for_end") -> Callable[[Any], None]:
    """Return a script that gives one reply per request on one connection, then ends it."""

    def script(line: Any) -> None:
        for content in replies:
            if not line.head():
                return
            line.send(content)
        getattr(line, end)()

    return script


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("origin", ["same", "other"])
def test_redirects_are_not_followed(status: int, origin: str, raw_server: Any, fetcher: Any) -> None:
    with raw_server(serve(reply())) as other:
        target = "/v1/bundles/app/2" if origin == "same" else f"{other.url}/v1/bundles/app/1"
        with raw_server(serve(reply(f"{status} Moved", f"Location: {target}"), reply())) as server:
            asked = fetcher(server.url)
            with pytest.raises(FetchError, match="Redirects are not followed; configure the address") as failed:
                asked.bundle("app", 1)
            asked.close()
            assert (failed.value.status, other.connections, len(server.heads)) == (status, 0, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("99999", 3600.0),
        ("9" * 500, 3600.0),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("\xb2", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Mon, 99999999999 Jan 2020 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2020 00:00:00 +9999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(
    text: str, seconds: float | None, raw_server: Any, fetcher: Any
) -> None:
    answer = b"HTTP/1.1 503 No\r\nRetry-After: " + text.encode("latin-1") + b"\r\nContent-Length: 0\r\n\r\n"
    with raw_server(serve(answer)) as server:
        asked = fetcher(server.url)
        with pytest.raises(FetchError) as failed:
            asked.bundle("app", 1)
        asked.close()
    assert (failed.value.status, failed.value.retry_after) == (503, seconds)


def test_retry_after_as_a_date_is_measured_from_now(raw_server: Any, fetcher: Any) -> None:
    with raw_server(serve(reply("429 Slow", f"Retry-After: {formatdate(time.time() + 1800, usegmt=True)}"))) as server:
        asked = fetcher(server.url)
        with pytest.raises(FetchError) as failed:
            asked.bundle("app", 1)
        asked.close()
    assert failed.value.retry_after == pytest.approx(1800, abs=60)


@pytest.mark.parametrize(
    ("header", "etag"),
    [
        ('ETag: "abc"', '"abc"'),
        ('ETag: W/"abc"', 'W/"abc"'),
        ("ETag: abc", None),
        ('ETag: "' + "a" * 60000 + '"', None),
        ('ETag: "a b"', None),
        ('ETag: "a\r\n b"', None),
        ('ETag: "a\x00"', None),
        ("X: y", None),
    ],
)
def test_an_etag_that_another_server_might_choke_on_is_forgotten(
    header: str, etag: str | None, raw_server: Any, fetcher: Any
) -> None:
    with raw_server(serve(reply("200 OK", header))) as server:
        asked = fetcher(server.url)
        assert asked.bundle("app", 1) == Fetched(BODY, etag)
        asked.close()


def is_last(answer: bytes) -> bool:
    return b"Connection: close" in answer or answer.startswith(b"HTTP/1.0")


@pytest.mark.parametrize(
    "not_modified",
    [
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 304 Not Modified\r\n\r\n",
    ],
)
def test_every_spelling_of_not_modified_is_understood_and_the_next_request_still_works(
    not_modified: bytes, raw_server: Any, fetcher: Any
) -> None:
    kept = serve(not_modified, reply())
    with raw_server(*([serve(not_modified), serve(reply())] if is_last(not_modified) else [kept])) as server:
        asked = fetcher(server.url)
        assert asked.bundle("app", 1, etag='"a"') is None
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()
        assert b'\r\nIf-None-Match: "a"\r\n' in server.heads[0]
        assert b"If-None-Match" not in server.heads[1]


def test_a_root_that_answers_304_is_no_root_that_does_not_exist(raw_server: Any, fetcher: Any) -> None:
    with raw_server(serve(b"HTTP/1.1 304 Not Modified\r\n\r\n")) as server:
        asked = fetcher(server.url)
        with pytest.raises(FetchError, match="because nothing was asked to be compared"):
            asked.root(2)
        asked.close()


def test_a_root_is_read_up_to_its_own_limit_which_is_far_below_that_of_a_bundle(raw_server: Any, fetcher: Any) -> None:
    limit = ENVELOPE_LIMITS[ROOT_TYPE]
    bodies = [bytes(limit), bytes(limit + 1)]
    with raw_server(serve(*(reply(body=body) for body in bodies))) as server:
        asked = fetcher(server.url)
        assert asked.root(2) == bodies[0]
        with pytest.raises(MalformedError, match=f"the answer is too large: expected at most {limit} bytes") as refused:
            asked.root(3)
        assert refused.value.step == "P1"
        asked.close()


def test_answers_in_gzip_and_in_chunks_are_read(raw_server: Any, fetcher: Any) -> None:
    import gzip

    zipped = gzip.compress(BODY)
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in zipped) + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with raw_server(serve(answer, reply())) as server:
        asked = fetcher(server.url)
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        assert asked.root(2) == BODY
        asked.close()
        assert server.connections == 1


def test_one_connection_serves_several_requests_even_after_a_refusal(raw_server: Any, fetcher: Any) -> None:
    with raw_server(serve(reply("404 Not Found"), reply(), reply("404 Not Found"), reply())) as server:
        asked = fetcher(server.url)
        with pytest.raises(FetchError):
            asked.bundle("app", 1)
        assert asked.root(2) == BODY
        assert asked.root(3) is None
        assert asked.bundle("app", 2) == Fetched(BODY, None)
        asked.close()
        assert server.connections == 1


def test_a_connection_that_was_idle_for_long_is_not_trusted_to_be_alive(
    raw_server: Any, fetcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgotten(line: Any) -> None:
        line.head()
        line.send(reply())
        line.wait_for_end()  # as a firewall does that swallows what comes later

    with raw_server(forgotten, serve(reply())) as server:
        asked = fetcher(server.url)
        asked.bundle("app", 1)
        monkeypatch.setattr(fetch, "MAX_IDLE_SECONDS", -1.0)
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()
        assert server.connections == 2


def test_what_follows_an_early_hint_is_never_taken_for_the_next_answer(raw_server: Any, fetcher: Any) -> None:
    hinted = b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(body=b"the answer to the first request")
    with raw_server(serve(hinted), serve(reply())) as server:
        asked = fetcher(server.url)
        with pytest.raises(FetchError, match="103"):
            asked.bundle("app", 1)
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


def server_context(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


@pytest.mark.parametrize("end", ["close", "unwrap"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("rest", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
def test_a_kept_connection_that_the_server_closed_is_opened_again_once(
    end: str, tls: bool, rest: bytes, raw_server: Any, fetcher: Any, ca: Any, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def first(line: Any) -> None:
        line.head()
        line.send(reply())
        if rest:
            line.head()
            line.send(rest)
        getattr(line, end if tls else "close")()

    options = {"context": server_context(ca, "127.0.0.1")} if tls else {}
    with raw_server(first, serve(reply(body=b"second")), **options) as server:
        asked = fetcher(server.url, ca_file=str(tmp_path / "ca.pem") if tls else None)
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        if not rest:
            server.join_connections()
        assert asked.bundle("app", 1) == Fetched(b"second", None)
        asked.close()
        assert server.connections == 2


def test_a_server_that_hangs_up_on_every_request_is_asked_twice_and_not_for_ever(raw_server: Any, fetcher: Any) -> None:
    with raw_server(serve(reply(), end="close"), lambda line: line.head()) as server:
        asked = fetcher(server.url)
        asked.bundle("app", 1)
        with pytest.raises(FetchError, match=re.escape(server.url) + " cannot be asked: "):
            asked.bundle("app", 1)
        asked.close()
        assert server.connections == 2


def test_proxies_of_the_environment_are_ignored(raw_server: Any, fetcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(serve(reply())) as proxy, raw_server(serve(reply())) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        asked = fetcher(server.url)
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()
        assert proxy.connections == 0
        assert server.heads[0].startswith(b"GET /v1/bundles/app/1 HTTP/1.1\r\n")


def test_a_path_in_front_of_v1_is_kept(raw_server: Any, fetcher: Any) -> None:
    with raw_server(serve(reply())) as server:
        asked = fetcher(f"{server.url}/team/pins/")
        asked.bundle("app", 3)
        asked.close()
        assert server.heads[0].startswith(b"GET /team/pins/v1/bundles/app/3 HTTP/1.1\r\n")


def test_ipv6_addresses_are_spoken_to(raw_server: Any, fetcher: Any) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback ({error})")
    with raw_server(serve(reply()), host="::1") as server:
        asked = fetcher(f"http://[::1]:{server.port}")
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()
        assert f"\r\nHost: [::1]:{server.port}\r\n".encode() in server.heads[0]


def test_an_address_that_swallows_packets_leaves_time_for_the_next_one(
    raw_server: Any, fetcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(serve(reply())) as server, socket.socket() as deaf, socket.socket() as filler:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filler.connect(deaf.getsockname())  # the queue is full: further connections are not answered
        places = [deaf.getsockname(), ("127.0.0.1", server.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
        asked = fetcher("http://pins.localhost", deadline_seconds=1.5)
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()


def test_a_resolver_that_takes_all_the_time_leaves_none_for_the_address_it_finds(
    raw_server: Any, monkeypatch: pytest.MonkeyPatch, nothing_left: Any
) -> None:
    def resolve_slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.port))]

    with nothing_left(), raw_server(serve(reply())) as server:
        monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)
        with pytest.raises(FetchError, match=r"no complete answer within 0\.02 s"):
            Fetcher("http://pins.localhost", deadline_seconds=0.02).bundle("app", 1)
        assert server.connections == 0
        monkeypatch.undo()


def test_a_name_that_does_not_resolve_is_a_fetch_error(fetcher: Any) -> None:
    with pytest.raises(FetchError, match=r"https://pins\.invalid:443 cannot be asked: "):
        fetcher("https://pins.invalid").bundle("app", 1)


def expired_context(folder: Path) -> tuple[ssl.SSLContext, str]:
    """Return a server whose certificate ended yesterday, and the file of the CA, which is that very certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "expired")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now - dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives import serialization as form

    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    pem = folder / "expired.pem"
    pem.write_bytes(private + certificate.public_bytes(form.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, str(pem)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("unknown CA", "unable to get local issuer certificate"),
        ("wrong name", "not valid for 'localhost'"),
        ("expired", "certificate has expired"),
    ],
)
def test_a_server_with_a_wrong_certificate_is_never_asked(
    fault: str, words: str, raw_server: Any, fetcher: Any, ca: Any, tmp_path: Path, nothing_left: Any
) -> None:
    ca_file = str(tmp_path / "ca.pem")
    (trustme.CA() if fault == "unknown CA" else ca).cert_pem.write_to_path(ca_file)
    context = server_context(ca, "other.example" if fault == "wrong name" else "localhost")
    if fault == "expired":
        context, ca_file = expired_context(tmp_path)
    with nothing_left(), raw_server(serve(reply()), context=context) as server:
        with pytest.raises(FetchError, match="name the CA's file with ca_file") as failed:
            Fetcher(f"https://localhost:{server.port}", ca_file=ca_file).bundle("app", 1)
        assert words in str(failed.value)
        assert server.heads == []


def test_a_private_ca_is_accepted_where_it_is_named(raw_server: Any, fetcher: Any, ca: Any, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with raw_server(serve(reply()), context=server_context(ca, "localhost")) as server:
        asked = fetcher(f"https://localhost:{server.port}", ca_file=str(tmp_path / "ca.pem"))
        assert asked.bundle("app", 1) == Fetched(BODY, None)
        asked.close()


# The start of a ServerHello of 8 KiB.
@pytest.mark.parametrize("piece", [b"", bytes.fromhex("1603032000 02001ffc 0303")], ids=["silent", "dripping"])
def test_a_stalled_handshake_ends_with_the_deadline(
    piece: bytes, raw_server: Any, nothing_left: Any, tmp_path: Path, ca: Any
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def stall(line: Any) -> None:
        for byte in piece + bytes(1000) if piece else b"":
            line.send(bytes([byte]))
            time.sleep(0.01)
        assert not piece, "the client listens on after its deadline"
        line.wait_for_end()

    with nothing_left(), raw_server(stall) as server:
        asked = Fetcher(f"https://localhost:{server.port}", ca_file=str(tmp_path / "ca.pem"), deadline_seconds=0.25)
        with pytest.raises(FetchError, match=r"no complete answer within 0\.25 s"):
            asked.bundle("app", 1)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "not the address of a pin server"),
        ("pins.example.com", "not the address of a pin server"),
        ("//pins.example.com", "not the address of a pin server"),
        ("ftp://pins.example.com", "not the address of a pin server"),
        ("file:///etc/passwd", "not the address of a pin server"),
        ("https://", "not the address of a pin server"),
        ("https://:443", "not the address of a pin server"),
        ("https://user:secret@pins.example.com", "not the address of a pin server"),
        ("https://user:secret@pins.example.com:port", "url is not usable"),
        ("https://user:sec/secret@pins.example.com", "url is not usable"),
        ("https://pins.example.com?a=b", "not the address of a pin server"),
        ("https://pins.example.com?", "not the address of a pin server"),
        ("https://pins.example.com#a", "not the address of a pin server"),
        ("https://pins.example.com/a b", "not the address of a pin server"),
        ("https://pins.example.com/\xfc", "not the address of a pin server"),
        ("https://pins.example.com\n", "not the address of a pin server"),
        (" https://pins.example.com", "not the address of a pin server"),
        ("https://pins.example.com/\r\nX: y", "not the address of a pin server"),
        ("https://pins.example.com:0", "not the address of a pin server"),
        ("https://pins.example.com:65536", "url is not usable"),
        ("https://pins.example.com:x", "url is not usable"),
        ("https://[::1", "url is not usable"),
        ("https://pins..example.com", "url is not usable"),
        (f"https://{'a' * 64}.example.com", "url is not usable"),
        ("http://pins.example.com", "url is plain http"),
        ("http://10.0.0.1", "url is plain http"),
        ("http://127.0.0.1.example.com", "url is plain http"),
        ("http://notlocalhost", "url is plain http"),
        ("http://[2001:db8::1]", "url is plain http"),
    ],
)
def test_an_address_that_cannot_work_is_refused_at_construction(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        Fetcher(url)
    assert "secret" not in str(refused.value)
    assert "expected https" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://pins.example.com",
        "https://pins.example.com:8443/base/",
        "https://b\xfccher.example",
        "http://localhost",
        "http://pins.localhost:1",
        "http://127.9.9.9",
        "http://[::1]:80",
    ],
)
def test_addresses_that_are_accepted(url: str) -> None:
    Fetcher(url)


def test_plain_http_beyond_loopback_is_the_applications_explicit_choice() -> None:
    with pytest.raises(ConfigError, match="allow_http=True accepts that"):
        Fetcher("http://pins.example.com")
    Fetcher("http://pins.example.com", allow_http=True)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_ca_file_that_cannot_be_used_is_refused_at_construction(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"ca_file .* cannot be used") as refused:
        Fetcher("https://pins.example.com", ca_file=str(path))
    assert str(path) in str(refused.value)
