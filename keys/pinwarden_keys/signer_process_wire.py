"""
What a signer process and its callers say to each other: one frame each way, four bytes of length and strict JSON.

It may import the gate, the deadline and this package's errors. It never reads beyond its limits, and waits for nobody
longer than the deadline that it is given.
"""

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from pinwarden.answer import printable
from pinwarden.deadline import Deadline
from pinwarden.envelope import ENVELOPE_LIMITS, MAX_SIGNATURES, PINSET_TYPE, Envelope, Signature
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden.strict_json import decode_base64, encode_base64, parse_object, spell
from pinwarden_keys.errors import KeeperAwayError, KeysError, SigningRefusedError

# The largest pin set that clients take, its signatures included, in base64; and a timestamp beside it.
MAX_REQUEST_BYTES = ENVELOPE_LIMITS[PINSET_TYPE] + 16 * 1024
MAX_ANSWER_BYTES = 16 * 1024
SIGNATURE_BYTES = 64
_LENGTH_BYTES = 4
_PIECE = 64 * 1024
_SENTENCES = ("expected", "got", "holds", "hint")


def send(line: socket.socket, value: Mapping[str, object], deadline: Deadline) -> None:
    """Send one frame; OSError when the other side is gone or does not read in time."""
    body = spell(value)
    line.settimeout(deadline.check())
    line.sendall(len(body).to_bytes(_LENGTH_BYTES) + body)


def receive(line: socket.socket, *, limit: int, what: str, deadline: Deadline) -> dict[str, Any]:
    """
    Return the object of one frame.

    Raises:
        OSError: it did not come whole, or not in time; EOFError: nothing came at all.
        MalformedError: larger than *limit*, or not strict JSON.
    """
    length = int.from_bytes(_exactly(line, _LENGTH_BYTES, deadline))
    if length > limit:
        raise MalformedError(f"{what} is too large", expected=f"at most {limit} bytes", got=length, step="P1")
    return parse_object(_exactly(line, length, deadline), limit=limit, what=what)


def signatures_json(entries: Iterable[Signature]) -> list[dict[str, str]]:
    """Return signatures as they travel."""
    return [{"keyid": entry.keyid, "sig": encode_base64(entry.sig)} for entry in entries]


def read_signatures(fields: Fields, name: str) -> tuple[Signature, ...]:
    """Return the signatures in the member *name*; MalformedError for too many, or one that is none."""
    found = fields.each(name, _read_signature)
    if len(found) > MAX_SIGNATURES:
        raise MalformedError(f"{fields.path}.{name} is too long", expected=f"at most {MAX_SIGNATURES}", got=len(found))
    return found


def read_evidence(fields: Fields, name: str) -> Envelope | None:
    """Return the pin set in the member *name*, nothing of which is verified; None when there is no such member."""
    return Envelope.from_json(fields.get(name, dict), expect=PINSET_TYPE) if name in fields else None


def spell_error(error: KeysError) -> dict[str, object]:
    """Return the answer that says no: ``refused`` with its rule, or ``away`` when a later attempt may succeed."""
    said = {"what": printable(error.what)}
    for name in _SENTENCES:
        if (value := getattr(error, name)) is not None:
            said[name] = printable(str(value))
    if isinstance(error, SigningRefusedError):
        return {"refused": {**said, "rule": error.rule}}
    return {"away": said}


def check_answer(answer: dict[str, Any], *, who: str) -> Fields:
    """
    Return the members of an answer that is no refusal.

    Raises:
        SigningRefusedError, KeeperAwayError: it is one, in the words of the process. MalformedError: no answer of ours.
    """
    fields = Fields(answer, "answer")
    for kind in ("refused", "away"):
        if kind not in fields:
            continue
        told = fields.child(kind)
        values = {name: told.text(name) for name in _SENTENCES if name in told}
        what = f"{who}: {told.text('what')}"
        if kind == "refused":
            raise SigningRefusedError(what, rule=told.text("rule"), **values)
        raise KeeperAwayError(what, **values)
    return fields


def _read_signature(value: object, path: str) -> Signature:
    fields = Fields(value, path)
    sig = decode_base64(fields.text("sig"), what=f"{path}.sig", length=SIGNATURE_BYTES)
    return Signature(fields.text("keyid"), sig)


def _exactly(line: socket.socket, count: int, deadline: Deadline) -> bytes:
    got = bytearray()
    while len(got) < count:
        line.settimeout(deadline.check())
        piece = line.recv(min(count - len(got), _PIECE))
        if not piece:
            raise EOFError("nothing came") if not got else ConnectionResetError("the frame ended early")
        got += piece
    return bytes(got)
