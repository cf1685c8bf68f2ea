"""Chains of roots: as long as an authority lives, and unbroken."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.errors import RollbackError, SignatureError, WrongPinSetError
from pinwarden_keys.ceremony import Roles, assemble, first_root, keyed, next_root, roles_of, sign_draft, verify_chain
from pinwarden_keys.ceremony_files import RootDraft

LENGTH = 300
DAY = 24 * 3600


@pytest.fixture(scope="module")
def long_chain():
    """Return 300 roots, each of which hands over from one holder to the next, as their envelopes."""
    from tests.keys.conftest import People

    people, now = People(), datetime.now(UTC)
    server, release = (keyed(people.publics(name)) for name in ("server", "release"))
    envelopes, before = [], None
    for version in range(1, LENGTH + 1):
        held = keyed(people.publics(f"holder {version}"))
        role = Role(tuple(held), 1, held)
        if before is None:
            timestamp = TimestampRole(tuple(server), 1, server, 1, DAY)
            roles = Roles(role, timestamp, (Grant(tuple(release), 1, release, 1, DAY, ("*",)),))
            root = first_root("acme-0123456789abcdef", roles, now=now, lifetime=timedelta(days=365))
        else:
            root = next_root(before, replace(roles_of(before), root=role), now=now, lifetime=timedelta(days=365))
        draft = RootDraft(root.encode(), envelopes[-1] if envelopes else None, {})
        holders = [f"holder {number}" for number in (version - 1, version) if number]
        envelopes.append(assemble(draft, [sign_draft(draft, people.signer(name)) for name in holders]))
        before = root
    return envelopes


def test_300_roots_are_followed_from_the_first_to_the_last(long_chain):
    assert [root.version for root in verify_chain(long_chain)] == [*range(1, LENGTH + 1)]


def test_a_chain_may_begin_anywhere(long_chain):
    assert [root.version for root in verify_chain(long_chain[290:])] == [*range(291, LENGTH + 1)]


@pytest.mark.parametrize(
    ("damage", "refusal"),
    {
        "a root left out": (lambda chain: [*chain[:150], *chain[151:]], SignatureError),
        "two roots swapped": (lambda chain: [*chain[:150], chain[151], chain[150], *chain[152:]], SignatureError),
        "a root twice": (lambda chain: [*chain[:151], *chain[150:]], RollbackError),
        "a root without signatures": (
            lambda chain: [*chain[:150], replace(chain[150], signatures=()), *chain[151:]],
            SignatureError,
        ),
        "a root without the signature of the holder before": (
            lambda chain: [*chain[:150], _only_own(chain[150]), *chain[151:]],
            SignatureError,
        ),
    }.values(),
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_chain_is_refused(long_chain, damage, refusal):
    with pytest.raises(refusal):
        list(verify_chain(damage(long_chain)))


def test_a_root_of_another_authority_does_not_continue_a_chain(long_chain, people):
    root = replace(next(verify_chain(long_chain)), version=2, authority="evil-0123456789abcdef")
    draft = RootDraft(root.encode(), None, {})
    foreign = assemble(draft, [sign_draft(draft, people.signer("holder 1"))])
    with pytest.raises(WrongPinSetError):
        list(verify_chain([long_chain[0], foreign]))


@pytest.fixture
def files(long_chain, ceremony):
    """The first twelve roots as files; a shell sorts root.10.json before root.2.json."""
    for number, envelope in enumerate(long_chain[:12], 1):
        (ceremony.folder / f"root.{number}.json").write_bytes(envelope.to_bytes())
    return sorted(path.name for path in ceremony.folder.glob("root.*.json"))


def test_verify_prints_each_link_in_the_order_of_versions(ceremony, files):
    result = ceremony.run("verify", *files)
    links = ["root 1 of acme-0123456789abcdef is signed by its own threshold"]
    links += [f"root {number} of acme-0123456789abcdef follows root {number - 1}" for number in range(2, 13)]
    expected = [f"root.{number}.json: {link}" for number, link in enumerate(links, 1)]
    assert (result.exit_code, result.stdout.splitlines(), result.stderr) == (0, expected, "")


def test_verify_of_300_files_ends_well(ceremony, long_chain):
    for number, envelope in enumerate(long_chain, 1):
        (ceremony.folder / f"root.{number}.json").write_bytes(envelope.to_bytes())
    result = ceremony.run("verify", *ceremony.folder.glob("root.*.json"), "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["version"], len(answer["roots"])) == (0, LENGTH, LENGTH)


def test_verify_names_the_file_at_which_a_chain_breaks(ceremony, files):
    result = ceremony.run("verify", *(name for name in files if name != "root.7.json"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: the chain breaks at root.8.json: " in result.stderr
    assert "The 6 before it hold." in result.stderr


def test_verify_of_a_later_part_says_what_it_did_not_check(ceremony, files):
    later = ceremony.run("verify", "root.5.json", "root.6.json")
    assert later.exit_code == 0
    assert "that root 5 follows the root before was not checked" in later.stderr
    known = ceremony.run("verify", "root.6.json", "root.5.json", "--previous", "root.4.json")
    expected = [f"root.{n}.json: root {n} of acme-0123456789abcdef follows root {n - 1}" for n in (5, 6)]
    assert (known.exit_code, known.stdout.splitlines(), known.stderr) == (0, expected, "")


def _only_own(envelope):
    """Return *envelope* without the signature of the root before."""
    own = json.loads(envelope.payload)["roles"]["root"]["keyids"]
    return Envelope.of(ROOT_TYPE, envelope.payload, [each for each in envelope.signatures if each.keyid in own])
