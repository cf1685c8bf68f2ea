"""
The signer of ``file:`` URIs, and the signer in memory that it opens to.

It may import ``keyfile``. The seed is in this process's memory while the signer is open: whoever can read that memory
has the key, which is why root keys are opened offline and only for minutes.
"""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from pinwarden.envelope import keyid_of
from pinwarden_keys.errors import PassphraseError, SignerConfigError, SignerError
from pinwarden_keys.keyfile import open_key_file
from pinwarden_keys.passphrase import Passphrase


class SoftwareSigner:
    """A signer whose seed is held in memory; Python cannot wipe it, closing only drops the last reference."""

    def __init__(self, seed: bytes, *, uri: str, label: str | None = None) -> None:
        self.public: bytes
        self._secret: bytes | None
        self.public, self._secret = crypto_sign_seed_keypair(seed)
        self.keyid = keyid_of(self.public)
        self.uri = uri
        self.label = label

    def __repr__(self) -> str:
        return f"<SoftwareSigner {self.uri} {self.keyid[:16]}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer does not leave its process")

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over *message*; SignerError once closed."""
        if self._secret is None:
            raise SignerError(f"{self.uri} is closed", hint="Open it again to sign.")
        signed: bytes = crypto_sign(message, self._secret)
        return signed[:crypto_sign_BYTES]

    def close(self) -> None:
        """Forget the seed."""
        self._secret = None


def open_uri(uri: str, passphrase: Passphrase | None) -> SoftwareSigner:
    """
    Open the key file that *uri* names.

    Raises:
        SignerError: not a ``file:`` URI of a path on this machine.
        KeyFileError, PassphraseError: the file refuses.
    """
    path = path_of(uri)
    if passphrase is None:
        raise PassphraseError(
            f"{uri} needs a passphrase, and no way to get one was given",
            hint="Name a passphrase file, or run this on a terminal.",
        )
    key_file, seed = open_key_file(path, passphrase)
    return SoftwareSigner(seed, uri=uri, label=key_file.label)


def path_of(uri: str) -> Path:
    """Return the path in ``file:relative``, ``file:/absolute`` or ``file:///absolute`` (RFC 8089), percent-decoded."""
    parts = urlsplit(uri)
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or parts.query
        or parts.fragment
        or not parts.path
    ):
        raise SignerConfigError(
            "not the URI of a key file",
            expected="file:/path/to/key, with ? and # percent-encoded",
            got=repr(uri[:120]),
        )
    return Path(unquote(parts.path))


def file_uri(path: str | Path) -> str:
    """Return the ``file:`` URI of *path*, as :func:`pinwarden_keys.signer.open_signer` takes it."""
    return "file:" + quote(str(path))
