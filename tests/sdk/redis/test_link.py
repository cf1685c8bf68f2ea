"""A Redis that is away, slow, hostile, behind TLS or sentinels, or a cluster: an answer, or a CacheError in time."""

import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from pinwarden import CacheError
from pinwarden.cache_redis import RedisCache, limits, parse_address
from pinwarden.split_view import SplitView
from pinwarden.trust import KeptDocuments, absorb, begin

WAIT_SECONDS = 60.0
SECRET = "hunter2-of-redis"


def cache_at(url: str, authority: Any) -> RedisCache:
    return RedisCache(parse_address(url), authority=authority.authority, name=authority.name)


def kept(authority: Any) -> KeptDocuments:
    bundle = authority.bundle()
    return KeptDocuments(bundle.roots, (bundle.timestamp,), (bundle.pinset,))


def view_of(authority: Any) -> SplitView:
    """Return evidence of a split view."""
    held, shown = (authority.sign_pinset({"api.example.com": [os.urandom(32), b"2" * 32]}) for _ in range(2))
    return SplitView("pinset", (1, 2), held, shown)


def failure(url: str, authority: Any) -> str:
    """Return what an update through *url* ends with; loading gives nothing."""
    cache = cache_at(url, authority)
    assert cache.load() == KeptDocuments()
    with pytest.raises(CacheError) as failed:
        cache.update(lambda found: kept(authority))
    return str(failed.value)


def works(url: str, authority: Any) -> None:
    """Prove that what is written through *url* is read again."""
    state = begin(authority.root_json, name=authority.name)
    cache_at(url, authority).update(lambda found: kept(authority))
    assert absorb(state, cache_at(url, authority).load()).pinset.version == authority.pinset_version


def test_a_redis_that_is_not_there(authority: Any) -> None:
    assert failure("redis://127.0.0.1:1", authority) == (
        "Redis at redis://127.0.0.1:1/0 cannot be reached: Connection refused. The pins in memory are in force. "
        "Look whether it runs, and at the address."
    )


def test_a_name_that_does_not_resolve(authority: Any) -> None:
    assert "cannot be reached: " in failure("redis://nowhere.invalid", authority)


def test_a_redis_that_was_stopped_costs_its_time_outs_and_works_again_when_it_goes_on(
    make_redis: Any, authority: Any, monkeypatch: Any
) -> None:
    server = make_redis()
    server.send_signal(signal.SIGSTOP)
    assert "gave no whole answer in time" in failure(server.url, authority)
    server.send_signal(signal.SIGCONT)
    monkeypatch.setattr(limits, "ANSWER_SECONDS", 20.0)
    monkeypatch.setattr(limits, "CALL_SECONDS", 60.0)
    works(server.url, authority)


def test_a_redis_that_was_killed_and_comes_back_is_used_again(make_redis: Any, authority: Any, patient: None) -> None:
    server = make_redis()
    works(server.url, authority)
    server.stop()
    assert "Connection refused" in failure(server.url, authority)
    server.start()
    works(server.url, authority)


@contextmanager
def relay(port: int, pass_on: Callable[[socket.socket, bytes], None], context: Any = None) -> Iterator[int]:
    """Listen, and pass on what Redis at *port* says by *pass_on*; over TLS with *context*."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = [listener]

    def carry(near: socket.socket, far: socket.socket) -> None:
        # One thread for both ways: two in one TLS connection disturb each other.
        ways = {near: (far, pass_all), far: (near, pass_on)}
        with suppress(OSError):
            while True:
                pending = isinstance(near, ssl.SSLSocket) and near.pending()
                for source in [near] if pending else select.select(list(ways), [], [])[0]:
                    target, by = ways[source]
                    piece = source.recv(65536)
                    if not piece:
                        raise ConnectionAbortedError
                    by(target, piece)
        for one in ways:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def listen() -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                with suppress(OSError):
                    near.settimeout(WAIT_SECONDS)
                    if context is not None:
                        near = context.wrap_socket(near, server_side=True)
                    far = socket.create_connection(("127.0.0.1", port))
                    open_ones.extend((near, far))
                    threading.Thread(target=carry, args=(near, far), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        for one in open_ones:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def pass_all(target: socket.socket, piece: bytes) -> None:
    """Pass on everything at once."""
    target.sendall(piece)


def drip(target: socket.socket, piece: bytes) -> None:
    """Pass on one byte at a time, each soon enough that a time-out of the socket alone would begin anew."""
    for byte in piece:
        target.sendall(bytes([byte]))
        time.sleep(0.05)


def test_a_line_on_which_bytes_drip_ends_when_its_time_is_over(real: Any, authority: Any) -> None:
    with real.client() as client:
        client.set(cache_at(real.url, authority)._key("newest"), b"x" * 800)  # one answer
    with relay(real.port, drip) as port:
        start = time.monotonic()
        assert "gave no whole answer in time" in failure(f"redis://127.0.0.1:{port}", authority)
        assert time.monotonic() - start < 30  # it would have taken 40 s to the end


def late(target: socket.socket, piece: bytes) -> None:
    """Pass everything on just before the time for one answer is over."""
    time.sleep(limits.ANSWER_SECONDS * 0.8)
    target.sendall(piece)


def test_answers_that_are_each_in_time_do_not_add_up(real: Any, authority: Any) -> None:
    with real.client() as client:  # a line whose roots take five more questions
        client.set(cache_at(real.url, authority)._key("newest"), b"pinwarden-1 1.1 1.1 300\n")
    with relay(real.port, late) as port:
        assert "gave no whole answer in time" in failure(f"redis://127.0.0.1:{port}", authority)


# What it answers, and our words for it.
REPLIES: dict[str, tuple[bytes, str]] = {
    "an endless line": (b"+" + b"x" * 40_000_000, "sends more than was asked for"),
    "an endless value": (b"$2000000000\r\n" + b"x" * 40_000_000, "sends more than was asked for"),
    "an endless list": (
        b"*2000000000\r\n" + b":1\r\n" * 10_000_000,
        "gave no whole answer in time",
    ),
    "nested lists": (b"*1\r\n" * 500_000, "answers nonsense"),
    "a number with a million digits": (b":" + b"9" * 60_000 + b"\r\n", "answers nonsense"),
    "no number": (b":x\r\n", "answers nonsense"),
    "a negative size": (b"$-7\r\n", "closed the connection"),
    "another protocol": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers nonsense"),
    "too short a list": (b"*0\r\n", "answers nonsense"),
    "a list of nothing": (b"*-1\r\n", "answers nonsense"),
    "an error within a list": (b"*1\r\n-ERR no\r\n", "answers nonsense"),
    "no answer": (b"", "closed the connection"),
    "a redirection that is none": (b"-MOVED x\r\n", "answers nonsense|refused: MOVED x"),
    "a redirection": (b"-MOVED 1 127.0.0.1:1\r\n", "refused: "),
    "an empty error": (b"-\r\n", "refused"),
    "control characters": (b"-ERR \x1b[2Jfine\x00\r\n", r"refused: \?\[2Jfine\?"),
}


@pytest.mark.parametrize("what", REPLIES)
def test_whatever_a_hostile_redis_answers_ends_in_nothing_or_a_cache_error(
    what: str, authority: Any, raw_server: Any, patient: None, monkeypatch: Any
) -> None:
    reply, words = REPLIES[what]
    if "time" in words:
        monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.25)

    def script(line: Any) -> None:
        if line._stream.recv(4096):
            with suppress(OSError):
                line.send(reply)
                line._stream.shutdown(socket.SHUT_WR)
            line.wait_for_end()

    with raw_server(script) as server:
        tracemalloc.start()
        told = failure(f"redis://127.0.0.1:{server.port}", authority)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert re.search(words, told)
    assert told.endswith("The pins in memory are in force.")
    assert peak < 40 * 1024 * 1024


def test_what_redis_says_never_repeats_the_password(
    authority: Any, raw_server: Any, patient: None, caplog: Any
) -> None:
    def script(line: Any) -> None:
        asked = line._stream.recv(4096)
        line.send(b"-ERR unknown command " + asked.replace(b"\r\n", b" ") + b"\r\n")
        line.wait_for_end()

    with raw_server(script) as server:
        url = f"redis://teller:{SECRET}@127.0.0.1:{server.port}"
        assert "refused: unknown command *3 $4 AUTH $6 teller $16 ***" in failure(url, authority)
        with pytest.raises(CacheError) as failed:
            cache_at(url, authority).seconds_to_wait()
    assert SECRET not in "".join(traceback.format_exception(failed.value)) + caplog.text


@pytest.mark.parametrize(
    ("login", "words"),
    [("", "refused"), (f":{SECRET}x@", "refused the login"), (f"nobody:{SECRET}@", "refused the login")],
)
def test_a_password_is_needed_and_never_shown(
    login: str, words: str, make_redis: Any, authority: Any, patient: None, caplog: Any
) -> None:
    server = make_redis("--requirepass", SECRET)
    told = failure(f"redis://{login}127.0.0.1:{server.port}", authority)
    assert words in told
    works(f"redis://:{SECRET}@127.0.0.1:{server.port}/3", authority)
    cache = cache_at(f"redis://:{SECRET}@127.0.0.1:{server.port}/3", authority)
    assert SECRET not in told + caplog.text + cache.describe + repr(cache.__dict__)


def test_databases_are_kept_apart(real: Any, authority: Any, patient: None) -> None:
    works(real.url, authority)
    assert cache_at(f"redis://127.0.0.1:{real.port}/1", authority).load() == KeptDocuments()


def test_a_full_redis_and_a_replica_are_told_by_name(make_redis: Any, authority: Any, patient: None) -> None:
    server = make_redis()
    with server.client() as client:
        client.config_set("maxmemory", "1")
        cache = cache_at(server.url, authority)
        with pytest.raises(CacheError, match="is full") as full:
            cache.update(lambda found: kept(authority))
        assert str(full.value.hint).startswith("Raise its maxmemory, or let it evict")
        client.config_set("maxmemory", "0")
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(CacheError, match="replica"):
            cache.update(lambda found: kept(authority))


def rights_in_the_manual() -> str:
    """Return the ACL rule that docs/cache.md gives."""
    text = (Path(__file__).parents[3] / "docs/cache.md").read_text()
    rule = next(line for line in text.splitlines() if line.startswith("ACL SETUSER pinwarden "))
    return rule.removeprefix("ACL SETUSER pinwarden ")


def test_the_rights_of_the_manual_are_enough_and_none_of_them_is_too_many(
    make_redis: Any, authority: Any, patient: None
) -> None:
    server = make_redis()
    url = f"redis://pinwarden:{SECRET}@127.0.0.1:{server.port}"
    rule = rights_in_the_manual().replace("<password>", SECRET).split()

    def use_everything(patience: float) -> list[bytes]:
        cache = cache_at(url, authority)
        cache.update(lambda found: kept(authority))
        cache.seconds_to_wait()
        cache.testify(view_of(authority))
        with cache.listen() as line, server.client() as client:
            client.flushall()
            cache.update(lambda found: kept(authority))
            return line.hear(patience) if cache.load() == kept(authority) else []

    with server.client() as client:
        for left_out in (None, *(word for word in rule if word.startswith(("+", "~", "&")))):
            rights = [word for word in rule if word != left_out]
            client.execute_command("ACL", "SETUSER", "pinwarden", "reset", *rights)
            if left_out is None:
                assert use_everything(WAIT_SECONDS) == [b"pinwarden-1 1.1 1.1 0"]
            elif left_out == "+publish":
                assert use_everything(0.5) == []  # only the hint is missing
            else:
                with pytest.raises(CacheError, match="denied a right that docs/cache"):
                    use_everything(0.5)


@pytest.fixture
def ca() -> trustme.CA:
    """A CA that only these tests know."""
    return trustme.CA()


@pytest.fixture
def tls_port(real: Any, ca: trustme.CA) -> Iterator[int]:
    """A port where the real Redis is behind TLS, with a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with relay(real.port, pass_all, context) as port:
        yield port


def test_rediss_works_with_the_ca_that_the_url_names(
    tls_port: int, ca: trustme.CA, authority: Any, patient: None, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    works(f"rediss://localhost:{tls_port}?ssl_ca_certs={tmp_path}/ca.pem", authority)


@pytest.mark.parametrize(
    ("host", "trusted", "words"),
    [
        ("localhost", False, "its certificate is refused, "),
        ("127.0.0.1", True, "its certificate is refused, IP address mismatch"),
    ],
)
def test_rediss_refuses_a_stranger_and_another_name(
    host: str, trusted: bool, words: str, tls_port: int, ca: trustme.CA, authority: Any, patient: None, tmp_path: Path
) -> None:
    (ca if trusted else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert words in failure(f"rediss://{host}:{tls_port}?ssl_ca_certs={tmp_path}/ca.pem", authority)


def test_pins_never_judge_the_connection_to_redis(
    tls_port: int, ca: trustme.CA, authority: Any, patient: None, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    body = """
        import sys
        from pinwarden import PinClient
        from pinwarden.cache_redis import limits
        limits.CONNECT_SECONDS = limits.ANSWER_SECONDS = 20.0
        limits.CALL_SECONDS = 60.0
        client = PinClient("http://127.0.0.1:1", pinset="app", root=open(sys.argv[1], "rb").read(), cache=sys.argv[2])
        client.enforce()
        client._refresher.fleet.share()
        print(client.status().persist_failed, client.status().state)
        """
    (tmp_path / "root.json").write_bytes(authority.root_json)
    url = f"rediss://localhost:{tls_port}?ssl_ca_certs={tmp_path}/ca.pem"
    command = [sys.executable, "-c", textwrap.dedent(body), str(tmp_path / "root.json"), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert (done.stdout, done.returncode) == ("0 empty\n", 0), done.stderr


def test_plain_text_where_tls_is_expected_is_a_cache_error(real: Any, authority: Any) -> None:
    assert "gave no whole answer in time" in failure(f"rediss://127.0.0.1:{real.port}", authority)


def sentinel(make_redis: Any, master: Any, tmp_path: Path, *lines: str) -> Any:
    """Start a sentinel that watches *master* as the service ``pins``."""
    path = tmp_path / f"sentinel-{len(list(tmp_path.iterdir()))}.conf"
    monitor = f"sentinel monitor pins 127.0.0.1 {master.port} 1\n"
    path.write_text(monitor + "sentinel down-after-milliseconds pins 500\n" + "\n".join(lines) + "\n")
    return make_redis(str(path), "--sentinel")


def test_sentinels_say_where_the_master_is_and_the_first_that_answers_is_enough(
    make_redis: Any, authority: Any, patient: None, tmp_path: Path
) -> None:
    master = make_redis("--requirepass", SECRET)
    watching = sentinel(make_redis, master, tmp_path, f"sentinel auth-pass pins {SECRET}")
    works(f"redis+sentinel://:{SECRET}@127.0.0.1:1,127.0.0.1:{watching.port}/pins/2", authority)
    told = failure(f"redis+sentinel://127.0.0.1:{watching.port}/others", authority)
    assert "knows no master of this service" in told


def test_after_a_failover_the_new_master_is_used(
    make_redis: Any, authority: Any, patient: None, tmp_path: Path
) -> None:
    master = make_redis()
    replica = make_redis("--replicaof", "127.0.0.1", str(master.port))
    watching = sentinel(make_redis, master, tmp_path)
    url = f"redis+sentinel://127.0.0.1:{watching.port}/pins"
    works(url, authority)
    with redis.Redis(port=watching.port) as client:
        end = time.monotonic() + WAIT_SECONDS
        while not client.sentinel_slaves("pins"):
            assert time.monotonic() < end
            time.sleep(0.05)
        with replica.client() as copied:
            while not copied.keys("*"):
                assert time.monotonic() < end
                time.sleep(0.05)
        master.stop()
        while client.sentinel_get_master_addr_by_name("pins") != (b"127.0.0.1", replica.port):
            assert time.monotonic() < end
            time.sleep(0.05)
        while replica.client().info("replication")["role"] != "master":
            assert time.monotonic() < end
            time.sleep(0.05)
    authority.publish({"api.example.com": [b"9" * 32, b"2" * 32]})
    works(url, authority)


@pytest.fixture
def cluster(make_redis: Any) -> list[Any]:
    """Three nodes of a cluster that knows where every slot is."""
    nodes = [
        make_redis("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{number}.conf") for number in range(3)
    ]
    clients = [node.client() for node in nodes]
    for number, client in enumerate(clients):
        first, last = number * 16384 // 3, (number + 1) * 16384 // 3
        client.execute_command("CLUSTER", "ADDSLOTS", *range(first, last))
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
    end = time.monotonic() + WAIT_SECONDS
    for client in clients:
        while b"cluster_state:ok" not in (said := client.execute_command("CLUSTER", "INFO")) or (
            b"cluster_known_nodes:3" not in said
        ):
            assert time.monotonic() < end
            time.sleep(0.05)
        client.close()
    return nodes


def test_every_node_of_a_cluster_leads_to_the_one_that_keeps_the_documents(
    cluster: list[Any], authority: Any, patient: None
) -> None:
    urls = [f"redis+cluster://127.0.0.1:1,127.0.0.1:{node.port}" for node in cluster]
    for url in urls:
        works(url, authority)
    cache = cache_at(urls[0], authority)
    assert cache.seconds_to_wait() == 0.0
    assert cache_at(urls[1], authority).seconds_to_wait() > 0
    with cache_at(urls[2], authority).listen() as line:
        authority.publish({"api.example.com": [b"9" * 32, b"2" * 32]})
        works(urls[1], authority)
        assert line.hear(WAIT_SECONDS) == [b"pinwarden-1 1.2 1.2 0"]


def test_nodes_that_send_in_circles_are_left_after_two_steps(authority: Any, raw_server: Any, patient: None) -> None:
    def script(line: Any) -> None:
        while line._stream.recv(4096):
            line.send(b"-MOVED 7 :%d\r\n" % server.port)

    with raw_server(script) as server:
        assert "refused: " in failure(f"redis+cluster://127.0.0.1:{server.port}", authority)
        assert server.connections == 6


def test_evidence_is_kept_once_per_kind(real: Any, authority: Any, patient: None) -> None:
    cache = cache_at(real.url, authority)
    views = [view_of(authority) for _ in range(2)]
    key = cache.testify(views[0])
    assert cache.testify(views[1]) == key
    with real.client() as client:
        assert client.get(key) == views[0].to_bytes()
        assert client.ttl(key) > 300 * 86400
