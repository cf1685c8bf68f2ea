"""
Signers: private keys named by a URI, with the public half stated beside it.

It may import ``pinwarden.envelope`` and the second verifier; the module of a scheme is loaded when a URI names it. No
signature leaves this room that both crypto libraries have not accepted.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, runtime_checkable

from pinwarden.envelope import MAX_SIGNATURES, Envelope, Signature, check_public_key, keyid_of, pae
from pinwarden.errors import SignatureError
from pinwarden_keys.errors import SignerConfigError, SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.second_verifier import check_signature

# Where each scheme's ``open_uri(uri, passphrase) -> Signer`` lives.
SCHEMES = {
    "file": "pinwarden_keys.signer_file",
    "pkcs11": "pinwarden_keys.signer_pkcs11",
    "awskms": "pinwarden_keys.signer_aws",
    "vault": "pinwarden_keys.signer_vault",
    "unix": "pinwarden_keys.signer_unix",
}

# What has to be installed besides, for the schemes that need a library of their own.
EXTRAS = {"pkcs11": "hsm", "awskms": "aws"}

# No envelope's signed message starts so ("DSSEv1 "), hence this signature can never be spent elsewhere.
CHALLENGE = b"pinwarden signer challenge v1\n"
CHALLENGE_BYTES = 32


class Signer(Protocol):
    """A key pair that signs; pure Ed25519 (RFC 8032)."""

    @property
    def uri(self) -> str:
        """Where the private half lives, without any secret."""
        ...

    @property
    def public(self) -> bytes:
        """The raw 32-byte public half."""
        ...

    @property
    def keyid(self) -> str:
        """The name of the key in roots and envelopes (spec section 2)."""
        ...

    @property
    def label(self) -> str | None:
        """What its keeper calls the key; anyone may have chosen that name."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature over *message*; SignerError when it cannot be made."""
        ...

    def close(self) -> None:
        """Forget the private half, or the session that reaches it; sign() refuses afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Approvers:
    """
    Whose approval a key waits for: *threshold* of *keys*, keyid to raw public half.

    Attributes:
        labels: keyid to what the keeper calls the person.
    """

    keys: Mapping[str, bytes]
    threshold: int
    labels: Mapping[str, str]


@runtime_checkable
class GatedSigner(Signer, Protocol):
    """A signer that judges what it signs: new pins only when people have approved them."""

    def approvers(self, name: str) -> Approvers | None:
        """Return who approves pin sets of that *name*; None when this key signs none of them."""
        ...

    def sign_approved(self, message: bytes, approvals: Iterable[Signature]) -> bytes:
        """
        Return the signature over *message*, which *approvals* are signatures over as well.

        Raises:
            SigningRefusedError: they do not suffice, or another rule refuses. SignerError: it cannot be made.
        """
        ...

    def sign_stamp(self, message: bytes, pinset: Envelope) -> bytes:
        """Return the signature over a timestamp that names *pinset*; errors as for :meth:`sign_approved`."""
        ...


def open_signer(uri: str, *, public: bytes | None = None, passphrase: Passphrase | None = None) -> Signer:
    """
    Open the signer that *uri* names and prove that it holds the pair it claims.

    Args:
        uri: ``file:/path/to/key``, or one of the other :data:`SCHEMES`; a path alone is refused.
        public: the raw public half that is expected, when it is stated elsewhere too (a root, a setting).
        passphrase: asked once, when the scheme needs one.

    Raises:
        SignerError: unknown scheme, another public half than expected, a signature that does not verify, a missing
            library, or a keeper of keys that refuses.
        KeeperAwayError: a keeper of keys that does not answer, or cannot now.
        KeyFileError, PassphraseError: from files with keys, passphrases, PINs and tokens.
    """
    signer = _opener_for(uri)(uri, passphrase)
    try:
        return prove(signer, public=public)
    except BaseException:
        signer.close()
        raise


def prove(signer: Signer, *, public: bytes | None = None) -> Signer:
    """
    Return *signer* once it has signed a fresh challenge for its public half, which is *public* when that is given.

    Raises:
        SignerError: the pair does not match, or the challenge cannot be signed.
    """
    if public is not None and signer.public != public:
        raise SignerError(
            f"{signer.uri} holds another key than expected",
            expected=keyid_of(public),
            got=signer.keyid,
            hint="Compare the root with `pinwarden keys show`: one of the two files is old, or not yours.",
        )
    challenge = CHALLENGE + os.urandom(CHALLENGE_BYTES)
    signature = signer.sign(challenge)  # a keeper that refuses says so itself
    try:
        check_public_key(signer.public, keyid=signer.keyid)
        check_signature(signature, challenge, signer.public)
    except (SignerError, SignatureError) as error:
        raise SignerError(
            f"{signer.uri} is not the pair it claims to be: {error.what}",
            expected=f"a signature by {signer.keyid}",
            holds="The challenge signed for this test is of no use to anyone.",
        ) from error
    return signer


def sign_envelope(payload_type: str, payload: bytes, signers: Iterable[Signer]) -> Envelope:
    """
    Return the DSSE envelope of *payload* with one signature per signer, each verified by both libraries (spec S2).

    Whether these signers satisfy any role is not judged here; ``second_verifier.check_envelope`` does.

    Raises:
        SignerError: no signer, more than 16, the same key twice, or a bad signature; no envelope exists then.
    """
    message = pae(payload_type, payload)
    chosen = tuple(signers)
    keyids = {signer.keyid for signer in chosen}
    if len(keyids) != len(chosen) or not 1 <= len(chosen) <= MAX_SIGNATURES:
        raise SignerError(
            "an envelope cannot be signed by these signers",
            expected=f"1 to {MAX_SIGNATURES} different keys",
            got=f"{len(chosen)} signers with {len(keyids)} different keys",
        )
    return Envelope.of(
        payload_type,
        payload,
        [Signature(signer.keyid, check_signature(signer.sign(message), message, signer.public)) for signer in chosen],
    )


def _opener_for(uri: str) -> Callable[[str, Passphrase | None], Signer]:
    module = _module_for(uri)
    try:
        opener: Callable[[str, Passphrase | None], Signer] = import_module(module).open_uri
    except ImportError as error:
        scheme = uri.partition(":")[0]
        extra = EXTRAS.get(scheme)
        if extra is None:
            raise
        raise SignerConfigError(
            f"a library that {scheme}: needs cannot be loaded: {error}",
            hint=f"Run: pip install 'pinwarden[{extra}]'",
        ) from None
    return opener


def _module_for(uri: str) -> str:
    scheme, colon, _ = uri.partition(":")
    module = SCHEMES.get(scheme) if colon else None
    if module is None:
        # The rest of the URI stays out of the message: other schemes carry PINs and tokens there.
        raise SignerConfigError(
            "no signer for this kind of URI",
            expected=" or ".join(f"{known}:" for known in SCHEMES),
            got=f"{scheme[:16]}:" if colon else "no scheme",
            hint="A key file is named file:/path/to/key.",
        )
    return module
