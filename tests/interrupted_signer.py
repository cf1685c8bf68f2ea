"""A signer in whose work something else happens first: another process overtakes it, or a test takes notes."""

from collections.abc import Callable
from dataclasses import dataclass

from pinwarden_keys import Signer


@dataclass(frozen=True)
class InterruptedSigner:
    """Signs as *signer* does, after *interrupt* was called with the message."""

    signer: Signer
    interrupt: Callable[[bytes], object]

    @property
    def uri(self) -> str:
        return self.signer.uri

    @property
    def public(self) -> bytes:
        return self.signer.public

    @property
    def keyid(self) -> str:
        return self.signer.keyid

    def sign(self, message: bytes) -> bytes:
        self.interrupt(message)
        return self.signer.sign(message)

    def close(self) -> None:
        self.signer.close()
