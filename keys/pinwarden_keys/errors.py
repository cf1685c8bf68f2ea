"""
Every way in which signing keys and the ceremony say no.

The sentences are built as everywhere in Pinwarden: what happened, expected and got, what still holds, what to do.
No message ever carries a passphrase, a seed or a credential of a URI.
"""

from typing import Any

from pinwarden.errors import ConfigError, PinwardenError


class KeysError(PinwardenError):
    """Base of all errors of this package."""


class KeyFileError(KeysError):
    """A key file is missing, damaged, open to others, exists already, or asks for impossible work."""


class UnreadableFileError(KeyFileError, ConfigError):
    """A file that was named is missing or cannot be read, so that nothing in it was judged."""


class PassphraseError(KeysError):
    """No passphrase, an unusable one, or not the one that this key file was sealed with."""


class SignerError(KeysError):
    """A signer cannot be opened, is not the pair it claims to be, or made a signature that does not verify."""


class SignerConfigError(SignerError, ConfigError):
    """The URI of a signer, or a setting of a signer process, is impossible; nothing was opened or asked."""


class KeeperAwayError(SignerError):
    """What keeps a key cannot be reached, or cannot answer now; it may later, and it refused no secret."""


class SigningRefusedError(SignerError):
    """
    A signer process understood what it was asked to sign, and refused; it keeps its key and goes on.

    Attributes:
        rule: which rule refused: one of docs/signer-process.md, or a step of docs/spec.md such as ``V5``.
    """

    def __init__(self, what: str, *, rule: str, **values: Any) -> None:
        values.setdefault("holds", "Nothing was signed.")
        super().__init__(what, **values)
        self.rule = rule


class CeremonyError(KeysError):
    """A root cannot be drafted, signed or assembled as asked; nothing was written."""


class MissingSignaturesError(CeremonyError):
    """
    A root waits for more signatures; those that are there are good.

    Attributes:
        tallies: one :class:`pinwarden_keys.ceremony.Tally` for each threshold that has to be met.
    """

    def __init__(self, what: str, *, tallies: tuple[Any, ...], **values: Any) -> None:
        super().__init__(what, **values)
        self.tallies = tallies
