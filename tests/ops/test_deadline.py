"""A server that is slow in any way holds no command: every request ends in time, and says what may have been done."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from pinwarden.errors import ConfigError
from pinwarden_ops.admin import MAX_ANSWER_BYTES, AdminClient, Answer
from pinwarden_ops.errors import OpsUnavailable
from tests.ops.conftest import Shell
from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Api

SHORT = 0.5  # seconds
OK = b"HTTP/1.1 200 OK\r\n"
KEY = "5f0c2a5e-2d5b-4f0e-9d0e-2f8b2f6f7a01"
READ = ("Nothing was changed.", "Repeat it.")
MAYBE = "A change may have been made."


class Slow:
    """Reads each request, begins its answer, and goes on with *piece* for as long as anybody listens."""

    def __init__(self, begin: bytes, piece: bytes, *, reads: bool = True) -> None:
        self._begin, self._piece, self._reads = begin, piece, reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self.connections += 1
                with line, suppress(OSError):
                    if self._reads:
                        line.recv(65536)
                    line.sendall(self._begin)
                    while not self._over.wait(0.05):
                        line.sendall(self._piece)

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def slow(begin: bytes = b"", piece: bytes = b"", **options: Any) -> Iterator[Slow]:
    server = Slow(begin, piece, **options)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def client(token_file: Path) -> Callable[..., AdminClient]:
    return lambda url: AdminClient(url, token_file=token_file, deadline_seconds=SHORT)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200", b" "),
        (OK, b"X: y\r\n"),
        (OK + b"Content-Length: 9999\r\n\r\n", b" "),
        (OK + b"\r\n", b" "),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 9999\r\n\r\n", b" "),
    ],
    ids=["says nothing", "status line", "headers", "known length", "unknown length", "chunks", "continues", "refusal"],
)
def test_a_server_that_drips_its_answer_is_unavailable_once_the_time_is_over(client, begin: bytes, piece: bytes):
    with slow(begin, piece) as server:
        with pytest.raises(OpsUnavailable) as caught:
            client(f"http://127.0.0.1:{server.port}").ask("GET", "/x")
        assert caught.value.what == f"http://127.0.0.1:{server.port} cannot be asked: no complete answer within 0.5 s"
        assert ((caught.value.holds, caught.value.hint), server.connections) == (READ, 1)


@pytest.mark.parametrize("piece", [b"", b"\x16\x03\x03\x20\x00\x02"], ids=["silent", "dripping"])
def test_a_handshake_that_does_not_end_is_cut_off(client, piece: bytes):
    with slow(piece[:5], piece[5:], reads=False) as server:
        with pytest.raises(OpsUnavailable, match=r"cannot be asked"):
            client(f"https://127.0.0.1:{server.port}").ask("GET", "/x")
        assert server.connections == 1


def test_a_server_that_does_not_read_what_it_is_sent_is_unavailable(client):
    with slow(reads=False) as server, pytest.raises(OpsUnavailable) as caught:
        client(f"http://127.0.0.1:{server.port}").ask("PUT", "/x", body={"a": "x" * 30_000_000})
    assert caught.value.holds == MAYBE


def test_a_server_that_reads_a_record_at_a_time_over_tls_has_the_time_once_for_all_of_them(token_file, tmp_path):
    authority, content = trustme.CA(), {"a": "x" * 30_000_000}
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    received, over = [0], threading.Event()

    def read_slowly() -> None:
        with suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as line:
            while (piece := line.recv(16384)) and not over.wait(SHORT / 10):
                received.append(len(piece))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        reading = threading.Thread(target=read_slowly)
        reading.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        asking = AdminClient(url, token_file=token_file, ca_file=tmp_path / "ca.pem", deadline_seconds=SHORT)
        with pytest.raises(OpsUnavailable, match=r"no complete answer within 0\.5 s") as caught:
            asking.ask("PUT", "/x", body=content)
        over.set()
        reading.join()
    assert (caught.value.holds, 0 < sum(received) < 10_000_000) == (MAYBE, True)


def test_a_resolver_that_never_answers_is_not_waited_for(client, monkeypatch):
    asked, over = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        asked.set()
        over.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(OpsUnavailable, match=r"no complete answer within 0\.5 s") as caught:
        client("https://pins.example.com").ask("PUT", "/x", body={})
    over.set()
    assert ((caught.value.holds, caught.value.hint), asked.is_set()) == (READ, True)


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "no such name"), UnicodeError("no such name")])
def test_a_name_that_is_none_is_told_with_the_words_of_the_resolver(client, monkeypatch, failure: Exception):
    def fail(*_: Any, **__: Any) -> Any:
        raise failure

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(
        OpsUnavailable, match=r"https://pins\.example\.com:443 cannot be asked: .*no such name"
    ) as caught:
        client("https://pins.example.com").ask("PUT", "/x", body={})
    assert (caught.value.holds, caught.value.hint) == READ


def test_a_host_whose_first_address_swallows_packets_has_the_time_once_for_all_of_them(client, api, monkeypatch):
    with socket.socket() as deaf, socket.socket() as filler:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filler.connect(deaf.getsockname())  # the queue is full: further connections are not answered
        places = [deaf.getsockname(), ("127.0.0.1", int(api.url.rpartition(":")[2]))]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert client("http://pins.localhost").ask("GET", "/x") == Answer(200, {}, None)
        found[1] = found[0]
        with pytest.raises(OpsUnavailable) as caught:
            client("http://pins.localhost").ask("PUT", "/x", body={})
    assert (caught.value.holds, caught.value.hint) == READ  # nothing was sent


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, "Look at what it was meant to change before you repeat it."),
        ({"Idempotency-Key": KEY}, f"Idempotency-Key {KEY} is answered with what came of it."),
    ],
)
def test_a_write_that_got_no_answer_says_that_it_may_have_been_done_and_how_to_look(client, headers: Any, told: str):
    with slow(OK, b"X: y\r\n") as server, pytest.raises(OpsUnavailable) as caught:
        client(f"http://127.0.0.1:{server.port}").ask("PUT", "/x", body={}, headers=headers)
    assert (caught.value.holds, str(caught.value.hint).endswith(told)) == (MAYBE, True)


def test_a_write_that_nobody_took_says_that_nothing_was_changed(client):
    with pytest.raises(OpsUnavailable) as caught:
        client("http://127.0.0.1:1").ask("PUT", "/x", body={}, headers={"Idempotency-Key": KEY})
    assert (caught.value.holds, caught.value.hint) == READ


def test_a_server_with_a_certificate_of_nobody_we_know_is_sent_nothing(api: "Api", token_file: Path, tmp_path: Path):
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    api.speak_tls(theirs.issue_cert("127.0.0.1"))
    with pytest.raises(OpsUnavailable, match="certificate verify failed") as caught:
        AdminClient(api.url, token_file=token_file, ca_file=tmp_path / "ca.pem").ask("PUT", "/x", body={})
    assert ((caught.value.holds, caught.value.hint), api.requests) == (READ, [])
    theirs.cert_pem.write_to_path(tmp_path / "ca.pem")
    asking = AdminClient(api.url, token_file=token_file, ca_file=tmp_path / "ca.pem")
    assert [asking.ask("PUT", "/x", body={}) for _ in range(2)] == [Answer(200, {}, None)] * 2
    assert len(api.peers) == 1


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_is_none_is_a_wrong_setting(token_file: Path, tmp_path: Path, content: Any):
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=r"ca_file '.*ca\.pem' cannot be used"):
        AdminClient("https://127.0.0.1:1", token_file=token_file, ca_file=file).ask("GET", "/x")


def test_each_request_over_one_connection_has_a_time_of_its_own(client, api: "Api"):
    api.delays["GET"] = SHORT / 4
    asking = client(api.url)
    assert [asking.ask("GET", "/x") for _ in range(6)] == [Answer(200, {}, None)] * 6
    api.delays["GET"] = SHORT * 3
    with pytest.raises(OpsUnavailable, match=r"no complete answer within 0\.5 s"):
        asking.ask("GET", "/x")
    assert len(api.peers) == 1


def read_request(line: socket.socket) -> None:
    """Read all of it: what is left unread would turn the end of the connection into a reset."""
    request = b""
    while not request.endswith(b"\r\n\r\n" if request.startswith(b"GET") else b"\r\n\r\n{}"):
        piece = line.recv(65536)
        assert piece
        request += piece


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, threading.Semaphore]]:
    """A server that gives one of *answers* on each connection; its address, and what counts how often it hung up."""
    hung_up = threading.Semaphore(0)

    def serve() -> None:
        for answer in answers:
            with suppress(OSError), listener.accept()[0] as line:
                read_request(line)
                line.sendall(answer)
            hung_up.release()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", hung_up
        thread.join()


def test_a_connection_that_the_server_ended_meanwhile_is_not_used_again(client):
    with answering(*[OK + b"Content-Length: 2\r\n\r\n{}"] * 2) as (url, hung_up):
        asking = client(url)
        found = [asking.ask("GET", "/x")]
        hung_up.acquire()
        assert [*found, asking.ask("PUT", "/x", body={})] == [Answer(200, {}, None)] * 2


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (OK + b"Content-Length: 3\r\n\r\n{}", "the answer ended early, after 2 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}", "its answer is not HTTP (IncompleteRead(2 bytes read))"),
        (OK + b"X: y\r\n", "the answer ended in its head"),
        (b"", "Remote end closed connection without response"),
        (b"SSH-2.0-x\r\n\r\n", "its answer is not HTTP (SSH-2.0-x??)"),
    ],
)
def test_what_is_no_whole_answer_is_told_and_not_taken_for_one(client, answer: bytes, told: str):
    with answering(answer) as (url, _), pytest.raises(OpsUnavailable) as caught:
        client(url).ask("PUT", "/x", body={})
    assert (caught.value.what, caught.value.holds) == (f"{url} cannot be asked: {told}", MAYBE)


def test_what_is_left_of_an_answer_that_was_too_long_is_not_taken_for_the_next_one(client, api: "Api"):
    asking, api.body = client(api.url), b"x" * (MAX_ANSWER_BYTES + 2)
    with pytest.raises(OpsUnavailable, match="no answer of this API"):
        asking.ask("GET", "/x")
    api.body = b"{}"
    assert (asking.ask("GET", "/x"), len(api.peers)) == (Answer(200, {}, None), 2)


def test_a_command_in_front_of_a_dripping_server_ends_with_3(tmp_path, token_file, monkeypatch):
    monkeypatch.setitem(AdminClient.__init__.__kwdefaults__, "deadline_seconds", SHORT)
    with slow(OK, b"X: y\r\n") as server:
        done = Shell(f"http://127.0.0.1:{server.port}", tmp_path, token_file)("set", "list")
    told = "Nothing was changed." in done.stderr
    assert (done.exit_code, done.stdout, told, server.connections) == (3, "", True, 1), done.output


def test_a_command_whose_write_is_not_answered_ends_with_3_and_names_its_key(hostile: "Shell", api: "Api", monkeypatch):
    monkeypatch.setitem(AdminClient.__init__.__kwdefaults__, "deadline_seconds", SHORT)
    api.body, api.delays = b'{"roots": []}', {"PUT": 2 * SHORT}
    file = hostile.write("payments.json", Running.draft("live", "spare"))
    done = hostile("set", "put", "payments", file, "--create")
    [key] = [headers["Idempotency-Key"] for method, _, headers, _ in api.requests if method == "PUT"]
    assert (done.exit_code, done.stdout, MAYBE in done.stderr, key in done.stderr) == (3, "", True, True), done.output
