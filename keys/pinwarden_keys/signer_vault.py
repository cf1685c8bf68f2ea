"""
The signer of ``vault:`` URIs: an Ed25519 key in the transit engine of HashiCorp Vault.

It may import its HTTP room, the worker and the URI room. One version of the key is used from open to close: a rotated
key would sign what no root names.
"""

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pinwarden.envelope import keyid_of
from pinwarden.errors import MalformedError
from pinwarden.strict_json import decode_base64, encode_base64
from pinwarden_keys.errors import SignerConfigError, SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.signer_uri import MAX_URI, parameters_of, refused_uri
from pinwarden_keys.signer_vault_http import VaultServer
from pinwarden_keys.signer_worker import Worker

SCHEME = "vault"
PARAMETERS = ("address", "token-file", "version", "namespace", "ca-file")
PUBLIC_BYTES, SIGNATURE_BYTES = 32, 64
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # with base64 still below the 32 MiB that Vault takes unless told otherwise

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_PATH = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class VaultSigner:
    """A signer whose private half stays in Vault."""

    def __init__(self, uri: str, server: VaultServer, path: str, version: int | None) -> None:
        self.uri = uri
        self._server = server
        self._mount, _, self.label = path.rpartition("/")
        self._closed = False
        self._worker = Worker(f"vault {server.host}")
        try:
            self._version, self.public = self._worker.call(lambda: self._read(version), what=self._what)
        except BaseException:
            self._worker.stop()
            raise
        self.keyid = keyid_of(self.public)

    def __repr__(self) -> str:
        return f"<VaultSigner {self.uri} {self.keyid[:16]}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer does not leave its process")

    def sign(self, message: bytes) -> bytes:
        """
        Return the 64-byte signature over *message* by the version of the key that was read at the start.

        Raises:
            SignerError: closed, too large, or Vault refuses, is away, or does not answer within 15 s.
            KeyFileError: the token file refuses.
        """
        if self._closed:
            raise SignerError(f"{self.uri} is closed", hint="Open it again to sign.")
        if len(message) > MAX_MESSAGE_BYTES:
            raise SignerError(
                f"the message is too large for {self.uri}",
                expected=f"at most {MAX_MESSAGE_BYTES} bytes",
                got=len(message),
                holds="It was not sent.",
                hint="Keep the key of the timestamp there instead.",
            )
        return self._worker.call(lambda: self._sign(message), what=self._what)

    def close(self) -> None:
        """Refuse from now on; Vault keeps no session."""
        self._closed = True
        self._worker.stop()

    @property
    def _what(self) -> str:
        return f"Vault at {self._server.host}:{self._server.port}"

    def _read(self, version: int | None) -> tuple[int, bytes]:
        """Return the version to use, and its public half."""
        found = self._server.ask("GET", f"{self._mount}/keys/{self.label}")
        if found.get("type") != "ed25519" or found.get("derived") or not isinstance(found.get("keys"), dict):
            raise SignerError(
                f"{self.uri} is not a key that can sign here",
                expected="type ed25519, not derived",
                got=f"type {str(found.get('type'))[:40]}{', derived' if found.get('derived') else ''}",
                hint="Make one: vault write -f MOUNT/keys/NAME type=ed25519",
            )
        versions = {int(name): each for name, each in found["keys"].items() if name.isdecimal()}
        if version is None and len(versions) == 1:
            (version,) = versions
        if version is None or version not in versions:
            raise SignerError(
                f"{self.uri} names no version that the key has, or none of several",
                expected=f"version={' or '.join(map(str, sorted(versions)))}"[:80],
                got=version,
                hint="State the version whose public half stands in the root.",
            )
        found_version = versions[version]
        public = found_version.get("public_key") if isinstance(found_version, dict) else None
        return version, _decoded(public, PUBLIC_BYTES, self.uri)

    def _sign(self, message: bytes) -> bytes:
        body = {"input": encode_base64(message), "key_version": self._version}
        signature = self._server.ask("POST", f"{self._mount}/sign/{self.label}", body).get("signature")
        prefix = f"vault:v{self._version}:"
        if not isinstance(signature, str) or not signature.startswith(prefix):
            raise SignerError(
                f"{self.uri} answered with another kind of signature",
                expected=f"{prefix} and base64",
                got=repr(str(signature)[:16]),
                holds="The signature was dropped.",
                hint="Does address= name a Vault server?",
            )
        return _decoded(signature.removeprefix(prefix), SIGNATURE_BYTES, self.uri)


def open_uri(uri: str, passphrase: Passphrase | None) -> VaultSigner:
    """
    Open the key that *uri* names; there is no passphrase to ask for.

    Raises:
        SignerError: not such a URI, or Vault refuses, or does not answer. KeyFileError: the token file refuses.
    """
    if len(uri) > MAX_URI:
        raise refused_uri(SCHEME, "it is too long", expected=f"at most {MAX_URI} characters")
    path, _, query = uri.removeprefix(f"{SCHEME}:").partition("?")
    parameters = parameters_of(query, PARAMETERS, scheme=SCHEME)
    if not _PATH.fullmatch(path) or ".." in path:
        raise refused_uri(SCHEME, "it does not name one key", expected="vault:MOUNT/NAME?address=...&token-file=...")
    if missing := [name for name in PARAMETERS[:2] if name not in parameters]:
        raise refused_uri(SCHEME, f"{' and '.join(missing)} must be stated after the question mark")
    token_file = Path(parameters["token-file"])
    if not token_file.is_absolute():
        raise refused_uri(SCHEME, "token-file is not an absolute path")
    version = parameters.get("version")
    if version is not None and not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise refused_uri(SCHEME, "version is not a number from 1")
    host, port, tls = _listener(parameters["address"], parameters.get("ca-file"))
    server = VaultServer(host, port, tls, token_file, _namespace(parameters))
    return VaultSigner(uri, server, path, None if version is None else int(version))


def _listener(address: str, ca_file: str | None) -> tuple[str, int, ssl.SSLContext | None]:
    expected = "https://HOST:PORT, or http:// of this machine"
    try:
        parts = urlsplit(address)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    except (ValueError, KeyError):
        raise refused_uri(SCHEME, "address is no address of Vault", expected=expected) from None
    host = parts.hostname or ""
    if "@" in parts.netloc or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise refused_uri(SCHEME, "address is no address of Vault", expected=expected)
    if parts.scheme == "https":
        return host, port, _tls(ca_file)
    if host not in _LOOPBACK:
        raise refused_uri(SCHEME, "address would send the token unencrypted", expected=expected)
    if ca_file is not None:
        raise refused_uri(SCHEME, "ca-file has no meaning without https")
    return host, port, None


def _tls(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise SignerConfigError(
            f"ca-file {ca_file} cannot be read: {reason}", hint="It holds certificates in PEM."
        ) from None


def _namespace(parameters: Mapping[str, str]) -> str | None:
    namespace = parameters.get("namespace")
    if namespace is not None and not all(map(_NAME.fullmatch, namespace.strip("/").split("/"))):
        raise refused_uri(SCHEME, "namespace is not a path of names")
    return namespace


def _decoded(text: object, length: int, uri: str) -> bytes:
    try:
        return decode_base64(text, what="answer", length=length)
    except MalformedError as error:
        raise SignerError(
            f"{uri} answered with something else than {length} bytes in base64",
            got=error.got,
            hint="Does address= name a Vault server?",
        ) from None
