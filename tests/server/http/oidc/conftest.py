"""An OIDC issuer on this machine, over real TLS, that signs whatever a test wants and answers however it wants."""

import json
import ssl
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.server.http.conftest import Service

AUDIENCE = "https://pins.example.com"
DISCOVERY = "/.well-known/openid-configuration"


def part(value: Any) -> str:
    """Return a part of a compact JWS."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Reply:
    """What an address answers with; *pause* seconds pass before each of its *chunks* when there are several."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    chunks: int = 1


class Issuer:
    """
    One issuer.

    Attributes:
        asked: the paths that were asked for, in order.
        replies: answers that differ from those of an honest issuer, by path.
    """

    def __init__(self, authority: trustme.CA) -> None:
        self.keys: dict[str, Any] = {
            "rsa": RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}),
            "ec": ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"}),
            "ed": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
        }
        self.asked: list[str] = []
        self.replies: dict[str, Reply] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                reply = outer.replies.get(self.path) or outer.honest(self.path)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                size = -(-len(reply.body) // reply.chunks) or 1
                with suppress(OSError):  # who was told enough hangs up
                    for start in range(0, len(reply.body), size):
                        time.sleep(reply.pause)
                        self.wfile.write(reply.body[start : start + size])
                        self.wfile.flush()

            def log_message(self, *arguments: Any) -> None:
                """Keep test output readable."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def honest(self, path: str) -> Reply:
        """Return what an honest issuer answers."""
        if path == DISCOVERY:
            return Reply(json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"}).encode())
        if path == "/jwks":
            return Reply(self.jwks(*self.keys.values()))
        return Reply(b"", 404)

    @staticmethod
    def jwks(*keys: Any, **more: Any) -> bytes:
        """Return a list of keys, public halves alone."""
        return json.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]}).encode()

    def claims(self, now: float, **changes: Any) -> dict[str, Any]:
        """Return the claims of a job; None leaves one out."""
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:example/payments:ref:refs/heads/main",
            "repository": "example/payments",
            "ref": "refs/heads/main",
            "jti": f"id-{time.monotonic_ns()}",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + 300,
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, claims: Any, *, kid: str = "rsa", alg: str = "RS256", key: Any = None, **header: Any) -> str:
        """Return *claims*, signed by the key *kid* unless another *key* is given."""
        head = {"alg": alg, "kid": kid, "typ": "JWT", **header}
        payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
        signed = jws.serialize_compact(head, payload, key or self.keys[kid], algorithms=[alg], registry=registry)
        return str(signed)

    def signed_by_hand(self, claims: Any, *, key: Any = None, pss: bool = False, **header: Any) -> str:
        """Return a token that is rightly signed by an RSA key, whatever its header says; no library would do that."""
        text = f"{part({'kid': 'rsa', **header})}.{part(claims)}"
        padding = PSS(MGF1(SHA256()), SHA256.digest_size) if pss else PKCS1v15()
        return f"{text}.{part((key or self.keys['rsa']).raw_value.sign(text.encode(), padding, SHA256()))}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


@pytest.fixture
def issuer(authority: trustme.CA) -> Iterator[Issuer]:
    made = Issuer(authority)
    yield made
    made.close()


@dataclass
class Gate:
    """A service that takes ID tokens of one issuer, and an issuer that gives them."""

    service: Service
    issuer: Issuer

    def claims(self, **changes: Any) -> dict[str, Any]:
        return self.issuer.claims(self.service.clock().timestamp(), **changes)

    def log_in(self, token: str) -> Any:
        return self.service.client.post("/admin/v1/logins", json={"oidc_token": token})

    def good(self, **changes: Any) -> str:
        """Return a token that is let in unless *changes* of its claims keep it out."""
        return self.issuer.token(self.claims(**changes))


@pytest.fixture
def gate(installation: Any, serve: Callable[..., Service], issuer: Issuer, ca_file: Path) -> Gate:
    from pinwarden_server.oidc_rules import oidc_rules

    rules = oidc_rules(
        [
            {
                "issuer": issuer.url,
                "audience": AUDIENCE,
                "claims": {"repository": "example/payments", "ref": "refs/heads/*"},
                "role": "editor",
                "names": ["payments"],
                "owner": "ci:example/payments",
            },
            {
                "issuer": issuer.url,
                "audience": AUDIENCE,
                "claims": {"sub": "repo:example/orders:*", "ref": "refs/tags/v*"},
                "role": "reader",
                "names": ["*"],
                "owner": "ci:example/orders",
            },
        ]
    )
    service = serve(installation, oidc=rules, oidc_ca_file=ca_file)
    service.clock.now = service.clock.now.replace(microsecond=0)  # so that a second is the difference at every limit
    return Gate(service, issuer)
