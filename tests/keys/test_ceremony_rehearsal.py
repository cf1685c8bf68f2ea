"""Rehearsals: the real plan, nobody's real key, nothing left behind."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pinwarden.documents import Root
from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.ceremony_rehearsal import Rehearsal
from pinwarden_keys.errors import CeremonyError


@pytest.fixture
def before(ceremony):
    """A folder with root 1 of alice, bob and carol, and a plan that puts dave in alice's place."""
    ceremony.found()
    ceremony.plan("bob", "carol", "dave")
    return ceremony


REHEARSE = ("rehearse", "--plan", "plan.toml", "--previous", "root.1.json")


def test_a_rehearsal_tells_the_story_and_leaves_everything_as_it_was(before, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("elsewhere")))
    files = before.contents()
    result = before.run(*REHEARSE)
    assert result.exit_code == 0, result.stderr
    assert "drafted root 2 of rehearsal-acme-" in result.stdout
    assert "a client that trusts root 1 accepts root 2\n" in result.stdout
    assert "its people can renew it as root 3\n" in result.stdout
    assert result.stdout.endswith("the real ceremony would work\n")
    assert result.stdout.count("it can still be held") == 4
    assert before.contents() == files
    assert [*Path(tempfile.gettempdir()).iterdir()] == []


def test_a_first_root_is_rehearsed_without_one_before(ceremony):
    result = ceremony.run("rehearse", "--plan", ceremony.plan("alice", "bob", "carol"))
    assert result.exit_code == 0, result.stderr
    assert "a client that embeds it begins with it" in result.stdout
    assert ceremony.names() == {"plan.toml", "pass"}


def test_a_renewal_is_rehearsed_without_a_plan(before):
    assert before.run("rehearse", "--previous", "root.1.json").stdout.endswith("the real ceremony would work\n")


def test_the_loss_of_one_person_is_rehearsed_by_name(before):
    result = before.run(*REHEARSE, "--without", "bob")
    assert result.exit_code == 0, result.stderr
    assert "bob signed" not in result.stdout
    assert result.stdout.endswith("the real ceremony would work, without bob\n")


def test_the_loss_of_too_many_stops_the_rehearsal_where_the_ceremony_would_stop(before):
    result = before.run(*REHEARSE, "--without", "bob", "--without", "carol")
    assert result.exit_code == 1
    alice = before.people.keyid("alice")[:16]
    assert "the real ceremony would stop here: old root 1 of 2: missing bob or carol" in result.stderr
    assert f"{alice} signed" in result.stdout
    assert "would work" not in result.stdout


def test_a_stranger_cannot_be_missing(before):
    result = before.run(*REHEARSE, "--without", "mallory")
    assert result.exit_code == 1
    assert "nobody of that name has a say in this root: expected one of " in result.stderr


def test_an_old_root_that_needs_everybody_is_found_before_somebody_is_lost(ceremony):
    plan = Path(ceremony.plan("alice", "bob"))
    accept = ("--allow", "ROOT007")
    assert ceremony.run("draft", "--plan", plan, *accept).exit_code == 0
    for name in ("alice", "bob"):
        assert ceremony.sign("root.1.draft", name, *accept, typed="1\n").exit_code == 0
    assert ceremony.run("assemble", "root.1.draft", "alice.sig", "bob.sig", *accept).exit_code == 0
    ceremony.plan("alice", "bob", "carol")
    result = ceremony.run(*REHEARSE)
    assert result.exit_code == 1
    assert "the loss of one person would stop the real ceremony: alice, bob" in result.stderr
    assert ceremony.run(*REHEARSE, *accept).stdout.endswith("the real ceremony would work\n")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (("threshold = 2", "threshold = 1"), "ROOT006"),
        (("threshold = 2", "threshold = 3"), "ROOT007"),
        (('keys = ["server"]', 'keys = ["bob"]'), "ROOT008"),
        (('keys = ["server"]', 'keys = ["release"]'), "ROOT009"),
        (('["payments-*"]', '["app"]'), "ROOT013"),
    ],
)
def test_a_plan_that_the_real_ceremony_would_refuse_is_refused(before, damage, complaint):
    plan = Path("plan.toml")
    plan.write_text(plan.read_text().replace(*damage))
    result = before.run(*REHEARSE)
    assert (result.exit_code, result.stdout) == (1, "")
    assert complaint in result.stderr


def test_a_published_name_that_would_lose_its_grant_stops_the_rehearsal(before):
    plan = Path("plan.toml")
    plan.write_text(plan.read_text().replace("payments-*", "payments-eu"))
    accept = ("--allow", "ROOT013")
    assert before.run(*REHEARSE, *accept, "--published", "payments-eu").exit_code == 0
    result = before.run(*REHEARSE, *accept, "--published", "payments-us")
    assert result.exit_code == 1
    assert "ROOT004 pin set 'payments-us' loses its grant" in result.stderr


def test_nothing_in_a_rehearsal_is_of_the_real_authority_or_by_a_real_key(before, tmp_path_factory, now):
    real = before.draft("root.1.draft")
    folder = tmp_path_factory.mktemp("rehearsal")
    said = []
    Rehearsal(real, folder, now=now, say=said.append).run()
    drafts = [RootDraft.parse(path.read_bytes()) for path in folder.glob("*.draft")]
    assert [draft.root.authority.startswith("rehearsal-acme-") for draft in drafts] == [True]
    assert not set(drafts[0].root.keys) & set(real.root.keys)
    assert drafts[0].root.version == real.root.version
    assert all("acme-" not in sentence.replace("rehearsal-acme-", "") for sentence in said)


def test_the_longest_label_still_makes_an_authority(before, tmp_path_factory, now):
    real = before.draft("root.1.draft")
    longest = replace(real.root, authority="a" * 47 + real.root.authority[-17:])
    draft = RootDraft(longest.encode(), None, real.names)
    Rehearsal(draft, tmp_path_factory.mktemp("rehearsal"), now=now, say=lambda sentence: None).run()


def test_a_real_authority_cannot_call_itself_a_rehearsal(ceremony):
    plan = Path(ceremony.plan("alice", "bob", "carol"))
    plan.write_text(plan.read_text().replace('"acme"', '"rehearsal-acme"'))
    result = ceremony.run("draft", "--plan", plan)
    assert result.exit_code == 1
    assert "is kept for rehearsals" in result.stderr
    assert ceremony.names() == {"plan.toml", "pass"}


def test_a_root_that_clients_would_refuse_does_not_pass_a_rehearsal(before, tmp_path_factory, now):
    before.run("draft", "--previous", "root.1.json")
    real = before.draft("root.2.draft")
    skipping = replace(real, payload=replace(real.root, version=3, expires=now + timedelta(days=400)).encode())
    with pytest.raises(CeremonyError, match="clients would refuse this root"):
        Rehearsal(skipping, tmp_path_factory.mktemp("rehearsal"), now=now, say=lambda sentence: None).run()
    assert Root.parse(Envelope.parse(Path("root.1.json").read_bytes(), expect=ROOT_TYPE).payload).version == 1
