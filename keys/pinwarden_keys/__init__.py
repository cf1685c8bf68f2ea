"""
Signing keys: key files, signers behind URIs, and the root ceremony (layer 1).

It may import ``pinwarden`` and crypto libraries; it knows neither the server nor the operator's tools.
No secret is ever stored unencrypted here, passed on a command line, or put into a message, a URI or a log line.
"""

from pinwarden_keys.errors import (
    CeremonyError,
    KeeperAwayError,
    KeyFileError,
    KeysError,
    PassphraseError,
    SignerError,
    SigningRefusedError,
)
from pinwarden_keys.founding import Founding, found_authority
from pinwarden_keys.keyfile import LIGHT_KDF, STANDARD_KDF, Kdf, KeyFile, read_key_file, write_key_file
from pinwarden_keys.passphrase import generate_passphrase, passphrase_file, write_passphrase_file
from pinwarden_keys.second_verifier import check_envelope, check_signature
from pinwarden_keys.signer import Approvers, GatedSigner, Signer, open_signer, sign_envelope
from pinwarden_keys.signer_file import file_uri

__all__ = [
    "LIGHT_KDF",
    "STANDARD_KDF",
    "Approvers",
    "CeremonyError",
    "Founding",
    "GatedSigner",
    "Kdf",
    "KeeperAwayError",
    "KeyFile",
    "KeyFileError",
    "KeysError",
    "PassphraseError",
    "Signer",
    "SignerError",
    "SigningRefusedError",
    "check_envelope",
    "check_signature",
    "file_uri",
    "found_authority",
    "generate_passphrase",
    "open_signer",
    "passphrase_file",
    "read_key_file",
    "sign_envelope",
    "write_key_file",
    "write_passphrase_file",
]
