"""
What a signer process signs: pin sets that people approved, their renewals, the timestamps that name these, and
checkpoints.

It may import layer 0, ``unsigned`` and the journal's values. It touches no file, socket, clock or key, and takes
nothing from whoever asks but the bytes to be signed and the signatures of people.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from pinwarden.documents import Grant, PinSet, Timestamp, TimestampRole
from pinwarden.envelope import CHECKPOINT_TYPE, PINSET_TYPE, TIMESTAMP_TYPE, Envelope, is_signature, pae
from pinwarden.errors import UntrustedError
from pinwarden.strict_json import format_time
from pinwarden.trust import TrustState
from pinwarden_keys.errors import SigningRefusedError
from pinwarden_keys.signer import Approvers
from pinwarden_keys.signer_process_checkpoint import judge_checkpoint
from pinwarden_keys.signer_process_journal import ALONE, APPROVED, PINSET, TIMESTAMP, Past, Signed, Tag
from pinwarden_keys.signer_process_message import Asked, check_spelling, clients_refuse, refused
from pinwarden_keys.unsigned import judge_unsigned_pinset

# Between reserving a time and signing it pass seconds; the rest is for clocks that differ.
CLOCK_SKEW = timedelta(minutes=5)
_NEWER_ROOT = "If a newer root is in force, give it to the signer process and restart it."
_ANY_TIME = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What holds for the names that one section of the settings covers.

    Attributes:
        approvers: who approves new pins, and how many of them; None where only timestamps are signed.
        max_lifetime_seconds: of pin sets, besides what the root allows.
        approval_seconds: how long after its issue an approved pin set is still signed.
        version_step: how far one version may lie above the one before.
    """

    names: tuple[str, ...]
    approvers: Approvers | None
    max_lifetime_seconds: int
    approval_seconds: int
    version_step: int
    renewals_per_day: int
    timestamps_per_day: int

    def covers(self, name: str) -> bool:
        """Tell whether one of the patterns, exact or ending in one ``*``, matches *name*."""
        return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in self.names)


def judge(asked: Asked, state: TrustState, rule: Rule | None, past: Past, *, now: datetime) -> Signed | None:
    """
    Return the row that has to be in the journal before *asked* is signed; None when it stands there already.

    Args:
        state: what a client trusts that knows the newest root and the name, and nothing else.
        rule: the section of the settings that covers the name.

    Raises:
        SigningRefusedError: by one of the process's rules, or the step at which clients would refuse.
    """
    try:
        role = state.root.grant_for(state.name) if asked.payload_type == PINSET_TYPE else state.root.timestamp
        if asked.keyid not in role.keys:
            raise refused(
                "key",
                f"root {state.root.version} does not let this key sign that",
                expected=f"one of {', '.join(keyid[:16] for keyid in role.keys)}",
                got=asked.keyid[:16],
                hint=_NEWER_ROOT,
            )
        if asked.payload_type == CHECKPOINT_TYPE:
            return judge_checkpoint(asked, state, past, skew=CLOCK_SKEW, now=now)
        if rule is None:
            raise refused("name", f"no section covers pin set {state.name!r}", hint="Add its name to the settings.")
        if asked.payload_type == TIMESTAMP_TYPE:
            return _judge_timestamp(asked, state, rule, past, now)
        return _judge_pinset(asked, state, rule, past, now)
    except UntrustedError as error:
        raise clients_refuse(error) from error


def content_of(document: PinSet) -> bytes:
    """Return the digest of everything that a renewal leaves as it is: all but epoch, version and times."""
    fixed = replace(document, epoch=1, version=1, issued=_ANY_TIME, expires=_ANY_TIME + timedelta(days=1))
    return sha256(fixed.encode()).digest()


def _judge_pinset(asked: Asked, state: TrustState, rule: Rule, past: Past, now: datetime) -> Signed | None:
    document = judge_unsigned_pinset(state, asked.payload, now=now)
    check_spelling(document, asked.payload)
    if rule.approvers is None:
        raise refused(
            "name",
            f"only timestamps of {state.name!r} are signed here",
            hint="Sign the pin set with the keys of its people.",
        )
    grant = state.root.grant_for(state.name)
    digest, life = sha256(asked.payload).digest(), int((document.expires - document.issued).total_seconds())
    tag = document.epoch, document.version
    if past.pinset and (past.pinset.tag, past.pinset.sha256) == (tag, digest):
        return None
    _check_version("pin set", tag, past.pinset, rule)
    most = min(grant.max_lifetime_seconds, rule.max_lifetime_seconds)
    if life > most:
        raise refused("lifetime", "the pin set lives too long", expected=f"at most {most} s", got=f"{life} s")
    row = Signed(
        *(PINSET, APPROVED, document.name, *tag, digest, len(asked.payload)),
        content=content_of(document),
        life=life,
        approved_life=life,
    )
    approved_by = _approved_by(asked, rule.approvers)
    if len(approved_by) >= rule.approvers.threshold:
        _check_issued(document.issued, now, timedelta(seconds=rule.approval_seconds))
        return replace(row, approvers=approved_by)
    before = _check_renewal(row, past, most, rule.approvers, approved_by)
    _check_issued(document.issued, now, CLOCK_SKEW)
    _check_rate("pin sets", past.pinsets_alone, rule.renewals_per_day)
    return replace(row, how=ALONE, approved_life=before.approved_life)


def _check_renewal(row: Signed, past: Past, most: int, approvers: Approvers, approved_by: tuple[str, ...]) -> Signed:
    """
    Return the pin set that *row* renews: content that people approved, living no longer than they approved.

    No shorter either, unless the root shortens it: where a host falls back to ordinary checks once the pin set has
    expired, a short life would switch pinning off.
    """
    known = [one for one in (past.pinset, past.stamped) if one and one.content == row.content]
    for before in known:
        if min(before.life, most) <= row.life <= min(before.approved_life, most):
            return before
    people = ", ".join(approvers.labels.values())
    signed = ", ".join(approvers.labels[keyid] for keyid in approved_by) or "nobody"
    what = "the content is the one in force, and its life is not" if known else "nobody approved this content"
    raise refused(
        "approval",
        what,
        expected=f"signatures over exactly these bytes by {approvers.threshold} of {people}",
        got=signed,
        hint="Propose it as a change, and let them run `pinwarden change sign --approver`.",
    )


def _judge_timestamp(asked: Asked, state: TrustState, rule: Rule, past: Past, now: datetime) -> Signed | None:
    stamp, root, role = Timestamp.parse(asked.payload), state.root, state.root.timestamp
    check_spelling(stamp, asked.payload)
    digest, tag = sha256(asked.payload).digest(), (stamp.epoch, stamp.version)
    _check_stamp_belongs(stamp, state, root.grant_for(state.name), role)
    if past.timestamp and (past.timestamp.tag, past.timestamp.sha256) == (tag, digest):
        return None
    _check_version("timestamp", tag, past.timestamp, rule)
    _check_issued(stamp.issued, now, CLOCK_SKEW)
    _check_rate("timestamps", past.timestamps_alone, rule.timestamps_per_day)
    if rule.approvers is None:
        _check_evidence(asked.evidence, stamp, root.grant_for(state.name), past)
    else:
        _check_named(stamp, past)
    named = stamp.pinset.epoch, stamp.pinset.version
    length = len(asked.payload)
    return Signed(TIMESTAMP, ALONE, stamp.name, *tag, digest, length, named=named, named_sha256=stamp.pinset.sha256)


def _check_stamp_belongs(stamp: Timestamp, state: TrustState, grant: Grant, role: TimestampRole) -> None:
    """Judge what clients judge, spec V5 and V6, where no pin set is at hand to run their verifier on both."""
    life = (stamp.expires - stamp.issued).total_seconds()
    for step, what, expected, got, holds in (
        ("V5", "another authority", state.authority, stamp.authority, stamp.authority == state.authority),
        ("V6", "another epoch", role.epoch, stamp.epoch, stamp.epoch == role.epoch),
        ("V7", "a pin set of another epoch", grant.epoch, stamp.pinset.epoch, stamp.pinset.epoch == grant.epoch),
        ("V5", "a life", f"1 to {role.max_lifetime_seconds} s", life, 0 < life <= role.max_lifetime_seconds),
        ("V6", "a newer root", state.root.version, stamp.root_version, stamp.root_version <= state.root.version),
    ):
        if not holds:
            raise SigningRefusedError(
                f"clients would refuse the timestamp: it states {what}",
                rule=step,
                expected=expected,
                got=got,
                hint=_NEWER_ROOT,
            )


def _check_evidence(evidence: Envelope | None, stamp: Timestamp, grant: Grant, past: Past) -> None:
    """
    Refuse a timestamp whose pin set people did not sign, or that goes back behind the one named before.

    Without their signatures, whoever asks could name a version that does not exist, and none below it ever after.
    """
    if evidence is None:
        raise refused("pinset", "the timestamp came without the pin set that people signed", hint="Send it along.")
    document, named, before = PinSet.parse(evidence.verified_by(grant)), stamp.pinset, past.timestamp
    digest, tag = sha256(evidence.payload).digest(), (named.epoch, named.version)
    theirs = (document.authority, document.name, document.epoch, document.version, digest, len(evidence.payload))
    if theirs != (stamp.authority, stamp.name, *tag, named.sha256, named.length):
        raise refused("pinset", "the timestamp names another pin set than the one that came along", got=stamp.name)
    if before and before.named and (tag < before.named or (tag == before.named and digest != before.named_sha256)):
        raise refused(
            "pinset",
            f"the timestamp of {stamp.name!r} names an older pin set, or another of the same version",
            expected=f"{before.named[0]}.{before.named[1]} or newer",
            got=f"{tag[0]}.{tag[1]}",
        )


def _check_named(stamp: Timestamp, past: Past) -> None:
    """
    Refuse a timestamp that could take clients back, or to what nobody approved.

    A pin set that was signed and never stamped is in force nowhere: until it is, the one before may be stamped again.
    Of one content, any version may be: a publication that failed leaves an older one in force.
    """
    named = stamp.pinset
    tag, digest = (named.epoch, named.version), named.sha256
    allowed = {one.content: one for one in (past.pinset, past.stamped) if one}
    for one in (past.pinset, past.stamped, past.named):
        if one and one.content in allowed and (one.tag, one.sha256, one.length) == (tag, digest, named.length):
            return
    newest = " or ".join(dict.fromkeys(f"{one.epoch}.{one.version}" for one in allowed.values())) or "none yet"
    raise refused(
        "pinset",
        f"the timestamp of {stamp.name!r} names a pin set that is not the newest one signed here",
        expected=newest,
        got=f"{tag[0]}.{tag[1]}, {named.length} bytes",
        hint="If a publication failed half way, repeat it; else let people approve a new version.",
    )


def _approved_by(asked: Asked, approvers: Approvers) -> tuple[str, ...]:
    """Return the keyids of those whose signature over these very bytes is good, each once."""
    message = pae(asked.payload_type, asked.payload)
    keys: Mapping[str, bytes] = approvers.keys
    return tuple(
        sorted(
            {
                entry.keyid
                for entry in asked.approvals
                if entry.keyid in keys and is_signature(entry.sig, message, keys[entry.keyid])
            }
        )
    )


def _check_version(kind: str, tag: Tag, last: Signed | None, rule: Rule) -> None:
    low, high = (last.tag if last else (0, 0)), (last.version if last else 0) + rule.version_step
    if tag <= low or tag[1] > high:
        raise refused(
            "version",
            f"the {kind} does not have one of the versions that follow",
            expected=f"above {low[0]}.{low[1]}, version {high} at most",
            got=f"{tag[0]}.{tag[1]}",
            hint="If the server was restored, raise its numbers; if they are far ahead, raise version_step for a day.",
        )


def _check_issued(issued: datetime, now: datetime, old: timedelta) -> None:
    if not now - old <= issued <= now + CLOCK_SKEW:
        raise refused(
            "issued",
            "the document was not issued lately",
            expected=f"{format_time(now - old)} to {format_time(now + CLOCK_SKEW)}",
            got=format_time(issued),
            hint="Compare both machines' clocks; a change that people approved too long ago is proposed again.",
        )


def _check_rate(kind: str, count: int, most: int) -> None:
    if count >= most:
        raise refused(
            "rate",
            f"too many {kind} of this name were signed without people",
            expected=f"at most {most} within 24 hours",
            got=count,
            hint="Find out who asked: the journal has each with its time. A restart does not change the count.",
        )
