"""
What judging costs per TLS 1.3 handshake and per send: client CPU, interleaved against an unpinned context.

It may import the SDK and ``trustme``. The server is a process of its own, so that neither its work nor its hold on the
interpreter lock falls on the client.
"""

import socket
import ssl
import statistics
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import trustme

from bench.local_server import running
from bench.measure import Effort, interleaved, median_ratio, microseconds, on_core, thread_cpu
from bench.rows import Row, at_most
from pinwarden import tls
from pinwarden.enforce import Policy
from pinwarden.guard import ClientGuard, Rules, Snapshot, present
from pinwarden.spki import pin_of
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.trust import advance_bundle, begin

HOST = "localhost"
LIMITS = {"leaf pinned": 1.02, "CA pinned": 1.04}
CLIENT_CORE, SERVER_CORE = 0, 1  # where they may share one, the server's work empties the caches of the client's


def run(effort: Effort) -> list[Row]:
    """Return the rows of the report."""
    rounds = effort.pick(full=1500, quick=300, smoke=2)
    with tempfile.TemporaryDirectory() as folder:
        contexts = _contexts(Path(folder))
        with ExitStack() as stack:
            with on_core(SERVER_CORE):
                port = stack.enter_context(running("bench.tls_server", str(Path(folder, "server.pem"))))
            stack.enter_context(on_core(CLIENT_CORE))
            _check_version(contexts, port)
            handshakes = {name: _handshake(context, port) for name, context in contexts.items()}
            seconds = interleaved(handshakes, rounds=rounds, clock=thread_cpu, effort=effort)
            gate = _gate_seconds(contexts, port, effort)
    plain = seconds["unpinned"]
    rows = [Row("handshake, unpinned", microseconds(plain), "us CPU")]
    for name in list(contexts)[1:]:
        ratio = median_ratio(seconds[name], plain)
        limit = LIMITS.get(name)
        goal = at_most(ratio, limit, f"at most {limit - 1:+.0%}") if limit else None
        rows.append(Row(f"handshake, {name}", microseconds(seconds[name]), "us CPU", f"{ratio - 1:+.1%}", goal))
    return [*rows, Row("gate, per send", gate * 1e9, "ns CPU")]


def guard_for(hosts: Mapping[str, list[bytes]]) -> ClientGuard:
    """Return a guard, as PinClient makes one, that judges by *hosts*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureForProductionWarning)
        authority = ThrowawayAuthority()
    trust = advance_bundle(begin(authority.root_json, name="app"), authority.publish(hosts), now=authority.now)
    assert trust.pinset is not None
    return ClientGuard(
        Snapshot(trust, Policy(trust.pinset, bytes(16))),
        Rules(present),
        refresh=lambda: None,
        refresh_soon=lambda: None,
        refresh_if_due=lambda: None,
    )


def _contexts(folder: Path) -> dict[str, ssl.SSLContext]:
    authority = trustme.CA()
    leaf = authority.issue_cert(HOST)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    leaf_pin, ca_pin = (_pin(blob) for blob in (leaf.cert_chain_pems[0], authority.cert_pem))
    contexts = {"unpinned": _plain(folder)}
    for name, hosts in (
        ("armed, host not pinned", {"elsewhere.example": [leaf_pin]}),
        ("leaf pinned", {HOST: [leaf_pin]}),
        ("CA pinned", {HOST: [ca_pin]}),
    ):
        contexts[name] = tls.arm_context(_plain(folder), guard_for(hosts))
    return contexts


def _plain(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.pem"))


def _pin(blob: trustme.Blob) -> bytes:
    return pin_of(ssl.PEM_cert_to_DER_cert(blob.bytes().decode()))


def _check_version(contexts: Mapping[str, ssl.SSLContext], port: int) -> None:
    for context in contexts.values():
        with _connect(context, port) as connection:
            assert connection.version() == "TLSv1.3"


def _gate_seconds(contexts: Mapping[str, ssl.SSLContext], port: int, effort: Effort) -> float:
    """Return what the gate adds to sending nothing."""
    number = effort.pick(full=2000, quick=500, smoke=10)
    rounds = effort.pick(full=100, quick=40, smoke=1)
    with _connect(contexts["unpinned"], port) as plain, _connect(contexts["leaf pinned"], port) as pinned:
        senders = {"plain": _sender(plain, number), "pinned": _sender(pinned, number)}
        seconds = interleaved(senders, rounds=rounds, clock=thread_cpu, effort=effort)
    return (statistics.median(seconds["pinned"]) - statistics.median(seconds["plain"])) / number


def _sender(connection: ssl.SSLSocket, times: int) -> Callable[[], None]:
    def send() -> None:
        for _ in range(times):
            connection.send(b"")

    return send


def _handshake(context: ssl.SSLContext, port: int) -> Callable[[], None]:
    return lambda: _connect(context, port).close()


def _connect(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=HOST)
