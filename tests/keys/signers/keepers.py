"""
What the contract of signers needs to know about each place that keeps keys.

It may import the product. A keeper holds a real key pair whose public half is known from elsewhere, and secrets that
must never be seen; where the real service cannot run here, a server speaks its HTTP API.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pinwarden.envelope import PINSET_TYPE
from pinwarden_keys.signer import Signer, open_signer

Interruption = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Keeper:
    """
    One place that keeps a key.

    Attributes:
        message: gives for any bytes a message that the keeper signs; most sign the bytes themselves.
        document: type and payload of something that it signs.
    """

    uri: str
    public: bytes
    secrets: tuple[str, ...]
    passphrase: Callable[[], bytes] | None = None
    label: str | None = None
    largest: int | None = None
    hangs: Interruption | None = None
    away: Interruption | None = None
    message: Callable[[bytes], bytes] = bytes
    document: tuple[str, bytes] = (PINSET_TYPE, b'{"a":1}')

    def open(self) -> Signer:
        return open_signer(self.uri, passphrase=self.passphrase)
