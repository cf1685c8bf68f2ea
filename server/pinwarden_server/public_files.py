"""
Which files the public API consists of, and what stands in them (spec section 4).

It may import layer 0. It opens nothing: bytes in, bytes out, the same for every node.
"""

import re
from collections.abc import Sequence

from pinwarden.bundle import BUNDLE_MEDIA_TYPE, MAX_BUNDLE_ROOTS, Bundle
from pinwarden.checkpoint import Checkpoint
from pinwarden.documents import PinSet, Root, Timestamp
from pinwarden.envelope import Envelope
from pinwarden.history import HISTORY_MEDIA_TYPE
from pinwarden_server.published_tree import PublicFile
from pinwarden_server.tags import format_tag

ENVELOPE_MEDIA_TYPE = "application/vnd.pinwarden.envelope.v1+json"
CHANGING = "public, max-age=60, stale-while-revalidate=60, stale-if-error=300"
IMMUTABLE = "public, max-age=31536000, immutable"

_NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
BUNDLE_ADDRESS = re.compile(rf"/v1/bundles/({_NAME})/([1-9][0-9]{{0,15}})", re.ASCII)
TIMESTAMP_ADDRESS = re.compile(rf"/v1/pinsets/({_NAME})/timestamp", re.ASCII)
VERSION_ADDRESS = re.compile(rf"/v1/pinsets/({_NAME})/versions/[1-9][0-9]{{0,15}}\.[1-9][0-9]{{0,15}}", re.ASCII)
HISTORY_ADDRESS = re.compile(rf"/v1/(history/{_NAME}|pinsets/{_NAME}/history/[1-9][0-9]{{0,15}})", re.ASCII)
ROOT_ADDRESS = re.compile(r"/v1/roots/([1-9][0-9]{0,15})", re.ASCII)


def bundles(roots: Sequence[Envelope], timestamp: Envelope, pinset: Envelope) -> dict[int, Bundle]:
    """Return the bundle for each root version that is served: the newest and the eight before it."""
    oldest = max(1, len(roots) - MAX_BUNDLE_ROOTS)
    return {held: Bundle(tuple(roots[held:]), timestamp, pinset) for held in range(oldest, len(roots) + 1)}


def pinset_files(roots: Sequence[Envelope], timestamp: Envelope, pinset: Envelope) -> dict[str, PublicFile]:
    """Return the files that change when a pair comes into force, by address; the bundles last."""
    document, stamp = PinSet.parse(pinset.payload), Timestamp.parse(timestamp.payload)
    name, changed = document.name, _mtime(stamp)
    files = {
        version_address(name, (document.epoch, document.version)): version_file(pinset),
        f"/v1/pinsets/{name}/timestamp": PublicFile(timestamp.to_bytes(), changed),
    }
    for held, bundle in bundles(roots, timestamp, pinset).items():
        files[f"/v1/bundles/{name}/{held}"] = PublicFile(bundle.to_bytes(), changed)
    return files


def root_files(roots: Sequence[Envelope]) -> dict[str, PublicFile]:
    """Return the file of every root, by address."""
    return {root_address(version): root_file(envelope) for version, envelope in enumerate(roots, 1)}


def root_address(version: int) -> str:
    """Return the address of one root."""
    return f"/v1/roots/{version}"


def root_file(root: Envelope) -> PublicFile:
    """Return the file of one root."""
    return PublicFile(root.to_bytes(), _mtime(Root.parse(root.payload)))


def version_address(name: str, tag: tuple[int, int]) -> str:
    """Return the address of one version."""
    return f"/v1/pinsets/{name}/versions/{format_tag(tag)}"


def version_file(pinset: Envelope) -> PublicFile:
    """Return the file of one version."""
    return PublicFile(pinset.to_bytes(), _mtime(PinSet.parse(pinset.payload)))


def history_address(name: str) -> str:
    """Return the address of the newest segment of a history."""
    return f"/v1/history/{name}"


def segment_address(name: str, number: int) -> str:
    """Return the address of a full segment; it cannot stand below the newest one's, which is a file."""
    return f"/v1/pinsets/{name}/history/{number}"


def checkpoint_file(envelope: Envelope) -> PublicFile:
    """Return the file of the newest checkpoint of the audit log."""
    checkpoint = Checkpoint.parse(envelope.payload)
    # As for the documents: neither the time nor the size ever falls.
    return PublicFile(envelope.to_bytes(), int(checkpoint.issued.timestamp()) + checkpoint.size)


def media_type_of(address: str) -> str:
    """Return the media type of what an address serves."""
    if HISTORY_ADDRESS.fullmatch(address):
        return HISTORY_MEDIA_TYPE
    return BUNDLE_MEDIA_TYPE if address.startswith("/v1/bundles/") else ENVELOPE_MEDIA_TYPE


def cache_control_of(address: str) -> str:
    """Return how long caches may keep what an address serves (spec section 4)."""
    changes = address.startswith(("/v1/bundles/", "/v1/history/")) or address.endswith(("/timestamp", "/checkpoint"))
    return CHANGING if changes else IMMUTABLE


def _mtime(document: PinSet | Timestamp | Root) -> int:
    # nginx makes ETags of size and whole seconds. `issued` never falls and the version always rises, so their sum is
    # another one for each document, and the same on every node.
    return int(document.issued.timestamp()) + document.version
