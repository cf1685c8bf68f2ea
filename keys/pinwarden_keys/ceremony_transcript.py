"""
The transcript of a ceremony: who signed what with which key, as JSON and as text to be filed.

It may import the values of the ceremony. It holds no secret and no clock of its own: the same files and the same
software give the same transcript, so that anybody who kept the files can check it.
"""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from pinwarden.envelope import Envelope
from pinwarden.strict_json import encode, format_time
from pinwarden_keys.ceremony import tally
from pinwarden_keys.ceremony_files import DetachedSignature, RootDraft, spell_key
from pinwarden_keys.root_diff import differences
from pinwarden_keys.root_view import as_table
from pinwarden_keys.root_words import words_of

TRANSCRIPT_FORMAT = "pinwarden-transcript-1"
_SOFTWARE = ("pinwarden", "pynacl", "cryptography")


@dataclass(frozen=True, slots=True)
class FileDigest:
    """The name, the size in bytes and the SHA-256 (hex) of a file that took part; never its folder."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path, content: bytes) -> "FileDigest":
        """Return the digest of *content*."""
        return cls(path.name, len(content), sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Transcript:
    """
    What happened in a ceremony that ended with a signed root.

    Attributes:
        files: every file that was read, and the root that was written.
        accepted: codes of the findings that were accepted when the root was assembled.
        software: name and version of what judged the signatures.
    """

    draft: RootDraft
    envelope: Envelope
    signatures: tuple[DetachedSignature, ...]
    files: tuple[FileDigest, ...]
    accepted: tuple[str, ...]
    software: Mapping[str, str]

    def to_json(self) -> dict[str, object]:
        """Return the transcript as a JSON object; times are what each signer's clock said."""
        root, previous = self.draft.root, self.draft.previous_root
        changes = differences(previous, root, self.draft.names) if previous else ()
        return {
            "format": TRANSCRIPT_FORMAT,
            "authority": root.authority,
            "version": root.version,
            "issued": format_time(root.issued),
            "expires": format_time(root.expires),
            "payload_sha256": self.draft.digest.hex(),
            "digest_words": list(words_of(self.draft.digest)),
            "previous_sha256": sha256(self.draft.previous.payload).hexdigest() if self.draft.previous else "",
            "changes": [str(change) for change in changes],
            "findings_accepted": sorted(self.accepted),
            "thresholds": [
                {"root": each.whose, "threshold": each.threshold, "signed": sorted(each.signed)}
                for each in tally(self.draft, self.signatures)
            ],
            "signatures": [
                {
                    "keyid": each.keyid,
                    "name": self.draft.names.get(each.keyid, ""),
                    "key_file_says": each.name or "",
                    "made": format_time(each.made) if each.made else "",
                }
                for each in self._signatures()
            ],
            "files": [{"name": each.name, "bytes": each.size, "sha256": each.sha256} for each in self._files()],
            "software": dict(self.software),
        }

    def to_bytes(self) -> bytes:
        """Return the file's content: one line of JSON."""
        return encode(self.to_json()) + b"\n"

    def to_text(self) -> str:
        """Return the transcript for people, with lines to sign by hand."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        root, names = self.draft.root, self.draft.names
        yield f"Transcript: root {root.version} of {root.authority}"
        yield ""
        yield as_table(root, self.draft.payload, names, (), previous=self.draft.previous_root)
        yield ""
        yield f"Findings accepted: {', '.join(sorted(self.accepted)) or 'none'}"
        yield f"Thresholds: {', '.join(each.spell(names) for each in tally(self.draft, self.signatures))}"
        yield "Signatures (names and times are as stated, not signed):"
        for each in self._signatures():
            yield f"  {spell_key(each.keyid, names)}  {format_time(each.made) if each.made else 'no time'}"
        yield "Files (SHA-256):"
        yield from (f"  {each.sha256}  {each.name}" for each in self._files())
        yield f"Software: {', '.join(f'{name} {number}' for name, number in self.software.items())}"
        yield ""
        yield "Present, by hand: ____________________   ____________________   ____________________"

    def _signatures(self) -> list[DetachedSignature]:
        """Return each signer once, in the order of the envelope, however many copies were handed in."""
        counted = {entry.keyid: entry.sig for entry in self.envelope.signatures}
        found = {each.keyid: each for each in self._copies() if counted.get(each.keyid) == each.sig}
        return [found[keyid] for keyid in counted]

    def _copies(self) -> list[DetachedSignature]:
        return sorted(self.signatures, key=lambda each: each.to_bytes(), reverse=True)

    def _files(self) -> list[FileDigest]:
        return sorted(set(self.files), key=lambda each: (each.name, each.sha256))


def software() -> dict[str, str]:
    """Return the versions of what judges signatures on this machine."""
    return {"python": platform.python_version(), **{name: version(name) for name in _SOFTWARE}}
