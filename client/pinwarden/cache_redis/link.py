"""
One connection to Redis, each step of which has a limit of time and of bytes.

It may import redis-py, ``address``, ``deadline``, ``tls`` and errors. It tries nothing twice, and whatever the other
side sends ends in an answer or in a CacheError, within the time-outs below.
"""

import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from redis.connection import Connection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pinwarden import tls
from pinwarden.answer import printable
from pinwarden.cache_redis.address import Endpoint, Login, RedisAddress
from pinwarden.deadline import Deadline, open_socket
from pinwarden.errors import CacheError, ConfigError

# For a connection with its TLS, for each answer, and for all that one call asks on the way: no byte begins them anew.
CONNECT_SECONDS = 0.25
ANSWER_SECONDS = 0.25
CALL_SECONDS = 1.0
SMALL_ANSWER_BYTES = 64 * 1024
MAX_HINTS = 256
# What came with the last piece is there already; this only may not be zero, which would mean not to wait at all.
_AT_HAND_SECONDS = 0.01
_MAX_REDIRECTIONS = 2


class Link:
    """A connection that is logged in; :func:`open_link` makes it, ``with`` closes it."""

    def __init__(self, connection: Any, line: "_Line", address: RedisAddress) -> None:
        self._connection = connection
        self._line = line
        self._address = address

    def ask(self, *command: bytes | str | int, limit: int = SMALL_ANSWER_BYTES) -> Any:
        """
        Send *command* and return the answer: bytes, integer, None or a list of these.

        Raises:
            CacheError: no whole answer within ANSWER_SECONDS and *limit* bytes, or a refusal.
        """
        with _failing_at(self._address):
            return self._ask(command, limit)

    def _ask(self, command: Sequence[bytes | str | int], limit: int) -> Any:
        self._line.allow(ANSWER_SECONDS, limit)
        self._connection.send_command(*command)
        return self._connection.read_response()

    def elsewhere(self, key: bytes) -> Endpoint | None:
        """Return the node that this node of a cluster names for *key*; None when it keeps it itself."""
        with _failing_at(self._address):
            try:
                self._ask(("EXISTS", key), SMALL_ANSWER_BYTES)
            except MovedError as moved:
                return moved.host or self._line.endpoint[0], int(moved.port)
        return None

    def subscribe(self, channel: bytes) -> None:
        """Ask to be told what is published on *channel*; again, to prove that the other side still answers."""
        answer = self.ask("SUBSCRIBE", channel)
        for _ in range(MAX_HINTS):
            if type(answer) is not list or answer[:1] != [b"message"]:
                break
            answer = self._next(ANSWER_SECONDS)  # that one crossed the question on its way
        if answer != [b"subscribe", channel, 1]:
            raise _nonsense(self._address)

    def hear(self, seconds: float) -> list[bytes]:
        """Return what was published, as far as it has come, up to MAX_HINTS; [] when *seconds* passed in silence."""
        heard: list[bytes] = []
        while len(heard) < MAX_HINTS:
            answer = self._next(_AT_HAND_SECONDS if heard else seconds)
            if answer is None:
                break
            if type(answer) is not list or len(answer) != 3 or type(answer[2]) is not bytes:
                raise _nonsense(self._address)
            if answer[0] == b"message":
                heard.append(answer[2])
        return heard

    def _next(self, seconds: float) -> Any:
        with _failing_at(self._address):
            self._line.allow(seconds, SMALL_ANSWER_BYTES)
            try:
                return self._connection.read_response(disconnect_on_error=False)
            except RedisTimeoutError:
                return None

    def abort(self) -> None:
        """Wake a thread that waits in this link, from another thread; it then sees a CacheError."""
        self._line.shut()

    def linger(self) -> None:
        """Keep the link for longer than one call; its steps have their own limits."""
        self._line.call = None

    def let_go(self) -> None:
        """In a forked child: give up what only the parent may go on using, and say nothing to the other side."""
        self._line.let_go()

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def tls_context(address: RedisAddress) -> ssl.SSLContext | None:
    """
    Return what proves the identity of a ``rediss`` server, or None for an address without TLS.

    Pins have no say in it: Redis is believed in nothing, and a handshake may be waiting for what is read from it.

    Raises:
        ConfigError: a file that the address names cannot be used.
    """
    if not address.secure:
        return None
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
        if address.certificate_file:
            context.load_cert_chain(address.certificate_file, address.key_file)
    except OSError as error:
        raise ConfigError(
            f"a certificate or key file of the Redis URL cannot be used: {error.strerror or type(error).__name__}",
            expected="PEM files under ssl_ca_certs, ssl_certfile and ssl_keyfile",
        ) from None
    return tls.exempt(context)


def open_link(address: RedisAddress, context: ssl.SSLContext | None, key: bytes) -> Link:
    """
    Connect to the server that keeps *key*, by the route that *address* names.

    The way there and all that is asked on the link take CALL_SECONDS at most; :meth:`Link.linger` lifts that.

    Raises:
        CacheError: none could be reached, or the login was refused.
    """
    way = _Way(address, context, Deadline(CALL_SECONDS))
    failure: CacheError | None = None
    for endpoint in address.hosts:
        try:
            if address.route == "sentinel":
                return way.connect(way.master(endpoint))
            link = way.connect(endpoint)
            return way.follow(link, key) if address.route == "cluster" else link
        except CacheError as error:
            failure = error
    raise failure or _nonsense(address)


@dataclass(frozen=True, slots=True)
class _Way:
    """How one call gets to its server, within one deadline."""

    address: RedisAddress
    context: ssl.SSLContext | None
    deadline: Deadline

    def connect(self, endpoint: Endpoint) -> Link:
        return self._log_in(endpoint, self.address.login, self.address.database)

    def master(self, sentinel: Endpoint) -> Endpoint:
        """Return where the sentinel says that the master of the service is."""
        with self._log_in(sentinel, self.address.sentinel_login, 0) as link:
            answer = link.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.address.service or "")
        if answer is None:
            raise CacheError(
                f"the sentinel of {self.address.shown} knows no master of this service",
                hint="Compare the name of the service with the sentinels' own.",
            )
        with _failing_at(self.address):
            host, port = answer
            return host.decode("ascii"), int(port)

    def follow(self, link: Link, key: bytes) -> Link:
        """Return a link to the node of a cluster that keeps *key*; every node says where that is."""
        for _ in range(_MAX_REDIRECTIONS):
            try:
                elsewhere = link.elsewhere(key)
            except CacheError:
                link.close()
                raise
            if elsewhere is None:
                return link
            link.close()
            link = self.connect(elsewhere)
        return link  # whatever is asked next fails, when this is not it either

    def _log_in(self, endpoint: Endpoint, login: Login, database: int) -> Link:
        line = _Line(endpoint, self.context, self.deadline)
        connection: Any = _Connection(
            line=line,
            host=endpoint[0],
            port=endpoint[1],
            db=database,
            username=login.username,
            password=login.password,
            protocol=2,
        )
        with _failing_at(self.address):
            try:
                connection.connect()
            except BaseException:
                connection.disconnect()
                raise
        return Link(connection, line, self.address)


class _Line:
    """The socket as redis-py sees it: it ends every step when the time or the bytes for it are used up."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, call: Deadline) -> None:
        self.endpoint = endpoint
        self.call: Deadline | None = call
        self._context = context
        self._socket: socket.socket | None = None
        self._shut = False

    def open(self) -> Self:
        deadline = self._deadline_after(CONNECT_SECONDS)
        raw = open_socket(*self.endpoint, deadline)
        try:
            if self._context is not None:
                raw = self._context.wrap_socket(raw, server_hostname=self.endpoint[0])
            self._socket = raw
            if self._shut:
                raise ConnectionAbortedError("the client is closing")
        except BaseException:
            raw.close()
            raise
        self.allow(ANSWER_SECONDS, SMALL_ANSWER_BYTES)  # for the login
        return self

    def allow(self, seconds: float, limit: int) -> None:
        """Begin a step."""
        self._deadline = self._deadline_after(seconds)
        self._left = limit

    def _deadline_after(self, seconds: float) -> Deadline:
        return Deadline(min(seconds, self.call.check()) if self.call else seconds)

    def shut(self) -> None:
        self._shut = True
        if self._socket is not None:
            with suppress(OSError):
                # Not the method of an SSLSocket, which would take away the object that the other thread reads from.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def let_go(self) -> None:
        line, self._socket = self._socket, None
        if line is not None and (descriptor := line.detach()) >= 0:
            os.close(descriptor)

    def _armed(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionAbortedError("the connection is closed")
        self._socket.settimeout(self._deadline.check())
        return self._socket

    def _count(self, received: int) -> None:
        self._left -= received
        if self._left < 0:
            raise _TooMuchError

    def recv(self, size: int, flags: int = 0) -> bytes:
        piece = self._armed().recv(size, flags)
        self._count(len(piece))
        return piece

    def recv_into(self, buffer: bytearray | memoryview) -> int:
        received = self._armed().recv_into(buffer)
        self._count(received)
        return received

    def sendall(self, content: bytes) -> None:
        self._armed().sendall(content)

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: the deadline of the step decides."""

    def fileno(self) -> int:
        return self._socket.fileno() if self._socket is not None else -1

    def shutdown(self, how: int) -> None:
        if self._socket is not None:
            socket.socket.shutdown(self._socket, how)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class _Connection(Connection):
    """redis-py's protocol and login, on a line of ours."""

    def __init__(self, line: _Line, **arguments: Any) -> None:
        self._line = line
        super().__init__(**arguments)  # type: ignore[no-untyped-call]
        # Redis need not know who we are, nor give a right for it; older releases have the first two, newer the third.
        self.lib_name = self.lib_version = self.driver_info = None

    def _connect(self) -> _Line:
        return self._line.open()


class _TooMuchError(Exception):
    """More bytes came than the step allows."""


@contextmanager
def _failing_at(address: RedisAddress) -> Iterator[None]:
    """
    Turn whatever redis-py makes of another side that is away or hostile into a CacheError.

    That is everything: it parses what it is sent, and says so by whichever error its code happens to meet.
    """
    try:
        yield
    except CacheError:
        raise
    except Exception as error:  # noqa: BLE001 - see above; the server's own words must not follow as a cause
        raise CacheError(
            f"Redis at {address.shown} {_reason(error, address)}", holds="The pins in memory are in force."
        ) from None


def _nonsense(address: RedisAddress) -> CacheError:
    return CacheError(f"Redis at {address.shown} answers nonsense", holds="The pins in memory are in force.")


def _reason(error: Exception, address: RedisAddress) -> str:
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return f"gave no whole answer within {ANSWER_SECONDS:g} s"
    if isinstance(error, _TooMuchError):
        return "sends more than was asked for"
    for kind, words in _REFUSALS.items():
        if isinstance(error, kind):
            return f"{words}{_told(error, address)}"
    if isinstance(error, RedisConnectionError | OSError):
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        return f"cannot be reached: {_spell(cause)}" if isinstance(cause, OSError) else "closed the connection"
    return f"answers nonsense ({type(error).__name__})"


_REFUSALS: dict[type[RedisError], str] = {
    AuthenticationError: "refused the login",
    NoPermissionError: "denied a right that docs/cache.md lists",
    ReadOnlyError: "is a replica, which cannot be written",
    OutOfMemoryError: "is full",
    BusyLoadingError: "is still loading",
    ResponseError: "refused",
}


def _told(error: Exception, address: RedisAddress) -> str:
    """Return the server's own words, without what we said to it: some errors repeat a command with its password."""
    text = str(error)
    for login in (address.login, address.sentinel_login):
        for secret in filter(None, (login.password, login.username)):
            text = text.replace(secret, "***")
    return f": {printable(text)}" if text else ""


def _spell(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"its certificate is refused, {error.verify_message}")
    return printable(error.strerror or str(error) or type(error).__name__)
