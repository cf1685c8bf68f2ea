"""
An authority that signs whatever it is told to, and what its server answers.

It may import the keys of ``pinwarden.testing`` and the standard library: documents are plain dictionaries, so no parser
or verifier of the product stands between a test and the client. Nothing that it signs may protect a real connection.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from pinwarden.testing import ThrowawayKey
from tests.conformance.certificates import pin

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 24 * 3600
HOST = "app.example.org"
PATTERN = "**.example.org"
TYPES = {kind: f"application/vnd.pinwarden.{kind}.v1+json" for kind in ("root", "timestamp", "pinset")}
BUNDLE_TYPE = "application/vnd.pinwarden.bundle.v1+json"
MAX_BUNDLE_ROOTS = 8

Json = dict[str, Any]


def spell(moment: datetime) -> str:
    """Return a time as documents spell it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def later(**units: float) -> str:
    """Return a time after the start, as documents spell it."""
    return spell(START + timedelta(**units))


def key(label: str) -> ThrowawayKey:
    """Return the signing key of a label; equal labels give equal keys."""
    return ThrowawayKey(f"conformance {label}")


def pinned(*labels: str, host: str = PATTERN, **changes: Any) -> Json:
    """Return a host whose pins are the keys of *labels*; its backup is a key that no chain has, unless changed."""
    pins = [{"sha256": pin(label), "kind": "leaf"} for label in labels]
    return {"host": host, "pins": pins, "backups": [{"sha256": pin("kept in a safe"), "kind": "leaf"}], **changes}


def sign(kind: str, document: Json | bytes, signers: Iterable[ThrowawayKey]) -> Json:
    """Return an envelope; bytes are signed as they are."""
    payload = document if isinstance(document, bytes) else json.dumps(document, separators=(",", ":")).encode()
    message = b"DSSEv1 %d %b %d %b" % (len(TYPES[kind]), TYPES[kind].encode(), len(payload), payload)
    signatures = [{"keyid": each.keyid, "sig": b64encode(each.sign(message)).decode()} for each in signers]
    return {"payloadType": TYPES[kind], "payload": b64encode(payload).decode(), "signatures": signatures}


def to_bytes(value: Json) -> bytes:
    """Return what travels."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Answer:
    """
    One HTTP answer.

    Attributes:
        pause_seconds: between two pieces of the body, of which there are *pieces*.
        cut: how many bytes of the body are kept back although Content-Length promises them.
    """

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause_seconds: float = 0.0
    pieces: int = 1
    cut: int = 0


@dataclass
class Repository:
    """
    The state of one authority and its server. A test changes the dictionaries, then signs.

    Attributes:
        now: at which everything is issued.
        signers: the keys that sign each kind of document, whoever may.
        root, timestamp, pinset: the documents that were signed last.
        roots: envelopes by version.
        stamped, pinned: the envelopes of the current timestamp and pin set.
        label: the key that the current pin set pins.
        tamper: gets the path, the request's headers and the honest answer, and returns the one that is sent.
        frame: gets the bundle before it is written, and may change it.
    """

    name: str = "app"
    now: datetime = START
    authority: str = f"conformance-{sha256(b'conformance').hexdigest()[:16]}"
    signers: dict[str, list[ThrowawayKey]] = field(default_factory=dict)
    root: Json = field(default_factory=dict)
    timestamp: Json = field(default_factory=dict)
    pinset: Json = field(default_factory=dict)
    roots: dict[int, Json] = field(default_factory=dict)
    stamped: Json = field(default_factory=dict)
    pinned: Json = field(default_factory=dict)
    label: str = ""
    tamper: Callable[[str, Mapping[str, str], Answer], Answer] | None = None
    frame: Callable[[Json], None] | None = None

    def __post_init__(self) -> None:
        self.signers = {
            "root": [key("root 0"), key("root 1")],
            "timestamp": [key("timestamp")],
            "pinset": [key("pinset")],
        }
        self.root = {
            **self._common("root", days=365),
            "keys": {},
            "roles": {
                "root": {"keyids": [], "threshold": 2},
                "timestamp": {"keyids": [], "threshold": 1, "epoch": 1, "max_lifetime_seconds": 7 * DAY},
                "pinset": [
                    {"names": ["*"], "keyids": [], "threshold": 1, "epoch": 1, "max_lifetime_seconds": 90 * DAY}
                ],
            },
        }
        self.timestamp = {**self._common("timestamp", days=3), "name": self.name, "epoch": 1, "version": 0}
        self.pinset = {**self._common("pinset", days=30), "name": self.name, "epoch": 1, "version": 0, "hosts": []}
        for kind in TYPES:
            self.appoint(kind, self.signers[kind])
        self.roots = {1: sign("root", self.root, self.signers["root"])}
        self.publish()

    def _common(self, kind: str, *, days: int) -> Json:
        times = {"issued": spell(self.now), "expires": spell(self.now + timedelta(days=days))}
        return {"type": kind, "spec": "1.0", "authority": self.authority, "version": 1, **times}

    def become(self, other: "Repository") -> None:
        """Take the state of *other*, so that whoever holds this one goes on with it."""
        vars(self).update(vars(other))

    def role(self, kind: str) -> Json:
        """Return the role of a kind in the next root; of pin sets, the first grant."""
        role: Json = self.root["roles"][kind]
        return role[0] if kind == "pinset" else role

    def appoint(self, kind: str, keys: Iterable[ThrowawayKey], threshold: int | None = None) -> None:
        """Let the next root name *keys* for a role, and only those."""
        keys = list(keys)
        for each in keys:
            self.root["keys"][each.keyid] = {"scheme": "ed25519", "public": b64encode(each.public).decode()}
        self.role(kind)["keyids"] = [each.keyid for each in keys]
        if threshold is not None:
            self.role(kind)["threshold"] = threshold

    def publish_root(self, **changes: Any) -> None:
        """Sign the next root."""
        times = {"issued": spell(self.now), "expires": spell(self.now + timedelta(days=365))}
        self.root |= {**times, "version": self.root["version"] + 1, **changes}
        self.roots[self.root["version"]] = sign("root", self.root, self.signers["root"])

    def publish_pinset(self, label: str | None = None, **changes: Any) -> None:
        """Sign the next pin set, which pins the key of *label*; no timestamp names it yet."""
        times = {"issued": spell(self.now), "expires": spell(self.now + timedelta(days=30))}
        self.pinset |= {**times, "version": self.pinset["version"] + 1, **changes}
        self.label = label or f"pin set {self.pinset['epoch']}.{self.pinset['version']}"
        if "hosts" not in changes:
            self.pinset["hosts"] = [pinned(self.label)]
        self.sign_pinset()

    def sign_pinset(self) -> None:
        """Sign the pin set as it stands."""
        self.pinned = sign("pinset", self.pinset, self.signers["pinset"])

    def publish_timestamp(self, **changes: Any) -> None:
        """Sign the next timestamp, which names the current pin set."""
        times = {"issued": spell(self.now), "expires": spell(self.now + timedelta(days=3))}
        self.timestamp |= {
            **times,
            "version": self.timestamp["version"] + 1,
            "root": {"version": max(self.roots)},
            "pinset": self.reference(),
            **changes,
        }
        self.sign_timestamp()

    def sign_timestamp(self) -> None:
        """Sign the timestamp as it stands."""
        self.stamped = sign("timestamp", self.timestamp, self.signers["timestamp"])

    def reference(self) -> Json:
        """Return how a timestamp names the current pin set."""
        payload = b64decode(self.pinned["payload"])
        digest = b64encode(sha256(payload).digest()).decode()
        numbers = {name: self.pinset.get(name) for name in ("epoch", "version")}
        return {**numbers, "sha256": digest, "length": len(payload)}

    def publish(self, label: str | None = None, **changes: Any) -> None:
        """Sign the next pin set, and a timestamp that names it."""
        self.publish_pinset(label, **changes)
        self.publish_timestamp()

    def publish_changed(self, kind: str, change: Callable[[Json], object]) -> None:
        """Publish the next pair, with a new root if that is the kind, where *change* is made before it is signed."""
        if kind == "root":
            self.root["version"] += 1
            version = self.root["version"]
            change(self.root)
            self.roots[version] = sign("root", self.root, self.signers["root"])
        self.publish_pinset()
        if kind == "pinset":
            change(self.pinset)
            self.sign_pinset()
        self.publish_timestamp()
        if kind == "timestamp":
            change(self.timestamp)
            self.sign_timestamp()

    def bundle(self, root: int) -> Json:
        """Return the bundle for clients whose newest root is *root*."""
        lacking = [self.roots[version] for version in sorted(self.roots) if version > root]
        bundle = {"roots": lacking, "timestamp": self.stamped, "pinset": self.pinned}
        if self.frame:
            bundle = json.loads(json.dumps(bundle))
            self.frame(bundle)
        return bundle

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Return what the server says to a GET."""
        honest = self._honest_answer(path)
        return self.tamper(path, headers, honest) if self.tamper else honest

    def _honest_answer(self, path: str) -> Answer:
        match path.removeprefix("/v1/").split("/"):
            case ["bundles", self.name, root] if 0 <= max(self.roots) - int(root) <= MAX_BUNDLE_ROOTS:
                body = to_bytes(self.bundle(int(root)))
                return Answer(200, body, BUNDLE_TYPE, {"ETag": f'"{sha256(body).hexdigest()[:32]}"'})
            case ["roots", version] if int(version) in self.roots:
                return Answer(200, to_bytes(self.roots[int(version)]))
            case ["pinsets", self.name, "timestamp"]:
                return Answer(200, to_bytes(self.stamped))
            case ["pinsets", self.name, "versions", number] if number == self._number():
                return Answer(200, to_bytes(self.pinned))
        return Answer(404, b"{}")

    def _number(self) -> str:
        return f"{self.pinset['epoch']}.{self.pinset['version']}"
