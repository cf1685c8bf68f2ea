"""
What a publication will consist of: content, findings and manner, judged by lint and by the clients' rules.

It may import ``rules`` and ``grounds``. It reads; nothing is reserved, signed or written before ``publishing`` or
``changes`` executes a plan.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pinwarden.documents import Grant, PinSet
from pinwarden.trust import MAX_CLOCK_SKEW
from pinwarden_server import rules
from pinwarden_server.drafts import AT_ONCE, Draft, Manner, RenewalDraft, RollbackDraft
from pinwarden_server.errors import BadDraft, Tag, Violation
from pinwarden_server.grounds import current_of, grant_of, survey_at
from pinwarden_server.publication import Change
from pinwarden_server.signing import Ground, check_content, within
from pinwarden_server.site import Act, Site

RENEW, NEW_LIFE = "pinset.renew", "pinset.lifetime"  # the same content, living as long as before, or not


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A publication that lint and the clients' rules have passed, before anything is reserved or signed.

    Attributes:
        wait_for: keys that have to sign besides what the threshold demands; then it waits for people.
        manner: when it shall be published, and whether without approvals.
    """

    ground: Ground
    content: PinSet
    change: Change
    wait_for: tuple[str, ...] = ()
    manner: Manner = AT_ONCE


def plan_publication(site: Site, name: str, draft: Draft, expected: Tag | None, by: Act) -> Plan:
    """Return what publishing *draft* in place of *expected* consists of; errors as for ``publishing.publish``."""
    ground = survey_at(site, name, expected)
    content = draft_content(site, ground, draft, by.at)
    warnings = rules.check(draft, surroundings(site, ground, content))
    action = "pinset.publish" if expected else "pinset.create"
    change = Change("publish", action, draft.reason, forced_codes(warnings, draft.force), warnings)
    return Plan(ground, check_content(content), change, manner=draft.manner)


def plan_rollback(site: Site, name: str, draft: RollbackDraft, expected: Tag, by: Act) -> Plan:
    """Return what publishing an old version again consists of; errors as for ``publishing.rollback``."""
    ground = survey_at(site, name, expected)
    old = site.store.reader.version(name, draft.to).document()
    lifetime = int(within(grant_of(ground), old.expires - old.issued).total_seconds())
    wanted = Draft(old.hosts, old.deny, old.on_stale, old.report_to, lifetime, draft.reason, draft.force)
    content = draft_content(site, ground, wanted, by.at)
    warnings = rules.check(wanted, surroundings(site, ground, content))
    reason = f"rollback to version {draft.to}" + (f": {draft.reason}" if draft.reason else "")
    change = Change("publish", "pinset.rollback", reason, forced_codes(warnings, draft.force), warnings)
    return Plan(ground, check_content(content), change, manner=draft.manner)


def plan_renewal(site: Site, name: str, draft: RenewalDraft, expected: Tag, by: Act) -> Plan:
    """
    Return what publishing the content in force once more, with a new life, consists of.

    Lint does not block: the same content is in force already. What it finds is said all the same.

    Raises:
        LintRefused: a life that the root does not allow. BadDraft: it shall wait for a key that the grant lacks.
        Else as ``publishing.publish``.
    """
    ground = survey_at(site, name, expected)
    now = PinSet.parse(current_of(ground).pinset.payload)
    was = now.expires - now.issued
    lifetime = draft.lifetime_seconds or int(within(grant_of(ground), was).total_seconds())
    wanted = Draft(now.hosts, now.deny, now.on_stale, now.report_to, lifetime, draft.reason)
    content = draft_content(site, ground, wanted, by.at)
    around = surroundings(site, ground, content)
    if lifetime > around.grant.max_lifetime_seconds:
        rules.check(wanted, around)
    warnings = tuple(replace(found, blocking=False) for found in rules.lint(wanted, around))
    _check_wait_for(draft.wait_for, around.grant)
    # A longer life is believed for longer when it is wrong, and a short one ends before people can be asked again.
    action = RENEW if draft.lifetime_seconds is None or content.expires - content.issued == was else NEW_LIFE
    change = Change("publish", action, draft.reason, (), warnings, same_content=True, exempt=is_exempt(action))
    return Plan(ground, check_content(content), change, draft.wait_for)


def is_exempt(action: str) -> bool:
    """Tell whether a publication needs no approvals: what is in force already is renewed without anybody asking."""
    return action == RENEW


def _check_wait_for(keyids: tuple[str, ...], grant: Grant) -> None:
    foreign = [number for number, keyid in enumerate(keyids) if keyid not in grant.keys]
    if foreign:
        what = "a key that the renewal shall wait for is none of the grant's"
        hint = "Name keys that the newest root gives to this pin set; `pinwarden root show` lists them."
        raise BadDraft(
            what,
            expected=f"some of {', '.join(keyid[:16] for keyid in grant.keys)}",
            got=keyids[foreign[0]][:16],
            violations=[Violation("DRAFT", f"/wait_for/{number}", what, hint) for number in foreign],
            hint=hint,
        )


def draft_content(site: Site, ground: Ground, draft: Draft, now: datetime) -> PinSet:
    """Return *draft* as a document with preliminary version and times; its length of life is final."""
    grant = grant_of(ground)
    if draft.lifetime_seconds is None:
        lifetime = within(grant, site.policy.pinset_lifetime)
    else:
        lifetime = timedelta(seconds=draft.lifetime_seconds)
    issued = now.replace(microsecond=0)
    return PinSet(
        authority=ground.root.authority,
        name=ground.name,
        epoch=grant.epoch,
        version=1,
        issued=issued,
        expires=issued + lifetime,
        hosts=draft.hosts,
        deny=draft.deny,
        on_stale=draft.on_stale,
        report_to=draft.report_to,
    )


def surroundings(site: Site, ground: Ground, content: PinSet) -> rules.Surroundings:
    """Return what lint judges the draft against, the versions that clients may hold included."""
    lifetime = int((content.expires - content.issued).total_seconds())
    return rules.Surroundings(
        own_hosts=site.policy.own_hosts,
        lifetime_seconds=lifetime,
        grant=grant_of(ground),
        current=PinSet.parse(ground.current.pinset.payload) if ground.current else None,
        held=site.held.of(ground.name, content.issued - MAX_CLOCK_SKEW) if ground.current else (),
        now=content.issued,
    )


def forced_codes(findings: tuple[Violation, ...], force: tuple[str, ...]) -> tuple[str, ...]:
    """Return the codes that block and were forced, each once."""
    return tuple(dict.fromkeys(found.code for found in findings if found.blocking and found.code in force))
