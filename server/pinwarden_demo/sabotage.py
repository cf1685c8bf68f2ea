"""
What `--sabotage` does: each step's defence, and how it is taken away for real.

It may import the SDK's private parts, to disable them. The harm is measured as ever; nothing here decides the outcome.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from pinwarden import trust, update
from pinwarden.envelope import Envelope

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
    """Let every client of this process accept whatever can be parsed: signatures, floors and names go unchecked."""

    def payload_of(envelope: Envelope, _role: Any) -> bytes:
        return envelope.payload

    def accept(*_: Any, **__: Any) -> None:
        """Find nothing wrong."""

    def forget_the_cache(state: trust.TrustState, _kept: Any) -> trust.TrustState:
        return state

    with ExitStack() as exits:
        exits.enter_context(mock.patch.object(Envelope, "verified_by", payload_of))
        for check in ("_check_belongs", "_check_floor", "_check_named"):
            exits.enter_context(mock.patch.object(trust, check, accept))
        exits.enter_context(mock.patch.object(update, "absorb", forget_the_cache))
        yield
