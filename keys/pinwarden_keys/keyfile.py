"""
Key files: an Ed25519 seed, sealed with a passphrase (Argon2id, RFC 9106; XChaCha20-Poly1305 by libsodium).

It may import ``files``, ``passphrase``, the gate and libsodium. A file chooses how much work opening it costs, but only
within bounds that are checked before anything is allocated; every byte of it is authenticated, its header included.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_pwhash_alg,
    crypto_pwhash_ALG_ARGON2ID13,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumRuntimeError

from pinwarden.envelope import check_public_key, keyid_of
from pinwarden.errors import MalformedError, SignatureError
from pinwarden.fields import Fields
from pinwarden.strict_json import decode_base64, encode, encode_base64, parse_object
from pinwarden_keys.errors import KeyFileError, PassphraseError
from pinwarden_keys.files import read_private, write_new
from pinwarden_keys.passphrase import Passphrase, check_passphrase

FORMAT = "pinwarden-key-1"
KDF_NAME = "argon2id"
CIPHER_NAME = "xchacha20poly1305-ietf"
SEED_BYTES = 32
MAX_KEY_FILE_BYTES = 8 * 1024
MAX_LABEL = 64

_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES, _AEAD_KEY_BYTES = 16, 24, 16, 32
_MEMBERS = {"format", "scheme", "public", "keyid", "label", "kdf", "cipher", "checksum"}


@dataclass(frozen=True, slots=True)
class Kdf:
    """
    The work that opening a key file costs: Argon2id passes and memory.

    Raises:
        KeyFileError: outside libsodium's minimum (1 pass, 8 KiB) and what a start-up can bear (8 passes, 1 GiB).
    """

    ops: int
    mem_bytes: int

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("passes", self.ops, MIN_OPS, MAX_OPS),
            ("bytes of memory", self.mem_bytes, MIN_MEM_BYTES, MAX_MEM_BYTES),
        ):
            if not least <= value <= most:
                raise KeyFileError(
                    f"key derivation with an impossible number of {name}",
                    expected=f"{least} to {most}",
                    got=value,
                    holds="Nothing was allocated.",
                )


MIN_OPS, MAX_OPS = 1, 8
MIN_MEM_BYTES, MAX_MEM_BYTES = 8 * 1024, 1024 * 1024 * 1024
STANDARD_KDF = Kdf(ops=3, mem_bytes=256 * 1024 * 1024)
# For passphrases that are 256 random bits, which no amount of work makes easier to guess.
LIGHT_KDF = Kdf(ops=1, mem_bytes=1024 * 1024)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The parts of a key file; all but the seed can be read without the passphrase, and is proven only with it."""

    public: bytes
    label: str | None
    kdf: Kdf
    salt: bytes
    nonce: bytes
    sealed: bytes

    @property
    def keyid(self) -> str:
        """The name of the key in roots and envelopes (spec section 2)."""
        return keyid_of(self.public)

    @classmethod
    def seal(
        cls,
        seed: bytes,
        passphrase: bytes,
        *,
        label: str | None = None,
        kdf: Kdf = STANDARD_KDF,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> "KeyFile":
        """Return the key file of a 32-byte *seed*; salt and nonce are fresh from *entropy*."""
        if len(seed) != SEED_BYTES:
            raise KeyFileError("not an Ed25519 seed", expected=f"{SEED_BYTES} bytes", got=f"{len(seed)} bytes")
        public: bytes = crypto_sign_seed_keypair(seed)[0]
        blank = cls(public, _check_label(label), kdf, entropy(_SALT_BYTES), entropy(_NONCE_BYTES), b"")
        key = _derive(check_passphrase(passphrase), blank.salt, kdf)
        sealed: bytes = crypto_aead_xchacha20poly1305_ietf_encrypt(seed, blank._header(), blank.nonce, key)
        return cls(public, label, kdf, blank.salt, blank.nonce, sealed)

    def open(self, passphrase: bytes) -> bytes:
        """
        Return the 32-byte seed.

        Raises:
            PassphraseError: the passphrase does not open this file, or someone changed it and mended its checksum.
            KeyFileError: the seed inside belongs to another public key.
        """
        key = _derive(check_passphrase(passphrase), self.salt, self.kdf)
        try:
            seed: bytes = crypto_aead_xchacha20poly1305_ietf_decrypt(self.sealed, self._header(), self.nonce, key)
        except CryptoError:
            raise PassphraseError(
                f"the passphrase does not open key {self.keyid[:16]}",
                holds="The file's checksum is right, so it is not damaged by accident.",
                hint="Try again. If you are sure of it, the file was changed on purpose: use a backup.",
            ) from None
        if (public := crypto_sign_seed_keypair(seed)[0]) != self.public:
            raise KeyFileError(
                "the public half in the key file is not that of its seed",
                expected=keyid_of(public),
                got=self.keyid,
                hint="Do not use this file: whoever wrote it wanted signatures to be made for another key.",
            )
        return seed

    @classmethod
    def parse(cls, content: bytes, *, where: str = "key file") -> "KeyFile":
        """
        Read a key file without opening it.

        Raises:
            KeyFileError: damaged, of another format, or with work beyond the bounds of :class:`Kdf`.
        """
        try:
            fields = Fields(parse_object(content, limit=MAX_KEY_FILE_BYTES, what=where), where)
            if fields.text("format") != FORMAT:
                raise KeyFileError(f"{where} has another format", expected=FORMAT, got=repr(fields.text("format")[:40]))
            parsed = _read(fields)
            if parsed.to_bytes() != content:  # one spelling per key file; the checksum is part of it
                raise MalformedError("checksum or spelling is not what its content gives")
        except (MalformedError, SignatureError) as error:
            raise KeyFileError(
                f"{where} is damaged: {error.what}",
                expected=error.expected,
                got=error.got,
                hint="The passphrase was not tried. Use a backup of the file.",
            ) from None
        return parsed

    def to_bytes(self) -> bytes:
        """Return the file's content: one line of JSON."""
        body = {**self._header_members(), "cipher": {**self._cipher_header(), "sealed": encode_base64(self.sealed)}}
        return encode({**body, "checksum": sha256(encode(body)).hexdigest()}) + b"\n"

    def _cipher_header(self) -> dict[str, object]:
        return {"name": CIPHER_NAME, "nonce": encode_base64(self.nonce)}

    def _header_members(self) -> dict[str, object]:
        label = {} if self.label is None else {"label": self.label}
        kdf = {"name": KDF_NAME, "ops": self.kdf.ops, "mem_bytes": self.kdf.mem_bytes, "salt": encode_base64(self.salt)}
        public = {"scheme": "ed25519", "public": encode_base64(self.public), "keyid": self.keyid}
        return {"format": FORMAT, **public, **label, "kdf": kdf, "cipher": self._cipher_header()}

    def _header(self) -> bytes:
        """Return what the AEAD authenticates besides the seed: everything else in the file."""
        return encode(self._header_members())


def write_key_file(
    path: str | Path, seed: bytes, passphrase: bytes, *, label: str | None = None, kdf: Kdf = STANDARD_KDF
) -> KeyFile:
    """
    Create *path* (mode 0600, flushed to the disk) with *seed*, sealed by *passphrase*.

    Raises:
        KeyFileError: the file exists or cannot be created; then nothing is left behind.
    """
    key_file = KeyFile.seal(seed, passphrase, label=label, kdf=kdf)
    write_new(Path(path), key_file.to_bytes(), what="key file")
    return key_file


def read_key_file(path: str | Path) -> KeyFile:
    """Read *path*, which must be private to its owner; the passphrase is not needed yet."""
    content = read_private(Path(path), limit=MAX_KEY_FILE_BYTES, what="key file")
    return KeyFile.parse(content, where=f"key file {path}")


def open_key_file(path: str | Path, passphrase: Passphrase) -> tuple[KeyFile, bytes]:
    """Return the key file at *path* and its seed; *passphrase* is asked only once the file proved to be undamaged."""
    key_file = read_key_file(path)
    return key_file, key_file.open(passphrase())


def _read(fields: Fields) -> KeyFile:
    if unknown := sorted(set(fields.names()) - _MEMBERS):
        raise MalformedError("unknown members", expected="none", got=", ".join(unknown)[:80])
    fields.choice("scheme", ("ed25519",))
    kdf, cipher = fields.child("kdf"), fields.child("cipher")
    kdf.choice("name", (KDF_NAME,))
    cipher.choice("name", (CIPHER_NAME,))
    return KeyFile(
        public=check_public_key(fields.octets("public", 32), keyid=fields.text("keyid")),
        label=_check_label(fields.text("label")) if "label" in fields else None,
        kdf=Kdf(kdf.integer("ops"), kdf.integer("mem_bytes")),
        salt=kdf.octets("salt", _SALT_BYTES),
        nonce=cipher.octets("nonce", _NONCE_BYTES),
        sealed=decode_base64(cipher.text("sealed"), what="sealed seed", length=SEED_BYTES + _TAG_BYTES),
    )


def _check_label(label: str | None) -> str | None:
    if label is not None and (not 1 <= len(label) <= MAX_LABEL or not label.isprintable()):
        raise KeyFileError(
            "label is not usable", expected=f"1 to {MAX_LABEL} printable characters", got=repr(label[:80])
        )
    return label


def _derive(passphrase: bytes, salt: bytes, kdf: Kdf) -> bytes:
    try:
        key: bytes = crypto_pwhash_alg(
            _AEAD_KEY_BYTES, passphrase, salt, kdf.ops, kdf.mem_bytes, crypto_pwhash_ALG_ARGON2ID13
        )
    except SodiumRuntimeError:
        raise KeyFileError(
            "key derivation failed",
            expected=f"{kdf.mem_bytes} bytes of free memory",
            hint="Give the process more memory, or seal the key again with less work on a larger machine.",
        ) from None
    return key
