"""
An authority whose keys live in memory: it signs what a test asks for, good documents and bad ones.

It may import the rooms without I/O and libsodium's signing. It never touches a disk, and it announces itself: nothing
that it signs may protect a real connection.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from pinwarden.bundle import MAX_BUNDLE_ROOTS, Bundle
from pinwarden.documents import (
    Grant,
    Host,
    Key,
    Pin,
    PinSet,
    PinSetRef,
    Role,
    Root,
    Timestamp,
    TimestampRole,
)
from pinwarden.envelope import (
    PINSET_TYPE,
    ROOT_TYPE,
    TIMESTAMP_TYPE,
    Envelope,
    Signature,
    keyid_of,
    pae,
)

DAY: int = 24 * 3600


class InsecureForProductionWarning(UserWarning):
    """A stand-in that is meant for tests and demonstrations is in use."""


class ThrowawayKey:
    """
    An Ed25519 key in memory.

    Args:
        seed: 32 bytes, or any text, which is hashed; equal seeds give equal keys, so that vectors can be reproduced.
    """

    def __init__(self, seed: bytes | str) -> None:
        raw = sha256(seed.encode()).digest() if isinstance(seed, str) else seed
        self.public: bytes
        self.public, self._secret = crypto_sign_seed_keypair(raw)
        self.keyid: str = keyid_of(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over *message*."""
        return crypto_sign(message, self._secret)[:64]

    def envelope_signature(self, payload_type: str, payload: bytes) -> Signature:
        """Return this key's entry of an envelope."""
        return Signature(self.keyid, self.sign(pae(payload_type, payload)))


class ThrowawayAuthority:
    """
    Signs roots, timestamps and pin sets at will, good ones and, through *changes*, bad ones.

    ``authority.publish(hosts)`` makes the next version; ``authority.bundle()`` is what a server would answer now. The
    attributes ``root_keys``, ``timestamp_keys`` and ``pinset_keys`` may be replaced before :meth:`rotate_root`.

    Args:
        name: the pin set that it publishes.
        now: the time at which everything is issued; default: the present. Assign ``authority.now`` to move it.
        seed: makes all keys, and so all bytes, reproducible.
    """

    def __init__(self, name: str = "app", *, now: datetime | None = None, seed: str = "throwaway") -> None:
        warnings.warn("ThrowawayAuthority signs with keys that anyone can compute", InsecureForProductionWarning, 2)
        self.name = name
        self.now: datetime = now or datetime.now(UTC).replace(microsecond=0)
        self.authority: str = f"test-{sha256(seed.encode()).hexdigest()[:16]}"
        self.root_keys: list[ThrowawayKey] = [ThrowawayKey(f"{seed} root {index}") for index in range(2)]
        self.timestamp_keys: list[ThrowawayKey] = [ThrowawayKey(f"{seed} timestamp")]
        self.pinset_keys: list[ThrowawayKey] = [ThrowawayKey(f"{seed} pinset")]
        self._root_signers = {key.keyid: key for key in self.root_keys}
        self.timestamp_version: int = 0
        self.pinset_version: int = 0
        self.roots: list[Envelope] = [sign(ROOT_TYPE, self.draft_root().encode(), self.root_keys)]
        self.current: tuple[Envelope, Envelope] | None = None

    @property
    def root(self) -> Root:
        """The newest root."""
        return Root.parse(self.roots[-1].payload)

    @property
    def root_json(self) -> bytes:
        """Root version 1, as an application embeds it."""
        return self.roots[0].to_bytes()

    def draft_root(self, *, version: int = 1, timestamp_epoch: int = 1, pinset_epoch: int = 1) -> Root:
        """Return a root that names the present keys with threshold 1 (2 of 2 for roots); nothing is signed."""
        everyone = [*self.root_keys, *self.timestamp_keys, *self.pinset_keys]
        return Root(
            authority=self.authority,
            version=version,
            issued=self.now,
            expires=self.now + timedelta(days=365),
            keys={key.keyid: Key("ed25519", key.public) for key in everyone},
            root=Role(_ids(self.root_keys), len(self.root_keys), _publics(self.root_keys)),
            timestamp=TimestampRole(
                _ids(self.timestamp_keys), 1, _publics(self.timestamp_keys), timestamp_epoch, 7 * DAY
            ),
            pinset=(Grant(_ids(self.pinset_keys), 1, _publics(self.pinset_keys), pinset_epoch, 90 * DAY, ("*",)),),
        )

    def rotate_root(self, *, signers: Sequence[ThrowawayKey] | None = None, **changes: Any) -> Envelope:
        """
        Append the next root, with the present keys and *changes* to its fields, signed by old and new root keys.

        Epochs stay, unless ``timestamp_epoch=`` or ``pinset_epoch=`` raise them.
        """
        previous = self.root
        epochs = {
            "timestamp_epoch": changes.pop("timestamp_epoch", previous.timestamp.epoch),
            "pinset_epoch": changes.pop("pinset_epoch", previous.pinset[0].epoch),
        }
        root = replace(self.draft_root(version=previous.version + 1, **epochs), **changes)
        self._root_signers |= {key.keyid: key for key in self.root_keys}
        if signers is None:
            wanted = dict.fromkeys([*previous.root.keyids, *_ids(self.root_keys)])
            signers = [self._root_signers[keyid] for keyid in wanted if keyid in self._root_signers]
        self.roots.append(sign(ROOT_TYPE, root.encode(), signers))
        return self.roots[-1]

    def publish(self, hosts: Iterable[Host] | Mapping[str, Sequence[bytes]], **changes: Any) -> Bundle:
        """
        Sign the next pin set and a timestamp for it, and return the bundle for holders of root 1.

        *hosts* are Host values, or ``{pattern: [pin, ..., backup]}`` with 32-byte pins, the last of which is the
        backup. *changes* replace fields of the pin set; wrong ones are signed as they are.
        """
        self.pinset_version += 1
        pinset = self.sign_pinset(hosts, **{"version": self.pinset_version, **changes})
        self.current = (self.sign_timestamp(pinset), pinset)
        return self.bundle()

    def sign_pinset(self, hosts: Iterable[Host] | Mapping[str, Sequence[bytes]], **changes: Any) -> Envelope:
        """Return a signed pin set; nothing is published."""
        if isinstance(hosts, Mapping):
            hosts = [pinned(pattern, *pins) for pattern, pins in hosts.items()]
        pinset = PinSet(
            authority=self.authority,
            name=self.name,
            epoch=self.root.pinset[0].epoch,
            version=changes.pop("version", self.pinset_version + 1),
            issued=self.now,
            expires=self.now + timedelta(days=30),
            hosts=tuple(hosts),
        )
        return sign(PINSET_TYPE, replace(pinset, **changes).encode(), self.pinset_keys)

    def sign_timestamp(self, pinset: Envelope, /, **changes: Any) -> Envelope:
        """Return the next signed timestamp, which names *pinset*; nothing is published."""
        self.timestamp_version += 1
        document = PinSet.parse(pinset.payload)
        reference = PinSetRef(document.epoch, document.version, sha256(pinset.payload).digest(), len(pinset.payload))
        timestamp = Timestamp(
            authority=self.authority,
            name=self.name,
            epoch=self.root.timestamp.epoch,
            version=self.timestamp_version,
            issued=self.now,
            expires=self.now + timedelta(days=3),
            root_version=self.root.version,
            pinset=reference,
        )
        return sign(TIMESTAMP_TYPE, replace(timestamp, **changes).encode(), self.timestamp_keys)

    def bundle(self, *, root: int = 1) -> Bundle:
        """Return the bundle for a client that trusts version *root*."""
        if self.current is None:
            raise LookupError("nothing was published yet; call publish() first")
        return Bundle(tuple(self.roots[root : root + MAX_BUNDLE_ROOTS]), *self.current)


def sign(payload_type: str, payload: bytes, keys: Iterable[ThrowawayKey]) -> Envelope:
    """Return *payload* in an envelope with one signature per key."""
    return Envelope.of(payload_type, payload, [key.envelope_signature(payload_type, payload) for key in keys])


def pinned(pattern: str, *pins: bytes, **changes: Any) -> Host:
    """Return a host entry whose last pin is the backup; a single pin gets a backup that nobody holds."""
    keys, backup = (pins[:-1], pins[-1]) if len(pins) > 1 else (pins, sha256(b"backup of " + pins[0]).digest())
    return replace(Host(pattern, tuple(Pin(pin) for pin in keys), (Pin(backup),)), **changes)


def _ids(keys: Sequence[ThrowawayKey]) -> tuple[str, ...]:
    return tuple(key.keyid for key in keys)


def _publics(keys: Sequence[ThrowawayKey]) -> dict[str, bytes]:
    return {key.keyid: key.public for key in keys}
