"""The transcript: complete, without secrets, the same for everybody; and ceremonies that are taken up again."""

import itertools
import json
import re
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256, sha512
from pathlib import Path

import pytest
from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_sign_seed_keypair,
)

from pinwarden.envelope import ROOT_TYPE, pae
from pinwarden_keys.ceremony_files import DetachedSignature
from pinwarden_keys.root_words import words_of

WRITTEN = ["root.2.json", "transcript.2.json", "transcript.2.txt"]


@pytest.fixture
def signed(ceremony):
    """A folder in which root 2, with dave in place of alice, waits to be assembled."""
    ceremony.found()
    ceremony.next("bob", "carol", "dave", signers=("alice", "bob", "dave"))
    return ceremony


def assemble(ceremony, *signatures):
    return ceremony.run("assemble", "root.2.draft", *signatures, "--previous", "root.1.json")


def written(ceremony):
    return [Path(name).read_bytes() for name in WRITTEN]


def test_a_transcript_says_who_signed_what_with_which_key(signed):
    assert assemble(signed, "alice.sig", "bob.sig", "dave.sig").exit_code == 0
    told, draft = json.loads(Path("transcript.2.json").read_bytes()), signed.draft("root.2.draft")
    keyid = signed.people.keyid
    assert (told["authority"], told["version"]) == (draft.root.authority, 2)
    assert (told["payload_sha256"], told["digest_words"]) == (draft.digest.hex(), list(words_of(draft.digest)))
    assert told["previous_sha256"] == sha256(draft.previous.payload).hexdigest()
    assert {(each["keyid"], each["name"], each["key_file_says"]) for each in told["signatures"]} == {
        (keyid("alice"), "", "alice"),  # the plan of root 2 does not name who leaves
        (keyid("bob"), "bob", "bob"),
        (keyid("dave"), "dave", "dave"),
    }
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each["made"]) for each in told["signatures"])
    assert {(each["root"], each["threshold"], tuple(each["signed"])) for each in told["thresholds"]} == {
        ("old root", 2, tuple(sorted([keyid("alice"), keyid("bob")]))),
        ("new root", 2, tuple(sorted([keyid("bob"), keyid("dave")]))),
    }
    assert f"+ root key {keyid('dave')[:16]} dave" in told["changes"]
    assert told["findings_accepted"] == []
    assert sorted(told["software"]) == ["cryptography", "pinwarden", "pynacl", "python"]


def test_a_transcript_holds_the_digest_of_every_file(signed):
    assert assemble(signed, "alice.sig", "bob.sig", "dave.sig").exit_code == 0
    told = json.loads(Path("transcript.2.json").read_bytes())
    names = ["alice.sig", "bob.sig", "dave.sig", "root.2.draft", "root.2.json"]
    expected = [(name, sha256(Path(name).read_bytes()).hexdigest()) for name in names]
    assert [(each["name"], each["sha256"]) for each in told["files"]] == expected
    text = Path("transcript.2.txt").read_text()
    assert all(f"{digest}  {name}\n" in text for name, digest in expected)


def test_a_transcript_holds_no_secret_and_no_path(signed):
    assert assemble(signed, *(signed.folder / f"{name}.sig" for name in ("alice", "bob", "dave"))).exit_code == 0
    for content in written(signed):
        assert signed.people.passphrase not in content
        assert str(signed.folder).encode() not in content
        for name in ("alice", "bob", "dave"):
            assert signed.people.seed(name).hex().encode() not in content


def test_every_order_of_the_same_signatures_gives_the_same_root_and_transcript(signed):
    results = set()
    for order in itertools.permutations(["alice.sig", "bob.sig", "dave.sig"]):
        assert assemble(signed, *order).exit_code == 0
        results.add(tuple(written(signed)))
        for name in WRITTEN:
            Path(name).unlink()
    assert len(results) == 1


def another_signature(seed, message):
    """Return a second good signature by the key of *seed*: Ed25519 with a nonce of its own, as an HSM may make it."""
    digest = sha512(seed).digest()
    scalar = bytearray(digest[:32])
    scalar[0] &= 248
    scalar[31] = (scalar[31] & 127) | 64
    nonce = crypto_core_ed25519_scalar_reduce(sha512(b"a nonce of its own" + message).digest())
    point = crypto_scalarmult_ed25519_base_noclamp(nonce)
    public = crypto_sign_seed_keypair(seed)[0]
    challenge = crypto_core_ed25519_scalar_reduce(sha512(point + public + message).digest())
    secret = crypto_core_ed25519_scalar_reduce(bytes(scalar) + bytes(32))
    return point + crypto_core_ed25519_scalar_add(nonce, crypto_core_ed25519_scalar_mul(challenge, secret))


def test_two_good_signatures_by_one_key_count_once_and_give_one_root_in_any_order(signed):
    draft = signed.draft("root.2.draft")
    first = DetachedSignature.parse(Path("bob.sig").read_bytes())
    other = replace(first, sig=another_signature(signed.people.seed("bob"), pae(ROOT_TYPE, draft.payload)))
    later = replace(first, made=first.made + timedelta(minutes=5))
    Path("bob.2.sig").write_bytes(other.to_bytes())
    Path("bob.3.sig").write_bytes(later.to_bytes())
    assert assemble(signed, "bob.sig", "bob.2.sig", "bob.3.sig").exit_code == 5
    results = set()
    for bobs in itertools.permutations(["bob.sig", "bob.2.sig", "bob.3.sig"]):
        assert assemble(signed, "alice.sig", *bobs, "dave.sig").exit_code == 0
        results.add(tuple(written(signed)))
        for name in WRITTEN:
            Path(name).unlink()
    assert len(results) == 1


def test_a_ceremony_is_taken_up_again_until_it_is_done_and_after(signed):
    for signatures, code in ((["alice.sig"], 5), (["bob.sig", "alice.sig"], 5), (["dave.sig", "bob.sig"], 5)):
        assert assemble(signed, *signatures).exit_code == code
        assert not any(Path(name).exists() for name in WRITTEN)
    assert assemble(signed, "dave.sig", "bob.sig", "alice.sig").exit_code == 0
    first = written(signed)
    again = assemble(signed, "alice.sig", "dave.sig", "bob.sig")
    assert (again.exit_code, again.stdout) == (0, "root.2.json\n")
    assert written(signed) == first


def test_a_part_that_is_lost_is_made_again(signed):
    assert assemble(signed, "alice.sig", "bob.sig", "dave.sig").exit_code == 0
    first = written(signed)
    Path("transcript.2.txt").unlink()
    assert assemble(signed, "alice.sig", "bob.sig", "dave.sig").exit_code == 0
    assert written(signed) == first


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_with_another_content_is_never_touched_and_nothing_else_is_written(signed, name):
    Path(name).write_bytes(b"something of yours")
    before = signed.contents()
    result = assemble(signed, "alice.sig", "bob.sig", "dave.sig")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{name} exists already, with another content" in result.stderr
    assert signed.contents() == before


def test_findings_that_were_accepted_are_in_the_transcript(ceremony):
    plan = Path(ceremony.plan("alice", "bob", "carol"))
    plan.write_text(plan.read_text().replace("threshold = 2", "threshold = 1"))
    accept = ("--allow", "ROOT006")
    assert ceremony.run("draft", "--plan", plan, *accept).exit_code == 0
    assert ceremony.sign("root.1.draft", "alice", typed="1\n").exit_code == 1  # whoever signs accepts it too
    assert ceremony.sign("root.1.draft", "alice", *accept, typed="1\n").exit_code == 0
    assert ceremony.run("assemble", "root.1.draft", "alice.sig", *accept).exit_code == 0
    assert json.loads(Path("transcript.1.json").read_bytes())["findings_accepted"] == ["ROOT006"]
    assert "Findings accepted: ROOT006\n" in Path("transcript.1.txt").read_text()
