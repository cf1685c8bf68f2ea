"""
``pkcs11:`` URIs (RFC 7512): which module, which token, which key, and where its PIN lies.

It may import this package's URI room. A PIN in the URI itself is refused, and so is a command that would print it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pinwarden_keys.signer_uri import MAX_URI, octets_of, parameters_of, printable, refused_uri

SCHEME = "pkcs11"
TOKEN_ATTRIBUTES = ("token", "serial", "manufacturer", "model")
KEY_ATTRIBUTES = ("object", "id", "type")
QUERY_ATTRIBUTES = ("module-path", "pin-source")


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """
    A private key in a token.

    Attributes:
        module: absolute path of the PKCS#11 module.
        token: the values of :data:`TOKEN_ATTRIBUTES` that the token must have; at least one.
        label, key_id: ``CKA_LABEL`` and ``CKA_ID`` of the key; at least one is not None.
        pin_file: the private file that holds the PIN.
    """

    module: str
    token: Mapping[str, str]
    label: str | None
    key_id: bytes | None
    pin_file: Path


def parse(uri: str) -> KeyAddress:
    """
    Read *uri*.

    Raises:
        SignerError: a part is missing, unknown, repeated, or a secret; the message does not repeat it.
    """
    if len(uri) > MAX_URI:
        raise refused_uri(SCHEME, "it is too long", expected=f"at most {MAX_URI} characters")
    path, _, query = uri.removeprefix(f"{SCHEME}:").partition("?")
    known = (*TOKEN_ATTRIBUTES, *KEY_ATTRIBUTES)
    attributes = octets_of(path, known, scheme=SCHEME, separator=";")
    parameters = parameters_of(query, QUERY_ATTRIBUTES, scheme=SCHEME)
    key_id = attributes.pop("id", None)
    texts = {name: printable(value, name, scheme=SCHEME) for name, value in attributes.items()}
    token = {name: texts[name] for name in TOKEN_ATTRIBUTES if name in texts}
    if texts.get("type", "private") != "private":
        raise refused_uri(SCHEME, "it names no private key", expected="type=private")
    if not token or (key_id is None and "object" not in texts):
        raise refused_uri(SCHEME, "it does not name one key", expected="token= or serial=, and object= or id=")
    if missing := [name for name in QUERY_ATTRIBUTES if name not in parameters]:
        raise refused_uri(SCHEME, f"{' and '.join(missing)} must be stated after the question mark")
    return KeyAddress(_module(parameters["module-path"]), token, texts.get("object"), key_id, _pin_file(parameters))


def _module(path: str) -> str:
    # A relative name would be looked for where the process happens to stand, and its code would run here.
    if not Path(path).is_absolute():
        raise refused_uri(SCHEME, "module-path is not an absolute path")
    return path


def _pin_file(parameters: Mapping[str, str]) -> Path:
    source = parameters["pin-source"]
    parts = urlsplit(source)
    plain = (
        parts.scheme in ("", "file") and parts.netloc in ("", "localhost") and not parts.query and not parts.fragment
    )
    path = Path(unquote(parts.path) if parts.scheme else source)
    if not plain or not path.is_absolute():
        raise refused_uri(SCHEME, "pin-source is not an absolute path", expected="file:/path or /path")
    return path
