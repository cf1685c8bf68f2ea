"""
What a signer process is asked to sign, taken out of its frame, and the words in which it refuses.

It may import layer 0 and this package's errors. It judges form alone: nothing here knows what was signed before, who
approved it, or what time it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pinwarden.checkpoint import Checkpoint
from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import (
    CHECKPOINT_TYPE,
    PAYLOAD_LIMITS,
    PINSET_TYPE,
    ROOT_TYPE,
    TIMESTAMP_TYPE,
    Envelope,
    Signature,
    pae,
)
from pinwarden.errors import UntrustedError
from pinwarden_keys.errors import SigningRefusedError
from pinwarden_keys.signer import CHALLENGE, CHALLENGE_BYTES
from pinwarden_keys.signer_process_journal import LOG, Tag

# What each rule refuses, as docs/signer-process.md lists it.
RULES = {
    "frame": "the request is not one that a signer process takes",
    "caller": "the request comes from another user",
    "key": "no such key is here, or the root does not name it for this document",
    "type": "the message is neither a challenge nor a pin set, a timestamp or a checkpoint",
    "form": "the document is spelt otherwise than this program would spell it",
    "name": "no section of the settings covers the name, or it covers timestamps alone",
    "version": "the version does not rise, rises too far, or has another content already",
    "issued": "the document was not issued lately",
    "lifetime": "the document lives longer than the settings allow",
    "approval": "the content is new, and too few people approved it",
    "rate": "too many were signed without people within a day",
    "pinset": "the timestamp does not name the pin set that was signed last",
    "log": "the checkpoint does not go on from the one signed last, or names another root",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """
    One message out of its DSSE frame, for the key *keyid*, and what came along.

    Attributes:
        approvals: signatures over the same message.
        evidence: the pin set that a timestamp names, as people signed it.
    """

    keyid: str
    payload_type: str
    payload: bytes
    approvals: tuple[Signature, ...] = ()
    evidence: Envelope | None = None


def is_challenge(message: bytes) -> bool:
    """Tell whether *message* can only be the challenge that proves a pair, which no envelope is ever signed over."""
    return message.startswith(CHALLENGE) and len(message) == len(CHALLENGE) + CHALLENGE_BYTES


def open_message(
    keyid: str, message: bytes, approvals: Iterable[Signature] = (), evidence: Envelope | None = None
) -> Asked:
    """
    Return the document that signing *message* would sign.

    Raises:
        SigningRefusedError: it is no DSSE message of a pin set, a timestamp or a checkpoint.
    """
    for payload_type in (PINSET_TYPE, TIMESTAMP_TYPE, CHECKPOINT_TYPE, ROOT_TYPE):
        head = pae(payload_type, b"").removesuffix(b"0 ")
        _, space, payload = message.removeprefix(head).partition(b" ")
        if not message.startswith(head) or not space or pae(payload_type, payload) != message:
            continue
        if payload_type == ROOT_TYPE:
            raise refused("type", "a root is signed by people alone", hint="Sign roots with `pinwarden root sign`.")
        if len(payload) <= PAYLOAD_LIMITS[payload_type]:
            return Asked(keyid, payload_type, payload, tuple(approvals), evidence)
    raise refused(
        "type",
        "the message is nothing that is signed here",
        expected="a pin set, a timestamp or a checkpoint, in its DSSE frame",
        got=f"{len(message)} bytes that are none of them",
    )


def subject_of(asked: Asked) -> tuple[str, Tag | None]:
    """
    Return the name of the pin set that *asked* is about, and the version that it names when it is a timestamp.

    A checkpoint is about the audit log, which has a name here that no pin set can have.

    Raises:
        SigningRefusedError: it is no document of its kind.
    """
    if asked.payload_type == CHECKPOINT_TYPE:
        return LOG, None
    try:
        if asked.payload_type == PINSET_TYPE:
            return PinSet.parse(asked.payload).name, None
        stamp = Timestamp.parse(asked.payload)
    except UntrustedError as error:
        raise clients_refuse(error) from error
    return stamp.name, (stamp.pinset.epoch, stamp.pinset.version)


def check_spelling(document: PinSet | Timestamp | Checkpoint, payload: bytes) -> None:
    """Refuse *payload* unless it is spelt as this program spells what it understands of it."""
    if document.encode() != payload:
        raise refused(
            "form",
            "the document is spelt otherwise than this program would spell what it understands of it",
            hint="It has fields that would be signed unseen; update the signer process with the server.",
        )


def clients_refuse(error: UntrustedError) -> SigningRefusedError:
    """Return the refusal of what clients would refuse, under the step that does."""
    what, rule = f"clients would refuse it: {error.what}", error.step or "form"
    return SigningRefusedError(what, rule=rule, expected=error.expected, got=error.got, hint=error.hint)


def refused(rule: str, what: str, **values: object) -> SigningRefusedError:
    """Return the refusal by *rule*, one of :data:`RULES`."""
    if rule not in RULES:
        raise ValueError(f"no rule {rule!r}")
    return SigningRefusedError(what, rule=rule, **values)
