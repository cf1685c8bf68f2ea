"""
What the attacks on the seven holes share: the obvious version of the check, ways to move a byte, and the verdict.

Every test first lets its attack succeed against the obvious version, so that it cannot pass because the attack is
clumsy, and then runs it against Pinwarden. What the server received decides; docs/enforcement.md explains each hole.
"""

import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pinned_peers import Peer, echo
from pinned_service import SECRET, WRONG, dial

from pinwarden import PinMismatchError, tls

HOST = "api.example.com"
ONLY_WRONG = {HOST: [WRONG]}


GREETING = b"welcome!"


class Obvious(ssl.SSLSocket):
    """What everybody writes first: check after do_handshake(), raise on a wrong pin. Here every pin is wrong."""

    def do_handshake(self, *args: Any) -> None:
        super().do_handshake(*args)
        if self.server_side:
            return
        raise PinMismatchError("obvious", host=HOST, presented=(), expected_pins=(), document="none")


class ObviousObject(ssl.SSLObject):
    """The same for SSLObject."""

    def do_handshake(self) -> None:
        super().do_handshake()
        if self.server_side:
            return
        raise PinMismatchError("obvious", host=HOST, presented=(), expected_pins=(), document="none")


def obvious(context: ssl.SSLContext) -> ssl.SSLContext:
    """Arm *context* the obvious way."""
    context.sslsocket_class, context.sslobject_class = Obvious, ObviousObject
    return context


def send_all(line: ssl.SSLSocket) -> None:
    line.sendall(SECRET)


def send_file(line: ssl.SSLSocket) -> None:
    with tempfile.TemporaryFile() as file:  # a real one: without TLS, sendfile() hands its descriptor to the kernel
        file.write(SECRET)
        file.seek(0)
        line.sendfile(file)


def send_through_makefile(line: ssl.SSLSocket) -> None:
    with line.makefile("wb") as file:
        file.write(SECRET)


MOVES: dict[str, Callable[[ssl.SSLSocket], object]] = {
    "send": lambda line: line.send(SECRET),
    "sendall": send_all,
    "sendfile": send_file,
    "write": lambda line: line.write(SECRET),
    "makefile": send_through_makefile,
}


TAKES: dict[str, Callable[[ssl.SSLSocket], object]] = {
    "read": lambda line: line.read(8),
    "recv": lambda line: line.recv(8),
    "recv_into": lambda line: line.recv_into(bytearray(8)),
    "makefile": lambda line: line.makefile("rb").read(1),
}


# Methods that refuse wherever TLS is on, and move plaintext where it is not.
UNSECURED_MOVES = {**MOVES, "sendto": lambda line: line.sendto(SECRET, line.getpeername())}
UNSECURED_TAKES: dict[str, Callable[[ssl.SSLSocket], object]] = {
    "recv": lambda line: line.recv(8),
    "recv_into": lambda line: line.recv_into(bytearray(8)),
    "recvfrom": lambda line: line.recvfrom(8),
    "recvfrom_into": lambda line: line.recvfrom_into(bytearray(8), 8),
    "makefile": lambda line: line.makefile("rb").read(1),
}


def judge(peer: Peer, attack: Callable[[], object]) -> tuple[bytes, BaseException | None]:
    """Run *attack* and return the application bytes that *peer* got, and what was raised."""
    failure = None
    try:
        attack()
    except (OSError, ValueError) as error:
        failure = error
    return peer.finish(), failure


def refused(outcome: tuple[bytes, BaseException | None]) -> bool:
    """Tell whether no application byte arrived, and Pinwarden said so."""
    received, failure = outcome
    return received == b"" and isinstance(failure, PinMismatchError)


def greet(stream: Any) -> None:
    """Speak first, as SMTP and databases do, and then send back whatever comes."""
    stream.sendall(GREETING)
    echo(stream)


def converse(line: ssl.SSLSocket) -> None:
    """Send the secret to a greeting peer, and wait until it has come back."""
    line.sendall(SECRET)
    with line.makefile("rb") as file:
        assert file.read(len(GREETING) + len(SECRET)) == GREETING + SECRET


@contextmanager
def object_to(peer: Peer, context: Any, **arguments: Any) -> Iterator[tuple[ssl.SSLObject, Callable[[Any], Any]]]:
    """Connect an SSL object with *peer*; yield it, and a function that repeats a step of it until it is done."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls_object = context.wrap_bio(incoming, outgoing, server_hostname=HOST, **arguments)
    with dial(peer) as line:

        def pump(step: Callable[[], Any]) -> Any:
            while True:
                try:
                    done = step()
                except ssl.SSLWantReadError:
                    line.sendall(outgoing.read())
                    incoming.write(line.recv(65536))
                else:
                    line.sendall(outgoing.read())
                    return done

        yield tls_object, pump


def write_through_bio(peer: Peer, context: ssl.SSLContext) -> None:
    """Send the secret by ``SSLObject.write`` alone, which handshakes inside."""
    with object_to(peer, context) as (tls_object, pump):
        pump(lambda: tls_object.write(SECRET))


def send_by_socket(peer: Peer, context: ssl.SSLContext) -> None:
    with context.wrap_socket(dial(peer), server_hostname=HOST) as line:
        line.sendall(SECRET)


WAYS = {"socket": send_by_socket, "bio": write_through_bio}


def unverified_chain(line: ssl.SSLSocket) -> list[bytes]:
    """Return what Python calls the verified chain."""
    return [one.public_bytes(tls.contexts.DER) for one in line._sslobj.get_verified_chain()]
