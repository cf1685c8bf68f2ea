"""
One connection to Redis, each step of which has a limit of time and of bytes.

It may import redis-py's errors, ``address``, ``line``, ``failures``, ``limits``, ``deadline``, ``tls`` and errors. It
tries nothing twice, and whatever the other side sends ends in an answer or in a CacheError, within the limits.
"""

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from pinwarden import tls
from pinwarden.cache_redis import limits
from pinwarden.cache_redis.address import Endpoint, Login, RedisAddress
from pinwarden.cache_redis.failures import PINS_STAY, failing_at
from pinwarden.cache_redis.line import Line, LineConnection
from pinwarden.deadline import Deadline
from pinwarden.errors import CacheError, ConfigError

# What came with the last piece is there already; this only may not be zero, which would mean not to wait at all.
_AT_HAND_SECONDS = 0.01
_MAX_REDIRECTIONS = 2
_MOVED = re.compile(r"[0-9]+ (.*):([0-9]{1,5})", re.ASCII)


class Link:
    """A connection that is logged in; :func:`open_link` makes it, ``with`` closes it."""

    def __init__(self, connection: Any, line: Line, address: RedisAddress) -> None:
        self._connection = connection
        self._line = line
        self._address = address

    def ask(self, *command: bytes | str | int, limit: int = limits.SMALL_ANSWER_BYTES) -> Any:
        """
        Send *command* and return the answer: bytes, integer, None or a list of these.

        Raises:
            CacheError: no whole answer within limits.ANSWER_SECONDS and *limit* bytes, or a refusal.
        """
        with failing_at(self._address):
            return self._ask(command, limit)

    def _ask(self, command: Sequence[bytes | str | int], limit: int) -> Any:
        self._line.allow(limits.ANSWER_SECONDS, limit)
        self._connection.send_command(*command)
        return self._connection.read_response()

    def elsewhere(self, key: bytes) -> Endpoint | None:
        """Return the node that this node of a cluster names for *key*; None when it keeps it itself."""
        with failing_at(self._address):
            try:
                self._ask(("EXISTS", key), limits.SMALL_ANSWER_BYTES)
            except ResponseError as refusal:
                # Newer releases of redis-py have a kind of error for it, without the word.
                moved = _MOVED.fullmatch(str(refusal).removeprefix("MOVED "))
                if moved is None:
                    raise
                return moved[1] or self._line.endpoint[0], int(moved[2])
        return None

    def subscribe(self, channel: bytes) -> None:
        """Ask to be told what is published on *channel*; again, to prove that the other side still answers."""
        answer = self.ask("SUBSCRIBE", channel)
        for _ in range(limits.MAX_HINTS):
            if type(answer) is not list or answer[:1] != [b"message"]:
                break
            answer = self._next(limits.ANSWER_SECONDS)  # that one crossed the question on its way
        if answer != [b"subscribe", channel, 1]:
            raise self.nonsense()

    def hear(self, seconds: float) -> list[bytes]:
        """Return what was published, as far as it has come, up to MAX_HINTS; [] when *seconds* passed in silence."""
        heard: list[bytes] = []
        while len(heard) < limits.MAX_HINTS:
            answer = self._next(_AT_HAND_SECONDS if heard else seconds)
            if answer is None:
                break
            if type(answer) is not list or len(answer) != 3 or type(answer[2]) is not bytes:
                raise self.nonsense()
            if answer[0] == b"message":
                heard.append(answer[2])
        return heard

    def _next(self, seconds: float) -> Any:
        with failing_at(self._address):
            self._line.allow(seconds, limits.SMALL_ANSWER_BYTES)
            try:
                return self._connection.read_response(disconnect_on_error=False)
            except RedisTimeoutError:
                return None

    def abort(self) -> None:
        """Wake a thread that waits in this link, from another thread; it then sees a CacheError."""
        self._line.shut()

    def nonsense(self) -> CacheError:
        """Return the error for an answer that nobody gives to what was asked."""
        return CacheError(f"Redis at {self._address.shown} answers nonsense", holds=PINS_STAY)

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

    The way there and all that is asked on the link take limits.CALL_SECONDS at most; :meth:`Link.linger` lifts that.

    Raises:
        CacheError: none could be reached, or the login was refused.
    """
    way = _Way(address, context, Deadline(limits.CALL_SECONDS))
    failure = CacheError(f"Redis at {address.shown} names no host")
    for endpoint in address.hosts:
        try:
            if address.route == "sentinel":
                return way.connect(way.master(endpoint))
            link = way.connect(endpoint)
            return way.follow(link, key) if address.route == "cluster" else link
        except CacheError as error:
            failure = error
    raise failure


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
                holds=PINS_STAY,
                hint="Compare the name of the service with the sentinels' own.",
            )
        with failing_at(self.address):
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
        line = Line(endpoint, self.context, self.deadline)
        connection: Any = LineConnection(
            line=line,
            host=endpoint[0],
            port=endpoint[1],
            db=database,
            username=login.username,
            password=login.password,
            protocol=2,
        )
        with failing_at(self.address):
            try:
                connection.connect()
            except BaseException:
                connection.disconnect()
                raise
        return Link(connection, line, self.address)
