"""The root: who may sign what (spec V1, V2, the form of V4)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pinwarden.documents.frame import common_json, open_payload, read_common
from pinwarden.envelope import ROOT_TYPE, check_public_key, keyid_of
from pinwarden.errors import MalformedError, SignatureError, WrongPinSetError
from pinwarden.fields import Fields
from pinwarden.strict_json import encode, encode_base64

_NAME_PATTERN = re.compile(r"(?:[a-z0-9][a-z0-9._-]{0,63})?\*|[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


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
        fields = open_payload(payload, ROOT_TYPE, "root", step="V4")
        keys = _parse_keys(fields.child("keys"))
        roles = fields.child("roles")
        return cls(
            **read_common(fields),
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
        return encode({"type": "root", **common_json(self), "keys": keys, "roles": roles})


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
