"""
ID tokens of jobs (OpenID Connect): verified, held against the rules, and exchanged once for a short session.

It may import joserfc, the rules and the keys of issuers, the store and ``sessions``. An ID token opens nothing by
itself; algorithms are pinned to kinds of keys, and nothing is fetched for an issuer that no rule names.
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from sqlalchemy.exc import IntegrityError

from pinwarden.errors import MalformedError
from pinwarden.strict_json import encode, parse_object
from pinwarden_server.errors import Forbidden, Unauthenticated
from pinwarden_server.oidc_keys import IssuerKeys, Key
from pinwarden_server.oidc_rules import OidcRule
from pinwarden_server.sessions import Grant, Session, begin_session
from pinwarden_server.store import Store
from pinwarden_server.store.logins import ID_TOKENS_MATTER, id_tokens_doubted_until, spend_id_token

SESSION_LIFETIME = timedelta(minutes=15)
LEEWAY = timedelta(seconds=30)
MAX_LIFETIME = ID_TOKENS_MATTER - LEEWAY
MAX_TOKEN_BYTES, MAX_ID = 16 * 1024, 256
# Each algorithm goes with one kind of key: a public key is never taken for an HMAC secret, and "none" is not here.
_ALGORITHMS: Mapping[str, tuple[type, str | None]] = {
    "RS256": (RSAKey, None),
    "ES256": (ECKey, "P-256"),
    "EdDSA": (OKPKey, "Ed25519"),
    "Ed25519": (OKPKey, "Ed25519"),
}
# RFC 9864 calls the name ambiguous; the curve is pinned above.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)
log = logging.getLogger("pinwarden.server")


@dataclass(frozen=True, slots=True)
class IdToken:
    """A verified ID token: signed by its issuer, and within its time. Whom it lets in is not judged yet."""

    issuer: str
    audience: str
    subject: str
    identity: str
    issued_at: datetime
    expires_at: datetime
    claims: dict[str, Any]


class Issuers:
    """The issuers that rules name, with their keys; one for each worker."""

    def __init__(
        self, rules: tuple[OidcRule, ...], *, ca_file: Path | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._rules = rules
        names = {rule.issuer for rule in rules}
        self._keys = {name: IssuerKeys(name, ca_file=ca_file, clock=clock) for name in names}

    def log_in(self, store: Store, token: str, now: datetime) -> Session:
        """
        Return a short session for the job that has *token*, which is spent by that.

        Raises:
            Unauthenticated: no issuer of ours signed it, it is out of its time, or it was exchanged before, or may have
                been, in a store that a backup has replaced since.
            Forbidden: it is good, and no rule lets it in.
            IssuerUnavailable: the issuer's keys cannot be had.
        """
        found = self.verify(token, now)
        rule = self._rule_for(found)
        restored_at = id_tokens_doubted_until(store.reader)
        if restored_at is not None and found.issued_at <= restored_at + LEEWAY:
            raise _refused("it was issued before the store was restored from a backup, and may have been exchanged")
        grant = Grant(rule.owner, "oidc", rule.role, rule.names, SESSION_LIFETIME)
        detail = {"issuer": found.issuer, "sub": found.subject, "jti": found.identity}
        digest = sha256(encode({"iss": found.issuer, "jti": found.identity})).hexdigest()
        try:
            with store.writer.transaction() as transaction:
                spend_id_token(transaction, digest, found.expires_at + LEEWAY)
                return begin_session(transaction, grant, now, detail)
        except IntegrityError:
            raise _refused("it was exchanged before") from None

    def verify(self, token: str, now: datetime) -> IdToken:
        """
        Return what *token* says, once it is known to be its issuer's and in time at *now*.

        Raises:
            Unauthenticated, IssuerUnavailable: as above.
        """
        header, claims = _unverified(token)
        keys = self._keys.get(issuer) if isinstance(issuer := claims.get("iss"), str) else None
        if keys is None:
            raise _refused("no rule names its issuer")
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or not isinstance(algorithm, str) or "crit" in header:
            raise _refused("its header is none that is taken")
        if algorithm not in _ALGORITHMS:
            raise _refused("its algorithm is none that is taken")
        key = keys.find(kid)
        if key is None or not _goes_with(key, algorithm):
            raise _refused("its issuer has no such key")
        try:
            # Headers that mean nothing to us are left alone, as RFC 7515 wants; "crit" was refused above.
            registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
            payload = jws.deserialize_compact(token, key, algorithms=[algorithm], registry=registry).payload
            signed = parse_object(payload, limit=MAX_TOKEN_BYTES, what="ID token")
        except (JoseError, MalformedError, ValueError):
            raise _refused("its signature is wrong") from None
        return _in_time(signed, keys.issuer, now)

    def _rule_for(self, found: IdToken) -> OidcRule:
        misfits = []
        for number, rule in enumerate(self._rules, 1):
            if rule.issuer != found.issuer:
                continue
            misfit = "aud" if rule.audience != found.audience else rule.misfit(found.claims)
            if misfit is None:
                return rule
            misfits.append(f"rule {number} by its {misfit}")
        # What the rules want is not told: on a public forge anybody may come with a good token, and ask.
        raise Forbidden(
            "no rule lets this ID token in",
            expected="claims that fit a rule of the setting oidc",
            got=f"refused by {'; '.join(misfits)}",
        )


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims as they stand there, to find out whose keys are to be asked; nothing is believed yet."""
    if not token.isascii() or len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
        raise _refused("it is none")
    try:
        parts = jws.extract_compact(token.encode("ascii"))
        header = parse_object(encode(parts.headers()), limit=MAX_TOKEN_BYTES, what="header")
        return header, parse_object(parts.payload, limit=MAX_TOKEN_BYTES, what="ID token")
    except (JoseError, MalformedError, ValueError, TypeError):
        raise _refused("it is none") from None


def _goes_with(key: Key, algorithm: str) -> bool:
    kind, curve = _ALGORITHMS[algorithm]
    right_curve = curve is None or getattr(key, "curve_name", None) == curve
    return isinstance(key, kind) and right_curve and key.as_dict().get("alg", algorithm) == algorithm


def _in_time(claims: dict[str, Any], issuer: str, now: datetime) -> IdToken:
    audience = claims.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    texts = [claims.get("sub"), claims.get("jti"), audience]
    # For several audiences, each of them could pass the token on to us.
    if not all(isinstance(each, str) and 0 < len(each) <= MAX_ID for each in texts) or claims.get("iss") != issuer:
        raise _refused("it lacks iss, sub, jti or its one aud")
    times = [claims.get("exp"), claims.get("iat"), claims.get("nbf", claims.get("iat"))]
    if not all(type(each) is int and 0 <= each < 2**35 for each in times):
        raise _refused("it lacks exp or iat")
    expires, issued, begins = (datetime.fromtimestamp(each or 0, UTC) for each in times)
    if now >= expires + LEEWAY or max(issued, begins) > now + LEEWAY or expires > now + MAX_LIFETIME:
        raise _refused("it is not valid now")
    subject, identity, one = map(str, texts)
    return IdToken(issuer, one, subject, identity, issued, expires, claims)


def _refused(why: str) -> Unauthenticated:
    # The log says why, for whoever sets this up; the answer does not, for whoever tries what is taken.
    log.info("an ID token was refused: %s", why)
    return Unauthenticated(
        "no ID token that is taken",
        expected="a fresh ID token, for the audience of a rule, that was not exchanged before",
        hint="The server's log says why; docs/rights.md shows how a job asks for one.",
    )
