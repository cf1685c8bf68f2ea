"""
What one machine remembers of a pin set's history.

It may import the memory files and views. Nothing is overwritten by a look that found something.
"""

from pathlib import Path

from pinwarden_ops.history_view import MAX_VIEW_BYTES, View, parse_view
from pinwarden_ops.memory_files import MemoryFile


class Memory(MemoryFile):
    """The file of one pin set of one authority in *folder*."""

    def __init__(self, folder: Path, authority: str, name: str) -> None:
        super().__init__(folder, f"{authority}\n{name}", "history")

    def load(self) -> View | None:
        """Return what was seen last, or None before the first time; ConfigError when the file cannot be used."""
        return self.read(parse_view, MAX_VIEW_BYTES)

    def keep(self, view: View) -> None:
        """Remember *view* in place of what was seen before; CacheError when it cannot be written."""
        self.write(view.to_bytes())
