"""
The values that use cases work with: where publications go, who asks, and what came of it.

It may import the store, tree, bell and signers to hold them. Nothing here does anything by itself.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from pinwarden.strict_json import encode, format_time, parse_time
from pinwarden_server.bell import Bell
from pinwarden_server.errors import BadDraft, Tag, Violation
from pinwarden_server.held_versions import HeldVersions
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.signers import Signers
from pinwarden_server.store import Store, person_of
from pinwarden_server.tags import format_tag, parse_tag

_KEY = re.compile(r"[!-~]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Policy:
    """
    What the operator chose; lifetimes are shortened to what the root's roles allow.

    Attributes:
        approvals_required: what a new pin set requires from its first version on.
    """

    own_hosts: tuple[str, ...] = ()
    pinset_lifetime: timedelta = timedelta(days=30)
    timestamp_lifetime: timedelta = timedelta(days=3)
    checkpoint_interval: timedelta = timedelta(hours=1)
    approvals_required: int = 0


@dataclass(frozen=True, slots=True)
class Site:
    """One node: its store, its tree, its bell, its keys, and what it remembers of its store."""

    store: Store
    tree: PublishedTree
    bell: Bell
    signers: Signers = field(default_factory=Signers)
    policy: Policy = Policy()
    held: HeldVersions = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "held", HeldVersions(self.store.reader))


@dataclass(frozen=True, slots=True)
class Attempt:
    """An Idempotency-Key, and what it stands for."""

    key: str
    fingerprint: str

    @classmethod
    def of(cls, key: str, method: str, path: str, if_match: str | None, body: bytes) -> "Attempt":
        """
        Return the attempt of a request; two requests are the same when all five agree.

        Raises:
            BadDraft: the key is not 1 to 128 printable ASCII characters without spaces.
        """
        if _KEY.fullmatch(key) is None:
            what = "not an Idempotency-Key"
            violation = Violation("DRAFT", "", what, "Send a fresh UUID with each new change.")
            raise BadDraft(what, expected="1 to 128 printable characters", got=repr(key[:40]), violations=[violation])
        request = encode({"method": method, "path": path, "if_match": if_match or "", "body": sha256(body).hexdigest()})
        return cls(key, sha256(request).hexdigest())


@dataclass(frozen=True, slots=True)
class Act:
    """
    Who asks, at which aware time, and under which Idempotency-Key.

    Attributes:
        owner: the person behind *actor*; empty where there is nobody else.
    """

    actor: str
    at: datetime
    attempt: Attempt | None = None
    owner: str = ""

    @property
    def person(self) -> str:
        """Who must not approve what this one asks for, in one spelling: two would count as two people."""
        return person_of(self.owner or self.actor)


@dataclass(frozen=True, slots=True)
class Published:
    """
    A version that is in force, on the disk, and served by every worker of this node.

    Attributes:
        created: the pin set did not exist before.
        warnings: lint findings that did not block, the forced ones included.
        replayed: this very request was answered before; nothing was done now.
    """

    name: str
    tag: Tag
    timestamp_version: int
    issued: datetime
    expires: datetime
    created: bool = False
    warnings: tuple[Violation, ...] = ()
    replayed: bool = False

    @property
    def etag(self) -> str:
        """What ``If-Match`` of the next change must be."""
        return f'"{format_tag(self.tag)}"'

    def to_json(self) -> dict[str, Any]:
        """Return the answer of the admin API."""
        return {
            "name": self.name,
            "version": format_tag(self.tag),
            "timestamp_version": self.timestamp_version,
            "issued": format_time(self.issued),
            "expires": format_time(self.expires),
            "created": self.created,
            "warnings": [warning.to_json() for warning in self.warnings],
        }

    @classmethod
    def of_answer(cls, text: str) -> "Published":
        """Return what was kept under an Idempotency-Key."""
        value = json.loads(text)
        return cls(
            name=value["name"],
            tag=parse_tag(value["version"]),
            timestamp_version=value["timestamp_version"],
            issued=parse_time(value["issued"], what="issued"),
            expires=parse_time(value["expires"], what="expires"),
            created=value["created"],
            warnings=tuple(Violation(**warning, blocking=False) for warning in value["warnings"]),
            replayed=True,
        )
