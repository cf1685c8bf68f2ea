"""
The part of Vault's HTTP API that signers use: transit keys with versions, tokens, namespaces, sealing.

It may import PyNaCl and the web service of these tests. Paths, statuses, members and sentences are those of Vault's
transit engine, whose program cannot run here.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from tests.keys.signers.web import Answer, Request, WebService

TOKEN = "hvs.canary-token"
DENIED = "1 error occurred:\n\t* permission denied\n\n"


@dataclass
class TransitKey:
    """A named key; its versions count from 1."""

    seeds: list[bytes]
    type: str = "ed25519"
    derived: bool = False
    min_encryption_version: int = 0

    def public(self, version: int = 1) -> bytes:
        return bytes(SigningKey(self.seeds[version - 1]).verify_key)

    def shown(self, name: str) -> dict[str, Any]:
        versions = {
            str(number): {
                "creation_time": "2026-11-23T12:00:00.123456789Z",
                "name": self.type,
                "public_key": base64.b64encode(self.public(number)).decode(),
            }
            for number in range(1, len(self.seeds) + 1)
        }
        return {
            "name": name,
            "type": self.type,
            "derived": self.derived,
            "exportable": False,
            "keys": versions,
            "latest_version": len(self.seeds),
            "min_available_version": 0,
            "min_decryption_version": 1,
            "min_encryption_version": self.min_encryption_version,
            "supports_signing": True,
        }


@dataclass
class Vault:
    """One server with its keys; ``answer`` replaces every answer while it is set."""

    folder: Path
    tls: Any = None
    keys: dict[str, TransitKey] = field(default_factory=dict)
    namespace: str | None = None
    sealed: bool = False
    answer: Answer | None = None
    tokens: set[str] = field(default_factory=lambda: {TOKEN})

    def __post_init__(self) -> None:
        self.token_file = self.folder / "token"
        self.write_token(TOKEN)
        self.web = WebService(self._answer, tls=self.tls)

    def write_token(self, token: str) -> None:
        self.token_file.write_text(token + "\n")
        self.token_file.chmod(0o600)

    def uri(self, key: str = "transit/timestamp", **parameters: str) -> str:
        scheme, host = ("http", "127.0.0.1") if self.tls is None else ("https", "localhost")
        query = {"address": f"{scheme}://{host}:{self.web.port}", "token-file": str(self.token_file), **parameters}
        return f"vault:{key}?" + "&".join(f"{name.replace('_', '-')}={value}" for name, value in query.items())

    @contextmanager
    def away(self) -> Iterator[None]:
        self.sealed = True
        try:
            yield
        finally:
            self.sealed = False

    def _answer(self, request: Request) -> Answer:
        if self.answer is not None:
            return self.answer
        if self.sealed:
            return _errors(503, "Vault is sealed")
        if request.headers.get("X-Vault-Token") not in self.tokens or self._wrong_namespace(request):
            return _errors(403, DENIED)
        version, mount, verb, name = request.path.strip("/").split("/")
        if (version, mount) != ("v1", "transit"):
            return _errors(404, f"no handler for route {mount!r}")
        if (request.method, verb) == ("GET", "keys"):
            return self._read(name)
        if (request.method, verb) == ("POST", "sign"):
            return self._sign(name, json.loads(request.body))
        return _errors(405, "unsupported operation")

    def _wrong_namespace(self, request: Request) -> bool:
        return request.headers.get("X-Vault-Namespace") != self.namespace

    def _read(self, name: str) -> Answer:
        key = self.keys.get(name)
        return _errors(404) if key is None else _found(key.shown(name))

    def _sign(self, name: str, body: dict[str, Any]) -> Answer:
        key = self.keys.get(name)
        if key is None:
            return _errors(400, "signing key not found")
        version = body.get("key_version") or len(key.seeds)
        if version > len(key.seeds):
            return _errors(400, "requested version for signing is higher than the latest key version")
        if version < key.min_encryption_version:
            return _errors(400, "requested version for signing is less than the minimum encryption key version")
        signature = SigningKey(key.seeds[version - 1]).sign(base64.b64decode(body["input"], validate=True)).signature
        return _found({"signature": f"vault:v{version}:{base64.b64encode(signature).decode()}", "key_version": version})


def _found(content: dict[str, Any]) -> Answer:
    around = {"request_id": "0", "lease_id": "", "renewable": False, "lease_duration": 0, "auth": None}
    return Answer(200, json.dumps({**around, "data": content, "wrap_info": None, "warnings": None}).encode())


def _errors(status: int, *sentences: str) -> Answer:
    return Answer(status, json.dumps({"errors": sentences}).encode())
