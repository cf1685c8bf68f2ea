"""
Judge a pin set that nobody has signed yet, by the client's own verifier.

It may import layer 0 and libsodium's signing. Throw-away keys stand in for those of the root while the verifier looks;
they, and whatever they signed, never leave this room.
"""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from pinwarden.documents import PinSet, PinSetRef, Timestamp
from pinwarden.envelope import PINSET_TYPE, TIMESTAMP_TYPE
from pinwarden.errors import RollbackError
from pinwarden.trust import TrustState, advance_pinset, advance_timestamp, read_clock
from pinwarden_keys.signer import sign_envelope
from pinwarden_keys.signer_file import SoftwareSigner


def judge_unsigned_pinset(state: TrustState, payload: bytes, *, now: datetime) -> PinSet:
    """
    Return what *payload* says when *state* would adopt it, once its signers had signed it and a timestamp named it.

    For whoever proposes and whoever signs: all of spec V5, V7 and V8 but the signatures, by the code that clients run.
    It must be newer than everything that *state* has seen. What it returns is trusted by nobody yet.

    Raises:
        UntrustedError: clients like this one would refuse it, with the step that does.
    """
    document, grant, clock = PinSet.parse(payload), state.root.grant_for(state.name), read_clock(state, now)
    floor = state.floor_pinset
    if floor is not None and (document.epoch, document.version) == floor.tag:
        raise RollbackError(
            f"pin set {floor.tag[0]}.{floor.tag[1]} of {state.name!r} exists already",
            expected="a version above it",
            got=f"{document.epoch}.{document.version}",
            step="V7",
        )
    signer = SoftwareSigner(os.urandom(32), uri="memory:unsigned")
    try:
        alone: dict[str, Any] = {"keyids": (signer.keyid,), "threshold": 1, "keys": {signer.keyid: signer.public}}
        timestamp, grant = replace(state.root.timestamp, **alone), replace(grant, **alone)
        root = replace(state.root, timestamp=timestamp, pinset=(grant,))
        judged = replace(state, chain=(*state.chain[:-1], root))
        stamp = sign_envelope(TIMESTAMP_TYPE, _stamp(judged, document, payload, clock.effective).encode(), [signer])
        pinset = sign_envelope(PINSET_TYPE, payload, [signer])
    finally:
        signer.close()
    advance_pinset(advance_timestamp(judged, stamp, clock=clock), pinset, clock=clock)
    return document


def _stamp(state: TrustState, document: PinSet, payload: bytes, issued: datetime) -> Timestamp:
    role, floor = state.root.timestamp, state.floor_timestamp
    above = floor.document.version + 1 if floor and floor.document.epoch == role.epoch else 1
    return Timestamp(
        authority=state.authority,
        name=state.name,
        epoch=role.epoch,
        version=above,
        issued=issued,
        expires=issued + timedelta(seconds=min(3600, role.max_lifetime_seconds)),
        root_version=state.root.version,
        pinset=PinSetRef(document.epoch, document.version, sha256(payload).digest(), len(payload)),
    )
