"""
What came, or would come, of publishing a root: values for the admin API and for tests.

It may import layer 0 and the plan. Nothing here does anything by itself.
"""

from dataclasses import dataclass
from typing import Any

from pinwarden.documents import Root
from pinwarden.strict_json import format_time
from pinwarden_server.errors import Tag, Violation
from pinwarden_server.root_judging import Renewal
from pinwarden_server.tags import format_tag


@dataclass(frozen=True, slots=True)
class Renewed:
    """One pin set under the new root: what is in force, and whether the pin set itself was signed again."""

    name: str
    tag: Tag
    timestamp_version: int
    pinset_signed: bool

    def to_json(self) -> dict[str, Any]:
        """Return a line of the answer."""
        return {
            "name": self.name,
            "version": format_tag(self.tag),
            "timestamp_version": self.timestamp_version,
            "signed": ["pinset", "timestamp"] if self.pinset_signed else ["timestamp"],
        }


@dataclass(frozen=True, slots=True)
class PublishedRoot:
    """
    A root that is in force, on the disk, and served by every worker of this node.

    Attributes:
        created: False when it was published before, and nothing was done now.
        renewed: what was signed under it, by name.
        warnings: findings that did not block, the forced ones included.
    """

    root: Root
    created: bool
    renewed: tuple[Renewed, ...] = ()
    warnings: tuple[Violation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the admin API."""
        return {
            "version": self.root.version,
            "authority": self.root.authority,
            "issued": format_time(self.root.issued),
            "expires": format_time(self.root.expires),
            "created": self.created,
            "pinsets": [each.to_json() for each in self.renewed],
            "warnings": [warning.to_json() for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class RootPreview:
    """What publishing a root would do; *blocking* are the findings that would refuse it as it is offered."""

    root: Root
    created: bool
    renewals: tuple[Renewal, ...] = ()
    blocking: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the admin API."""
        return {
            "version": self.root.version,
            "authority": self.root.authority,
            "created": self.created,
            "publishable": not self.blocking,
            "pinsets": [each.to_json() for each in self.renewals],
            "violations": [finding.to_json() for finding in self.blocking],
            "warnings": [finding.to_json() for finding in self.warnings],
        }
