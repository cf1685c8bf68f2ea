"""
The description of a root that people write: a TOML file with named keys and the roles they hold.

It may import the documents and ``ceremony``. It never guesses: an unknown name, a float or a missing number is refused.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden.envelope import keyid_of
from pinwarden.errors import MalformedError
from pinwarden.fields import Fields
from pinwarden_keys.ceremony import Roles, keyed
from pinwarden_keys.ceremony_files import check_people, check_person
from pinwarden_keys.errors import CeremonyError

EXAMPLE = """\
label = "acme"               # the first root only: becomes acme-<16 random hex digits>
lifetime_days = 365

[keys]                       # lines that `pinwarden keys show` prints
alice = "1b9KP8znF7A4i8wnSevBSK2ZabI/Re4bYF/Vh3hXasQ="
bob = "7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw="
carol = "JrHHKEm5PKU2ZMqCQGQ8UUxHHKCkpCTiTPLMyAo5kz4="
server = "DoP0kVOhWsnLdJf38bldLDfFXW5fKLRsM04QLfEjJPQ="
release = "iV6OLJPX0S6UzBY4pttUpc/9mCtsUSMs2LWkz9+fDdc="

[root]                       # a section that is left out stays as in --previous
keys = ["alice", "bob", "carol"]
threshold = 2

[timestamp]
keys = ["server"]
threshold = 1
epoch = 1
max_lifetime_seconds = 604800

[[pinset]]
names = ["payments-*"]
keys = ["release"]
threshold = 1
epoch = 1
max_lifetime_seconds = 7776000
"""

MAX_PLAN_BYTES = 64 * 1024
DEFAULT_LIFETIME_DAYS = 365
MAX_LIFETIME_DAYS = 10_000

_ROLE = {"keys", "threshold"}
_LIMITED = _ROLE | {"epoch", "max_lifetime_seconds"}


@dataclass(frozen=True, slots=True)
class RootPlan:
    """
    What a root shall say; a role that is None stays as in the previous root.

    Attributes:
        label: beginning of a new authority's id.
        names: keyid to the name that the plan gives it.
    """

    label: str | None = None
    lifetime_days: int = DEFAULT_LIFETIME_DAYS
    root: Role | None = None
    timestamp: TimestampRole | None = None
    pinset: tuple[Grant, ...] | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def roles(self, previous: Roles | None) -> Roles:
        """
        Return all three roles, those of *previous* where the plan says nothing.

        Raises:
            CeremonyError: neither of them says who holds a role.
        """
        root, timestamp, pinset = self.root, self.timestamp, self.pinset
        if previous is not None:
            root, timestamp = root or previous.root, timestamp or previous.timestamp
            pinset = previous.pinset if pinset is None else pinset
        if root is None or timestamp is None or pinset is None:
            roles = {"root": root, "timestamp": timestamp, "pinset": pinset}
            lacking = " and ".join(name for name, role in roles.items() if role is None)
            raise CeremonyError("the plan of a first root must state every role", got=f"nothing about {lacking}")
        return Roles(root, timestamp, pinset)


def parse_plan(content: bytes, *, where: str = "plan") -> RootPlan:
    """
    Read a plan.

    Raises:
        CeremonyError: not TOML, an unknown name, a wrong type, a key that is named twice or cannot be used.
    """
    try:
        values = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # tomllib lets both out, for long integers and for deep arrays
        raise CeremonyError(f"{where} is not TOML: {error}") from None
    try:
        fields = Fields(values, where)
        _check_names(fields, {"label", "lifetime_days", "keys", "root", "timestamp", "pinset"})
        return _read(fields)
    except MalformedError as error:
        raise CeremonyError(error.what, expected=error.expected, got=error.got) from error


def _read(fields: Fields) -> RootPlan:
    people = _read_keys(fields.child("keys")) if "keys" in fields else {}
    return RootPlan(
        label=fields.text("label") if "label" in fields else None,
        lifetime_days=fields.integer("lifetime_days", most=MAX_LIFETIME_DAYS, default=DEFAULT_LIFETIME_DAYS),
        root=Role(**_read_role(fields.child("root"), people, _ROLE)) if "root" in fields else None,
        timestamp=TimestampRole(**_read_limited(fields.child("timestamp"), people, _LIMITED))
        if "timestamp" in fields
        else None,
        pinset=fields.each("pinset", lambda value, path: _read_grant(Fields(value, path), people))
        if "pinset" in fields
        else None,
        names={keyid_of(public): name for name, public in people.items()},
    )


def _read_keys(fields: Fields) -> dict[str, bytes]:
    people = {check_person(name): fields.octets(name, 32) for name in fields.names()}
    check_people(people)
    keyed(list(people.values()))  # refuses a key under two names, and unusable ones
    return people


def _read_role(fields: Fields, people: Mapping[str, bytes], known: set[str]) -> dict[str, Any]:
    _check_names(fields, known)
    names = fields.texts("keys")
    unknown = [name for name in names if name not in people]
    if unknown:
        raise CeremonyError(
            f"{fields.path} names keys that the plan does not state",
            expected=f"one of {', '.join(people) or 'none'}",
            got=", ".join(unknown),
            hint="Put the line that `pinwarden keys show` prints under [keys].",
        )
    keys = keyed([people[name] for name in names])
    return {"keyids": tuple(keys), "threshold": fields.integer("threshold"), "keys": keys}


def _read_limited(fields: Fields, people: Mapping[str, bytes], known: set[str]) -> dict[str, Any]:
    limits = {name: fields.integer(name) for name in ("epoch", "max_lifetime_seconds")}
    return {**_read_role(fields, people, known), **limits}


def _read_grant(fields: Fields, people: Mapping[str, bytes]) -> Grant:
    return Grant(**_read_limited(fields, people, _LIMITED | {"names"}), names=fields.texts("names"))


def _check_names(fields: Fields, known: set[str]) -> None:
    unknown = sorted(set(fields.names()) - known)
    if unknown:
        raise CeremonyError(
            f"{fields.path} has an unknown name", expected=", ".join(sorted(known)), got=", ".join(unknown)
        )
