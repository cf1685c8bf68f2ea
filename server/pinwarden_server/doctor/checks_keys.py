"""Checks of keys and of what they signed. It may import the facts and the alerts.

Each is a row of the table in ``checks``, which says what it looks at and when it warns. None does I/O.
"""

from datetime import timedelta

from pinwarden.documents import Grant, Role, Root
from pinwarden.strict_json import format_time
from pinwarden_server.alerts import Level, alerts_of
from pinwarden_server.doctor.facts import Facts
from pinwarden_server.doctor.finding import BAD, OK, WARN, Verdicts

PINSET_DAYS = timedelta(days=3)


def expiries(facts: Facts) -> Verdicts:
    if not facts.roots:
        yield WARN, "nothing is published", "Found the server: `pinwarden server init FOLDER --root root.json`."
        return
    told: set[str] = set()
    for alert in alerts_of(facts.roots[-1], facts.documents, facts.open_signers, facts.now):
        told.add(alert.subject)
        is_past = alert.expires <= facts.now
        yield (BAD if is_past or alert.level is Level.CRITICAL else WARN), alert.message, alert.hint
    for each in facts.documents:
        name, left = each.pinset.name, each.pinset.expires - facts.now
        if left <= PINSET_DAYS and f"pinset {name}" not in told:
            told.add(name)
            says = (
                f"pin set {name!r} {'ended' if left <= timedelta(0) else 'ends'} on {format_time(each.pinset.expires)}"
            )
            do = "It was not renewed in time: the server's log says why. `pinwarden server renew` tries again at once."
            yield (BAD if left <= timedelta(0) else WARN), says, do
    if not told:
        first = min([facts.roots[-1].expires, *(each.pinset.expires for each in facts.documents)])
        yield OK, f"the root and {len(facts.documents)} pin sets live until {format_time(first)} at least", ""


def signers(facts: Facts) -> Verdicts:
    closed = [fact for fact in facts.signers if fact.keyid is None]
    for fact in closed:
        do = "Mend that and restart the server, which reads its keys at its start; docs/signers.md has each kind."
        yield BAD, f"{_place(fact.uri)} cannot be opened: {fact.trouble}", do
    if not facts.roots:
        yield OK, f"{len(facts.signers) - len(closed)} signers open; no root names them yet", ""
        return
    root = facts.roots[-1]
    here = {fact.keyid for fact in facts.signers if fact.keyid}
    if not facts.signers:
        yield WARN, "no signer is set: this machine serves, and cannot renew anything", "Set signers where it should."
        return
    if _have(root.timestamp, here) < root.timestamp.threshold:
        keys = ", ".join(keyid[:16] for keyid in root.timestamp.keyids)
        says = f"root {root.version} demands {root.timestamp.threshold} timestamp keys of {keys}"
        do = "Set their signers, or publish a root that names the keys that are here."
        yield BAD, f"{says}, and {_have(root.timestamp, here)} are here", do
    strangers = sorted(here - _named(root))
    if strangers:
        short = ", ".join(keyid[:16] for keyid in strangers)
        yield (
            WARN,
            f"root {root.version} names these keys nowhere: {short}",
            "Publish a root with them, or remove them.",
        )
    elif not closed and _have(root.timestamp, here) >= root.timestamp.threshold:
        yield OK, "; ".join(["timestamps are signed here", *(_grant(grant, here) for grant in root.pinset)]), ""


def _have(role: Role, here: set[str]) -> int:
    return len(here & set(role.keys))


def _named(root: Root) -> set[str]:
    return {keyid for role in (root.timestamp, *root.pinset) for keyid in role.keyids}


def _grant(grant: Grant, here: set[str]) -> str:
    how = "signed here" if _have(grant, here) >= grant.threshold else "signed by people"
    return f"{', '.join(grant.names)} {how}"


def _place(uri: str) -> str:
    """Return a signer's URI without what may be secret in it."""
    scheme, _, rest = uri.partition(":")
    return uri if scheme in ("file", "unix") else f"{scheme}:{rest.partition('?')[0][:80]}"
