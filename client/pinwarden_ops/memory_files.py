"""
What one machine remembers of a server, and the evidence that it found: files of its own user alone.

It may import layer 0's owned files. What stands in a file is judged by whoever reads it; evidence never grows beyond
its bound, and the same finding is the same file.
"""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pinwarden import owned_files
from pinwarden.errors import CacheError, ConfigError, UntrustedError
from pinwarden.strict_json import spell

MAX_EVIDENCE = 32
Content = TypeVar("Content")


def default_folder(given: str | Path | None) -> Path:
    """Return the folder that is given, else ``$XDG_STATE_HOME/pinwarden/audit``, else the same in the home folder."""
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state", "pinwarden/audit")


class MemoryFile:
    """
    One file in *folder*, and the evidence about the same subject; made at the first write, mode 0600.

    Args:
        subject: what is remembered, told apart from everything else in the folder by its spelling alone.
        kind: ending of the file's name.
    """

    def __init__(self, folder: Path, subject: str, kind: str) -> None:
        self.folder = folder
        self._stem = sha256(subject.encode()).hexdigest()[:32]
        self.path = folder / f"{self._stem}.{kind}"

    def read(self, parse: Callable[[bytes], Content], limit: int) -> Content | None:
        """
        Return what *parse* makes of the file, or None before the first time.

        Raises:
            ConfigError: the file is not ours, or damaged: starting anew by itself would forgive whoever damaged it.
        """
        try:
            return parse(owned_files.read(self.path, limit))
        except FileNotFoundError:
            return None
        except (OSError, owned_files.UnusableFileError, UntrustedError) as error:
            raise ConfigError(
                f"what this machine remembers cannot be used: {self.path}: {error}",
                hint="Find out who changed the file; move it away to begin anew.",
            ) from None

    def write(self, content: bytes) -> None:
        """Remember *content* in place of what was there; CacheError when it cannot be written."""
        self._write(self.path, content)

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
