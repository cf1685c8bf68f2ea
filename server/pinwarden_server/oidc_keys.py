"""
The keys of an OIDC issuer: fetched over https from where its discovery document says, and kept for a while.

It may import urllib3 and joserfc. An issuer is asked no oftener than a minute, however many unknown keys are named, and
what it answers is read up to a limit; keys that were good go on being good while it is away, for a day.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import urllib3
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from pinwarden.errors import MalformedError
from pinwarden.strict_json import parse_object
from pinwarden_server.errors import IssuerUnavailable

FRESH_SECONDS, KEPT_SECONDS, PAUSE_SECONDS = 3600.0, 24 * 3600.0, 60.0
TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES, MAX_KEYS = 256 * 1024, 100
MIN_MODULUS_CHARACTERS = 342  # 2048 bits in base64url
log = logging.getLogger("pinwarden.server")

Key = RSAKey | ECKey | OKPKey


class IssuerKeys:
    """
    The keys of one issuer, by their ``kid``; used by several threads.

    Args:
        ca_file: CAs that may certify it; None: the system's.
        clock: seconds that never go back.
    """

    def __init__(self, issuer: str, *, ca_file: Path | None = None, clock: Callable[[], float] = monotonic) -> None:
        self.issuer = issuer
        self._clock = clock
        self._http = urllib3.PoolManager(
            retries=False, timeout=TIMEOUT_SECONDS, cert_reqs="CERT_REQUIRED", ca_certs=ca_file and str(ca_file)
        )
        self._keys: dict[str, Key] = {}
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._lock = Lock()

    def find(self, kid: str) -> Key | None:
        """
        Return the key *kid*, None when the issuer has none of that name.

        Raises:
            IssuerUnavailable: its keys were never had, or not for a day.
        """
        if self._fetched_at is not None and self._clock() - self._fetched_at < FRESH_SECONDS and kid in self._keys:
            return self._keys[kid]  # nobody waits for a fetch who needs none
        with self._lock:
            now = self._clock()
            stale = self._fetched_at is None or now - self._fetched_at >= FRESH_SECONDS
            if (stale or kid not in self._keys) and (self._asked_at is None or now - self._asked_at >= PAUSE_SECONDS):
                self._asked_at = now
                self._refresh(now)
            if self._fetched_at is None or now - self._fetched_at >= KEPT_SECONDS:
                raise IssuerUnavailable(
                    f"the keys of {self.issuer} cannot be had", hint="Repeat the login later; the log says why."
                )
            return self._keys.get(kid)

    def _refresh(self, now: float) -> None:
        try:
            found = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise MalformedError("the discovery document is another issuer's", got=repr(found.get("issuer"))[:200])
            address = found.get("jwks_uri")
            if not isinstance(address, str) or not address.startswith("https://"):
                raise MalformedError("the discovery document names no keys over https", got=repr(address)[:200])
            listed = self._get(address).get("keys")
            if not isinstance(listed, list) or len(listed) > MAX_KEYS:
                raise MalformedError("not a list of keys", expected=f"at most {MAX_KEYS}")
        except (urllib3.exceptions.HTTPError, MalformedError) as error:
            log.warning("the keys of %s cannot be fetched: %s", self.issuer, error)
            return
        self._keys = {kid: key for kid, key in map(_usable, listed) if key is not None}
        self._fetched_at = now

    def _get(self, address: str) -> dict[str, Any]:
        response = self._http.request("GET", address, redirect=False, preload_content=False)
        try:
            if response.status != 200:
                raise MalformedError(f"{address} was answered with {response.status}")
            return parse_object(_read(response, address), limit=MAX_ANSWER_BYTES, what=address)
        finally:
            response.close()


def _read(response: urllib3.BaseHTTPResponse, address: str) -> bytes:
    """Return the body, a little more than is taken at most; an answer that drips in is given up."""
    data, ends = b"", monotonic() + TIMEOUT_SECONDS
    while len(data) <= MAX_ANSWER_BYTES and (part := response.read1(MAX_ANSWER_BYTES)):
        data += part
        if monotonic() > ends:
            raise MalformedError(f"{address} answers too slowly")
    return data


def _usable(listed: object) -> tuple[str, Key | None]:
    """Return ``kid`` and key of an entry that may verify signatures; what cannot is left out, as RFC 7517 wants."""
    if not isinstance(listed, dict) or not isinstance(kid := listed.get("kid"), str):
        return "", None
    if listed.get("use", "sig") != "sig" or listed.get("kty") not in ("RSA", "EC", "OKP") or "d" in listed:
        return kid, None
    if listed["kty"] == "RSA" and len(str(listed.get("n"))) < MIN_MODULUS_CHARACTERS:
        return kid, None
    try:
        key = import_key(listed)
    except (JoseError, ValueError, TypeError, KeyError):
        return kid, None
    return kid, key if isinstance(key, (RSAKey, ECKey, OKPKey)) else None
