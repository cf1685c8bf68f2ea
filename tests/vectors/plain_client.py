"""
A second client, written from docs/spec.md alone, with the parser and the library that any platform has.

It imports nothing of the product: ``json`` is not strict, OpenSSL cannot tell a point of prime order. What vectors do
not mark, such a client must get right; so it proves the text, the expectations and the marks. Not for use: it trusts
seeds, keeps nothing, and says little about what it refuses.
"""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TYPES = {kind: f"application/vnd.pinwarden.{kind}.v1+json" for kind in ("root", "timestamp", "pinset")}
LIMITS = {"root": 16 * 1024, "timestamp": 4 * 1024, "pinset": 1024 * 1024}
LARGEST = 2**53 - 1
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
Json = dict[str, Any]


class Refused(Exception):
    """Carries the class of section 6 as its only argument."""


def demand(holds: object, error: str = "MalformedError") -> None:
    """Refuse unless *holds*."""
    if not holds:
        raise Refused(error)


def parse(raw: bytes, limit: int) -> Json:
    """P1 to P4, as far as an ordinary parser goes."""
    demand(len(raw) <= limit)
    try:
        value = json.loads(raw.decode("utf-8"), parse_float=_as_one_kind_of_number)
    except (ValueError, RecursionError):
        raise Refused("MalformedError") from None
    demand(type(value) is dict)
    return value


def _as_one_kind_of_number(digits: str) -> int | float:
    """Read 1.0 as 1, like the many parsers for which all numbers are of one kind."""
    value = float(digits)
    return int(value) if value.is_integer() else value


def member(value: Any, name: str, kind: type, default: Any = None) -> Any:
    """P4: a member of exactly that type."""
    demand(type(value) is dict)
    found = value.get(name, default) if name in value or default is not None else None
    demand(type(found) is kind)
    return found


def number(value: Any, name: str, most: int = LARGEST, default: int | None = None) -> int:
    """An integer from 1."""
    found = member(value, name, int, default)
    demand(1 <= found <= most)
    return found


def text(value: Any, name: str, pattern: str) -> str:
    """Text that matches from end to end."""
    found = member(value, name, str)
    demand(re.fullmatch(pattern, found, re.ASCII))
    return found


def texts(value: Any, name: str, default: Any = None) -> list[str]:
    """A list of texts."""
    found = member(value, name, list, default)
    demand(all(type(each) is str for each in found))
    return found


def octets(spelt: Any, length: int | None = None) -> bytes:
    """P5."""
    demand(type(spelt) is str)
    try:
        value = base64.b64decode(spelt.encode("ascii"), validate=True)
    except ValueError:
        raise Refused("MalformedError") from None
    demand(base64.b64encode(value).decode() == spelt and length in (None, len(value)))
    return value


def moment(value: Any, name: str) -> datetime:
    """P6."""
    spelt = text(value, name, r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\dZ")
    try:
        demand(spelt[17:19] != "60")
        return datetime.strptime(spelt, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused("MalformedError") from None


def choice(value: Any, name: str, choices: tuple[str, ...], default: str | None = None) -> str:
    """One of few words."""
    found = member(value, name, str, default)
    demand(found in choices)
    return found


class Envelope:
    """Section 2; refuses what P4, P5, P7 and the first rule of V3 refuse."""

    def __init__(self, value: Any, kind: str) -> None:
        demand(type(value) is dict and value.get("payloadType") == TYPES[kind])
        self.kind = kind
        self.payload = octets(value.get("payload"))
        demand(len(self.payload) <= LIMITS[kind])
        self.entries = member(value, "signatures", list)
        demand(len(self.entries) <= 16)
        self.keyids = [member(entry, "keyid", str) for entry in self.entries]
        for entry in self.entries:
            member(entry, "sig", str)
        demand(len(set(self.keyids)) == len(self.keyids), "SignatureError")

    def check_signed(self, role: Json) -> None:
        """V3."""
        kind = TYPES[self.kind].encode()
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)
        good = {entry["keyid"] for entry in self.entries if self._is_good(entry, role["usable"], signed)}
        demand(len(good) >= role["threshold"], "SignatureError")

    def _is_good(self, entry: Json, usable: dict[str, bytes], signed: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(usable[entry["keyid"]]).verify(octets(entry["sig"], 64), signed)
        except (KeyError, Refused, InvalidSignature, ValueError):
            return False
        return True


def read_document(payload: bytes, kind: str) -> Json:
    """What all documents have."""
    value = parse(payload, LIMITS[kind])
    text(value, "type", kind)
    text(value, "spec", r"1\.[0-9]{1,4}")
    demand(texts(value, "crit", []) == [])
    text(value, "authority", r"[a-z0-9-]{0,48}[0-9a-f]{16}")
    number(value, "version")
    for name in ("issued", "expires"):
        value[name] = moment(value, name)
    if kind != "root":
        text(value, "name", NAME)
        number(value, "epoch")
    return value


def read_root(payload: bytes, small_order: set[bytes]) -> Json:
    """V1 and V2."""
    root = read_document(payload, "root")
    keys: dict[str, bytes | None] = {}
    for keyid, entry in member(root, "keys", dict).items():
        if member(entry, "scheme", str) != "ed25519":
            keys[keyid] = None
            continue
        public = keys[keyid] = octets(entry.get("public"), 32)
        spki = bytes.fromhex("302a300506032b6570032100") + public
        y = int.from_bytes(public, "little") & (1 << 255) - 1
        own = hashlib.sha256(spki).hexdigest() == keyid
        demand(own and y < 2**255 - 19 and public not in small_order, "SignatureError")
    roles = member(root, "roles", dict)
    grants = member(roles, "pinset", list)
    for role in (member(roles, "root", dict), member(roles, "timestamp", dict), *grants):
        keyids = texts(role, "keyids")
        demand(len(set(keyids)) == len(keyids) and set(keyids) <= set(keys), "SignatureError")
        role["usable"] = {keyid: keys[keyid] for keyid in keyids if keys[keyid] is not None}
        demand(number(role, "threshold") <= len(role["usable"]), "SignatureError")
    for role in (roles["timestamp"], *grants):
        number(role, "epoch")
        number(role, "max_lifetime_seconds")
    for role in grants:
        demand(all(re.fullmatch(rf"{NAME}|({NAME})?\*", name, re.ASCII) for name in texts(role, "names")))
    return root


def read_timestamp(payload: bytes) -> Json:
    """Section 3."""
    timestamp = read_document(payload, "timestamp")
    number(member(timestamp, "root", dict), "version")
    named = member(timestamp, "pinset", dict)
    for name in ("epoch", "version", "length"):
        number(named, name)
    octets(named.get("sha256"), 32)
    return timestamp


def check_pattern(pattern: str) -> None:
    """Section 3: what may stand as a host."""
    name = re.sub(r"\A\*{1,2}\.", "", pattern)
    if ":" in name or re.fullmatch(r"(.*\.)?\d+", name, re.DOTALL):
        try:
            demand(name == pattern and "%" not in name)
            address = ip_address(name)
        except ValueError:
            raise Refused("MalformedError") from None
        mapped = getattr(address, "ipv4_mapped", None)
        demand(name == (f"::ffff:{mapped}" if mapped else str(address)))
        return
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    demand(len(name) <= 253 and re.fullmatch(rf"{label}(\.{label})*", name, re.ASCII))


def check_address(url: str) -> None:
    """V8, rule 5."""
    demand(len(url) <= 2048 and re.fullmatch(r"[!-~]+", url, re.ASCII) and url[:8].lower() == "https://")
    parts = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::(\d+))?", re.split("[/?#]", url[8:])[0], re.ASCII)
    demand(parts and "@" not in parts[0] and 1 <= int(parts[2] or 443) <= 65535)


def read_pinset(payload: bytes) -> Json:
    """V8."""
    pinset = read_document(payload, "pinset")
    deny = {octets(each, 32) for each in member(pinset, "deny", list, [])}
    hosts = member(pinset, "hosts", list)
    demand(len(hosts) <= 2000 and len(pinset.get("deny", [])) <= 256)
    stale = choice(pinset, "on_stale", ("enforce", "refuse"), "enforce")
    if "report_to" in pinset:
        check_address(member(pinset, "report_to", str))
    for host in hosts:
        check_pattern(member(host, "host", str))
        choice(host, "mode", ("enforce", "report"), "enforce")
        number(host, "enforce_percent", 100, 100)
        ended = choice(host, "on_expiry", ("refuse", "platform"), "refuse")
        demand((stale, ended) != ("refuse", "platform"))
        lists = [member(host, name, list) for name in ("pins", "backups")]
        for entry in [*lists[0], *lists[1]]:
            choice(entry, "kind", ("leaf", "ca"))
        pins, backups = ({octets(entry.get("sha256"), 32) for entry in entries} for entries in lists)
        demand(pins and backups and not pins & backups and not (pins | backups) & deny)
        demand(len(lists[0]) + len(lists[1]) <= 32)
    demand(len({host["host"] for host in hosts}) == len(hosts))
    return pinset


class Held:
    """A document and its envelope."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        read = {"timestamp": read_timestamp, "pinset": read_pinset}[envelope.kind]
        self.document = read(envelope.payload)
        self.tag = self.document["epoch"], self.document["version"]


class PlainClient:
    """Sections 5 to 7, for one pin set."""

    def __init__(self, root: bytes, name: str, small_order: set[bytes]) -> None:
        demand(re.fullmatch(NAME, name, re.ASCII))
        envelope = Envelope(parse(root, 38_229), "root")
        self.name, self.small_order = name, small_order
        self.chain = [read_root(envelope.payload, small_order)]
        envelope.check_signed(self.chain[0]["roles"]["root"])
        self.adopted: tuple[Held, Held] | None = None
        self.floors: dict[str, Held] = {}

    def role(self, kind: str, root: Json | None = None) -> Json:
        """The role that judges documents of a kind: the newest root's, unless *root* is given."""
        roles: Json = (root or self.chain[-1])["roles"]
        if kind != "pinset":
            return roles[kind]
        for grant in roles["pinset"]:
            for name in grant["names"]:
                if self.name.startswith(name[:-1]) if name.endswith("*") else self.name == name:
                    return grant
        raise Refused("WrongPinSetError")

    def vouched(self, held: Held, root: Json | None = None) -> bool:
        """V10, rule 2: signatures, grant and epoch."""
        try:
            role = self.role(held.envelope.kind, root)
            held.envelope.check_signed(role)
        except Refused:
            return False
        return bool(role["epoch"] == held.tag[0])

    def in_force(self) -> tuple[Held | None, Held | None]:
        """The timestamp and the pin set that the newest root vouches for."""
        timestamp, pinset = self.adopted or (None, None)
        return (
            timestamp if timestamp and self.vouched(timestamp) else None,
            pinset if pinset and self.vouched(pinset) else None,
        )

    def effective(self, now: datetime) -> datetime:
        """V9."""
        times = [now]
        for held in [*(self.adopted or ()), *self.floors.values()]:
            try:
                if held.tag[0] == self.role(held.envelope.kind)["epoch"]:
                    times.append(held.document["issued"])
            except Refused:
                continue
        return max(times)

    def state(self, now: datetime) -> str:
        """The state table."""
        timestamp, pinset = self.in_force()
        effective = self.effective(now)
        if not pinset:
            return "empty"
        if effective >= pinset.document["expires"]:
            return "expired"
        return "stale" if not timestamp or effective >= timestamp.document["expires"] else "fresh"

    def take_root(self, envelope: Envelope) -> None:
        """V4."""
        envelope.check_signed(self.chain[-1]["roles"]["root"])
        root = read_root(envelope.payload, self.small_order)
        demand(root["authority"] == self.chain[0]["authority"], "WrongPinSetError")
        demand(root["version"] == self.chain[-1]["version"] + 1, "RollbackError")
        envelope.check_signed(root["roles"]["root"])
        self.chain.append(root)

    def take_bundle(self, raw: bytes, now: datetime) -> None:
        """Section 6, in its order."""
        frame = parse(raw, 2 * 1024 * 1024)
        roots = member(frame, "roots", list)
        demand(len(roots) <= 8)
        envelopes = [Envelope(root, "root") for root in roots]
        stamped, pinned = Envelope(frame.get("timestamp"), "timestamp"), Envelope(frame.get("pinset"), "pinset")
        for envelope in envelopes:
            self.take_root(envelope)
        effective = self.effective(now)
        timestamp = self._judge(stamped, now, effective)
        demand(timestamp.document["root"]["version"] <= self.chain[-1]["version"], "StaleError")
        pinset = self._judge(pinned, now, effective)
        demand(is_named(pinset, timestamp), "StaleError")
        self.adopted = timestamp, pinset
        self.floors = {"timestamp": timestamp, "pinset": pinset}

    def _judge(self, envelope: Envelope, now: datetime, effective: datetime) -> Held:
        """V3, V5, and what V6 and V7 have in common."""
        role = self.role(envelope.kind)
        envelope.check_signed(role)
        held = Held(envelope)
        document, floor = held.document, self.floors.get(envelope.kind)
        demand(self.chain[-1]["expires"] > effective, "ExpiredError")
        ours = self.chain[0]["authority"], self.name
        demand((document["authority"], document["name"]) == ours, "WrongPinSetError")
        life = document["expires"] - document["issued"]
        demand(0 < life.total_seconds() <= role["max_lifetime_seconds"], "ExpiredError")
        demand(document["issued"] <= now + timedelta(hours=24) and document["expires"] > effective, "ExpiredError")
        demand(held.tag[0] == role["epoch"] and (not floor or held.tag >= floor.tag), "RollbackError")
        same = not floor or held.tag > floor.tag or envelope.payload == floor.envelope.payload
        demand(same, "EquivocationError")
        return held

    def load(self, roots: list[Envelope], timestamps: list[Envelope], pinsets: list[Envelope]) -> None:
        """C1, C2 and V10, rule 3."""
        for root in roots:
            try:
                self.take_root(root)
            except Refused:
                continue
        found = {"timestamp": self._proved(timestamps), "pinset": self._proved(pinsets)}
        for kind, proved in found.items():
            self.floors[kind] = max([*filter(None, [self.floors.get(kind)]), *proved], key=tag_of, default=None)
        self.floors = {kind: held for kind, held in self.floors.items() if held}
        pairs = [(stamp, pins) for stamp in found["timestamp"] for pins in found["pinset"] if is_named(pins, stamp)]
        if self.adopted:
            stamp, pins = self.adopted
            pairs = [pair for pair in pairs if pair[0].tag > stamp.tag and pair[1].tag >= pins.tag] + [self.adopted]
        ranked = sorted(pairs, key=lambda pair: (self.vouched(pair[1]), self.vouched(pair[0]), pair[0].tag))
        self.adopted = ranked[-1] if ranked else None

    def _proved(self, envelopes: list[Envelope]) -> list[Held]:
        proved = []
        for envelope in envelopes:
            try:
                held = Held(envelope)
            except Refused:
                continue
            ours = (held.document["authority"], held.document["name"]) == (self.chain[0]["authority"], self.name)
            if ours and any(self.vouched(held, root) for root in self.chain):
                proved.append(held)
        return proved


def tag_of(held: Held) -> tuple[int, int]:
    """Epoch and version."""
    return held.tag


def is_named(pinset: Held, timestamp: Held) -> bool:
    """V7, rule 4."""
    named, payload = timestamp.document["pinset"], pinset.envelope.payload
    digest = hashlib.sha256(payload).digest()
    return (named["epoch"], named["version"]) == pinset.tag and (
        (named["length"], octets(named["sha256"], 32)) == (len(payload), digest)
    )
