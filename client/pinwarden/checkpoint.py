"""
Checkpoints of a server's audit log: how many rows it had, which hash it ended in, and when; signed, and with nothing of
what the rows say.

It may import documents, envelopes and the gate. No client trusts a pin because of one: whoever keeps a checkpoint can
tell later whether the log was rewritten or cut off before it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pinwarden.documents import Root
from pinwarden.documents.frame import SPEC, open_payload
from pinwarden.envelope import CHECKPOINT_TYPE, Envelope
from pinwarden.errors import MalformedError, SignatureError, WrongPinSetError
from pinwarden.strict_json import encode, format_time

CHECKPOINT_ADDRESS = "/v1/audit/checkpoint"
_KIND = "audit-checkpoint"
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    The end of an audit log at one moment.

    Attributes:
        size: number of its last row; rows are numbered from 1 without gaps.
        hash: of that row, lower-case hex; it binds every row before.
        issued: aware; never before that of the checkpoint before.
        root_version: of the root whose timestamp role signed it.
    """

    authority: str
    size: int
    hash: str
    issued: datetime
    root_version: int

    @classmethod
    def parse(cls, payload: bytes) -> "Checkpoint":
        """Read a payload; MalformedError when it is none."""
        fields = open_payload(payload, CHECKPOINT_TYPE, _KIND, step="P7")
        found = cls(
            authority=fields.text("authority"),
            size=fields.integer("size"),
            hash=fields.text("hash"),
            issued=fields.time("issued"),
            root_version=fields.child("root").integer("version"),
        )
        if _HASH.fullmatch(found.hash) is None:
            raise MalformedError("audit-checkpoint.hash is no SHA-256", got=repr(found.hash[:80]), step="P4")
        return found

    def encode(self) -> bytes:
        """Return the payload bytes that signers sign."""
        return encode(
            {
                "type": _KIND,
                "spec": SPEC,
                "authority": self.authority,
                "size": self.size,
                "hash": self.hash,
                "issued": format_time(self.issued),
                "root": {"version": self.root_version},
            }
        )


def open_checkpoint(envelope: Envelope, roots: Mapping[int, Root]) -> Checkpoint:
    """
    Return what *envelope* says once the timestamp keys of the root that it names have signed it.

    Whether it fits a log, and whether it is the newest, is not judged here.

    Args:
        roots: those that the caller trusts, by version; at least one.

    Raises:
        MalformedError: it is no checkpoint. WrongPinSetError: of another authority.
        SignatureError: too few keys of that root's timestamp role signed it, or the root is none of *roots*.
    """
    named = Checkpoint.parse(envelope.payload)
    root = roots.get(named.root_version)
    if root is None:
        raise SignatureError(
            "the checkpoint names a root that is not known here",
            expected=f"root {min(roots)} to {max(roots)}",
            got=named.root_version,
            hint="Give an older root.json of your own, or look whether a newer one is published.",
        )
    checkpoint = Checkpoint.parse(envelope.verified_by(root.timestamp))
    if checkpoint.authority != root.authority:
        raise WrongPinSetError(
            "the checkpoint is of another authority", expected=root.authority, got=repr(checkpoint.authority[:80])
        )
    return checkpoint
