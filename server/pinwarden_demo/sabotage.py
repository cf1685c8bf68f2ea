"""
What `--sabotage` does: each step's defence, and how it is taken away for real.

It may import the SDK's rooms, to replace what they do. The harm is measured as ever; nothing here decides the outcome.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from unittest import mock

from pinwarden import update
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet, Timestamp
from pinwarden.envelope import Envelope
from pinwarden.trust import Held, TrustState

# In the order in which the steps are played.
SABOTAGES = {
    "publish": "the file with the admin token lies open, and the stranger has read it",
    "libraries": "the application switches certificate checks off, as if pins replaced them",
    "interceptor": "the application neither arms a context nor calls enforce()",
    "tampered": "the client's verifier accepts everything",
    "rollback": "the client's verifier accepts everything",
    "foreign": "the client's verifier accepts everything",
    "rotation": "the service takes a new key of which no pin was published",
    "outage": "the application falls back to ordinary CA checks when the pin server is away",
    "restart": "the disk cache is deleted before the restart",
}


@contextmanager
def credulous_verifier() -> Iterator[None]:
    """Let every client of this process adopt whatever can be parsed; signatures, names and floors go unchecked."""

    def believe(state: TrustState, bundle: Bundle, *, now: datetime) -> TrustState:
        timestamp = Held(bundle.timestamp, Timestamp.parse(bundle.timestamp.payload))
        pinset = Held(bundle.pinset, PinSet.parse(bundle.pinset.payload))
        return replace(
            state,
            adopted_timestamp=timestamp,
            adopted_pinset=pinset,
            floor_timestamp=timestamp,
            floor_pinset=pinset,
        )

    def forget(state: TrustState, _kept: Any) -> TrustState:
        return state  # what the cache holds would raise the floor again

    def wave_through(envelope: Envelope, _role: Any) -> bytes:
        return envelope.payload

    with ExitStack() as exits:
        exits.enter_context(mock.patch.object(update, "advance_bundle", believe))
        exits.enter_context(mock.patch.object(update, "absorb", forget))
        exits.enter_context(mock.patch.object(Envelope, "verified_by", wave_through))
        yield
