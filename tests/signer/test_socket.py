"""The socket of a signer process: bytes that are no request, callers that hang, other users, other processes."""

import base64
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest

from pinwarden.deadline import Deadline
from pinwarden_keys import KeeperAwayError, SignerError, SigningRefusedError, open_signer
from pinwarden_keys import signer_process_socket as room
from pinwarden_keys.signer_process import SignerProcess
from pinwarden_keys.signer_process_socket import MAX_CALLERS, Listener
from pinwarden_keys.signer_process_wire import MAX_REQUEST_BYTES, receive, send
from tests.signer.safe import ALICE, BOB, PINS, Clock, Safe, approvals, message_of, open_unix, pinset

STATUS = {"do": "status"}


@pytest.fixture
def listening(safe: Safe, clock: Clock) -> Iterator[SignerProcess]:
    with safe.listening(clock) as process:
        yield process


def connected(safe: Safe) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(20)
    line.connect(str(safe.socket))
    return line


def answer_to(safe: Safe, content: bytes) -> Any:
    """Send *content* as it is, and return the answer, None when the connection is closed without one."""
    with connected(safe) as line:
        line.sendall(content)
        line.shutdown(socket.SHUT_WR)
        try:
            return receive(line, limit=2**20, what="answer", deadline=Deadline(20))
        except EOFError:
            return None


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


GARBAGE: dict[str, bytes] = {
    "no JSON": framed(b"\xff\xfe"),
    "an array": framed(b"[]"),
    "a member twice": framed(b'{"do":"status","do":"sign"}'),
    "a float": framed(b'{"do":1.5}'),
    "a length of four gigabytes": b"\xff\xff\xff\xff",
    "one byte more than is taken": (MAX_REQUEST_BYTES + 1).to_bytes(4),
    "depth": framed(b'{"do":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("words", GARBAGE)
def test_what_is_no_request_is_refused_and_the_next_caller_is_answered(
    words: str, safe: Safe, listening: SignerProcess
) -> None:
    assert answer_to(safe, GARBAGE[words])["refused"]["rule"] == "frame"
    assert answer_to(safe, framed(json.dumps(STATUS).encode()))["refusals"] == {"frame": 1}
    assert safe.rows() == []


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0\x10", framed(b'{"do":"status"}')[:-1]])
def test_a_frame_that_ends_early_gets_no_answer_and_the_next_caller_does(
    content: bytes, safe: Safe, listening: SignerProcess
) -> None:
    assert answer_to(safe, content) is None
    assert answer_to(safe, framed(json.dumps(STATUS).encode()))["signed"] == 0


def test_callers_that_hang_are_cut_off_and_keep_nobody_else_waiting(
    safe: Safe, listening: SignerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REQUEST_SECONDS", 0.5)
    with ExitStack() as stack:
        for _ in range(MAX_CALLERS - 1):
            stack.enter_context(connected(safe)).sendall(b"\0\0\0")
        with closing(open_signer(safe.uri())) as signer:  # the one thread that is left answers
            assert signer.public == PINS.public
        slow = [stack.enter_context(connected(safe)) for _ in range(MAX_CALLERS * 2)]
        for line in slow:
            line.sendall(framed(json.dumps(STATUS).encode())[:7])
        assert [line.recv(1) for line in slow] == [b""] * len(slow)
    assert answer_to(safe, framed(json.dumps(STATUS).encode()))["signed"] == 1


def test_a_caller_that_drips_bytes_gets_no_more_time(
    safe: Safe, listening: SignerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REQUEST_SECONDS", 0.3)

    def drip(line: socket.socket) -> None:
        for byte in framed(b" " * 60_000):
            line.sendall(bytes([byte]))
            time.sleep(0.01)

    with connected(safe) as line, pytest.raises(OSError, match=r"Broken pipe|reset"):
        drip(line)


def test_a_caller_that_does_not_read_its_answer_keeps_nobody_waiting(safe: Safe, listening: SignerProcess) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CALLERS):
            send(stack.enter_context(connected(safe)), STATUS, Deadline(5))
        assert answer_to(safe, framed(json.dumps(STATUS).encode()))["signed"] == 0


def test_the_largest_pin_set_that_clients_take_is_signed(safe: Safe, clock: Clock, listening: SignerProcess) -> None:
    host = pinset(version=1, now=clock()).hosts[0]
    hosts = tuple(replace(host, host=f"{number:060d}.{'x' * 60}.{'y' * 60}.example.com") for number in range(1990))
    document = replace(pinset(version=1, now=clock()), hosts=hosts)
    assert 600_000 < len(document.encode()) <= 1024 * 1024
    with closing(open_unix(safe)) as signer:
        assert signer.sign_approved(message_of(document), approvals(document, ALICE, BOB))


def test_the_socket_is_for_its_user_and_its_group(safe: Safe, listening: SignerProcess) -> None:
    assert stat.S_IMODE(safe.socket.stat().st_mode) == 0o660


def test_the_socket_is_gone_after_the_end_and_whoever_asks_is_told_that_it_may_come_back(
    safe: Safe, clock: Clock
) -> None:
    with safe.listening(clock), closing(open_signer(safe.uri())) as signer:
        assert signer.label == "pinset"
    assert not safe.socket.exists()
    with pytest.raises(KeeperAwayError, match=r"is away: No such file"):
        open_signer(safe.uri())


def test_the_socket_of_a_process_that_was_killed_is_replaced(safe: Safe, clock: Clock) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(safe.socket))
    with pytest.raises(KeeperAwayError, match="Connection refused"):
        open_signer(safe.uri())
    with safe.listening(clock), closing(open_signer(safe.uri())) as signer:
        assert signer.keyid == PINS.keyid


def _live(safe: Safe) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.bind(str(safe.socket))
    line.listen()
    return line


def _file(safe: Safe) -> None:
    safe.socket.write_text("mine")


def _open_to_all(safe: Safe) -> None:
    safe.socket.parent.chmod(0o777)


def _missing(safe: Safe) -> None:
    safe.socket.parent.rmdir()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_live, "another process listens at"),
        (_file, "is no socket"),
        (_open_to_all, "others could replace the socket"),
        (_missing, "cannot be used: No such file"),
    ],
)
def test_a_place_that_is_not_ours_is_refused_and_left_as_it_was(
    prepare: Callable[[Safe], Any], words: str, safe: Safe, process: SignerProcess
) -> None:
    kept = prepare(safe)
    before = safe.socket.lstat() if safe.socket.exists() else None
    with pytest.raises(SignerError, match=words):
        Listener(process, safe.socket, frozenset())
    assert (safe.socket.lstat() if safe.socket.exists() else None) == before
    if kept:
        kept.close()


def test_another_user_is_refused_before_anything_is_read(
    safe: Safe, listening: SignerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "user_of", lambda caller: os.geteuid() + 1)
    with pytest.raises(SigningRefusedError, match="this user may not ask") as refusal:
        open_signer(safe.uri())
    assert (refusal.value.rule, refusal.value.got) == ("caller", f"user {os.geteuid() + 1}")


def test_the_kernel_says_who_asks() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert room.user_of(here) == os.geteuid()


URIS: dict[str, str] = {
    "unix:relative?key=": "does not name a socket",
    "unix://host/run/x?key=": "does not name a socket",
    "unix:/run/x": "key does not name one key",
    "unix:/run/x?key=30fd5c3f": "key does not name one key",
    "unix:/run/x?keyid=30fd": "the parameter 'keyid' is not allowed",
    "unix:/run/x#y?key=": "does not name a socket",
    f"unix:/{'x' * 120}?key={'0' * 64}": "the path of the socket is too long",
    f"unix:/{'x' * 3000}": "it is too long",
}


@pytest.mark.parametrize("uri", URIS, ids=range(len(URIS)))
def test_a_uri_that_names_no_key_behind_a_socket_is_refused(uri: str) -> None:
    with pytest.raises(SignerError, match=URIS[uri]):
        open_signer(uri)


def test_a_process_that_holds_another_key_is_not_believed(safe: Safe, listening: SignerProcess) -> None:
    with pytest.raises(SigningRefusedError, match="no such key is here"):
        open_signer(safe.uri(ALICE))


ANSWERS: dict[bytes, str] = {
    b"{}": "does not answer as",
    b'{"public":"AAAA"}': "does not answer as",
    b"[]": "does not answer as",
    b"no JSON": "does not answer as",
    b'{"refused":{}}': "does not answer as",
    b'{"public":1}': "does not answer as",
    b'{"public":"%b"}' % base64.b64encode(ALICE.public): "answered with another key",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_something_else_that_listens_is_an_error_that_says_so(safe: Safe, answer: bytes) -> None:
    """Whoever could put a socket there could keep clients from updates, and still sign nothing."""
    with _live(safe) as line:

        def serve() -> None:
            caller, _ = line.accept()
            with caller:
                receive(caller, limit=2**20, what="request", deadline=Deadline(5))
                caller.sendall(framed(answer))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SignerError, match=ANSWERS[answer]):
            open_signer(safe.uri())
        thread.join()
