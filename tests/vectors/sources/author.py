"""
Writes the documents and cases of the vectors: keys from seeds, payloads as plain dictionaries, times as strings.

It may import the signing half of ``pinwarden.testing`` and nothing that judges. It never states what a client does with
a document: each case says that itself, by hand, from docs/spec.md.
"""

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from pinwarden.testing import ThrowawayKey, sign

AUTHORITY = "vectors-00c0ffee00c0ffee"
NAME = "app"
DAY = 24 * 3600
MAX_INTEGER = 2**53 - 1
ROOT_TYPE = "application/vnd.pinwarden.root.v1+json"
PINSET_TYPE = "application/vnd.pinwarden.pinset.v1+json"
TIMESTAMP_TYPE = "application/vnd.pinwarden.timestamp.v1+json"

ABSENT: Any = object()

ROOT_KEYS = [ThrowawayKey(f"vectors root {number}") for number in range(3)]
NEW_ROOT_KEYS = [ThrowawayKey(f"vectors new root {number}") for number in range(3)]
TIMESTAMP_KEY, NEW_TIMESTAMP_KEY = ThrowawayKey("vectors timestamp"), ThrowawayKey("vectors new timestamp")
PINSET_KEY, NEW_PINSET_KEY = ThrowawayKey("vectors pinset"), ThrowawayKey("vectors new pinset")
STRANGER = ThrowawayKey("vectors stranger")

Json = dict[str, Any]


def at(days: float = 0, hours: float = 0, seconds: int = 0) -> str:
    """Return the time that lies so long after the beginning of 2026, as documents spell it."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days, hours=hours, seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


NOW = at()


def b64(value: bytes) -> str:
    """Return padded standard base64."""
    return b64encode(value).decode("ascii")


def pin(label: str, kind: str = "leaf") -> Json:
    """Return a pin of nobody's key."""
    return {"sha256": b64(sha256(label.encode()).digest()), "kind": kind}


def changed(value: Json, changes: Json) -> Json:
    """Return *value* with members replaced, or taken out where ABSENT stands."""
    return {name: member for name, member in {**value, **changes}.items() if member is not ABSENT}


def spell(value: object) -> bytes:
    """Return a payload as signers spell it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def key_table(*keys: ThrowawayKey) -> Json:
    """Return the ``keys`` member of a root."""
    return {key.keyid: {"scheme": "ed25519", "public": b64(key.public)} for key in keys}


def role(*keys: ThrowawayKey, threshold: object = 1, **more: object) -> Json:
    """Return a role without limits."""
    return {"keyids": [key.keyid for key in keys], "threshold": threshold, **more}


def timestamp_role(*keys: ThrowawayKey, epoch: object = 1, lifetime: object = 7 * DAY, threshold: object = 1) -> Json:
    """Return the timestamp role."""
    return role(*keys, threshold=threshold, epoch=epoch, max_lifetime_seconds=lifetime)


def grant(
    *keys: ThrowawayKey, names: Any = (NAME,), epoch: object = 1, lifetime: object = 90 * DAY, threshold: object = 1
) -> Json:
    """Return one grant of the pin set role."""
    named = names if not isinstance(names, tuple) else list(names)
    return role(*keys, names=named, threshold=threshold, epoch=epoch, max_lifetime_seconds=lifetime)


ROLES = {
    "root": role(*ROOT_KEYS, threshold=2),
    "timestamp": timestamp_role(TIMESTAMP_KEY),
    "pinset": [grant(PINSET_KEY)],
}
KEYS = key_table(*ROOT_KEYS, TIMESTAMP_KEY, PINSET_KEY)
LATER_KEYS = key_table(*NEW_ROOT_KEYS, NEW_TIMESTAMP_KEY, NEW_PINSET_KEY)


def root_payload(version: object = 1, roles: Json | None = None, **changes: object) -> Json:
    """Return a root that holds the keys its roles name; *roles* replace roles by name, *changes* replace members."""
    all_roles = changed(ROLES, roles or {})
    spelt = spell(all_roles).decode()
    body = {
        "type": "root",
        "spec": "1.0",
        "authority": AUTHORITY,
        "version": version,
        "issued": NOW,
        "expires": at(days=365),
        "keys": KEYS | {keyid: entry for keyid, entry in LATER_KEYS.items() if keyid in spelt},
        "roles": all_roles,
    }
    return changed(body, changes)


def pinset_payload(version: object = 1, **changes: object) -> Json:
    """Return a pin set with one host."""
    body = {
        "type": "pinset",
        "spec": "1.0",
        "authority": AUTHORITY,
        "name": NAME,
        "epoch": 1,
        "version": version,
        "issued": NOW,
        "expires": at(days=30),
        "hosts": [host()],
    }
    return changed(body, changes)


def host(pattern: object = "api.example.com", **changes: object) -> Json:
    """Return a host entry with one pin and one backup."""
    return changed({"host": pattern, "pins": [pin("in service")], "backups": [pin("backup")]}, changes)


def timestamp_payload(pinset: bytes, version: object = 1, ref: Json | None = None, **changes: object) -> Json:
    """Return a timestamp that names *pinset*, a payload; *ref* replaces members of its reference."""
    try:
        document = dict(json.loads(pinset))
    except ValueError:
        document = {}
    reference = {
        "epoch": document.get("epoch", 1),
        "version": document.get("version", 1),
        "sha256": b64(sha256(pinset).digest()),
        "length": len(pinset),
    }
    # A pin set whose numbers are the fault must not make the timestamp faulty too.
    for member in ("epoch", "version"):
        if type(reference[member]) is not int or not 1 <= reference[member] <= MAX_INTEGER:
            reference[member] = 1
    body = {
        "type": "timestamp",
        "spec": "1.0",
        "authority": AUTHORITY,
        "name": NAME,
        "epoch": 1,
        "version": version,
        "issued": NOW,
        "expires": at(days=3),
        "root": {"version": 1},
        "pinset": changed(reference, ref or {}),
    }
    return changed(body, changes)


def envelope(payload_type: str, payload: Json | bytes, *keys: ThrowawayKey, **changes: object) -> Json:
    """Return *payload* signed by *keys*; *changes* replace members of the envelope afterwards."""
    raw = payload if isinstance(payload, bytes) else spell(payload)
    return changed(sign(payload_type, raw, keys).to_json(), changes)


def root_envelope(version: object = 1, *, signers: Any = None, **changes: Any) -> Json:
    """Return a signed root; signed by two of the first root keys unless *signers* are named."""
    return envelope(ROOT_TYPE, root_payload(version, **changes), *(signers or ROOT_KEYS[:2]))


def bundle(timestamp: object, pinset: object, roots: object = (), **more: object) -> str:
    """Return a bundle as it travels, with *more* members."""
    return spell(changed({"roots": roots, "timestamp": timestamp, "pinset": pinset}, more)).decode("ascii")


def update(
    version: Any = 1,
    *,
    pinset: Json | bytes | None = None,
    timestamp: Json | bytes | None = None,
    ref: Json | None = None,
    roots: Any = (),
    pinset_version: Any = None,
    pinset_key: ThrowawayKey = PINSET_KEY,
    timestamp_key: ThrowawayKey = TIMESTAMP_KEY,
) -> str:
    """Return a bundle whose documents have *version*; dictionaries change members, bytes replace a payload."""
    set_version = version if pinset_version is None else pinset_version
    raw_set = pinset if isinstance(pinset, bytes) else spell(changed(pinset_payload(set_version), pinset or {}))
    if not isinstance(timestamp, bytes):
        timestamp = spell(changed(timestamp_payload(raw_set, version, ref), timestamp or {}))
    return bundle(envelope(TIMESTAMP_TYPE, timestamp, timestamp_key), envelope(PINSET_TYPE, raw_set, pinset_key), roots)
