"""
One report: what it says, field by field (spec section 8; docs/reports.md).

It may import documents, ``enforce`` and spelling. It has no field for a URL, a path, a header or a body, nor for the
name in a certificate: what is not here cannot be sent.
"""

import json
from dataclasses import dataclass
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
            chain=Chain(chain.pins[:MAX_CHAIN], chain.verified),
            known=tuple(str(pin) for pin in (*rule.entry.pins, *rule.entry.backups)),
            when=when,
        )

    @classmethod
    def of_contradiction(cls, pinset: PinSet, outcome: str, envelopes: tuple[bytes, ...], when: datetime) -> Self:
        """Return the report of two documents that should be one."""
        return cls(pinset.report_to or "", outcome, None, None, pinset, None, (), when, envelopes)

    def spell(self, *, sdk: str, instance: str | None) -> bytes:
        """Return the JSON object that is sent, 64 KiB at most: envelopes that are too long for it go by their hash."""
        body = self._body(sdk, instance)
        if self.envelopes:
            hashes = [{"sha256": encode_base64(sha256(one).digest())} for one in self.envelopes]
            whole = [{**short, "envelope": json.loads(one)} for short, one in zip(hashes, self.envelopes, strict=True)]
            spelt = spell({**body, "envelopes": whole})
            return spelt if len(spelt) <= MAX_REPORT_BYTES else spell({**body, "envelopes": hashes})
        return spell(body)

    def _body(self, sdk: str, instance: str | None) -> dict[str, Any]:
        keys = [{"pin": encode_base64(pin)} for pin in self.chain.pins] if self.chain else []
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
