"""
A command line around ``tests/vectors/plain_client.py``: a second client, which shares no line with the SDK.

It may import that client, ``cryptography`` and the standard library. It shows how little a client needs beyond the
verifier: HTTP (section 4), a folder of envelopes (C1, C2) and the verdicts of section 8. Not for use.
"""

import argparse
import http.client
import json
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.vectors.plain_client import Envelope, PlainClient, Refused, octets, parse

SMALL_ORDER = Path(__file__).parents[3] / "vectors" / "ed25519" / "small_order_encodings.json"
BUNDLE_LIMIT, ROOT_LIMIT = 2 * 1024 * 1024, 38_229
SECONDS = 10.0
ACCEPTED, REFUSED, MISUSE, UNAVAILABLE = 0, 1, 2, 3
KINDS = ("root", "timestamp", "pinset")


class Unavailable(Exception):
    """There is no answer to judge, or nothing to judge by."""

    status = 0


class KeepingClient(PlainClient):
    """A PlainClient that knows the envelopes of its roots."""

    def __init__(self, root: bytes, name: str) -> None:
        super().__init__(root, name, {bytes.fromhex(each) for each in json.loads(SMALL_ORDER.read_text())})
        self.root_envelopes: list[Envelope] = []

    def take_root(self, envelope: Envelope) -> None:
        """V4; what was accepted is remembered."""
        super().take_root(envelope)
        self.root_envelopes.append(envelope)


class Folder:
    """What survives a process: the root, the settings, and envelopes that are judged anew at each start."""

    def __init__(self, path: Path, client_class: type[KeepingClient]) -> None:
        self._path, self._client_class = path, client_class

    def found(self, root: bytes, url: str, pinset: str) -> None:
        """Store what the client begins with, once it is proved."""
        self._client_class(root, pinset)
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / "root.json").write_bytes(root)
        (self._path / "settings.json").write_text(json.dumps({"url": url, "pinset": pinset}))

    def open(self) -> tuple[str, KeepingClient]:
        """Return the address of the server, and the client as it was left."""
        try:
            settings = json.loads((self._path / "settings.json").read_text())
        except FileNotFoundError:
            raise Unavailable("the folder was not founded") from None
        client = self._client_class((self._path / "root.json").read_bytes(), settings["pinset"])
        kept = self._path / "kept.json"
        stored = json.loads(kept.read_text()) if kept.exists() else {kind: [] for kind in KINDS}
        client.load(*([Envelope(each, kind) for each in stored[kind]] for kind in KINDS))
        return settings["url"], client

    def keep(self, client: KeepingClient) -> None:
        """Write the chain, the adopted pair and the floors."""
        held = [*(client.adopted or ()), *client.floors.values()]
        kept = {kind: [spell(each.envelope) for each in held if each.envelope.kind == kind] for kind in KINDS}
        kept["root"] = [spell(envelope) for envelope in client.root_envelopes]
        temporary = self._path / "kept.tmp"
        temporary.write_text(json.dumps(kept))
        temporary.replace(self._path / "kept.json")


def spell(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as JSON holds it; its payload keeps its bytes."""
    payload_type = f"application/vnd.pinwarden.{envelope.kind}.v1+json"
    return {
        "payloadType": payload_type,
        "payload": b64encode(envelope.payload).decode(),
        "signatures": envelope.entries,
    }


def fetch(url: str, limit: int) -> bytes:
    """Section 4: one GET, without redirects, within ten seconds."""
    end, parts = time.monotonic() + SECONDS, urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path, headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        if response.status != 200 or response.headers.get_content_type() == "text/html":
            failure = Unavailable(f"{url} answered with {response.status}")
            failure.status = response.status
            raise failure
        unpack = zlib.decompressobj(31) if response.headers.get("Content-Encoding") == "gzip" else None
        body, promised = b"", int(response.headers.get("Content-Length") or -1)
        received = 0
        while piece := response.read1(64 * 1024):
            received += len(piece)
            body += unpack.decompress(piece, limit + 1 - len(body)) if unpack else piece
            if len(body) > limit:
                raise Refused("MalformedError")
            if time.monotonic() > end:
                raise Unavailable(f"{url} took longer than {SECONDS} seconds")
    except (OSError, http.client.HTTPException, zlib.error) as error:
        raise Unavailable(f"{url}: {error}") from None
    finally:
        connection.close()
    if promised >= 0 and received < promised:
        raise Unavailable(f"{url} was cut off")
    return body


def refresh(url: str, client: KeepingClient, folder: Folder, now: datetime) -> None:
    """Ask for the bundle; climb the roots first when it is too far away."""
    try:
        body = fetch(_bundle_url(url, client), BUNDLE_LIMIT)
    except Unavailable as failure:
        before = len(client.chain)
        if failure.status != 404:
            raise
        climb(url, client, folder)
        if len(client.chain) == before:
            raise
        body = fetch(_bundle_url(url, client), BUNDLE_LIMIT)
    try:
        client.take_bundle(body, now)
    finally:
        folder.keep(client)


def _bundle_url(url: str, client: KeepingClient) -> str:
    return f"{url}/v1/bundles/{client.name}/{client.chain[-1]['version']}"


def climb(url: str, client: KeepingClient, folder: Folder) -> None:
    """Section 4, rule 2."""
    for _ in range(256):
        try:
            body = fetch(f"{url}/v1/roots/{client.chain[-1]['version'] + 1}", ROOT_LIMIT)
        except Unavailable as failure:
            if failure.status == 404:
                return
            raise
        client.take_root(Envelope(parse(body, ROOT_LIMIT), "root"))
        folder.keep(client)


def spelt_name(host: str) -> str:
    """Section 3, looking up a name."""
    bare = host.removeprefix("[").removesuffix("]").partition("%")[0]
    if ":" in bare:
        address = ip_address(bare)
        mapped = getattr(address, "ipv4_mapped", None)
        return f"::ffff:{mapped}" if mapped else str(address)
    return host.removesuffix(".").encode("idna").decode().lower()


def find_host(pinset: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return the host entry that decides about *name*."""
    hosts = {entry["host"]: entry for entry in pinset["hosts"]}
    labels = name.split(".")
    patterns = [name]
    if ":" not in name and not labels[-1].isdigit():
        patterns += ["*." + ".".join(labels[1:])]
        patterns += ["**." + ".".join(labels[start:]) for start in range(len(labels))]
    return next((hosts[pattern] for pattern in patterns if pattern in hosts), None)


def check(client: KeepingClient, host: str, chain: list[bytes], now: datetime) -> str:
    """E2, E3 and the state table; return the verdict, or raise."""
    state, pinset = client.state(now), client.in_force()[1]
    if pinset is None:
        raise Unavailable("no pin set is trusted")
    document = pinset.document
    entry = find_host(document, spelt_name(host))
    if entry is None:
        return "unpinned"
    reports = entry.get("mode") == "report"
    denied = any(octets(each) in chain for each in document.get("deny", []))
    blocked = document.get("on_stale") == "refuse" and state in ("stale", "expired")
    if state == "expired" and not blocked:
        if reports or (entry.get("on_expiry") == "platform" and not denied):
            return "platform"
        blocked = not denied
    if blocked and not reports:
        raise Unavailable(f"the pin set is {state}")
    allowed = {octets(each["sha256"]) for each in [*entry["pins"], *entry["backups"]]}
    if not denied and allowed.intersection(chain):
        return "matched"
    if reports:
        return "reported"
    raise Refused("PinMismatchError")


def read_chain(file: Path) -> list[bytes]:
    """Return the pins of a chain in PEM."""
    certificates = x509.load_pem_x509_certificates(file.read_bytes())
    return [
        sha256(each.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        for each in certificates
    ]


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line of docs/conformance.md."""
    parser = argparse.ArgumentParser(prog="plain-client")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--now", default=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    commands = parser.add_subparsers(dest="command", required=True)
    init = commands.add_parser("init")
    init.add_argument("root", type=Path)
    init.add_argument("--url", required=True)
    init.add_argument("--pinset", required=True)
    commands.add_parser("refresh")
    checked = commands.add_parser("check")
    checked.add_argument("host")
    checked.add_argument("--chain", type=Path, required=True)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str], client_class: type[KeepingClient] = KeepingClient) -> int:
    """Run one command; return its exit code."""
    given = parsed(arguments)
    now = datetime.strptime(given.now, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    folder = Folder(given.state_dir, client_class)
    try:
        if given.command == "init":
            folder.found(given.root.read_bytes(), given.url, given.pinset)
            return ACCEPTED
        url, client = folder.open()
        if given.command == "refresh":
            refresh(url, client, folder, now)
        else:
            print(check(client, given.host, read_chain(given.chain), now))
    except Refused as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return REFUSED
    except Unavailable as failure:
        print(f"unavailable: {failure}", file=sys.stderr)
        return UNAVAILABLE
    return ACCEPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
