"""
What one machine remembers of a server's audit log: its checkpoints, the roots that signed them, and where it ended.

It may import the memory files and layer 0. A checkpoint is verified again each time it is read: the file proves nothing
by lying here.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pinwarden.envelope import CHECKPOINT_TYPE, ENVELOPE_LIMITS, ROOT_TYPE, Envelope
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import format_time, parse_object, spell
from pinwarden_ops.audit_chain import Place, parse_place
from pinwarden_ops.memory_files import MemoryFile

FORMAT = "pinwarden-audit-memory-1"
# A checkpoint an hour for three weeks; older ones prove nothing that the newest does not, but for their own removal.
MAX_CHECKPOINTS = 500
_MAX_LINE = ENVELOPE_LIMITS[ROOT_TYPE]
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Remembered:
    """*end* is the last row that was seen, *seen_at* when; *roots* are those after this machine's own."""

    end: Place
    seen_at: datetime | None
    roots: tuple[Envelope, ...]
    checkpoints: tuple[Envelope, ...]


class AuditMemory(MemoryFile):
    """The file about the audit log of one authority in *folder*."""

    def __init__(self, folder: Path, authority: str) -> None:
        # No pin set is called so: the folder is that of `audit history`.
        super().__init__(folder, f"{authority}\naudit log", "audit")

    def load(self) -> Remembered:
        """Return what was seen last, nothing before the first time; ConfigError when the file cannot be used."""
        return self.read(_parse, _MAX_BYTES) or Remembered(Place(), None, (), ())

    def keep(self, seen: Remembered) -> None:
        """Remember *seen*, the newest checkpoints of it; CacheError when it cannot be written."""
        times = {"seen_at": format_time(seen.seen_at)} if seen.seen_at else {}
        first = spell({"format": FORMAT, "end": str(seen.end), **times})
        envelopes = (*seen.roots, *seen.checkpoints[-MAX_CHECKPOINTS:])
        self.write(b"\n".join([first, *(envelope.to_bytes() for envelope in envelopes), b""]))


def _parse(data: bytes) -> Remembered:
    first, *lines = data.removesuffix(b"\n").split(b"\n")
    fields = Fields(parse_object(first, limit=_MAX_LINE, what="memory"), "memory")
    if fields.text("format") != FORMAT:
        raise MalformedError("not a memory of an audit log", expected=FORMAT, got=repr(fields.text("format")[:40]))
    roots: list[Envelope] = []
    checkpoints: list[Envelope] = []
    for line in lines:
        value = parse_object(line, limit=_MAX_LINE, what="memory")
        if value.get("payloadType") == ROOT_TYPE:
            roots.append(Envelope.from_json(value, expect=ROOT_TYPE))
        else:
            checkpoints.append(Envelope.from_json(value, expect=CHECKPOINT_TYPE))
    seen_at = fields.time("seen_at") if "seen_at" in fields else None
    return Remembered(parse_place(fields.text("end")), seen_at, tuple(roots), tuple(checkpoints))
