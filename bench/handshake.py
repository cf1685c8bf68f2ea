"""What judging costs per TLS 1.3 handshake and per send: client CPU, interleaved against an unpinned context."""

import socket
import ssl
import statistics
import tempfile
import threading
import timeit
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import trustme

from bench.measure import Row, interleaved, median_ratio, thread_cpu
from pinwarden import tls
from pinwarden.enforce import Policy
from pinwarden.guard import ClientGuard, Rules, Snapshot
from pinwarden.spki import pin_of
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.trust import advance_bundle, begin

ROUNDS = 1500
HOST = "localhost"


def run() -> list[Row]:
    """Return the rows of the report."""
    ca = trustme.CA()
    leaf = ca.issue_cert(HOST)
    with tempfile.TemporaryDirectory() as folder, _Server(leaf) as port:
        ca_file = Path(folder, "ca.pem")
        ca.cert_pem.write_to_path(str(ca_file))
        pins = [
            pin_of(ssl.PEM_cert_to_DER_cert(blob.bytes().decode())) for blob in (leaf.cert_chain_pems[0], ca.cert_pem)
        ]
        contexts = {"unpinned": ssl.create_default_context(cafile=str(ca_file))}
        for name, hosts in (
            ("armed, host not pinned", {"elsewhere.example": [pins[0]]}),
            ("leaf pin", {HOST: [pins[0]]}),
            ("CA pin", {HOST: [pins[1]]}),
        ):
            contexts[name] = tls.arm_context(ssl.create_default_context(cafile=str(ca_file)), _guard(hosts))
        seconds = interleaved(
            {name: _handshake(context, port) for name, context in contexts.items()}, rounds=ROUNDS, clock=thread_cpu
        )
        rows = []
        for name, figures in seconds.items():
            ratio = median_ratio(figures, seconds["unpinned"])
            rows.append(
                Row(
                    f"handshake, {name}",
                    f"{statistics.median(figures) * 1e6:.0f} us client CPU",
                    "" if name == "unpinned" else f"{ratio - 1:+.1%}",
                    {"leaf pin": "at most +4 %"}.get(name, ""),
                )
            )
        return rows + _send_cost(contexts, port)


def _send_cost(contexts: dict[str, ssl.SSLContext], port: int) -> list[Row]:
    costs = {}
    for name in ("unpinned", "leaf pin"):
        with _connect(contexts[name], port) as connection:
            costs[name] = min(timeit.repeat(lambda c=connection: c.send(b""), number=20_000, repeat=7)) / 20_000
    extra = costs["leaf pin"] - costs["unpinned"]
    return [Row("gate, per send of nothing", f"{extra * 1e6:+.2f} us", f"{costs['unpinned'] * 1e6:.2f} us without")]


def _guard(hosts: dict[str, list[bytes]]) -> ClientGuard:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureForProductionWarning)
        authority = ThrowawayAuthority()
    trust = advance_bundle(begin(authority.root_json, name="app"), authority.publish(hosts), now=authority.now)
    assert trust.pinset is not None
    return ClientGuard(
        Snapshot(trust, Policy(trust.pinset, bytes(16))),
        Rules(lambda: datetime.now(UTC)),
        refresh=lambda: None,
        refresh_soon=lambda: None,
        refresh_if_due=lambda: None,
    )


def _handshake(context: ssl.SSLContext, port: int) -> Callable[[], None]:
    return lambda: _connect(context, port).close()


def _connect(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=HOST)


class _Server:
    """A TLS server in a thread of its own, whose CPU does not count for the client's thread."""

    def __init__(self, leaf: trustme.LeafCert) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def __enter__(self) -> int:
        threading.Thread(target=self._serve, daemon=True).start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    while secured.recv(4096):
                        pass
            except OSError:
                continue
