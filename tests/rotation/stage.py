"""
A production-like server on loopback, its root keys in other hands, clients on disk caches, and a thief on the line.

The application is the real one behind its fast path, on a real socket; root ceremonies are held with the keys' package.
"""

import base64
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pinwarden import PinClient
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, PinSetRef, Role, Root, Timestamp
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE, Envelope
from pinwarden.errors import PinMismatchError, PinsUnavailableError
from pinwarden.spki import pin_of
from pinwarden.testing import pinned
from pinwarden_keys import LIGHT_KDF, Signer, file_uri, open_signer, passphrase_file, sign_envelope, write_key_file
from pinwarden_keys.ceremony import Roles, assemble, keyed, next_root, roles_of, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.signer_file import SoftwareSigner
from pinwarden_server.app import create_app
from pinwarden_server.auth import issue_token
from pinwarden_server.installation import Installation
from pinwarden_server.node import Node, open_site
from pinwarden_server.site import Act
from pinwarden_server.token_drafts import TokenDraft
from pinwarden_server.wsgi import with_fast_path
from tests.rotation.line import BEGIN, Clock, Line

AUTHORITY = "rotation-0123456789abcdef"
DAY = 24 * 3600
HIGHEST = 2**53 - 1


# What a person would have in a key file, by keyid.
SEEDS: dict[str, bytes] = {}


def new_signer() -> Signer:
    """Return a fresh key in memory."""
    seed = os.urandom(32)
    signer = SoftwareSigner(seed, uri="memory:test")
    SEEDS[signer.keyid] = seed
    return signer


def publics(signers: Iterable[Signer]) -> dict[str, bytes]:
    return keyed([signer.public for signer in signers])


@dataclass
class House:
    """One authority and its server."""

    installation: Installation
    line: Line
    clock: Clock
    root_keys: list[Signer]
    roots: list[Envelope]
    stack: ExitStack
    timestamp_key: Signer
    pinset_key: Signer
    uris: tuple[str, ...]
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False, timeout=20))
    node: Node | None = None
    token: str = ""
    elsewhere: str | None = None

    @property
    def url(self) -> str:
        """Where clients and operators find the server: on the line, unless it runs elsewhere."""
        return self.elsewhere or self.line.url

    # the server

    def start(self) -> None:
        """Serve, with the keys that *uris* name."""
        settings = replace(self.installation.settings(), signers=self.uris)
        self.node = Node(settings, open_site(settings, with_signers=True), clock=self.clock)
        self.line.application = with_fast_path(create_app(settings, node=self.node))
        if not self.token:  # the first one ends after 90 days, which tests outlive
            draft = TokenDraft("admin", 10 * 365 * DAY)
            self.token = str(issue_token(self.node.site.store, draft, Act("tester", self.clock())).token)

    def restart(self, *more: str) -> None:
        """Stop, and start again with *more* signers."""
        self.stop()
        self.uris = (*self.uris, *more)
        self.start()

    def stop(self) -> None:
        if self.node is not None:
            self.node.stop()
            self.node = None

    def add_key(self, name: str) -> Signer:
        """Make a new key file on the server, restart it with that, and return the key."""
        path = self.installation.key(name)
        passphrase = passphrase_file(self.installation.passphrase)
        write_key_file(path, os.urandom(32), passphrase(), label=name, kdf=LIGHT_KDF)
        self.restart(file_uri(path))
        return open_signer(file_uri(path), passphrase=passphrase)

    def renew(self) -> tuple[str, ...]:
        """Let the server renew what is due now, and return the names."""
        assert self.node is not None
        done = self.node.renewer.tick()
        assert done.failed == {}
        return done.renewed

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send one request to the admin API."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {self.token}"
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            named["Content-Type"] = "application/json"
        return self.http.request(method, f"{self.url}/admin/v1{path}", body=content, headers=named)

    def publish(self, name: str = "payments", word: str = "live", **fields: Any) -> str:
        """Publish a pin set with the pin that *word* stands for; return its version."""
        host = {"host": "api.example.com", "pins": [pin_json(word)], "backups": [pin_json("backup of all")]}
        there = self.ask("GET", f"/pinsets/{name}")
        condition = {"If_Match": there.headers["ETag"]} if there.status == 200 else {"If_None_Match": "*"}
        answer = self.ask("PUT", f"/pinsets/{name}", {"hosts": [host], **fields}, **condition)
        assert answer.status in (200, 201), answer.data
        return str(answer.json()["version"])

    def stored(self) -> str:
        """Return a digest of every row and of every public file."""
        with closing(sqlite3.connect(self.installation.folder / "pinwarden.db")) as connection:
            digest = hashlib.sha256("\n".join(connection.iterdump()).encode())
        for file in sorted(path for path in (self.installation.folder / "published/v1").rglob("*") if path.is_file()):
            digest.update(str(file).encode() + file.read_bytes())
        return digest.hexdigest()

    # the ceremony

    @property
    def root(self) -> Root:
        return Root.parse(self.roots[-1].payload)

    def draft(self, *, days: int = 365, root: list[Signer] | None = None, **changes: Any) -> Envelope:
        """
        Return the next root, signed by everyone who has a say, and published nowhere.

        *changes*: ``timestamp`` and ``pinset`` are the roles' new keys, ``timestamp_epoch`` and ``pinset_epoch``;
        ``grants`` stand in place of those that there are.
        """
        before = roles_of(self.root)
        grants = changes.get("grants", before.pinset)
        new_root = root or self.root_keys
        roles = Roles(
            Role(tuple(publics(new_root)), 2, publics(new_root)),
            _changed(before.timestamp, changes.get("timestamp"), changes.get("timestamp_epoch")),
            tuple(_changed(grant, changes.get("pinset"), changes.get("pinset_epoch")) for grant in grants),
        )
        following = next_root(self.root, roles, now=self.clock(), lifetime=timedelta(days=days))
        draft = RootDraft(following.encode(), self.roots[-1], {})
        signers = {signer.keyid: signer for signer in [*self.root_keys, *new_root]}
        return assemble(draft, [sign_draft(draft, signer) for signer in signers.values()])

    def offer(self, root: Envelope, *, to: str = "/roots", **fields: Any) -> Any:
        """Send *root* to the server, and return its answer."""
        return self.ask("POST", to, {"root": root.to_json(), **fields})

    def rotate(self, **changes: Any) -> dict[str, Any]:
        """Hold a ceremony, publish its root, and return the server's answer."""
        root = self.draft(**changes)
        answer = self.offer(root)
        assert answer.status == 201, answer.data
        self.roots.append(root)
        self.root_keys = changes.get("root") or self.root_keys
        shown: dict[str, Any] = answer.json()
        return shown

    # clients and thieves

    def client(self, folder: str = "cache", *, embedded: int = 1, **options: Any) -> PinClient:
        """Return a client with root version *embedded* built in; it is closed with the test."""
        made = PinClient(
            self.url,
            pinset="payments",
            root=self.roots[embedded - 1].to_bytes(),
            cache=self.installation.folder.parent / folder,
            clock=self.clock,
            **options,
        )
        self.stack.callback(made.close)
        return made

    def served(self, held: int = 1) -> Bundle:
        """Return the bundle that the honest server has for holders of root *held*."""
        assert self.node is not None
        entry = self.node.table.get(f"/v1/bundles/payments/{held}")
        assert entry is not None
        return Bundle.parse(entry.body)

    def forged_pinset(self, key: Signer, word: str = "thief", **changes: Any) -> Envelope:
        """Return a pin set that only whoever holds *key* can make: the pin that *word* stands for."""
        real = PinSet.parse(self.served(self.root.version).pinset.payload)
        hosts = (pinned("api.example.com", pin(word), pin(f"backup of {word}")),)
        return sign_envelope(PINSET_TYPE, replace(real, hosts=hosts, **changes).encode(), [key])

    def forged_timestamp(self, key: Signer, pinset: Envelope, **changes: Any) -> Envelope:
        """Return a timestamp that only whoever holds *key* can make, which names *pinset*."""
        real = Timestamp.parse(self.served(self.root.version).timestamp.payload)
        document = PinSet.parse(pinset.payload)
        digest = hashlib.sha256(pinset.payload).digest()
        reference = PinSetRef(document.epoch, document.version, digest, len(pinset.payload))
        return sign_envelope(TIMESTAMP_TYPE, replace(real, pinset=reference, **changes).encode(), [key])

    def hijack(self, timestamp: Envelope, pinset: Envelope, *roots: Envelope, held: int = 1) -> None:
        """Let the thief answer holders of root *held* with these documents."""
        body = Bundle(roots, timestamp, pinset).to_bytes()
        self.line.answers[f"/v1/bundles/payments/{held}"] = body

    def release(self) -> None:
        """Let the thief go."""
        self.line.answers.clear()


def _changed(role: Any, keys: list[Signer] | None, epoch: int | None) -> Any:
    named = {} if keys is None else {"keyids": tuple(publics(keys)), "keys": publics(keys)}
    return replace(role, **named, **({} if epoch is None else {"epoch": epoch}))


@cache
def leaf(word: str) -> bytes:
    """Return the certificate (DER) with the key that *word* stands for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, word)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(BEGIN).not_valid_after(BEGIN + timedelta(days=3650))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def pin(word: str) -> bytes:
    """Return the pin that *word* stands for."""
    return pin_of(leaf(word))


def pin_json(word: str) -> dict[str, str]:
    return {"sha256": base64.b64encode(pin(word)).decode()}


def verdict(client: PinClient, word: str) -> str:
    """Return what *client* makes of a connection whose key *word* stands for."""
    try:
        client.check("api.example.com", [leaf(word)])
    except PinMismatchError as error:
        return "denied" if error.denied else "refused"
    except PinsUnavailableError:
        return "no pins"
    return "accepted"


def looks(client: PinClient) -> tuple[str, int, int | None, int | None]:
    """Return state, newest root, and epoch and version of the pin set in force."""
    status = client.status()
    return status.state.value, status.root, status.epoch, status.version
