"""
What lint finds when a draft shows evidence: the certificates of a host, and requests signed by its backup keys.

It may import layer 0, drafts and evidence; it opens nothing. What is not shown is not judged, but for backups of which
nobody has proved that the key exists.
"""

from collections.abc import Iterator

from pinwarden.documents import Host, Pin
from pinwarden.strict_json import encode_base64
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import Violation
from pinwarden_server.evidence import Evidence
from pinwarden_server.rules_draft import Rule, Surroundings, pins_of


def _each(draft: Draft) -> Iterator[tuple[str, Host, Evidence]]:
    for number, (host, evidence) in enumerate(zip(draft.hosts, draft.evidence, strict=False)):
        yield f"/hosts/{number}", host, evidence


def _not_in_chain(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for pointer, host, evidence in _each(draft):
        if evidence.chain and evidence.keys.isdisjoint(pin.sha256 for pin in (*host.pins, *host.backups)):
            yield Violation(
                "PIN002",
                f"{pointer}/pins",
                f"no pin of {host.host} is in the chain that it shows",
                f"Its own key has the pin {encode_base64(evidence.chain[0].pin)}; clients would refuse the host.",
                forceable=True,
            )


def _backups_in_chain(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for pointer, host, evidence in _each(draft):
        if host.backups and evidence.keys.issuperset(pin.sha256 for pin in host.backups):
            yield Violation(
                "PIN003",
                f"{pointer}/backups",
                f"every backup of {host.host} is in the chain that it shows",
                "Whoever loses the chain's keys loses the backups with them; give the pin of a key kept elsewhere.",
                forceable=True,
            )


def _unproven(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    backups = {backup.sha256 for host in draft.hosts for backup in host.backups}
    new = backups.difference(*(held.every_key for held in around.held))
    for number, host in enumerate(draft.hosts):
        proofs = draft.evidence[number].proofs if draft.evidence else ()
        proven = {backup.sha256 for backup, proof in zip(host.backups, proofs, strict=False) if proof}
        open_ = [backup for backup in host.backups if backup.sha256 in new - proven]
        if open_:
            them = "a backup" if len(open_) == 1 else f"{len(open_)} backups"
            yield Violation(
                "PIN004",
                f"/hosts/{number}/backups",
                f"nobody has proved that the key of {them} of {host.host} exists: {_some(open_)}",
                'Give the backup a "proof": the PEM of a certificate request that the key signed (openssl req -new).',
                blocking=False,
            )


def _some(backups: list[Pin]) -> str:
    return ", ".join(map(str, backups[:3])) + (", ..." if len(backups) > 3 else "")


def _disproved(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for pointer, host, evidence in _each(draft):
        for position, (backup, proof) in enumerate(zip(host.backups, evidence.proofs, strict=False)):
            if proof and not (proof.is_signed and proof.pin == backup.sha256):
                wrong = (
                    f"is for another key, {encode_base64(proof.pin)}"
                    if proof.is_signed
                    else "is not signed by the key that it names"
                )
                yield Violation(
                    "PIN004",
                    f"{pointer}/backups/{position}/proof",
                    f"the proof of {host.host}'s backup {backup} {wrong}",
                    "Make the request with the backup key itself: openssl req -new -key backup.key",
                )


def _public_intermediate(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for pointer, host, evidence in _each(draft):
        if not evidence.chain or not evidence.chain[0].is_public:
            continue
        authorities = {each.pin for each in evidence.chain[1:] if each.is_authority}
        for field, pins in (("pins", host.pins), ("backups", host.backups)):
            for position, pin in enumerate(pins):
                if pin.sha256 in authorities:
                    yield Violation(
                        "PIN005",
                        f"{pointer}/{field}/{position}/sha256",
                        f"{host.host} pins a CA that the public trusts",
                        "Public CAs change intermediates unannounced and ask not to be pinned; pin your own keys.",
                        blocking=False,
                    )


def _broad_wildcard(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for number, host in enumerate(draft.hosts):
        chain = draft.evidence[number].chain if draft.evidence else ()
        if host.host.startswith("*.") and not (chain and host.host in chain[0].names):
            what = "the certificate that was shown is not for all of them" if chain else "no certificate was shown"
            yield Violation(
                "PIN007",
                f"/hosts/{number}/host",
                f"{host.host} covers every name one level below {host.host[2:]}, and {what}",
                "A name there with another key is refused; name the hosts, or show a certificate for the wildcard.",
                blocking=False,
            )


def _weak_key(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    for pointer, host, evidence in _each(draft):
        places = [(f"{pointer}/certificates", each.weakness) for each in evidence.chain]
        proofs = enumerate(evidence.proofs)
        places += [(f"{pointer}/backups/{position}/proof", proof.weakness) for position, proof in proofs if proof]
        for place, weakness in places:
            if weakness:
                hint = "A pin is worth as much as its key: make RSA keys of 2048 bits or more, or P-256."
                yield Violation("PIN011", place, f"{host.host} shows a weak key: {weakness}", hint, blocking=False)


def _certificate_as_pin(draft: Draft, around: Surroundings) -> Iterator[Violation]:
    shown = {each.digest: each.pin for evidence in draft.evidence for each in evidence.chain}
    for pointer, pin, owner in pins_of(draft):
        if pin in shown:
            yield Violation(
                "PIN016",
                f"{pointer}/sha256",
                f"{owner} has the hash of a certificate for a pin: {encode_base64(pin)}",
                f"A pin is the hash of the key alone; this certificate's is {encode_base64(shown[pin])}.",
                forceable=True,
            )


RULES: tuple[Rule, ...] = (
    _not_in_chain,
    _backups_in_chain,
    _unproven,
    _disproved,
    _public_intermediate,
    _broad_wildcard,
    _weak_key,
    _certificate_as_pin,
)
