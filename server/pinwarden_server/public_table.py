"""
What one worker serves, ready in memory, read from the published tree and never from the database.

It may import ``bell``, ``public_files`` and the tree. Looking something up costs one memory read and one dictionary;
only what the bell names is read again.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock

from pinwarden.bundle import Bundle
from pinwarden.checkpoint import CHECKPOINT_ADDRESS
from pinwarden.documents import Timestamp
from pinwarden.errors import UntrustedError
from pinwarden_server.bell import Bell
from pinwarden_server.public_files import (
    BUNDLE_ADDRESS,
    HISTORY_ADDRESS,
    ROOT_ADDRESS,
    TIMESTAMP_ADDRESS,
    VERSION_ADDRESS,
    cache_control_of,
    media_type_of,
)
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.tags import format_tag

log = logging.getLogger("pinwarden.server")


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One answer, as it goes out.

    Attributes:
        etag: strong and quoted; another one whenever a byte of *body* is.
        headers: for WSGI: Content-Type, Content-Length, ETag, Cache-Control.
        tag: ``epoch.version`` of the pin set inside a bundle, else empty.
    """

    body: bytes
    etag: str
    media_type: str
    cache_control: str
    headers: list[tuple[str, str]]
    tag: str


class PublicTable:
    """The public API of this worker; safe for threads."""

    def __init__(self, tree: PublishedTree, bell: Bell) -> None:
        self._tree = tree
        self._bell = bell
        self._counter = bell.counter
        self._lock = Lock()
        self._entries: dict[str, Entry] = {}
        self._paths: dict[str, set[str]] = {}
        self._generation = -1
        self.reload()

    def get(self, path: str) -> Entry | None:
        """Return the answer for the path of a URL, such as ``/v1/bundles/payments/1``, or None: 404."""
        if self._counter[0] != self._generation:
            self._catch_up()
        entry = self._entries.get(path)
        if entry is None and (
            VERSION_ADDRESS.fullmatch(path) or HISTORY_ADDRESS.fullmatch(path) or path == CHECKPOINT_ADDRESS
        ):
            return self._read(path)  # what is much and asked for seldom stays on the disk
        return entry

    def names(self) -> list[str]:
        """Return the pin sets that are served."""
        if self._bell.generation != self._generation:
            self._catch_up()
        found = {match[1] for path in list(self._entries) if (match := BUNDLE_ADDRESS.fullmatch(path))}
        return sorted(found)

    def reload(self) -> None:
        """Read the whole tree again."""
        with self._lock:
            generation = self._bell.generation
            self._reload_everything()
            self._generation = generation

    def _catch_up(self) -> None:
        with self._lock:
            generation, names = self._bell.rung_since(self._generation)
            if names is None:
                self._reload_everything()
            else:
                for name in names:
                    self._replace(self._paths_of(name), of=name)
            self._generation = generation

    def _reload_everything(self) -> None:
        folders = ("v1/roots/*", "v1/bundles/*/*", "v1/pinsets/*/timestamp")
        self._replace({path for pattern in folders for path in self._addresses(pattern)}, of=None)

    def _paths_of(self, name: str) -> set[str]:
        return {*self._addresses(f"v1/bundles/{name}/*"), f"/v1/pinsets/{name}/timestamp"}

    def _replace(self, paths: set[str], *, of: str | None) -> None:
        for path in paths:
            entry = self._read(path)
            if entry is not None:
                self._entries[path] = entry
        gone = self._entries.keys() - paths if of is None else self._paths.pop(of, set()) - paths
        for path in gone:
            self._entries.pop(path, None)
        if of is None:
            self._paths.clear()
        # By name, so that a publication costs the same beside ten pin sets and beside ten thousand.
        for path in paths & self._entries.keys():
            if named := BUNDLE_ADDRESS.fullmatch(path) or TIMESTAMP_ADDRESS.fullmatch(path):
                self._paths.setdefault(named[1], set()).add(path)

    def _addresses(self, pattern: str) -> Iterator[str]:
        for file in self._tree.folder.glob(pattern):
            address = f"/{file.relative_to(self._tree.folder).as_posix()}"
            if (
                BUNDLE_ADDRESS.fullmatch(address)
                or ROOT_ADDRESS.fullmatch(address)
                or TIMESTAMP_ADDRESS.fullmatch(address)
            ):
                yield address

    def _read(self, path: str) -> Entry | None:
        file: Path = self._tree.path_of(path)
        try:
            return _entry(path, file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, UntrustedError) as error:
            # What is in memory was published and is served on; the disk is the operator's concern.
            log.error("published file %s cannot be read: %s", file, error)
            return self._entries.get(path)


def _entry(path: str, body: bytes) -> Entry:
    media_type, cache_control = media_type_of(path), cache_control_of(path)
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = [
        ("Content-Type", media_type),
        ("Content-Length", str(len(body))),
        ("ETag", etag),
        ("Cache-Control", cache_control),
    ]
    tag = ""
    if BUNDLE_ADDRESS.fullmatch(path):
        named = Timestamp.parse(Bundle.parse(body).timestamp.payload).pinset
        tag = format_tag((named.epoch, named.version))
    return Entry(body, etag, media_type, cache_control, headers, tag)
