"""
The few HTTP requests to a Vault server that a signer makes.

It may import ``http.client`` and ``ssl``, so it obeys neither proxies of the environment nor redirects: both would hand
the token to someone whom the URI does not name. It never goes over plain HTTP to another machine.
"""

import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinwarden.errors import MalformedError
from pinwarden.strict_json import parse_object
from pinwarden_keys.errors import KeeperAwayError, SignerError
from pinwarden_keys.signer_uri import secret_text

SOCKET_SECONDS = 10.0
MAX_ANSWER_BYTES = 256 * 1024

_AWAY = (412, 429)
_REASONS = {
    400: "Compare the key, its type and its versions with the URI.",
    403: "The token is wrong, expired, or its policy lacks a right: see docs/signers.md.",
    404: "Compare mount, key name and namespace with `vault list MOUNT/keys`.",
    412: "This node lags behind; repeat.",
    429: "Vault limits the rate; repeat later.",
    503: "Unseal Vault, or wait until it is up again.",
}


@dataclass(frozen=True, slots=True)
class VaultServer:
    """
    A Vault server and who we are there.

    Attributes:
        host, port: where it listens.
        tls: the context that judges its certificate; None only for a listener on this machine.
        token_file: read at each request, because agents renew tokens in place.
        namespace: of Vault Enterprise and HCP, or None.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    token_file: Path
    namespace: str | None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Return the member ``data`` of Vault's answer to *method* on ``/v1/`` *path*.

        Raises:
            SignerError: a refusal, a redirect, or an answer that is not Vault's.
            KeeperAwayError: no answer, or none now.
            KeyFileError: the token file refuses.
        """
        token = secret_text(self.token_file, what="Vault token file")
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if self.namespace is not None:
            headers["X-Vault-Namespace"] = self.namespace
        content = None if body is None else json.dumps(body)
        try:
            with closing(self._connection()) as connection:
                connection.request(method, f"/v1/{path}", content, headers)
                response = connection.getresponse()
                answer = response.read(MAX_ANSWER_BYTES + 1)
        except ssl.SSLCertVerificationError as error:
            reason = error.verify_message
            raise self._refusal(f"has no certificate that is trusted here: {reason}", hint="State ca-file=.") from None
        except (OSError, http.client.HTTPException) as error:
            reason = type(error).__name__
            hint = "Compare address=, then repeat."
            raise self._refusal(f"cannot be reached: {reason}", hint=hint, kind=KeeperAwayError) from None
        if response.status != http.client.OK:
            raise self._refused(response.status, _said(answer, token))
        return self._parsed(answer)

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=SOCKET_SECONDS)
        return http.client.HTTPSConnection(self.host, self.port, timeout=SOCKET_SECONDS, context=self.tls)

    def _parsed(self, answer: bytes) -> dict[str, Any]:
        try:
            data = parse_object(answer, limit=MAX_ANSWER_BYTES, what="answer").get("data")
        except MalformedError:
            data = None
        if not isinstance(data, dict):
            raise self._refusal("answered something that is not Vault's", hint="Does address= name a Vault server?")
        return data

    def _refused(self, status: int, said: str) -> SignerError:
        if 300 <= status < 400:
            return self._refusal(
                f"answered with a redirect (status {status})",
                hint="Name the active node, or a load balancer that finds it; the token follows no redirect.",
            )
        hint = _REASONS.get(status, "Look at Vault's log, then repeat.")
        kind = KeeperAwayError if status in _AWAY or status >= 500 else SignerError
        return self._refusal(f"refused with status {status}{said}", hint=hint, kind=kind)

    def _refusal(self, what: str, *, hint: str, kind: type[SignerError] = SignerError) -> SignerError:
        return kind(f"Vault at {self.host}:{self.port} {what}", holds="Nothing was signed.", hint=hint)


def _said(answer: bytes, token: str) -> str:
    """Return Vault's own first words; nothing of an answer that is not Vault's, or that gives the token back."""
    try:
        errors = parse_object(answer, limit=MAX_ANSWER_BYTES, what="answer").get("errors")
    except MalformedError:
        return ""
    first = errors[0] if isinstance(errors, list) and errors else None
    words = " ".join(first.split()) if isinstance(first, str) else ""
    return f": {words[:120]}" if words.isprintable() and words and token not in words else ""
