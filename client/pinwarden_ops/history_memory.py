"""
What one machine remembers of a pin set's history, and the evidence that it found: files of its own user alone.

It may import layer 0's owned files and views. Nothing is overwritten by a look that found something, and evidence never
grows beyond its bound.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

from pinwarden import owned_files
from pinwarden.errors import CacheError, ConfigError, UntrustedError
from pinwarden.strict_json import spell
from pinwarden_ops.history_view import MAX_VIEW_BYTES, View, parse_view

MAX_EVIDENCE = 32


def default_folder(given: str | Path | None) -> Path:
    """Return the folder that is given, else ``$XDG_STATE_HOME/pinwarden/audit``, else the same in the home folder."""
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", "pinwarden/audit")


class Memory:
    """The files of one pin set of one authority in *folder*; made at the first write, mode 0600."""

    def __init__(self, folder: Path, authority: str, name: str) -> None:
        self.folder = folder
        self._stem = sha256(f"{authority}\n{name}".encode()).hexdigest()[:32]
        self.path = folder / f"{self._stem}.history"

    def load(self) -> View | None:
        """
        Return what was seen last, or None before the first time.

        Raises:
            ConfigError: the file is not ours, or damaged: starting anew by itself would forgive whoever damaged it.
        """
        try:
            return parse_view(owned_files.read(self.path, MAX_VIEW_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, owned_files.UnusableFileError, UntrustedError) as error:
            raise ConfigError(
                f"what this machine remembers cannot be used: {self.path}: {error}",
                hint="Find out who changed the file; move it away to begin anew.",
            ) from None

    def keep(self, view: View) -> None:
        """Remember *view* in place of what was seen before; CacheError when it cannot be written."""
        self._write(self.path, view.to_bytes())

    def keep_evidence(self, kind: str, key: str, content: dict[str, Any]) -> Path:
        """
        Write *content* once and return where it is; the same *kind* and *key* is the same file, so that a look every
        hour adds nothing.

        Raises:
            CacheError: it cannot be written, or there is too much evidence already.
        """
        path = self.folder / f"{self._stem}-{kind}-{key}.json"
        if path.exists():
            return path
        if len(list(self.folder.glob(f"{self._stem}-*.json"))) >= MAX_EVIDENCE:
            raise CacheError(
                f"{MAX_EVIDENCE} files of evidence are kept already", hint=f"Move them away from {self.folder}."
            )
        self._write(path, spell(content))
        return path

    def _write(self, path: Path, content: bytes) -> None:
        try:
            with owned_files.locked(self.path):
                owned_files.replace(path, content)
        except OSError as error:
            raise CacheError(
                f"{path} cannot be written: {error.strerror or error}",
                holds="What was remembered before is still there.",
                hint="Give --state-dir a folder that this user may write to.",
            ) from error
