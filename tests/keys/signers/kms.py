"""
The part of the HTTP API of AWS KMS that signers use: JSON 1.1, signed requests, 4,096 bytes a message.

It may import PyNaCl, botocore's signing rules and the web service of these tests. Names, limits and error types are
those of the service model in botocore; KMS itself cannot run here, and the usual stand-in knows no Ed25519.
"""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from nacl.signing import SigningKey

from tests.keys.signers.web import Answer, Request, WebService

REGION = "eu-central-1"
ACCOUNT = "111122223333"
ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = "AKIACANARYACCESS", "canary-secret-key", "canary-session-token"
SPKI = bytes.fromhex("302a300506032b6570032100")
AUTHORIZATION = re.compile(
    rf"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/(?P<day>\d{{8}})/{REGION}/kms/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass
class KmsKey:
    seed: bytes
    spec: str = "ECC_NIST_EDWARDS25519"
    usage: str = "SIGN_VERIFY"
    algorithms: tuple[str, ...] = ("ED25519_SHA_512", "ED25519_PH_SHA_512")
    enabled: bool = True


@dataclass
class Kms:
    """One region of one account; ``fault`` is a status and an error type that answer everything while it is set."""

    keys: dict[str, KmsKey] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    fault: tuple[int, str] | None = None
    changed_signature: bytes | None = None

    def __post_init__(self) -> None:
        self.web = WebService(self._answer)

    @staticmethod
    def arn(key_id: str) -> str:
        return f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"

    @property
    def operations(self) -> list[str]:
        return [request.headers["X-Amz-Target"].removeprefix("TrentService.") for request in self.web.requests]

    @contextmanager
    def away(self) -> Iterator[None]:
        self.fault = (500, "KMSInternalException")
        try:
            yield
        finally:
            self.fault = None

    def _answer(self, request: Request) -> Answer:
        if not self._is_signed(request):
            return _error(400, "InvalidSignatureException")
        if self.fault is not None:
            return _error(*self.fault)
        if request.headers["Content-Type"] != "application/x-amz-json-1.1":
            return _error(400, "UnknownOperationException")
        asked = json.loads(request.body)
        key_id = self._key_id(asked["KeyId"])
        if key_id is None:
            return _error(400, "NotFoundException")
        if not self.keys[key_id].enabled:
            return _error(400, "DisabledException")
        operations = {"TrentService.GetPublicKey": self._get_public_key, "TrentService.Sign": self._sign}
        operation = operations.get(request.headers["X-Amz-Target"])
        return _error(400, "UnknownOperationException") if operation is None else operation(key_id, asked)

    def _key_id(self, name: str) -> str | None:
        name = name.removeprefix(f"arn:aws:kms:{REGION}:{ACCOUNT}:").removeprefix("key/")
        name = self.aliases.get(name, name)
        return name if name in self.keys else None

    def _get_public_key(self, key_id: str, asked: dict[str, Any]) -> Answer:
        key = self.keys[key_id]
        shown = {
            "KeyId": self.arn(key_id),
            "PublicKey": base64.b64encode(SPKI + bytes(SigningKey(key.seed).verify_key)).decode(),
            "KeySpec": key.spec,
            "CustomerMasterKeySpec": key.spec,
            "KeyUsage": key.usage,
            "SigningAlgorithms": key.algorithms,
        }
        return Answer(200, json.dumps(shown).encode())

    def _sign(self, key_id: str, asked: dict[str, Any]) -> Answer:
        key, message = self.keys[key_id], base64.b64decode(asked["Message"], validate=True)
        if not 1 <= len(message) <= 4096:
            return _error(400, "ValidationException")
        if (asked["SigningAlgorithm"], asked["MessageType"]) != ("ED25519_SHA_512", "RAW"):
            return _error(400, "InvalidKeyUsageException")
        signature = self.changed_signature or SigningKey(key.seed).sign(message).signature
        shown = {
            "KeyId": self.arn(key_id),
            "Signature": base64.b64encode(signature).decode(),
            "SigningAlgorithm": "ED25519_SHA_512",
        }
        return Answer(200, json.dumps(shown).encode())

    def _is_signed(self, request: Request) -> bool:
        """Judge the request as KMS does: recompute its signature from the secret key (Signature Version 4)."""
        found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if found is None or request.headers.get("X-Amz-Security-Token") != SESSION_TOKEN:
            return False
        lower = {name.lower(): value for name, value in request.headers.items()}
        signed = {name: lower[name] for name in found["names"].split(";")}
        again = AWSRequest(request.method, f"http://{lower['host']}{request.path}", signed, request.body)
        again.context["timestamp"] = lower["x-amz-date"]
        auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "kms", REGION)
        signature = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
        return bool(signature == found["signature"])


def _error(status: int, kind: str) -> Answer:
    return Answer(
        status,
        json.dumps({"__type": kind, "message": f"what KMS says, and {SECRET_KEY}"}).encode(),
        (("Content-Type", "application/x-amz-json-1.1"),),
    )
