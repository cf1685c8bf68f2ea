"""
The peers: other people's DSSE and other people's Ed25519, asked about our envelopes and signing their own.

It may import the peers and Pinwarden's frames. A peer never sees an object of ours: bytes and public keys go in, the
payload that it believes comes out, or None.
"""

import base64
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from securesystemslib.dsse import Envelope as PeerEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from pinwarden.documents import Role
from pinwarden.envelope import Envelope, Signature, keyid_of, pae
from pinwarden.errors import UntrustedError

JUDGE = Path(__file__).parent / "judge.js"


class Peer(Protocol):
    """Somebody else who signs and verifies envelopes."""

    def sign(self, payload_type: str, payload: bytes, seeds: Sequence[str]) -> bytes:
        """Return an envelope by the keys of *seeds*, in the peer's own framing."""
        ...

    def judge(self, contents: Sequence[bytes], role: Role) -> list[bytes | None]:
        """Return, for each envelope, the payload that the peer believes, or None."""
        ...


class Pinwarden:
    """Ourselves, in the same form."""

    def __init__(self, expect: str) -> None:
        self.expect = expect

    def judge(self, contents: Sequence[bytes], role: Role) -> list[bytes | None]:
        return [self._judge(content, role) for content in contents]

    def _judge(self, content: bytes, role: Role) -> bytes | None:
        try:
            return Envelope.parse(content, expect=self.expect).verified_by(role)
        except UntrustedError:
            return None


class SecureSystemsLib:
    """The Update Framework's library, by its own key, signature and envelope classes."""

    def sign(self, payload_type: str, payload: bytes, seeds: Sequence[str]) -> bytes:
        envelope = PeerEnvelope(payload, payload_type, {})
        for seed in seeds:
            key = private_key(seed)
            envelope.sign(CryptoSigner(key, self._key(keyid_of(raw_public(key)), raw_public(key))))
        return json.dumps(envelope.to_dict()).encode()

    def judge(self, contents: Sequence[bytes], role: Role) -> list[bytes | None]:
        return [self._judge(content, role) for content in contents]

    def _judge(self, content: bytes, role: Role) -> bytes | None:
        try:
            envelope = PeerEnvelope.from_dict(json.loads(content))
            envelope.verify([self._key(*entry) for entry in role.keys.items()], role.threshold)
        except (
            VerificationError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
        ):  # documented, or done
            return None
        return envelope.payload

    @staticmethod
    def _key(keyid: str, public: bytes) -> SSlibKey:
        return SSlibKey(keyid, "ed25519", "ed25519", {"public": public.hex()})


@dataclass
class Node:
    """``@sigstore/core`` for the signed bytes and Node's crypto for the rest; one process per list of questions."""

    program: Path
    modules: Path

    def sign(self, payload_type: str, payload: bytes, seeds: Sequence[str]) -> bytes:
        question = {"payloadType": payload_type, "content": _text(payload), "seeds": [seed_of(s).hex() for s in seeds]}
        (envelope,) = self._ask([question])
        assert envelope is not None
        return envelope

    def judge(self, contents: Sequence[bytes], role: Role) -> list[bytes | None]:
        asked = {"keys": {keyid: public.hex() for keyid, public in role.keys.items()}, "threshold": role.threshold}
        return self._ask([{"content": _text(content), "role": asked} for content in contents])

    def _ask(self, questions: list[dict[str, Any]]) -> list[bytes | None]:
        command = [self.program, "-e", JUDGE.read_text("utf-8")]
        # Node looks for modules beside the script; a script on the command line lies where the process is.
        done = subprocess.run(
            command,
            input=json.dumps(questions).encode(),
            cwd=self.modules,
            capture_output=True,
            check=True,
            timeout=120,
        )
        return [None if answer is None else base64.b64decode(answer) for answer in json.loads(done.stdout)]


class Cryptography:
    """``cryptography`` on the signed bytes; the frame is ours."""

    def sign(self, payload_type: str, payload: bytes, seeds: Sequence[str]) -> bytes:
        entries = [(raw_public(private_key(seed)), self.signature(seed, pae(payload_type, payload))) for seed in seeds]
        signatures = [Signature(keyid_of(public), sig) for public, sig in entries]
        return Envelope.of(payload_type, payload, signatures).to_bytes()

    def judge(self, contents: Sequence[bytes], role: Role) -> list[bytes | None]:
        return [self._judge(json.loads(content), role) for content in contents]

    def _judge(self, body: dict[str, Any], role: Role) -> bytes | None:
        payload = base64.b64decode(body["payload"])
        message = pae(body["payloadType"], payload)
        good = {
            entry["keyid"]
            for entry in body["signatures"]
            if entry["keyid"] in role.keys
            and self.verifies(role.keys[entry["keyid"]], message, base64.b64decode(entry["sig"]))
        }
        return payload if len(good) >= role.threshold else None

    def signature(self, seed: str, message: bytes) -> bytes:
        """Return the 64 bytes of one signature."""
        return private_key(seed).sign(message)

    def verifies(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether one signature is good."""
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass
class OpenSSL(Cryptography):
    """``openssl pkeyutl -rawin`` on the signed bytes, by files as its users have them; the frame is ours."""

    program: Path
    folder: Path

    def signature(self, seed: str, message: bytes) -> bytes:
        pem = private_key(seed).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._run("-sign", "-inkey", self._file("private.pem", pem), "-in", self._file("signed", message))
        return (self.folder / "out").read_bytes()

    def verifies(self, public: bytes, message: bytes, signature: bytes) -> bool:
        key = Ed25519PublicKey.from_public_bytes(public)
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        files = ["-pubin", "-inkey", self._file("public.pem", pem), "-in", self._file("signed", message)]
        done = self._run("-verify", *files, "-sigfile", self._file("signature", signature), good=(0, 1))
        said = (self.folder / "out").read_text()
        assert (done, said.strip()) in ((0, "Signature Verified Successfully"), (1, "Signature Verification Failure"))
        return done == 0

    def _run(self, *arguments: str, good: tuple[int, ...] = (0,)) -> int:
        command = [str(self.program), "pkeyutl", *arguments, "-rawin", "-out", str(self.folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode in good, done.stderr
        return done.returncode

    def _file(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return str(self.folder / name)


def seed_of(seed: str) -> bytes:
    """Return the 32 bytes from which ``ThrowawayKey(seed)`` is made, for peers that make the same key themselves."""
    return sha256(seed.encode()).digest()


def private_key(seed: str) -> Ed25519PrivateKey:
    """Return the key of *seed* as ``cryptography`` holds it."""
    return Ed25519PrivateKey.from_private_bytes(seed_of(seed))


def raw_public(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 public bytes."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
