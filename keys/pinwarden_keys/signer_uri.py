"""
What the URIs of signers share: parameters that are known, stated once, and never repeated in a message.

It may import this package's errors and ``files``. A URI with a secret in it is refused, not used: it would stand in
settings, in logs and in the list of processes.
"""

from collections.abc import Collection
from pathlib import Path
from urllib.parse import unquote_to_bytes

from pinwarden_keys.errors import KeyFileError, SignerConfigError
from pinwarden_keys.files import read_private

MAX_URI = 2048
MAX_SECRET_BYTES = 4096

# Parameters that carry a secret itself, and what to write instead.
SECRETS = {
    "pin-value": "Write the PIN into a file (mode 0600) and name it: pin-source=file:/path.",
    "token": "Write the token into a file (mode 0600) and name it: token-file=/path.",
    "pin": "Write the PIN into a file (mode 0600) and name it: pin-source=file:/path.",
    "secret": "Name the file that holds it.",
    "password": "Name the file that holds it.",
}


def octets_of(text: str, known: Collection[str], *, scheme: str, separator: str = "&") -> dict[str, bytes]:
    """
    Return the parameters of *text*, percent-decoded.

    Raises:
        SignerConfigError: an unknown or repeated parameter, one without a value, or one that carries a secret.
    """
    found: dict[str, bytes] = {}
    for part in filter(None, text.split(separator)):
        name, _, value = part.partition("=")
        if name not in known:
            secret = SECRETS.get(name.lower())
            raise refused_uri(
                scheme,
                f"the parameter {name[:40]!r} is not allowed",
                expected=", ".join(known),
                hint=secret or "Parameters are separated by & and percent-encoded.",
            )
        if name in found or not value:
            raise refused_uri(scheme, f"the parameter {name!r} must be stated once, with a value")
        found[name] = unquote_to_bytes(value)
    return found


def parameters_of(text: str, known: Collection[str], *, scheme: str, separator: str = "&") -> dict[str, str]:
    """Return the parameters of *text* as printable text; SignerConfigError as :func:`octets_of`."""
    found = octets_of(text, known, scheme=scheme, separator=separator)
    return {name: printable(value, name, scheme=scheme) for name, value in found.items()}


def printable(value: bytes, name: str, *, scheme: str) -> str:
    """Return *value* as text; SignerConfigError when it is no UTF-8 or holds control characters."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not text.isprintable():
        raise refused_uri(scheme, f"the parameter {name!r} is not printable text")
    return text


def secret_text(path: Path, *, what: str) -> str:
    """
    Return the one line of text in the private file *path*.

    Raises:
        KeyFileError: missing, open to others, too large, empty, of several lines, or no UTF-8.
    """
    content = read_private(path, limit=MAX_SECRET_BYTES, what=what).removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise KeyFileError(f"{what} {path} does not hold one line of text", hint="Does the file hold something else?")
    return text


def refused_uri(scheme: str, what: str, *, expected: str | None = None, hint: str | None = None) -> SignerConfigError:
    """Return the refusal of a URI; the URI itself stays out of it, because it may hold a secret."""
    return SignerConfigError(
        f"this {scheme}: URI cannot be used: {what}", expected=expected, hint=hint or "See docs/signers.md."
    )
