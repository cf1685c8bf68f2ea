"""The pin set: what the pins are (spec V8)."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast
from urllib.parse import urlsplit

from pinwarden.documents.frame import common_json, open_payload, read_common, read_named
from pinwarden.envelope import PINSET_TYPE
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.hosts import check_pattern
from pinwarden.strict_json import decode_base64, encode, encode_base64

PIN_BYTES = 32
MAX_HOSTS = 2000
MAX_PINS_PER_HOST = 32
MAX_DENIED = 256
MAX_REPORT_URL = 2048

_URL_CHARACTERS = re.compile(r"[!-~]+", re.ASCII)

Mode = Literal["enforce", "report"]
OnExpiry = Literal["refuse", "platform"]
OnStale = Literal["enforce", "refuse"]
Kind = Literal["leaf", "ca"]


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
        fields = open_payload(payload, PINSET_TYPE, "pinset", step="V5")
        deny = fields.each("deny", _parse_denied, optional=True)
        if len(deny) > MAX_DENIED:
            raise MalformedError("pinset.deny is too long", expected=f"at most {MAX_DENIED}", got=len(deny), step="V8")
        pinset = cls(
            **read_common(fields),
            **read_named(fields),
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
            **common_json(self),
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
