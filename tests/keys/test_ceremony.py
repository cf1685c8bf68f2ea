import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from pinwarden.documents import Grant, Key, Role, TimestampRole
from pinwarden.envelope import ROOT_TYPE, Envelope, Signature, pae
from pinwarden.errors import RollbackError, SignatureError, WrongPinSetError
from pinwarden.trust import advance_root, begin
from pinwarden_keys.ceremony import (
    Roles,
    assemble,
    first_root,
    keyed,
    next_root,
    roles_of,
    sign_draft,
    tally,
    verify_root,
)
from pinwarden_keys.ceremony_files import DetachedSignature, RootDraft
from pinwarden_keys.errors import CeremonyError, MissingSignaturesError

AUTHORITY = "acme-0123456789abcdef"
YEAR = timedelta(days=365)
DAY = 24 * 3600
OLD, NEW = ("alice", "bob", "carol"), ("carol", "dave", "erin")

SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def roles_for(people, *root, threshold=2):
    keys = [keyed(people.publics(*names)) for names in (root, ["server"], ["release"])]
    return Roles(
        Role(tuple(keys[0]), threshold, keys[0]),
        TimestampRole(tuple(keys[1]), 1, keys[1], 1, 7 * DAY),
        (Grant(tuple(keys[2]), 1, keys[2], 1, 90 * DAY, ("*",)),),
    )


def signed_by(people, draft, *names):
    return [sign_draft(draft, people.signer(name), name=name) for name in names]


@pytest.fixture
def founding(people, now):
    root = first_root(AUTHORITY, roles_for(people, *OLD), now=now, lifetime=YEAR)
    return RootDraft(root.encode(), None, {people.keyid(name): name for name in OLD})


@pytest.fixture
def first(people, founding):
    return assemble(founding, signed_by(people, founding, "alice", "bob"))


@pytest.fixture
def rotation(people, now, first):
    """Root 2, which replaces alice and bob by dave and erin."""
    previous = verify_root(first, previous=None)
    root = next_root(previous, roles_for(people, *NEW), now=now + timedelta(days=90), lifetime=YEAR)
    return RootDraft(root.encode(), first, {people.keyid(name): name for name in {*OLD, *NEW}})


def test_a_first_root_signed_by_its_threshold_is_what_a_client_begins_with(people, first):
    state = begin(first.to_bytes(), name="payments")
    assert (state.authority, state.root.version) == (AUTHORITY, 1)
    assert set(state.root.root.keys) == {people.keyid(name) for name in OLD}


def test_a_rotated_root_is_accepted_by_a_client_that_trusts_the_first(people, first, rotation):
    second = assemble(rotation, signed_by(people, rotation, "alice", "bob", "dave", "erin"))
    state = advance_root(begin(first.to_bytes(), name="payments"), second.to_bytes())
    assert state.root.version == 2
    assert set(state.root.root.keys) == {people.keyid(name) for name in NEW}


def test_signatures_in_any_order_give_the_same_bytes(people, rotation):
    signatures = signed_by(people, rotation, "alice", "bob", "dave", "erin")
    roots = {assemble(rotation, order).to_bytes() for order in itertools.permutations(signatures)}
    assert len(roots) == 1


def test_the_new_root_is_missing_whom_it_names(people, rotation):
    with pytest.raises(MissingSignaturesError) as waiting:
        assemble(rotation, signed_by(people, rotation, "alice", "bob", "erin"))
    assert "old root 2 of 2, new root 1 of 2: missing carol or dave" in str(waiting.value)
    assert [each.lacking for each in waiting.value.tallies] == [0, 1]


def test_the_old_roots_threshold_counts_on_its_own(people, rotation):
    with pytest.raises(MissingSignaturesError, match="old root 0 of 2: missing alice or bob or carol") as waiting:
        assemble(rotation, signed_by(people, rotation, "dave", "erin"))
    assert [each.lacking for each in waiting.value.tallies] == [2, 0]


def test_one_person_in_both_roles_signs_once_and_counts_twice(people, rotation):
    assert [each.signed for each in tally(rotation, signed_by(people, rotation, "carol"))] == [
        (people.keyid("carol"),)
    ] * 2
    assert assemble(rotation, signed_by(people, rotation, "carol", "bob", "dave"))


def test_one_persons_signature_given_twice_counts_once(people, founding):
    with pytest.raises(MissingSignaturesError, match="1 of 2"):
        assemble(founding, signed_by(people, founding, "alice", "alice"))


def test_nobody_has_signed_yet_is_said_with_all_names(people, founding):
    with pytest.raises(MissingSignaturesError, match="new root 0 of 2: missing alice or bob or carol"):
        assemble(founding, [])


def test_a_missing_person_without_a_name_is_given_by_keyid(people, founding):
    with pytest.raises(MissingSignaturesError, match=people.keyid("bob")[:16]):
        assemble(replace(founding, names={}), signed_by(people, founding, "alice"))


def test_a_stranger_cannot_sign_a_draft(people, founding):
    with pytest.raises(CeremonyError, match="has no say"):
        sign_draft(founding, people.signer("mallory"))


def test_a_timestamp_key_has_no_say_in_a_root(people, founding):
    with pytest.raises(CeremonyError, match="has no say"):
        sign_draft(founding, people.signer("server"))


def test_a_strangers_signature_file_is_refused(people, founding):
    message = pae(ROOT_TYPE, founding.payload)
    mallory = people.signer("mallory")
    forged = DetachedSignature(founding.digest, mallory.keyid, mallory.sign(message), "alice")
    with pytest.raises(CeremonyError, match="has no say"):
        assemble(founding, [*signed_by(people, founding, "alice", "bob"), forged])


def test_a_wrong_signature_in_someones_name_is_refused_by_that_name(people, founding):
    message = pae(ROOT_TYPE, founding.payload)
    forged = DetachedSignature(founding.digest, people.keyid("bob"), people.signer("mallory").sign(message), "bob")
    with pytest.raises(CeremonyError, match=f"signature by {people.keyid('bob')[:16]} bob is wrong"):
        assemble(founding, [*signed_by(people, founding, "alice"), forged])


def test_a_signature_over_another_draft_is_refused(people, now, founding):
    other = RootDraft(
        first_root(AUTHORITY, roles_for(people, *OLD), now=now, lifetime=2 * YEAR).encode(), None, founding.names
    )
    with pytest.raises(CeremonyError, match="for another draft"):
        assemble(founding, signed_by(people, other, "alice", "bob"))


def test_a_signature_moved_to_another_draft_by_editing_its_digest_is_refused(people, now, founding):
    other = RootDraft(
        first_root(AUTHORITY, roles_for(people, *OLD), now=now, lifetime=2 * YEAR).encode(), None, founding.names
    )
    moved = [replace(signature, digest=founding.digest) for signature in signed_by(people, other, "alice", "bob")]
    with pytest.raises(CeremonyError, match="is wrong"):
        assemble(founding, moved)


def test_a_signature_over_the_bare_payload_is_refused(people, founding):
    alice = people.signer("alice")
    bare = DetachedSignature(founding.digest, alice.keyid, alice.sign(founding.payload))
    with pytest.raises(CeremonyError, match="is wrong"):
        assemble(founding, [bare])


def test_a_draft_that_skips_a_version_is_never_assembled(people, first, rotation):
    skipping = replace(rotation, payload=replace(rotation.root, version=3).encode())
    with pytest.raises(CeremonyError, match="clients would refuse"):
        assemble(skipping, signed_by(people, skipping, "alice", "bob", "dave", "erin"))


def test_a_draft_that_changes_the_authority_is_never_assembled(people, rotation):
    moved = replace(rotation, payload=replace(rotation.root, authority="evil-0123456789abcdef").encode())
    with pytest.raises(CeremonyError, match="clients would refuse"):
        assemble(moved, signed_by(people, moved, "alice", "bob", "dave", "erin"))


def test_a_draft_whose_previous_root_was_forged_is_never_assembled(people, now, rotation):
    mine = first_root(AUTHORITY, roles_for(people, "mallory", "dave", threshold=1), now=now, lifetime=YEAR).encode()
    unsigned = replace(rotation, previous=Envelope.of(ROOT_TYPE, mine, []))
    with pytest.raises(CeremonyError, match="clients would refuse"):
        assemble(unsigned, signed_by(people, unsigned, "mallory", "dave", "erin"))


@pytest.mark.parametrize("encoding", SMALL_ORDER)
def test_a_small_order_key_is_refused_when_a_root_is_drafted(people, encoding):
    with pytest.raises(CeremonyError, match="cannot be used"):
        keyed([*people.publics("alice"), bytes.fromhex(encoding)])


def test_a_key_that_is_named_twice_is_refused(people):
    with pytest.raises(CeremonyError, match="named twice"):
        keyed(people.publics("alice", "bob", "alice"))


def test_a_small_order_key_smuggled_past_the_draft_is_refused_at_its_encoding(people, now):
    weak = bytes(32)
    roles = roles_for(people, *OLD)
    smuggled = Role(("0" * 64,), 1, {"0" * 64: weak})
    with pytest.raises(CeremonyError, match="would not be a root"):
        first_root(AUTHORITY, replace(roles, root=smuggled), now=now, lifetime=YEAR)


@pytest.mark.parametrize("authority", ["acme", "acme-0123", "Acme-0123456789abcdef", "acme-0123456789ABCDEF", ""])
def test_an_authority_without_its_random_end_is_refused(people, now, authority):
    with pytest.raises(CeremonyError, match="authority"):
        first_root(authority, roles_for(people, *OLD), now=now, lifetime=YEAR)


@pytest.mark.parametrize("threshold", [0, 4])
def test_a_threshold_that_nobody_or_no_number_of_people_can_meet_is_refused(people, now, threshold):
    with pytest.raises(CeremonyError, match="would not be a root"):
        first_root(AUTHORITY, roles_for(people, *OLD, threshold=threshold), now=now, lifetime=YEAR)


def test_a_renewal_keeps_every_role_and_raises_only_version_and_dates(now, first):
    previous = verify_root(first, previous=None)
    later = now + timedelta(days=300, microseconds=7)
    renewed = next_root(previous, roles_of(previous), now=later, lifetime=YEAR)
    assert (renewed.version, renewed.issued, renewed.expires) == (
        2,
        now + timedelta(days=300),
        now + timedelta(days=665),
    )
    assert replace(renewed, version=1, issued=previous.issued, expires=previous.expires) == previous


def test_keys_of_an_unknown_scheme_are_not_dropped_silently(first):
    previous = verify_root(first, previous=None)
    newer = replace(previous, keys={**previous.keys, "f" * 64: Key("ml-dsa-65", None)})
    with pytest.raises(CeremonyError, match="scheme that this version does not know"):
        roles_of(newer)


def test_a_root_verified_against_the_wrong_previous_one_is_refused(people, now, first, rotation):
    second = assemble(rotation, signed_by(people, rotation, "alice", "bob", "dave", "erin"))
    strangers = first_root("acme-fedcba9876543210", roles_for(people, *OLD), now=now, lifetime=YEAR)
    draft = RootDraft(strangers.encode(), None, {})
    foreign = assemble(draft, signed_by(people, draft, "alice", "bob"))
    with pytest.raises(WrongPinSetError):
        verify_root(second, previous=foreign)
    with pytest.raises(RollbackError):
        verify_root(second, previous=second)
    with pytest.raises(SignatureError):
        verify_root(replace(second, signatures=()), previous=first)


def test_a_draft_and_a_signature_survive_their_files(people, founding, rotation):
    for draft in (founding, rotation):
        assert RootDraft.parse(draft.to_bytes()) == draft
    for name in ("alice", None):
        signature = sign_draft(founding, people.signer("alice"), name=name)
        assert DetachedSignature.parse(signature.to_bytes()) == signature


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"format":"pinwarden-root-draft-1"}', b'{"format":"x"}', b"[]"]
)
def test_what_is_neither_draft_nor_signature_is_refused_with_a_sentence(content):
    with pytest.raises(CeremonyError, match="is not a draft of a root"):
        RootDraft.parse(content)
    with pytest.raises(CeremonyError, match="is not a detached signature"):
        DetachedSignature.parse(content)


def test_a_name_that_would_rewrite_the_signers_terminal_is_refused(people, founding):
    hostile = replace(founding, names={people.keyid("alice"): "bob\x1b[2K"})
    with pytest.raises(CeremonyError, match="name is not usable"):
        RootDraft.parse(hostile.to_bytes())


def test_every_flipped_byte_of_a_signature_file_is_refused_or_does_not_count(people, founding):
    content = sign_draft(founding, people.signer("alice")).to_bytes()
    for index in range(len(content)):
        broken = bytearray(content)
        broken[index] ^= 1
        with pytest.raises(CeremonyError):
            tally(founding, [DetachedSignature.parse(bytes(broken))])


def test_more_signatures_than_an_envelope_holds_are_refused(people, now):
    crowd = [f"person {number}" for number in range(17)]
    draft = RootDraft(first_root(AUTHORITY, roles_for(people, *crowd), now=now, lifetime=YEAR).encode(), None, {})
    with pytest.raises(CeremonyError, match="too many signatures"):
        assemble(draft, signed_by(people, draft, *crowd))
    assert len(assemble(draft, signed_by(people, draft, *crowd[:16])).signatures) == 16


def test_an_entry_that_is_no_signature_is_not_in_an_assembled_root(people, first):
    message = pae(ROOT_TYPE, first.payload)
    expected = [Signature(people.keyid(name), people.signer(name).sign(message)) for name in ("alice", "bob")]
    assert sorted(first.signatures, key=lambda entry: entry.keyid) == sorted(expected, key=lambda entry: entry.keyid)
