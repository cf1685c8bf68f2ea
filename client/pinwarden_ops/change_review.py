"""
What a person is about to sign, computed on their own machine from the payload and from what their own root vouches for.

It may import layer 0's rules and the keys' arithmetic. It touches no file, socket or clock, and takes nothing from
a server but the bytes that shall be signed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from pinwarden.documents import Grant, Host, Pin, PinSet
from pinwarden.envelope import PINSET_TYPE, Signature, is_signature, pae
from pinwarden.errors import MalformedError
from pinwarden.strict_json import encode_base64, format_time
from pinwarden.trust import TrustState
from pinwarden_keys.ceremony import Tally
from pinwarden_keys.unsigned import judge_unsigned_pinset

EVERYWHERE = "(pin set)"
# SHA-256 of nothing, of one line end, and of DER that encodes nothing: what broken shell lines print.
_NOBODYS = frozenset(sha256(content).digest() for content in (b"", b"\n", b"\x30\x00", b"\x05\x00"))

Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Review:
    """
    A payload that clients would take once enough people have signed it.

    Attributes:
        base: the pin set in force, verified, or None when there is none.
        grant: who may sign it, as the newest root says.
        signed: keys whose signatures over exactly these bytes are good.
        rows: what changes: mark (``+``, ``-``, ``~``), host, words.
        is_preliminary: the server signs the content anew as it is published, under the next version and times of then.
        warnings: what deserves a second look before signing.
    """

    document: PinSet
    payload: bytes
    base: PinSet | None
    grant: Grant
    signed: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]
    is_preliminary: bool = False

    @property
    def version(self) -> str:
        """``epoch.version`` of what would be signed."""
        return f"{self.document.epoch}.{self.document.version}"

    def tally(self, *more: str) -> str:
        """Return ``1 of 2: missing 0f3a… or 77c1…``, counting also the keys *more*."""
        signed = tuple(dict.fromkeys((*self.signed, *more)))
        missing = tuple(keyid for keyid in self.grant.keys if keyid not in signed)
        return Tally("", self.grant.threshold, signed, missing).spell({}).strip()


def review(
    state: TrustState,
    payload: bytes,
    signatures: Iterable[Signature] = (),
    *,
    now: datetime,
    is_preliminary: bool = False,
) -> Review:
    """
    Judge *payload* as clients will, but for the signatures that it does not have yet, and say what it changes.

    Args:
        state: what this machine trusts: its own root, and the pin set in force under it.
        is_preliminary: judge its content under the next version, issued now: so the server will sign it.

    Raises:
        UntrustedError: clients would refuse it, or it says more than can be shown here.
    """
    document = PinSet.parse(payload) if is_preliminary else judge_unsigned_pinset(state, payload, now=now)
    if document.encode() != payload:
        raise MalformedError(
            "the payload is spelt otherwise than this program would spell what it understands of it",
            holds="Nothing was signed.",
            hint="It has fields that would be signed unseen; update pinwarden, or ask who proposed it.",
            step="P8",
        )
    if is_preliminary:
        judge_unsigned_pinset(state, _as_next(state, document, now).encode(), now=now)
    grant, message = state.root.grant_for(state.name), pae(PINSET_TYPE, payload)
    good = (
        entry.keyid
        for entry in signatures
        if entry.keyid in grant.keys and is_signature(entry.sig, message, grant.keys[entry.keyid])
    )
    base = state.pinset
    rows = tuple(content_difference(base, document) if is_preliminary else difference(base, document))
    warnings, signed = tuple(warnings_of(base, document)), tuple(dict.fromkeys(good))
    return Review(document, payload, base, grant, signed, rows, warnings, is_preliminary)


def _as_next(state: TrustState, document: PinSet, now: datetime) -> PinSet:
    """Return *document* as the server would sign it now: above everything that this machine has seen."""
    seen = max((each.version for each in (state.pinset, document) if each), default=0)
    seen = max(seen, state.floor_pinset.tag[1] if state.floor_pinset else 0)
    issued = now.replace(microsecond=0)
    return replace(document, version=seen + 1, issued=issued, expires=issued + (document.expires - document.issued))


def difference(before: PinSet | None, after: PinSet) -> Iterator[Row]:
    """Yield what changes from *before* to *after*, host by host, then what concerns all of them, the end included."""
    yield from content_difference(before, after)
    if before:
        yield "~", EVERYWHERE, f"expires {format_time(before.expires)} -> {format_time(after.expires)}"
    else:
        yield "+", EVERYWHERE, f"expires {format_time(after.expires)}"


def content_difference(before: PinSet | None, after: PinSet) -> Iterator[Row]:
    """Yield the same without the end: what people write, and not what a publication adds."""
    old = {host.host: host for host in before.hosts} if before else {}
    new = {host.host: host for host in after.hosts}
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield "-", name, "no longer pinned: any certificate that a CA issues will do"
        elif name not in old:
            yield "+", name, f"newly pinned, mode {new[name].mode}, on_expiry {new[name].on_expiry}"
            yield from _pins(None, new[name])
        elif old[name] != new[name]:
            yield from _pins(old[name], new[name])
            yield from _fields(name, old[name], new[name], ("mode", "enforce_percent", "on_expiry"))
    denied = set(before.deny) if before else set()
    for pin in after.deny:
        if pin not in denied:
            yield "+", EVERYWHERE, f"deny {encode_base64(pin)}"
    for pin in sorted(denied - set(after.deny)):
        yield "-", EVERYWHERE, f"deny {encode_base64(pin)}"
    if before:
        yield from _fields(EVERYWHERE, before, after, ("on_stale", "report_to"))
    else:
        yield "+", EVERYWHERE, f"on_stale {after.on_stale}, report_to {after.report_to or 'nobody'}"


def warnings_of(before: PinSet | None, after: PinSet) -> Iterator[str]:
    """Yield one sentence for each way in which *after* protects less than *before*, or may lock people out."""
    if not after.hosts:
        yield "this withdraws pinning altogether: no host is pinned afterwards"
    old = {host.host: host for host in before.hosts} if before else {}
    new = {host.host: host for host in after.hosts}
    for name in sorted(old.keys() - new.keys()):
        yield f"{name} would not be pinned any more"
    for name, host in sorted(new.items()):
        yield from _host_warnings(old.get(name), host)
    if before is None:
        return
    for pin in sorted(set(before.deny) - set(after.deny)):
        yield f"the denied key {encode_base64(pin)} would be accepted again where it is pinned"
    if before.on_stale == "refuse" and after.on_stale == "enforce":
        yield "clients that get no updates would go on connecting (on_stale was refuse)"
    if before.report_to != after.report_to:
        yield "reports of failures would go elsewhere than before"
    if after.expires - after.issued > before.expires - before.issued:
        yield "it lives longer than the one before: a wrong pin would be believed for longer"


def _host_warnings(old: Host | None, new: Host) -> Iterator[str]:
    if new.mode == "report" and (old is None or old.mode == "enforce"):
        yield f"{new.host} would only report mismatches, and let them through"
    if new.enforce_percent < (old.enforce_percent if old else 100):
        yield f"{new.host} would be enforced by {new.enforce_percent} % of the installations only"
    if new.on_expiry == "platform" and (old is None or old.on_expiry == "refuse"):
        yield f"{new.host} would fall back to ordinary CA checks once the pin set expires (on_expiry platform)"
    if old and {pin.sha256 for pin in _all(old)}.isdisjoint(pin.sha256 for pin in _all(new)):
        yield f"{new.host} has no key in common with what is in force: clients and servers would have to switch at once"
    known = {pin.sha256 for pin in _all(old)} if old else set()
    for pin in _all(new):
        if pin.sha256 in _NOBODYS or len(set(pin.sha256)) == 1:
            yield f"{new.host}: {pin} is a placeholder; nobody has its key"
    for pin in new.backups:
        if pin.sha256 not in known:
            yield f"{new.host}: nothing shows that anyone holds the new backup key {pin}; ask its holder"


def _pins(old: Host | None, new: Host) -> Iterator[Row]:
    for words, theirs, ours, others in (
        ("pin", old.pins if old else (), new.pins, old.backups if old else ()),
        ("backup", old.backups if old else (), new.backups, old.pins if old else ()),
    ):
        was = "a backup" if words == "pin" else "in service"
        moved = {pin.sha256 for pin in others}
        for pin in ours:
            if pin not in theirs:
                yield "+", new.host, f"{words} {pin} {pin.kind}" + (f" (was {was})" if pin.sha256 in moved else "")
        for pin in theirs:
            if pin not in ours:
                yield "-", new.host, f"{words} {pin} {pin.kind}"


def _fields(where: str, old: Host | PinSet, new: Host | PinSet, names: Sequence[str]) -> Iterator[Row]:
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield "~", where, f"{name} {before or 'none'} -> {after or 'none'}"


def _all(host: Host) -> tuple[Pin, ...]:
    return (*host.pins, *host.backups)
