"""
Which checkpoints of an audit log count: those that the timestamp keys of trusted roots signed.

It may import layer 0. It opens nothing; the roots begin with this machine's own, and each follows the one before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pinwarden import trust
from pinwarden.checkpoint import Checkpoint, open_checkpoint
from pinwarden.documents import Root
from pinwarden.envelope import Envelope
from pinwarden.errors import UntrustedError
from pinwarden_ops.audit_judge import Finding, Kept, Kind


@dataclass
class Ends:
    """
    What was collected from several places, and what is wrong with it.

    Args:
        own: what this machine trusts; only its roots matter here.

    Attributes:
        kept: what counts, of the first place that had it.  findings: what does not, and why.
        unjudged: how many name a root older than this machine's own, whose keys nobody here can know.
    """

    own: trust.TrustState
    kept: list[Kept] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unjudged: int = 0

    @property
    def roots(self) -> Mapping[int, Root]:
        """Every root that is trusted, by version."""
        return {root.version: root for root in self.own.chain}

    def follow_roots(self, envelopes: Iterable[Envelope], source: str) -> None:
        """Trust what follows this machine's own root among *envelopes*, from wherever they come."""
        known = {root.version: envelope for root, envelope in zip(self.own.chain, self.own.root_envelopes, strict=True)}
        for envelope in envelopes:
            try:
                version = Root.parse(envelope.payload).version
                if version > self.own.root.version:
                    self.own = trust.advance_root(self.own, envelope)
                elif version in known and known[version].payload != envelope.payload:
                    self._refuse_root(version, f"root {version} is another one than here", envelope, source)
            except UntrustedError as error:
                what = f"the roots do not go on from root {self.own.root.version}: {error.what}"
                self._refuse_root(self.own.root.version, what, envelope, source)
                return

    def collect(self, envelopes: Iterable[Envelope], source: str) -> tuple[Kept, ...]:
        """Return those of *envelopes* that count, and remember each once."""
        found: list[Kept] = []
        for envelope in envelopes:
            try:
                named = Checkpoint.parse(envelope.payload)
                if named.root_version < min(self.roots):
                    self.unjudged += 1
                    continue
                found.append(Kept(open_checkpoint(envelope, self.roots), envelope, source))
            except UntrustedError as error:
                self.findings.append(
                    Finding(
                        Kind.FORGED,
                        f"a checkpoint was not signed by this authority's timestamp keys: {error.what}",
                        0,
                        None if error.expected is None else str(error.expected),
                        None if error.got is None else str(error.got),
                        {"checkpoint": envelope.to_json(), "source": source},
                    )
                )
        there = {(kept.size, kept.checkpoint.hash) for kept in self.kept}
        self.kept += [kept for kept in found if (kept.size, kept.checkpoint.hash) not in there]
        return tuple(found)

    def _refuse_root(self, version: int, what: str, envelope: Envelope, source: str) -> None:
        proof = {"root": envelope.to_json(), "own": self.own.root_envelopes[-1].to_json(), "source": source}
        self.findings.append(
            Finding(Kind.ROOTS, what, 0, f"what follows root {version} of this machine", source, proof)
        )
