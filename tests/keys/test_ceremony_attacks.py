"""What a coordinator, a courier or a stranger may try in a ceremony; after each refusal the folder is as before."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pinwarden.envelope import ROOT_TYPE, Envelope, pae
from pinwarden.strict_json import encode, parse_object
from pinwarden_keys.ceremony_files import DetachedSignature, RootDraft
from pinwarden_keys.root_words import words_of


def write(path, content):
    Path(path).write_bytes(content)
    return path


def refused(ceremony, before, result, complaint, code=1):
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert complaint in result.stderr
    assert "\x1b" not in result.stderr
    assert ceremony.contents() == before


@pytest.fixture
def founded(ceremony):
    """The folder after its first ceremony, with everybody's key."""
    ceremony.found()
    for name in ("alice", "bob", "carol", "dave", "mallory"):
        if not Path(f"{name}.key").exists():
            ceremony.people.key_file(ceremony.folder, name)
    return ceremony


@pytest.fixture
def renewing(founded):
    """The folder with a draft of root 2 that changes only dates."""
    assert founded.run("draft", "--previous", "root.1.json").exit_code == 0
    return founded


def swapped(ceremony):
    """Return the file of a draft that makes mallory a root key in place of carol, for the same version and people."""
    plan = ceremony.plan("alice", "bob", "mallory")
    assert ceremony.run("draft", "--plan", plan, "--previous", "root.1.json", "--out", "swapped.draft").exit_code == 0
    return "swapped.draft"


def test_two_people_who_hold_different_drafts_hear_it_in_the_words(renewing):
    other = swapped(renewing)
    heard = " ".join(words_of(renewing.draft("root.2.draft").digest))
    before = renewing.contents()
    assert renewing.run("show", "root.2.draft", "--digest-words", heard).exit_code == 0
    refused(renewing, before, renewing.run("show", other, "--digest-words", heard), "of the digest differs")
    signing = renewing.run("sign", other, "--key", "bob.key", "--previous", "root.1.json", "--digest-words", heard)
    refused(renewing, before, signing, "of the digest differs")


def test_signatures_over_two_drafts_never_make_one_root(renewing):
    other = swapped(renewing)
    assert renewing.sign("root.2.draft", "alice", typed="2\n").exit_code == 0
    signed = renewing.run(
        *("sign", other, "--key", "bob.key", "--passphrase-file", "pass", "--out", "bob.sig"),
        *("--previous", "root.1.json"),
        typed="2\n",
    )
    assert signed.exit_code == 0
    before = renewing.contents()
    keyid = renewing.people.keyid("bob")[:16]
    for draft, stray in (
        ("root.2.draft", f"bob.sig: the signature by {keyid}"),
        (other, "alice.sig: the signature by"),
    ):
        refused(renewing, before, renewing.run("assemble", draft, "alice.sig", "bob.sig"), stray)


def test_a_key_that_is_new_is_shown_as_new_whatever_it_is_called(renewing):
    draft = renewing.draft(swapped(renewing))
    people = renewing.people
    lying = {**draft.names, people.keyid("mallory"): "carol"}
    write("lying.draft", replace(draft, names=lying).to_bytes())
    shown = renewing.run("show", "lying.draft", "--previous", "root.1.json").stdout
    assert f"  + root key {people.keyid('mallory')[:16]} carol\n" in shown
    assert f"  - root key {people.keyid('carol')[:16]}\n" in shown
    assert shown.index(people.keyid("mallory")[:16]) < shown.index("carol")


def test_a_false_previous_root_cannot_hide_what_changes(renewing):
    """The draft carries a root 1 that names mallory already, so that compared with it nothing changes."""
    draft = renewing.draft(swapped(renewing))
    forged = Envelope.of(ROOT_TYPE, replace(draft.root, version=1).encode(), draft.previous.signatures)
    write("hiding.draft", replace(draft, previous=forged).to_bytes())
    assert "mallory" not in renewing.run("show", "hiding.draft").stdout.partition("changes since")[2]
    before = renewing.contents()
    words = ("sign", "hiding.draft", "--key", "alice.key", "--passphrase-file", "pass")
    refused(renewing, before, renewing.run(*words, typed="2\n"), "you brought none to compare it with")
    named = renewing.run(*words, "--previous", "root.1.json", typed="2\n")
    refused(renewing, before, named, "the draft does not follow root.1.json")


def test_a_previous_root_that_nobody_signed_is_not_one_to_compare_with(renewing):
    draft = renewing.draft("root.2.draft")
    bare = Envelope.of(ROOT_TYPE, draft.previous.payload, ())
    write("bare.json", bare.to_bytes())
    before = renewing.contents()
    signing = renewing.run("sign", "root.2.draft", "--key", "alice.key", "--previous", "bare.json", typed="2\n")
    refused(renewing, before, signing, "too few valid signatures")


def test_a_signature_that_the_coordinator_drops_is_missed_by_name(renewing):
    for name in ("alice", "bob"):
        assert renewing.sign("root.2.draft", name, typed="2\n").exit_code == 0
    before = renewing.contents()
    result = renewing.run("assemble", "root.2.draft", "alice.sig")
    bob, carol = (renewing.people.keyid(name)[:16] for name in ("bob", "carol"))
    assert result.exit_code == 5
    assert f"old root 1 of 2: missing {bob} or {carol}, new root 1 of 2: missing {bob} or {carol}" in result.stderr
    assert renewing.contents() == before


def test_a_signature_over_the_root_before_is_not_spent_again(founded):
    founded.run("draft", "--previous", "root.1.json")
    old = founded.sign("root.1.draft", "carol", typed="1\n")
    assert old.exit_code == 0
    for name in ("alice", "bob"):
        assert founded.sign("root.2.draft", name, typed="2\n").exit_code == 0
    before = founded.contents()
    result = founded.run("assemble", "root.2.draft", "alice.sig", "bob.sig", "carol.sig")
    refused(founded, before, result, "carol.sig: the signature by")


def test_a_strangers_signature_is_refused_by_its_file_though_it_bears_a_friends_name(renewing):
    draft, mallory = renewing.draft("root.2.draft"), renewing.people.signer("mallory")
    forged = DetachedSignature(draft.digest, mallory.keyid, mallory.sign(pae(ROOT_TYPE, draft.payload)), "bob")
    write("from-bob.sig", forged.to_bytes())
    assert renewing.sign("root.2.draft", "alice", typed="2\n").exit_code == 0
    before = renewing.contents()
    result = renewing.run("assemble", "root.2.draft", "alice.sig", "from-bob.sig")
    refused(renewing, before, result, f"from-bob.sig: key {mallory.keyid[:16]} has no say in root 2")


@pytest.mark.parametrize("stray", ["root.1.json", "root.2.draft", "plan.toml", "alice.key", "missing"])
def test_a_stray_file_among_the_signatures_is_named(renewing, stray):
    for name in ("alice", "bob"):
        assert renewing.sign("root.2.draft", name, typed="2\n").exit_code == 0
    before = renewing.contents()
    result = renewing.run("assemble", "root.2.draft", "alice.sig", stray, "bob.sig")
    refused(renewing, before, result, stray, 2 if stray == "missing" else 1)


HOSTILE = {
    "an escape sequence": "bob\x1b[2K",
    "a carriage return": "bob\rmallory",
    "a line feed": "bob\n  root 1 of 1",
    "a bell": "bob\x07",
    "text that runs from right to left": "bob\u202eyrollam",
    "a letter without width": "b\u200bob",
    "a control of eight bits": "bob\x9b2K",
    "nothing": "",
    "more than 64 letters": "b" * 65,
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_that_would_rewrite_a_signers_terminal_is_refused_everywhere(renewing, name):
    people, draft = renewing.people, renewing.draft("root.2.draft")
    write("hostile.draft", replace(draft, names={people.keyid("bob"): name}).to_bytes())
    signature = DetachedSignature(draft.digest, people.keyid("bob"), bytes(64), name)
    write("hostile.sig", signature.to_bytes())
    plan = Path(renewing.plan("alice", "bob", "carol"))
    plan.write_text(plan.read_text().replace("bob = ", f"{json.dumps(name)} = ").replace('"bob"', json.dumps(name)))
    before = renewing.contents()
    for words in (
        ("show", "hostile.draft"),
        ("sign", "hostile.draft", "--key", "alice.key", "--previous", "root.1.json"),
        ("assemble", "root.2.draft", "hostile.sig"),
        ("draft", "--plan", "plan.toml", "--previous", "root.1.json", "--out", "new"),
        ("rehearse", "--plan", "plan.toml", "--previous", "root.1.json"),
    ):
        refused(renewing, before, renewing.run(*words, typed="2\n"), "name is not usable")


def test_letters_of_another_script_are_spelled_out(renewing):
    people, draft = renewing.people, renewing.draft("root.2.draft")
    write(
        "alike.draft",
        replace(draft, names={people.keyid("bob"): "\u0430lice", people.keyid("alice"): "alice"}).to_bytes(),
    )
    shown = renewing.run("show", "alike.draft").stdout
    assert f"{people.keyid('bob')[:16]} \u0430lice (\\u0430lice)\n" in shown
    assert f"{people.keyid('alice')[:16]} alice\n" in shown


@pytest.mark.parametrize("twin", ["Alice", "\uff41lice", "alice"])
def test_two_keys_under_one_name_are_refused(renewing, twin):
    people, draft = renewing.people, renewing.draft("root.2.draft")
    names = {people.keyid("alice"): "alice", people.keyid("bob"): twin}
    write("twins.draft", replace(draft, names=names).to_bytes())
    before = renewing.contents()
    refused(renewing, before, renewing.run("show", "twins.draft"), "two keys go by one name")


@pytest.mark.parametrize("keyid", ["\x1b]0;owned\x07", "\u202e", "A" * 64, ""])
def test_a_keyid_that_is_none_is_printed_harmlessly(renewing, keyid):
    draft = renewing.draft("root.2.draft")
    write("odd.sig", DetachedSignature(draft.digest, keyid, bytes(64)).to_bytes())
    before = renewing.contents()
    result = renewing.run("assemble", "root.2.draft", "odd.sig")
    refused(renewing, before, result, "odd.sig: key")
    assert "\u202e" not in result.stderr
    envelope = json.loads(Path("root.1.json").read_bytes())
    envelope["signatures"].append({"keyid": keyid, "sig": ""})
    shown = renewing.run("show", write("odd.json", json.dumps(envelope).encode()))
    assert shown.exit_code == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.stdout)


@pytest.mark.parametrize(
    "smuggle",
    {
        "a member that this version does not know": lambda root: {**root, "delegations": ["mallory"]},
        "a member deep inside": lambda root: {
            **root,
            "roles": {**root["roles"], "timestamp": {**root["roles"]["timestamp"], "also": "mallory"}},
        },
        "a key of an unknown scheme": lambda root: {
            **root,
            "keys": {**root["keys"], "f" * 64: {"scheme": "ml-dsa-65", "public": "AA=="}},
        },
    }.items(),
    ids=lambda item: item[0],
)
def test_nobody_signs_what_the_table_does_not_show(renewing, smuggle):
    draft = renewing.draft("root.2.draft")
    payload = encode(smuggle[1](parse_object(draft.payload, limit=1 << 16, what="root")))
    write("smuggling.draft", RootDraft(payload, draft.previous, draft.names).to_bytes())
    before = renewing.contents()
    words = ("--previous", "root.1.json")
    complaint = "says more than this version of pinwarden reads"
    signing = renewing.run("sign", "smuggling.draft", "--key", "alice.key", *words, typed="2\n")
    refused(renewing, before, signing, complaint)
    refused(renewing, before, renewing.run("assemble", "smuggling.draft", *words), complaint)
    assert "warning: smuggling.draft says more" in renewing.run("show", "smuggling.draft").stderr


WRONG = {
    "another authority": (lambda root: replace(root, authority="evil-0123456789abcdef"), "ROOT002"),
    "a version too many": (lambda root: replace(root, version=4), "ROOT001"),
    "the version before": (lambda root: replace(root, version=2), "ROOT001"),
    "an end in the past": (lambda root: replace(root, expires=root.issued - timedelta(days=1)), "ROOT012"),
    "an end that is too near": (lambda root: replace(root, expires=root.issued + timedelta(days=20)), "ROOT011"),
    "one key is enough": (lambda root: replace(root, root=replace(root.root, threshold=1)), "ROOT006"),
    "an earlier epoch": (lambda root: replace(root, pinset=(replace(root.pinset[0], epoch=1),)), "ROOT014"),
    "no grant any more": (lambda root: replace(root, pinset=()), "ROOT013"),
}


@pytest.mark.parametrize(("change", "code"), WRONG.values(), ids=WRONG)
def test_a_draft_with_a_finding_is_neither_signed_nor_assembled(ceremony, change, code):
    ceremony.found()
    higher = ceremony.plan("alice", "bob", "carol")
    Path(higher).write_text(Path(higher).read_text().replace("epoch = 1", "epoch = 2"))
    ceremony.run("draft", "--plan", higher, "--previous", "root.1.json")
    for name in ("alice", "bob"):
        assert ceremony.sign("root.2.draft", name, typed="2\n").exit_code == 0
        Path(f"{name}.sig").rename(f"{name}.2.sig")
    assert ceremony.run("assemble", "root.2.draft", "alice.2.sig", "bob.2.sig").exit_code == 0
    ceremony.run("draft", "--previous", "root.2.json")
    draft = ceremony.draft("root.3.draft")
    write("wrong.draft", replace(draft, payload=change(draft.root).encode()).to_bytes())
    before = ceremony.contents()
    words = ("--previous", "root.2.json")
    signing = ceremony.run("sign", "wrong.draft", "--key", "alice.key", *words, typed="3\n")
    refused(ceremony, before, signing, f"this root must not be made: {code} ")
    refused(ceremony, before, ceremony.run("assemble", "wrong.draft", *words), f"must not be made: {code} ")
