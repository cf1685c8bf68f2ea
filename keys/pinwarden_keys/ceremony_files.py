"""
What people carry between machines during a ceremony: the draft of a root, and one detached signature each.

It may import the gate and the documents. Names of people in these files are for reading only: they are not signed, and
nothing is decided by them.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from pinwarden.documents import Root
from pinwarden.envelope import PAYLOAD_LIMITS, ROOT_TYPE, Envelope
from pinwarden.errors import MalformedError, UntrustedError
from pinwarden.fields import Fields
from pinwarden.once import once
from pinwarden.strict_json import decode_base64, encode, encode_base64, format_time, parse_object
from pinwarden_keys.errors import CeremonyError

DRAFT_FORMAT = "pinwarden-root-draft-1"
SIGNATURE_FORMAT = "pinwarden-signature-1"
MAX_DRAFT_BYTES = 128 * 1024
MAX_SIGNATURE_BYTES = 4 * 1024
MAX_PERSON = 64


@dataclass(frozen=True)
class RootDraft:
    """
    The payload that everybody signs, the root before it, and names for keys.

    Attributes:
        payload: the exact bytes to be signed.
        previous: the envelope of the root before, or None when this founds an authority.
        names: keyid to a person's or machine's name; not signed.
    """

    payload: bytes
    previous: Envelope | None
    names: Mapping[str, str]

    @once
    def root(self) -> Root:
        """The root that *payload* spells."""
        return Root.parse(self.payload)

    @once
    def previous_root(self) -> Root | None:
        """The root before; its signatures are judged when the draft is assembled."""
        return Root.parse(self.previous.payload) if self.previous else None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload, by which people compare drafts over the telephone."""
        return sha256(self.payload).digest()

    @classmethod
    def parse(cls, content: bytes, *, where: str = "draft") -> "RootDraft":
        """Read a draft file; CeremonyError when it is none."""
        try:
            fields = _open(content, DRAFT_FORMAT, where, MAX_DRAFT_BYTES)
            payload = decode_base64(fields.text("payload"), what=f"{where}.payload")
            if len(payload) > PAYLOAD_LIMITS[ROOT_TYPE]:
                raise MalformedError("payload is too large", expected=f"at most {PAYLOAD_LIMITS[ROOT_TYPE]} bytes")
            known = fields.child("names")
            draft = cls(
                payload,
                Envelope.from_json(fields.get("previous", dict), expect=ROOT_TYPE) if "previous" in fields else None,
                {keyid: check_person(known.text(keyid)) for keyid in known.names()},
            )
            check_people(draft.names.values())
            _ = draft.root, draft.previous_root  # refuse here what is no root
        except UntrustedError as error:
            raise _refused(where, "a draft of a root", error) from error
        return draft

    def to_bytes(self) -> bytes:
        """Return the file's content: one line of JSON."""
        previous = {"previous": self.previous.to_json()} if self.previous else {}
        payload = {"payload": encode_base64(self.payload), "names": dict(self.names)}
        return encode({"format": DRAFT_FORMAT, **payload, **previous}) + b"\n"


@dataclass(frozen=True, slots=True)
class DetachedSignature:
    """
    One signature over the payload whose SHA-256 is *digest*; nothing about it is verified yet.

    Attributes:
        name: what the signer's key file calls its holder; not signed.
        made: when the signer's clock said that it was made; not signed.
        origin: the file that it came from, for messages.
    """

    digest: bytes
    keyid: str
    sig: bytes
    name: str | None = None
    made: datetime | None = None
    origin: str | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, content: bytes, *, where: str = "signature") -> "DetachedSignature":
        """Read a signature file; CeremonyError when it is none."""
        try:
            fields = _open(content, SIGNATURE_FORMAT, where, MAX_SIGNATURE_BYTES)
            return cls(
                fields.octets("payload_sha256", 32),
                fields.text("keyid"),
                fields.octets("sig", 64),
                check_person(fields.text("name")) if "name" in fields else None,
                fields.time("made") if "made" in fields else None,
                origin=where,
            )
        except UntrustedError as error:
            raise _refused(where, "a detached signature", error) from error

    def to_bytes(self) -> bytes:
        """Return the file's content: one line of JSON."""
        name = {} if self.name is None else {"name": self.name}
        signed = {"payload_sha256": encode_base64(self.digest), "keyid": self.keyid, "sig": encode_base64(self.sig)}
        made = {} if self.made is None else {"made": format_time(self.made)}
        return encode({"format": SIGNATURE_FORMAT, **signed, **name, **made}) + b"\n"


def _open(content: bytes, expected: str, where: str, limit: int) -> Fields:
    fields = Fields(parse_object(content, limit=limit, what=where), where)
    if fields.text("format") != expected:
        raise MalformedError("another format", expected=expected, got=repr(fields.text("format")[:40]))
    return fields


def check_person(name: str) -> str:
    """Return *name* when a ceremony may show it; MalformedError otherwise."""
    if not 1 <= len(name) <= MAX_PERSON or not name.isprintable():  # it is shown on the terminal of a signer
        raise MalformedError("name is not usable", expected=f"1 to {MAX_PERSON} printable characters")
    return name


def check_people(names: Iterable[str]) -> None:
    """
    Refuse two keys under one name.

    Raises:
        MalformedError: two names are the same, or differ only in capitals or in how Unicode spells them.
    """
    seen: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        if plain in seen:
            raise MalformedError("two keys go by one name", got=f"{seen[plain]!a} and {name!a}")
        seen[plain] = name


def spell_person(name: str) -> str:
    """Return *name*; when it holds more than ASCII, its code points too: letters of other scripts look like Latin."""
    return name if name.isascii() else f"{name} ({ascii(name)[1:-1]})"


def spell_key(keyid: str, names: Mapping[str, str]) -> str:
    """Return the beginning of *keyid*, then the name that *names* has for it: only the first is signed."""
    name = names.get(keyid)
    return keyid[:16] if name is None else f"{keyid[:16]} {spell_person(name)}"


def _refused(where: str, what: str, error: UntrustedError) -> CeremonyError:
    return CeremonyError(f"{where} is not {what}: {error.what}", expected=error.expected, got=error.got)
