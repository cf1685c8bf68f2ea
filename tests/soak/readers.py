"""
Every reader of outside bytes: a good input, the change that fits it, and the one kind of error that it may raise.

It may import all rooms. What is accepted after a change is used once as the program would use it, so that a value which
only fails later is found here.
"""

import json
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pinwarden.bundle import Bundle
from pinwarden.cli.key_files import describe, parse_encoded
from pinwarden.documents import PinSet, Root, Timestamp
from pinwarden.enforce import Policy
from pinwarden.envelope import PINSET_TYPE, Envelope
from pinwarden.errors import ConfigError, MalformedError, UntrustedError
from pinwarden.settings import sdk_settings
from pinwarden.spki import pin_of, spki_of, spki_of_request
from pinwarden.testing import ThrowawayAuthority, ThrowawayKey
from pinwarden_keys.ceremony_files import DetachedSignature, RootDraft
from pinwarden_keys.errors import CeremonyError, KeyFileError
from pinwarden_keys.keyfile import KeyFile
from pinwarden_keys.root_plan import EXAMPLE, parse_plan
from pinwarden_server.drafts import parse_draft, parse_rollback
from pinwarden_server.errors import BadDraft
from pinwarden_server.settings import load_settings
from pinwarden_server.token_drafts import parse_token_draft
from tests.soak.shapes import change_der, change_json, change_lines

Change = Callable[[bytes, int], bytes]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Reader:
    """
    One place where bytes come in.

    Attributes:
        good: makes an input that is accepted.
        read: reads it, and uses what it got; a folder is for readers that take a path.
        refusals: what it says that it raises.
        checksum: its input has one, so that no change is accepted.
    """

    name: str
    good: Callable[[], bytes]
    change: Change
    read: Callable[[bytes, Path], object]
    refusals: tuple[type[Exception], ...]
    checksum: bool = False


@cache
def authority() -> ThrowawayAuthority:
    """An authority with two roots and a pin set that has every member."""
    made = ThrowawayAuthority(now=NOW, seed="soak")
    made.rotate_root()
    made.publish(
        {
            "api.example.com": [b"1" * 32, b"2" * 32],
            "**.example.org": [b"3" * 32, b"4" * 32],
            "::1": [b"5" * 32, b"6" * 32],
        },
        deny=(b"7" * 32,),
        report_to="https://reports.example.com/pins",
    )
    return made


@cache
def certificate() -> bytes:
    """A self-signed certificate of a CA."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "soak.example")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=9))
    return (
        made.add_extension(x509.BasicConstraints(True, 1), True).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    )


@cache
def request() -> bytes:
    """A certificate request."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "soak.example")])
    return x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def pem() -> bytes:
    """A file with a certificate, a request and a bare key."""
    key = generate_private_key(SECP256R1()).public_key()
    blocks = (("CERTIFICATE", certificate()), ("CERTIFICATE REQUEST", request()))
    text = b"".join(
        f"-----BEGIN {label}-----\n".encode() + encodebytes(der) + f"-----END {label}-----\n".encode()
        for label, der in blocks
    )
    return text + key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def draft() -> bytes:
    """What the admin API is sent."""
    pins = [{"sha256": "MTEx" * 10 + "MTE=", "kind": "leaf"}], [{"sha256": "MjIy" * 10 + "MjI=", "kind": "ca"}]
    host = {"host": "api.example.com", "pins": pins[0], "backups": pins[1], "mode": "report", "enforce_percent": 5}
    return json.dumps({"hosts": [host], "deny": ["MzMz" * 10 + "MzM="], "reason": "x", "force": ["PIN006"]}).encode()


def sealed() -> bytes:
    """A key file; only its frame is read here, since opening it would cost 256 MiB."""
    return (KeyFile.seal(bytes(32), b"passphrase of the soak", label="soak")).to_bytes()


def _use_pinset(payload: bytes, _: Path) -> None:
    policy = Policy(PinSet.parse(payload), bytes(16))
    for name in ("api.example.com", "a.b.example.org", "::1", "nobody.example"):
        policy.find(name)
    assert PinSet.parse(policy.pinset.encode()) == policy.pinset


def _use_root(payload: bytes, _: Path) -> None:
    root = Root.parse(payload)
    Root.parse(root.encode())


def _use_keys(content: bytes, _: Path) -> None:
    for encoded in parse_encoded(content, where="file"):
        assert len(describe(encoded).pin) == 44


def _use_settings(content: bytes, folder: Path) -> None:
    (folder / "settings.toml").write_bytes(content)
    sdk_settings({}, config=folder / "settings.toml")


def _use_server_settings(content: bytes, folder: Path) -> None:
    (folder / "server.toml").write_bytes(content)
    load_settings({}, config=folder / "server.toml")


SETTINGS = b"""url = "https://pins.example.com"
pinset = "app"
root = "root.json"
cache = "cache"
bootstrap = "bundle.json"
unpinned = "refuse"
when_empty = "refuse"
allow_http = false
poll_seconds = 30.5
telemetry = true
"""
SERVER_SETTINGS = b"""data_dir = "/var/lib/pinwarden"
bind = ["127.0.0.1:8750", "unix:/run/p.sock"]
workers = 2
threads = 4
signers = ["file:/keys/a.key"]
own_hosts = ["pins.example.com"]
tls_terminated_in_front = false
pinset_lifetime_seconds = 2592000
log_level = "info"
"""


def _ours(name: str) -> Callable[[], bytes]:
    return lambda: (
        {
            "pin set": authority().bundle().pinset,
            "timestamp": authority().bundle().timestamp,
            "root": authority().roots[1],
        }[name].payload
    )


def _root_draft() -> bytes:
    return RootDraft(authority().roots[1].payload, authority().roots[0], {ThrowawayKey("x").keyid: "alice"}).to_bytes()


READERS = (
    Reader("envelope", lambda: authority().bundle().pinset.to_bytes(), change_json,
           lambda content, _: Envelope.parse(content, expect=PINSET_TYPE), (UntrustedError,)),
    Reader("bundle", lambda: authority().bundle().to_bytes(), change_json,
           lambda content, _: Bundle.parse(Bundle.parse(content).to_bytes()), (UntrustedError,)),
    Reader("pin set", _ours("pin set"), change_json, _use_pinset, (UntrustedError,)),
    Reader("timestamp", _ours("timestamp"), change_json,
           lambda content, _: Timestamp.parse(content), (UntrustedError,)),
    Reader("root", _ours("root"), change_json, _use_root, (UntrustedError,)),
    Reader("certificate", certificate, change_der, lambda content, _: pin_of(content), (MalformedError,)),
    Reader("key of a certificate", certificate, change_der, lambda content, _: spki_of(content), (MalformedError,)),
    Reader("request", request, change_der, lambda content, _: spki_of_request(content), (MalformedError,)),
    Reader("keys in a file", pem, change_lines, _use_keys, (ConfigError, MalformedError)),
    Reader("keys in DER", request, change_der, _use_keys, (ConfigError, MalformedError)),
    Reader("settings", lambda: SETTINGS, change_lines, _use_settings, (ConfigError,)),
    Reader("settings of a server", lambda: SERVER_SETTINGS, change_lines, _use_server_settings, (ConfigError,)),
    Reader("plan of a root", EXAMPLE.encode, change_lines, lambda content, _: parse_plan(content), (CeremonyError,)),
    Reader("draft of a root", _root_draft, change_json, lambda content, _: RootDraft.parse(content), (CeremonyError,)),
    Reader("signature", lambda: DetachedSignature(bytes(32), "a" * 64, bytes(64), "alice").to_bytes(), change_json,
           lambda content, _: DetachedSignature.parse(content), (CeremonyError,)),
    Reader("key file", cache(sealed), change_json,
           lambda content, _: KeyFile.parse(content), (KeyFileError,), checksum=True),
    Reader("admin draft", draft, change_json, lambda content, _: parse_draft(content), (BadDraft,)),
    Reader("admin rollback", lambda: b'{"to":12,"reason":"x","force":["PIN006"]}', change_json,
           lambda content, _: parse_rollback(content), (BadDraft,)),
    Reader("admin token", lambda: b'{"role":"editor","lifetime_seconds":86400,"names":["pay-*"],"label":"x"}',
           change_json, lambda content, _: parse_token_draft(content), (BadDraft,)),
)  # fmt: skip
