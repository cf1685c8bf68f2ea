"""
Where passphrases come from: a private file, a terminal, or the random generator of a development authority.

It may import ``files``. A passphrase never stands on a command line or in the environment: other processes read those.
"""

import base64
from collections.abc import Callable
from pathlib import Path

from pinwarden_keys.errors import PassphraseError
from pinwarden_keys.files import read_private, write_new

Passphrase = Callable[[], bytes]

MAX_PASSPHRASE_BYTES = 1024
GENERATED_BYTES = 32


def passphrase_file(path: str | Path) -> Passphrase:
    """
    Return a callback that reads the passphrase from *path*, one trailing line end aside.

    The file must be as private as the key file itself; it is read at each call and never kept.
    """

    def read() -> bytes:
        content = read_private(Path(path), limit=MAX_PASSPHRASE_BYTES, what="passphrase file")
        return check_passphrase(content.removesuffix(b"\n").removesuffix(b"\r"))

    return read


def generate_passphrase(entropy: Callable[[int], bytes]) -> bytes:
    """Return 256 random bits as printable text; *entropy* is ``os.urandom`` outside tests."""
    return base64.urlsafe_b64encode(entropy(GENERATED_BYTES)).rstrip(b"=")


def write_passphrase_file(path: str | Path, passphrase: bytes) -> None:
    """Create *path* (mode 0600) with *passphrase* and a line end; KeyFileError when it exists."""
    write_new(Path(path), check_passphrase(passphrase) + b"\n", what="passphrase file")


def check_passphrase(passphrase: bytes) -> bytes:
    """Return *passphrase* unless it is empty, longer than 1,024 bytes or has several lines; strength is not judged."""
    if not passphrase:
        raise PassphraseError("the passphrase is empty")
    if len(passphrase) > MAX_PASSPHRASE_BYTES:
        raise PassphraseError(
            "the passphrase is too long", expected=f"at most {MAX_PASSPHRASE_BYTES} bytes", got=len(passphrase)
        )
    if b"\n" in passphrase:
        raise PassphraseError("the passphrase has more than one line", hint="Does the file hold something else?")
    return passphrase
