"""
One report: what it says, field by field (spec section 8; docs/reports.md).

It may import documents, ``enforce`` and spelling. It has no field for a URL, a path, a header or a body: what is not
here cannot be sent. Certificates, which name devices and people, are in it only where the application said so.
"""

import json
import ssl
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Self

from pinwarden.documents import PinSet
from pinwarden.enforce import Chain, HostRule, Policy
from pinwarden.strict_json import encode_base64, format_time, spell

MAX_REPORT_BYTES = 64 * 1024
MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that the authority of a pin set wants to hear of.

    Attributes:
        report_to: where it is sent, as the pin set in force says.
        outcome: ``blocked``, ``reported``, ``backup-used``, ``denied``, ``equivocation`` or ``split-view``.
        host: the canonical name that was judged, or None where none was.
        mode: ``enforce`` or ``report``: what this installation does for the host; None without a host.
        pinset: the document in force.
        chain: the keys that were judged, or None without a connection.
        known: the pins and backups of the host, in base64.
        when: the time.
        envelopes: the bytes of two envelopes that contradict each other.
    """

    report_to: str
    outcome: str
    host: str | None
    mode: str | None
    pinset: PinSet
    chain: Chain | None
    known: tuple[str, ...]
    when: datetime
    envelopes: tuple[bytes, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What is reported once an hour at most."""
        return self.host or "", self.outcome

    @classmethod
    def of_connection(
        cls, policy: Policy, rule: HostRule, outcome: str, host: str | None, chain: Chain, when: datetime
    ) -> Self:
        """Return the report of one connection to a host that the pin set names."""
        return cls(
            report_to=policy.pinset.report_to or "",
            outcome=outcome,
            host=host,
            mode="enforce" if rule.enforced else "report",
            pinset=policy.pinset,
            chain=Chain(chain.pins[:MAX_CHAIN], chain.verified, chain.certificates[:MAX_CHAIN]),
            known=tuple(str(pin) for pin in (*rule.entry.pins, *rule.entry.backups)),
            when=when,
        )

    @classmethod
    def of_contradiction(cls, pinset: PinSet, outcome: str, envelopes: tuple[bytes, ...], when: datetime) -> Self:
        """Return the report of two documents that should be one."""
        return cls(pinset.report_to or "", outcome, None, None, pinset, None, (), when, envelopes)

    def without_certificates(self) -> Self:
        """Return the same of the keys alone."""
        return replace(self, chain=self.chain and self.chain._replace(certificates=()))

    def spell(self, *, sdk: str, instance: str | None) -> bytes:
        """
        Return the JSON object that is sent, 64 KiB at most.

        Envelopes that are too long for it go by their hash, and certificates that are do not go.
        """
        body = self._body(sdk, instance)
        if self.envelopes:
            hashes = [{"sha256": encode_base64(sha256(one).digest())} for one in self.envelopes]
            whole = [{**short, "envelope": json.loads(one)} for short, one in zip(hashes, self.envelopes, strict=True)]
            spelt = spell({**body, "envelopes": whole})
            return spelt if len(spelt) <= MAX_REPORT_BYTES else spell({**body, "envelopes": hashes})
        spelt = spell(body)
        if len(spelt) > MAX_REPORT_BYTES:
            return self.without_certificates().spell(sdk=sdk, instance=instance)
        return spelt

    def _body(self, sdk: str, instance: str | None) -> dict[str, Any]:
        keys = _entries(self.chain) if self.chain else []
        verified = self.chain is not None and self.chain.verified
        return {
            "date-time": format_time(self.when),
            "hostname": self.host,
            "port": None,  # the hooks see the name that TLS was told, not the address that was dialled
            "authority": self.pinset.authority,
            "name": self.pinset.name,
            "epoch": self.pinset.epoch,
            "version": self.pinset.version,
            "mode": self.mode,
            "outcome": self.outcome,
            # Of a verified chain, what the peer sent is not read; of an unverified one only the leaf is certain.
            "served-chain": None if verified or self.chain is None else keys,
            "validated-chain": keys if verified else [],
            "known-pins": list(self.known),
            "sdk": sdk,
            "instance": instance,
        }


def _entries(chain: Chain) -> list[dict[str, str]]:
    entries = [{"pin": encode_base64(pin)} for pin in chain.pins]
    for entry, certificate in zip(entries, chain.certificates, strict=False):  # none where only the keys are known
        entry |= {**_names(certificate), "pem": ssl.DER_cert_to_PEM_cert(certificate)}
    return entries


def _names(certificate: bytes) -> dict[str, str]:
    """Return issuer and subject as RFC 4514 writes names, or nothing of a certificate that only its key is known of."""
    from cryptography.x509 import load_der_x509_certificate

    try:
        read = load_der_x509_certificate(certificate)
        return {"issuer": read.issuer.rfc4514_string(), "subject": read.subject.rfc4514_string()}
    except ValueError:
        return {}
