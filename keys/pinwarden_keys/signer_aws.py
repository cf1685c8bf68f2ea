"""
The signer of ``awskms:`` URIs: an Ed25519 key in AWS KMS.

It may import ``boto3`` (the extra ``aws``), the worker and the URI room. Credentials come from where every AWS tool
takes them, never from the URI, and a message that KMS cannot take is refused before it is sent.
"""

import logging
import re
from collections.abc import Callable
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore import exceptions as botocore  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]

from pinwarden.envelope import keyid_of
from pinwarden_keys.errors import KeeperAwayError, SignerError
from pinwarden_keys.passphrase import Passphrase
from pinwarden_keys.signer_uri import MAX_URI, parameters_of, refused_uri
from pinwarden_keys.signer_worker import Worker

SCHEME = "awskms"
MAX_MESSAGE_BYTES = 4096
KEY_SPEC = "ECC_NIST_EDWARDS25519"
ALGORITHM = "ED25519_SHA_512"  # with MessageType RAW this is pure Ed25519

_SPKI = bytes.fromhex("302a300506032b6570032100")  # RFC 8410, before the 32 bytes of the key
_SPKI_BYTES = len(_SPKI) + 32
_KEY = re.compile(
    r"(?:arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:(?:key|alias)/|alias/)?[A-Za-z0-9/_-]{1,256}(?<!/)"
)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]+")

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=5,
    retries={"total_max_attempts": 2, "mode": "standard"},
    user_agent_extra="pinwarden",
)
_LATER = "That is AWS's own trouble: repeat later."
_CREDENTIALS = "Compare the credentials of this process with `aws sts get-caller-identity`."
_HINTS = {
    "AccessDeniedException": "Allow kms:GetPublicKey and kms:Sign on this key: see docs/signers.md.",
    "NotFoundException": "Compare the key and its region with `aws kms list-aliases`.",
    "DisabledException": "Enable the key: aws kms enable-key.",
    "KMSInvalidStateException": "Look at the state of the key: it may wait for its deletion.",
    "InvalidKeyUsageException": f"Make a key with the spec {KEY_SPEC} and the usage SIGN_VERIFY.",
    "UnsupportedOperationException": f"Make a key with the spec {KEY_SPEC} and the usage SIGN_VERIFY.",
    "ThrottlingException": "Too many requests in this account and region: repeat later.",
    "KMSInternalException": _LATER,
    "DependencyTimeoutException": _LATER,
    "KeyUnavailableException": _LATER,
    "UnrecognizedClientException": _CREDENTIALS,
    "InvalidSignatureException": _CREDENTIALS,
    "ExpiredTokenException": _CREDENTIALS,
}
_AWAY = ("ThrottlingException", "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException")


class AwsKmsSigner:
    """A signer whose private half stays in AWS KMS."""

    def __init__(self, uri: str, key: str, region: str) -> None:
        self.uri = uri
        self.label = key.rpartition("/")[2]
        self._region = region
        self._closed = False
        self._worker = Worker(f"awskms {region}")
        self._client: Any = None
        _keep_requests_out_of_logs()
        try:
            # An alias is followed once: whoever moves it later does not change what this process signs with.
            self._arn, self.public = self._ask(lambda: self._read(key))
        except BaseException:
            self._worker.stop()
            raise
        self.keyid = keyid_of(self.public)

    def __repr__(self) -> str:
        return f"<AwsKmsSigner {self.uri} {self.keyid[:16]}>"

    def __reduce__(self) -> str:
        raise TypeError("a signer does not leave its process")

    def sign(self, message: bytes) -> bytes:
        """
        Return the 64-byte signature over *message*, of 1 to 4,096 bytes.

        Raises:
            SignerError: closed, too large, or KMS refuses, is away, or does not answer within 15 s.
        """
        if self._closed:
            raise SignerError(f"{self.uri} is closed", hint="Open it again to sign.")
        if not 1 <= len(message) <= MAX_MESSAGE_BYTES:
            raise SignerError(
                f"the message is {'too large' if message else 'too small'} for AWS KMS",
                expected=f"1 to {MAX_MESSAGE_BYTES} bytes",
                got=len(message),
                holds="It was not sent.",
                hint="Keep the key of the timestamp there; pin sets and roots are larger and need another signer.",
            )
        signature: bytes = self._ask(lambda: self._sign(message))
        return signature

    def close(self) -> None:
        """Refuse from now on, and close the connections; KMS keeps no session."""
        if not self._closed:
            self._closed = True
            self._worker.after(self._client.close)
            self._worker.stop()

    def _ask(self, action: Callable[[], Any]) -> Any:
        try:
            return self._worker.call(action, what=f"AWS KMS in {self._region}")
        except botocore.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "without a code"))[:60]
            hint = _HINTS.get(code, "CloudTrail shows the request and why it was refused.")
            refusal = KeeperAwayError if code in _AWAY else SignerError
            raise refusal(f"{self.uri}: AWS KMS refused: {code}", holds="Nothing was signed.", hint=hint) from None
        except botocore.BotoCoreError as error:
            # Its text may repeat what a credential process or a file of credentials said.
            kind = type(error).__name__
            away = isinstance(error, (botocore.ConnectionError, botocore.HTTPClientError))
            refusal = KeeperAwayError if away else SignerError
            hint = "Look at the network, then repeat." if away else _CREDENTIALS
            what = f"{self.uri}: AWS KMS gave no answer: {kind}"
            raise refusal(what, holds="Nothing was signed.", hint=hint) from None

    def _read(self, key: str) -> tuple[str, bytes]:
        """Return the ARN of the key itself and its public half; runs on the worker, as finding credentials may hang."""
        self._client = boto3.session.Session().client("kms", region_name=self._region, config=_CONFIG)
        found = self._client.get_public_key(KeyId=key)
        spki = found.get("PublicKey", b"")
        usable = found.get("KeyUsage") == "SIGN_VERIFY" and ALGORITHM in found.get("SigningAlgorithms", ())
        if not usable or len(spki) != _SPKI_BYTES or not spki.startswith(_SPKI):
            raise SignerError(
                f"{self.uri} is not a key that can sign here",
                expected=f"{KEY_SPEC} with SIGN_VERIFY",
                got=f"{found.get('KeySpec')} with {found.get('KeyUsage')}",
                hint="Make one: aws kms create-key --key-usage SIGN_VERIFY --key-spec ECC_NIST_EDWARDS25519",
            )
        return found["KeyId"], spki.removeprefix(_SPKI)

    def _sign(self, message: bytes) -> bytes:
        answer = self._client.sign(KeyId=self._arn, Message=message, MessageType="RAW", SigningAlgorithm=ALGORITHM)
        signature: bytes = answer.get("Signature", b"")
        return signature


def _keep_requests_out_of_logs() -> None:
    """Let botocore log from INFO up, unless someone chose its level: below, it writes session tokens into the log."""
    botocore_log = logging.getLogger("botocore")
    if botocore_log.level == logging.NOTSET:
        botocore_log.setLevel(logging.INFO)


def open_uri(uri: str, passphrase: Passphrase | None) -> AwsKmsSigner:
    """
    Open the key that *uri* names: ``awskms:ARN`` or ``awskms:alias/NAME?region=REGION``.

    Raises:
        SignerError: not such a URI, or KMS refuses, or does not answer.
    """
    if len(uri) > MAX_URI:
        raise refused_uri(SCHEME, "it is too long", expected=f"at most {MAX_URI} characters")
    key, _, query = uri.removeprefix(f"{SCHEME}:").partition("?")
    parameters = parameters_of(query, ("region",), scheme=SCHEME)
    found = _KEY.fullmatch(key)
    if found is None:
        raise refused_uri(SCHEME, "it does not name one key", expected="an ARN, alias/NAME, or a key id")
    stated = {region for region in (found["region"], parameters.get("region")) if region}
    if len(stated) != 1 or not _REGION.fullmatch(next(iter(stated))):
        raise refused_uri(SCHEME, "it does not name one region", expected="?region=REGION, the one in the ARN if any")
    return AwsKmsSigner(uri, key, stated.pop())
