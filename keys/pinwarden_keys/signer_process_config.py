"""
The settings of a signer process: a TOML file that belongs to its user, or to root, and that nobody else may write.

It may import the documents and this package's values. It never guesses: an unknown name, a key under two labels or an
approver whose key is not a person's is refused before anything is signed.
"""

import pwd
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pinwarden import owned_files
from pinwarden.envelope import ENVELOPE_LIMITS, ROOT_TYPE, keyid_of
from pinwarden.errors import MalformedError, UntrustedError
from pinwarden.fields import Fields
from pinwarden.trust import TrustState, begin
from pinwarden_keys.ceremony import keyed
from pinwarden_keys.ceremony_files import check_people, check_person
from pinwarden_keys.errors import KeysError, SignerConfigError, SignerError
from pinwarden_keys.signer import Approvers
from pinwarden_keys.signer_process_rules import Rule
from pinwarden_keys.signer_unix import SCHEME

EXAMPLE = """\
socket = "/run/pinwarden-signer/signer.sock"
journal = "/var/lib/pinwarden-signer/journal.db"
root = "/etc/pinwarden-signer/root.json"
keys = ["file:/etc/pinwarden-signer/timestamp.key", "file:/etc/pinwarden-signer/pinset.key"]
callers = ["pinwarden"]      # the user of the server

[approvers]                  # lines that `pinwarden keys show` prints
alice = "1b9KP8znF7A4i8wnSevBSK2ZabI/Re4bYF/Vh3hXasQ="
bob = "7MG1hyfz8SsxlIgansud4LKM57IHIw2Okw/hvOdeJWw="
carol = "JrHHKEm5PKU2ZMqCQGQ8UUxHHKCkpCTiTPLMyAo5kz4="

[[pinset]]
names = ["payments*"]        # the first section with a matching name counts
approvers = ["alice", "bob", "carol"]
approvals = 2

[[pinset]]
names = ["public-*"]         # their pin sets are signed by people, as the root says
timestamp_only = true
"""

MAX_CONFIG_BYTES = 64 * 1024
MAX_APPROVERS = 16
DAY = 24 * 3600
ANY_NAME = "any"  # roots are judged without any pin set; the trust room wants some name
TOP = frozenset({"socket", "journal", "root", "keys", "callers", "approvers", "pinset"})
NAME_PATTERN = re.compile(r"(?:[a-z0-9][a-z0-9._-]{0,63})?\*|[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
# The limits of a section that may be left out: what holds then, and the most that may be set.
LIMITS = {
    "max_lifetime_seconds": (90 * DAY, 90 * DAY),
    "approval_seconds": (7 * DAY, 90 * DAY),
    "version_step": (1000, 2**53 - 1),
    "renewals_per_day": (6, 1000),
    "timestamps_per_day": (500, 10_000),
}
SECTION = frozenset({"names", "approvers", "approvals", "timestamp_only", *LIMITS})


@dataclass(frozen=True, slots=True)
class Config:
    """
    What a signer process was told.

    Attributes:
        root: what a client trusts that knows the newest root, under :data:`ANY_NAME`.
        callers: the ids of the users that may ask.
    """

    socket: Path
    journal: Path
    root: TrustState
    keys: tuple[str, ...]
    callers: frozenset[int]
    rules: tuple[Rule, ...]

    def rule_for(self, name: str) -> Rule | None:
        """Return the first section that covers *name*."""
        return next((rule for rule in self.rules if rule.covers(name)), None)


def read_config(path: Path) -> Config:
    """
    Read the settings in *path*, and the root that they name.

    Raises:
        SignerError: not this user's or root's file, or open to the writing of others. SignerConfigError: it cannot be
            read, or is not what :data:`EXAMPLE` shows.
    """
    content = _own(path, MAX_CONFIG_BYTES, "settings file")
    try:
        fields = Fields(tomllib.loads(content.decode("utf-8")), str(path))
        _check_names(fields, TOP)
        return _read(fields)
    except SignerError:  # of these, some are a ValueError too
        raise
    except (ValueError, RecursionError) as error:  # tomllib lets both out, for long integers and for deep arrays
        raise SignerConfigError(f"settings file {path} is not TOML: {error}") from None
    except MalformedError as error:
        raise SignerConfigError(error.what, expected=error.expected, got=error.got) from None
    except KeysError as error:  # the ceremony's words on labels and keys
        what = f"{path}: {error.what}"
        raise SignerConfigError(what, expected=error.expected, got=error.got, hint=error.hint) from error


def _read(fields: Fields) -> Config:
    people = _read_people(fields.child("approvers")) if "approvers" in fields else {}
    root = _read_root(_absolute(fields, "root"))
    rules = fields.each("pinset", lambda value, path: _read_rule(Fields(value, path), people))
    uris = fields.texts("keys")
    if not uris or not rules or any(uri.startswith(f"{SCHEME}:") for uri in uris):
        raise SignerConfigError(
            f"{fields.path} names nothing to sign with, or nothing to sign",
            expected="keys on this machine or in an HSM, and one section [[pinset]] or more",
        )
    return Config(
        socket=_absolute(fields, "socket"),
        journal=_absolute(fields, "journal"),
        root=root,
        keys=uris,
        callers=frozenset(_user_id(name) for name in fields.texts("callers")),
        rules=rules,
    )


def check_approvers(config: Config, held: Iterable[str]) -> None:
    """
    Refuse approvers whose key no person holds alone.

    Args:
        held: keyids of the keys that the process holds itself, known once they are open.

    Raises:
        SignerConfigError: an approver's key is one of these, or the root lets it sign timestamps, which a server does.
    """
    machines = {*held, *config.root.root.timestamp.keys}
    for rule in config.rules:
        people = rule.approvers.labels if rule.approvers else {}
        if shared := [label for keyid, label in people.items() if keyid in machines]:
            raise SignerConfigError(
                f"the key of approver {', '.join(shared)} is one that a machine signs with",
                expected="keys that people hold, on machines of their own",
                hint="Whoever takes that machine would approve by themselves; let each person make a key.",
            )


def _read_people(fields: Fields) -> dict[str, bytes]:
    people = {check_person(name): fields.octets(name, 32) for name in fields.names()}
    check_people(people)
    keyed(list(people.values()))  # refuses a key under two labels, and unusable ones
    return people


def _read_rule(fields: Fields, people: Mapping[str, bytes]) -> Rule:
    _check_names(fields, SECTION)
    limits = {name: fields.integer(name, most=most, default=default) for name, (default, most) in LIMITS.items()}
    names = fields.texts("names")
    if not names or not all(NAME_PATTERN.fullmatch(name) for name in names):
        raise MalformedError(f"{fields.path}.names", expected="names of pin sets, or beginnings and one '*'", got=names)
    if fields.get("timestamp_only", bool, False):
        if present := [name for name in ("approvers", "approvals") if name in fields]:
            raise MalformedError(f"{fields.path} signs timestamps only", expected=f"no {' and no '.join(present)}")
        return Rule(names, None, **limits)
    return Rule(names, _read_approvers(fields, people), **limits)


def _read_approvers(fields: Fields, people: Mapping[str, bytes]) -> Approvers:
    labels, threshold = fields.texts("approvers"), fields.integer("approvals", most=MAX_APPROVERS)
    known = [label for label in dict.fromkeys(labels) if label in people]
    if len(known) != len(labels) or not threshold <= len(known) <= MAX_APPROVERS:
        raise MalformedError(
            f"{fields.path} can never be met, or names people that [approvers] does not",
            expected=f"{threshold} to {MAX_APPROVERS} different ones of {', '.join(people) or 'none'}",
            got=", ".join(labels) or "nobody",
        )
    keys = {keyid_of(people[label]): people[label] for label in known}
    return Approvers(keys, threshold, {keyid_of(people[label]): label for label in known})


def _read_root(path: Path) -> TrustState:
    content = _own(path, ENVELOPE_LIMITS[ROOT_TYPE], "root")
    try:
        return begin(content, name=ANY_NAME)
    except UntrustedError as error:
        hint = "Take the newest root.json of the ceremony."
        raise SignerConfigError(f"root {path} is unusable: {error.what}", hint=hint) from error


def _own(path: Path, limit: int, what: str) -> bytes:
    expected = "a file of this user or of root, that nobody else may write"
    try:
        content = owned_files.read(path, limit)
    except OSError as error:
        raise SignerConfigError(f"{what} {path} cannot be read: {error.strerror}", expected=expected) from None
    except owned_files.UnusableFileError as error:
        raise SignerError(f"{what} {path} cannot be used: {error}", expected=expected) from None
    if len(content) > limit:
        raise SignerConfigError(f"{what} {path} is too large", expected=f"at most {limit} bytes", got="more")
    return content


def _absolute(fields: Fields, name: str) -> Path:
    path = Path(fields.text(name))
    if not path.is_absolute():
        raise MalformedError(f"{fields.path}.{name} is not an absolute path", got=repr(str(path)[:120]))
    return path


def _user_id(name: str) -> int:
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        raise SignerConfigError(
            f"there is no user {name[:40]!r} on this machine", hint="callers names users or ids."
        ) from None


def _check_names(fields: Fields, known: frozenset[str]) -> None:
    if unknown := sorted(set(fields.names()) - known):
        raise MalformedError(
            f"{fields.path} has an unknown name", expected=", ".join(sorted(known)), got=", ".join(unknown)[:200]
        )
