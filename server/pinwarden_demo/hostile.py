"""
A pin server that lies: a proxy in front of the real one, and the bundles that an attacker would have it serve.

It may import the public test support for an authority of the attacker's own. It holds no key of the real authority.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

from pinwarden.bundle import BUNDLE_MEDIA_TYPE, Bundle
from pinwarden.documents import Host, PinSet
from pinwarden.strict_json import decode_base64, encode_base64
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority, pinned
from pinwarden_demo.names import LOOPBACK

_TIMEOUT_SECONDS = 10.0


class HostileProxy:
    """
    Passes everything on to *upstream*, until it is told to answer for bundles itself.

    Attributes:
        port, url: where clients reach it.
        lies_told: how often it did.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._lie: bytes | None = None
        self._http = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_SECONDS)
        self.lies_told = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.answer(self)

            def log_message(self, *_: Any) -> None:
                """Keep the story readable."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="demo-proxy", daemon=True).start()

    @contextmanager
    def telling(self, bundle: bytes) -> Iterator[None]:
        """Answer every request for a bundle with *bundle* until the block ends."""
        self._lie = bundle
        try:
            yield
        finally:
            self._lie = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        lie = self._lie if request.path.startswith("/v1/bundles/") else None
        if lie is not None:
            self.lies_told += 1
            self._send(request, 200, lie, {"Content-Type": BUNDLE_MEDIA_TYPE})
            return
        passed_on = {
            name: request.headers[name] for name in ("If-None-Match", "Pinwarden-Held") if request.headers[name]
        }
        try:
            real = self._http.request("GET", self._upstream + request.path, headers=passed_on)
        except urllib3.exceptions.HTTPError:
            self._send(request, 502, b"", {})
            return
        kept = {name: real.headers[name] for name in ("Content-Type", "ETag") if name in real.headers}
        self._send(request, real.status, real.data, kept)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._http.clear()

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


def with_one_bit_flipped(bundle: bytes, host: str) -> bytes:
    """Return *bundle* with one bit of the first pin of *host* changed, and every length as it was."""
    envelopes = Bundle.parse(bundle)
    document = PinSet.parse(envelopes.pinset.payload)
    pin = next(str(entry.pins[0]) for entry in document.hosts if entry.host == host)
    raw = decode_base64(pin, what="pin")
    flipped = encode_base64(bytes([raw[0] ^ 1]) + raw[1:])
    payload = envelopes.pinset.payload.replace(pin.encode(), flipped.encode(), 1)
    return replace(envelopes, pinset=replace(envelopes.pinset, payload=payload)).to_bytes()


def of_a_foreign_authority(name: str, hosts: dict[str, bytes]) -> bytes:
    """Return a bundle for *name*, flawless, signed by an authority of the attacker's own; *hosts* are its pins."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureForProductionWarning)  # it plays the attacker, and protects nothing
        authority = ThrowawayAuthority(name)
    entries: list[Host] = [pinned(host, pin) for host, pin in hosts.items()]
    return authority.publish(entries).to_bytes()
