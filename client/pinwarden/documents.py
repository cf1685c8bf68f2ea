"""
The three documents: root, timestamp and pin set, as values (spec section 3, steps V1, V2, V5's first half, V8).

It may import the gate, ``envelope``'s key checks and ``hosts``. It never judges signatures, clocks or floors: whoever
holds one of these values knows its form, and nothing about who signed it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from pinwarden.envelope import PAYLOAD_LIMITS, PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, check_public_key, keyid_of
from pinwarden.errors import MalformedError, SignatureError, WrongPinSetError
from pinwarden.fields import Fields
from pinwarden.hosts import check_pattern
from pinwarden.strict_json import decode_base64, encode, encode_base64, format_time, parse_object

SPEC = "1.0"
PIN_BYTES = 32
MAX_HOSTS = 2000
MAX_PINS_PER_HOST = 32
MAX_DENIED = 256
MAX_REPORT_URL = 2048

_SPEC = re.compile(r"1\.[0-9]{1,4}", re.ASCII)
_AUTHORITY = re.compile(r"(?=.{8,64}\Z)[a-z0-9-]*[0-9a-f]{16}", re.ASCII)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_NAME_PATTERN = re.compile(r"(?:[a-z0-9][a-z0-9._-]{0,63})?\*|[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_URL_CHARACTERS = re.compile(r"[!-~]+", re.ASCII)

Mode = Literal["enforce", "report"]
OnExpiry = Literal["refuse", "platform"]
OnStale = Literal["enforce", "refuse"]
Kind = Literal["leaf", "ca"]


@dataclass(frozen=True, slots=True)
class Key:
    """A public key; *public* is None for a scheme that this version does not know."""

    scheme: str
    public: bytes | None

    @property
    def keyid(self) -> str:
        """The name of the key; only for keys of a known scheme."""
        if self.public is None:
            raise ValueError(f"the keyid of a {self.scheme!r} key cannot be computed here")
        return keyid_of(self.public)


@dataclass(frozen=True, slots=True)
class Role:
    """Who may sign: *threshold* of *keys*, which are the usable ones of *keyids* (keyid to raw public key)."""

    keyids: tuple[str, ...]
    threshold: int
    keys: Mapping[str, bytes]

    def _to_json(self) -> dict[str, object]:
        return {"keyids": list(self.keyids), "threshold": self.threshold}


@dataclass(frozen=True, slots=True)
class TimestampRole(Role):
    """The role that says which version is current."""

    epoch: int
    max_lifetime_seconds: int

    def _to_json(self) -> dict[str, object]:
        limits = {"epoch": self.epoch, "max_lifetime_seconds": self.max_lifetime_seconds}
        return {"keyids": list(self.keyids), "threshold": self.threshold, **limits}


@dataclass(frozen=True, slots=True)
class Grant(TimestampRole):
    """The role that says what the pins of all pin sets named by *names* are."""

    names: tuple[str, ...]

    def covers(self, name: str) -> bool:
        """Tell whether one of the patterns, exact or ending in one ``*``, matches *name*."""
        return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in self.names)

    def _to_json(self) -> dict[str, object]:
        limits = {"epoch": self.epoch, "max_lifetime_seconds": self.max_lifetime_seconds}
        return {"names": list(self.names), "keyids": list(self.keyids), "threshold": self.threshold, **limits}


@dataclass(frozen=True, slots=True)
class Root:
    """Who may sign what, in one authority."""

    authority: str
    version: int
    issued: datetime
    expires: datetime
    keys: Mapping[str, Key]
    root: Role
    timestamp: TimestampRole
    pinset: tuple[Grant, ...]

    def grant_for(self, name: str) -> Grant:
        """
        Return the first grant with a matching name.

        Raises:
            WrongPinSetError: no key may sign a pin set of that name.
        """
        for grant in self.pinset:
            if grant.covers(name):
                return grant
        raise WrongPinSetError(
            f"root {self.version} of {self.authority} grants no key the pin set {name!r}",
            expected=f"a name that matches one of {[p for grant in self.pinset for p in grant.names]}",
            step="V7",
        )

    @classmethod
    def parse(cls, payload: bytes) -> "Root":
        """
        Read a root payload (spec V1, V2, V4's form).

        Raises:
            MalformedError: not a root. SignatureError: a key or role that nobody could rely on.
        """
        fields = _open(payload, ROOT_TYPE, "root", step="V4")
        keys = _parse_keys(fields.child("keys"))
        roles = fields.child("roles")
        return cls(
            **_common(fields),
            keys=keys,
            root=Role(**_parse_role(roles.child("root"), keys)),
            timestamp=TimestampRole(**_parse_limited_role(roles.child("timestamp"), keys)),
            pinset=roles.each("pinset", lambda value, path: _parse_grant(Fields(value, path), keys)),
        )

    def encode(self) -> bytes:
        """Return the payload bytes that signers sign."""
        keys = {
            keyid: {"scheme": key.scheme, "public": encode_base64(key.public)}
            for keyid, key in self.keys.items()
            if key.public is not None
        }
        roles = {
            "root": self.root._to_json(),
            "timestamp": self.timestamp._to_json(),
            "pinset": [grant._to_json() for grant in self.pinset],
        }
        return encode({"type": "root", **_common_json(self), "keys": keys, "roles": roles})


@dataclass(frozen=True, slots=True)
class PinSetRef:
    """Which pin set is current: its numbers, and the SHA-256 and length of its payload bytes."""

    epoch: int
    version: int
    sha256: bytes
    length: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A short-lived statement of which pin set version is current."""

    authority: str
    name: str
    epoch: int
    version: int
    issued: datetime
    expires: datetime
    root_version: int
    pinset: PinSetRef

    @classmethod
    def parse(cls, payload: bytes) -> "Timestamp":
        """Read a timestamp payload; MalformedError when it is none."""
        fields = _open(payload, TIMESTAMP_TYPE, "timestamp", step="V5")
        named = fields.child("pinset")
        return cls(
            **_common(fields),
            **_named(fields),
            root_version=fields.child("root").integer("version"),
            pinset=PinSetRef(
                named.integer("epoch"),
                named.integer("version"),
                named.octets("sha256", PIN_BYTES),
                named.integer("length"),
            ),
        )

    def encode(self) -> bytes:
        """Return the payload bytes that signers sign."""
        pinset = {
            "epoch": self.pinset.epoch,
            "version": self.pinset.version,
            "sha256": encode_base64(self.pinset.sha256),
            "length": self.pinset.length,
        }
        named = {"name": self.name, "epoch": self.epoch}
        root = {"version": self.root_version}
        return encode({"type": "timestamp", **_common_json(self), **named, "root": root, "pinset": pinset})


@dataclass(frozen=True, slots=True)
class Pin:
    """SHA-256 of a SubjectPublicKeyInfo; *kind* informs exports and never changes a verdict."""

    sha256: bytes
    kind: Kind = "leaf"

    def __str__(self) -> str:
        return encode_base64(self.sha256)


@dataclass(frozen=True, slots=True)
class Host:
    """The pins of one host pattern: *pins* are keys in service, *backups* are keys that are not."""

    host: str
    pins: tuple[Pin, ...]
    backups: tuple[Pin, ...]
    mode: Mode = "enforce"
    enforce_percent: int = 100
    on_expiry: OnExpiry = "refuse"


@dataclass(frozen=True, slots=True)
class PinSet:
    """A named document that maps hosts to pins."""

    authority: str
    name: str
    epoch: int
    version: int
    issued: datetime
    expires: datetime
    hosts: tuple[Host, ...]
    deny: tuple[bytes, ...] = ()
    on_stale: OnStale = "enforce"
    report_to: str | None = None

    @classmethod
    def parse(cls, payload: bytes) -> "PinSet":
        """
        Read a pin set payload, the content rules of spec V8 included.

        Whether the pins suit any live host is not judged here.

        Raises:
            MalformedError: not a pin set, or one that a client could not honour.
        """
        fields = _open(payload, PINSET_TYPE, "pinset", step="V5")
        deny = fields.each("deny", _parse_denied, optional=True)
        if len(deny) > MAX_DENIED:
            raise MalformedError("pinset.deny is too long", expected=f"at most {MAX_DENIED}", got=len(deny), step="V8")
        pinset = cls(
            **_common(fields),
            **_named(fields),
            hosts=fields.each("hosts", lambda value, path: _parse_host(Fields(value, path), frozenset(deny))),
            deny=deny,
            on_stale=cast("OnStale", fields.choice("on_stale", ("enforce", "refuse"), default="enforce")),
            report_to=_parse_report_to(fields),
        )
        _check_hosts_together(pinset)
        return pinset

    def encode(self) -> bytes:
        """Return the payload bytes that signers sign."""
        body: dict[str, object] = {
            "type": "pinset",
            **_common_json(self),
            "name": self.name,
            "epoch": self.epoch,
            "hosts": [_host_to_json(host) for host in self.hosts],
            "on_stale": self.on_stale,
        }
        if self.deny:
            body["deny"] = [encode_base64(pin) for pin in self.deny]
        if self.report_to is not None:
            body["report_to"] = self.report_to
        return encode(body)


def check_name(name: str) -> str:
    """Return *name* when a pin set may have it; MalformedError otherwise."""
    if _NAME.fullmatch(name) is None:
        raise MalformedError("not a pin set name", expected="[a-z0-9][a-z0-9._-]{0,63}", got=repr(name[:80]))
    return name


def _open(payload: bytes, payload_type: str, kind: str, *, step: str) -> Fields:
    fields = Fields(parse_object(payload, limit=PAYLOAD_LIMITS[payload_type], what=f"{kind} payload"), kind)
    if fields.text("type") != kind:
        raise MalformedError("document of the wrong type", expected=kind, got=repr(fields.text("type")), step=step)
    if _SPEC.fullmatch(fields.text("spec")) is None:
        raise MalformedError(
            f"{kind} follows another major version of the protocol",
            expected="1.x",
            got=repr(fields.text("spec")[:32]),
            hint="Update the client.",
            step=step,
        )
    unknown = fields.texts("crit", optional=True)
    if unknown:
        raise MalformedError(
            f"{kind} demands features that this client lacks", got=list(unknown), hint="Update the client.", step=step
        )
    return fields


def _common(fields: Fields) -> dict[str, Any]:
    authority = fields.text("authority")
    if _AUTHORITY.fullmatch(authority) is None:
        raise MalformedError(
            f"{fields.path}.authority is not an authority",
            expected="[a-z0-9-]{8,64} that ends in 16 hex digits",
            got=repr(authority[:80]),
            step="P4",
        )
    return {
        "authority": authority,
        "version": fields.integer("version"),
        "issued": fields.time("issued"),
        "expires": fields.time("expires"),
    }


def _named(fields: Fields) -> dict[str, Any]:
    name = fields.text("name")
    if _NAME.fullmatch(name) is None:
        raise MalformedError(f"{fields.path}.name is not a pin set name", got=repr(name[:80]), step="P4")
    return {"name": name, "epoch": fields.integer("epoch")}


def _common_json(document: Root | Timestamp | PinSet) -> dict[str, object]:
    return {
        "spec": SPEC,
        "authority": document.authority,
        "version": document.version,
        "issued": format_time(document.issued),
        "expires": format_time(document.expires),
    }


def _parse_keys(fields: Fields) -> dict[str, Key]:
    keys = {}
    for keyid in fields.names():
        entry = fields.child(keyid)
        if (scheme := entry.text("scheme")) == "ed25519":
            keys[keyid] = Key(scheme, check_public_key(entry.octets("public", 32), keyid=keyid))  # spec V1
        else:  # spec V1: a later scheme must not end the chain for clients that do not know it
            keys[keyid] = Key(scheme, None)
    return keys


def _parse_role(fields: Fields, keys: Mapping[str, Key]) -> dict[str, Any]:
    """Read keyids and threshold (spec V2)."""
    keyids = fields.texts("keyids")
    if len(set(keyids)) != len(keyids):
        raise SignatureError(f"{fields.path} names a keyid twice", got=list(keyids), step="V2")
    missing = [keyid for keyid in keyids if keyid not in keys]
    if missing:
        raise SignatureError(f"{fields.path} names keys that the root does not hold", got=missing, step="V2")
    usable = {keyid: public for keyid in keyids if (public := keys[keyid].public) is not None}
    threshold = fields.integer("threshold")
    if threshold > len(usable):
        raise SignatureError(
            f"{fields.path} can never be met", expected=f"threshold up to {len(usable)}", got=threshold, step="V2"
        )
    return {"keyids": keyids, "threshold": threshold, "keys": usable}


def _parse_limited_role(fields: Fields, keys: Mapping[str, Key]) -> dict[str, Any]:
    return {
        **_parse_role(fields, keys),
        "epoch": fields.integer("epoch"),
        "max_lifetime_seconds": fields.integer("max_lifetime_seconds"),
    }


def _parse_grant(fields: Fields, keys: Mapping[str, Key]) -> Grant:
    names = fields.texts("names")
    for name in names:
        if _NAME_PATTERN.fullmatch(name) is None:
            raise MalformedError(
                f"{fields.path}.names holds a bad pattern",
                expected="a name, or its beginning and one '*'",
                got=repr(name[:80]),
                step="V2",
            )
    return Grant(**_parse_limited_role(fields, keys), names=names)


def _parse_host(fields: Fields, deny: frozenset[bytes]) -> Host:
    host = Host(
        host=check_pattern(fields.text("host"), what=f"{fields.path}.host"),
        pins=fields.each("pins", _parse_pin),
        backups=fields.each("backups", _parse_pin),
        mode=cast("Mode", fields.choice("mode", ("enforce", "report"), default="enforce")),
        enforce_percent=fields.integer("enforce_percent", most=100, default=100),
        on_expiry=cast("OnExpiry", fields.choice("on_expiry", ("refuse", "platform"), default="refuse")),
    )
    pins, backups = {pin.sha256 for pin in host.pins}, {pin.sha256 for pin in host.backups}
    for problem, found in (  # spec V8
        ("has no pin", not pins),
        ("has no backup", not backups),
        ("has more than 32 pins and backups", len(host.pins) + len(host.backups) > MAX_PINS_PER_HOST),
        ("has a pin that is also a backup", not pins.isdisjoint(backups)),
        ("pins a denied key", not deny.isdisjoint(pins | backups)),
    ):
        if found:
            raise MalformedError(f"{fields.path} ({host.host}) {problem}", step="V8")
    return host


def _parse_pin(value: object, path: str) -> Pin:
    fields = Fields(value, path)
    return Pin(fields.octets("sha256", PIN_BYTES), cast("Kind", fields.choice("kind", ("leaf", "ca"))))


def _parse_denied(value: object, path: str) -> bytes:
    return decode_base64(value, what=path, length=PIN_BYTES)


def _parse_report_to(fields: Fields) -> str | None:
    if "report_to" not in fields:
        return None
    url = fields.text("report_to")
    try:
        parts = urlsplit(url)
        usable = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        usable = False
    if not usable or len(url) > MAX_REPORT_URL or _URL_CHARACTERS.fullmatch(url) is None:
        raise MalformedError(
            f"{fields.path}.report_to is not usable",
            expected=f"https URL without credentials, at most {MAX_REPORT_URL} characters",
            got=repr(url[:80]),
            step="V8",
        )
    return url


def _check_hosts_together(pinset: PinSet) -> None:
    if len(pinset.hosts) > MAX_HOSTS:
        raise MalformedError(
            "pinset.hosts is too long", expected=f"at most {MAX_HOSTS}", got=len(pinset.hosts), step="V8"
        )
    seen: set[str] = set()
    for host in pinset.hosts:
        if host.host in seen:
            raise MalformedError(f"pinset.hosts names {host.host!r} twice", step="V8")
        seen.add(host.host)
        if pinset.on_stale == "refuse" and host.on_expiry == "platform":
            raise MalformedError(
                f"pinset combines on_stale 'refuse' with on_expiry 'platform' for {host.host!r}",
                hint="Whoever blocks updates could then switch pinning off.",
                step="V8",
            )


def _host_to_json(host: Host) -> dict[str, object]:
    return {
        "host": host.host,
        "mode": host.mode,
        "enforce_percent": host.enforce_percent,
        "on_expiry": host.on_expiry,
        "pins": [{"sha256": str(pin), "kind": pin.kind} for pin in host.pins],
        "backups": [{"sha256": str(pin), "kind": pin.kind} for pin in host.backups],
    }
