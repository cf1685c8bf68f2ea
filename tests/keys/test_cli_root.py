"""The ceremony as people hold it: every file and every exit code."""

import json
from pathlib import Path

import pytest

from pinwarden.envelope import ROOT_TYPE, Envelope
from pinwarden.strict_json import encode_base64
from pinwarden.testing import ThrowawayAuthority
from pinwarden.trust import advance_root, begin
from pinwarden_keys.cli_root_files import judged
from pinwarden_keys.errors import CeremonyError
from pinwarden_keys.root_plan import EXAMPLE
from tests.keys.ceremony_folder import PLAN


def test_a_ceremony_founds_an_authority_that_a_client_begins_with(ceremony, people):
    state = begin(ceremony.found(), name="payments-eu")
    assert state.authority.startswith("acme-")
    assert set(state.root.root.keys) == {people.keyid(name) for name in ("alice", "bob", "carol")}


def test_a_second_ceremony_replaces_root_keys_without_breaking_the_chain(ceremony):
    first = ceremony.found()
    drafted = ceremony.run("draft", "--plan", ceremony.plan("carol", "dave", "erin"), "--previous", "root.1.json")
    assert drafted.stdout == "root.2.draft\n"
    for name in ("carol", "bob", "erin"):
        assert ceremony.sign("root.2.draft", name, "--previous", "root.1.json", typed="2\n").exit_code == 0
    result = ceremony.run("assemble", "root.2.draft", "erin.sig", "carol.sig", "bob.sig", "--previous", "root.1.json")
    assert (result.exit_code, result.stdout) == (0, "root.2.json\n")
    assert "old root 2 of 2, new root 2 of 2" in result.stderr
    state = advance_root(begin(first, name="payments-eu"), Path("root.2.json").read_bytes())
    assert state.root.version == 2
    assert ceremony.run("verify", "root.2.json", "--previous", "root.1.json").exit_code == 0


def test_assemble_says_who_is_missing_and_exits_with_5(ceremony):
    ceremony.found()
    ceremony.run("draft", "--plan", ceremony.plan("carol", "dave", "erin"), "--previous", "root.1.json")
    for name in ("alice", "bob", "carol"):
        ceremony.sign("root.2.draft", name, typed="2\n")
    before = ceremony.names()
    result = ceremony.run("assemble", "root.2.draft", "alice.sig", "bob.sig", "carol.sig")
    assert result.exit_code == 5
    assert "old root 2 of 2, new root 1 of 2: missing dave or erin" in result.stderr
    assert ceremony.names() == before


def test_a_renewal_needs_no_plan(ceremony):
    ceremony.found()
    assert ceremony.run("draft", "--previous", "root.1.json", "--lifetime-days", "200").stdout == "root.2.draft\n"
    shown = json.loads(ceremony.run("show", "root.2.draft", "--json").stdout)
    before = json.loads(ceremony.run("show", "root.1.json", "--json").stdout)
    assert shown["roles"] == before["roles"]
    assert (shown["version"], shown["authority"]) == (2, before["authority"])
    assert (shown["signed_by"], len(before["signed_by"])) == ([], 2)


@pytest.mark.parametrize("typed", ["2\n", "yes\n", "01\n", "one\n"])
def test_whoever_types_another_version_signs_nothing(ceremony, typed):
    ceremony.run("draft", "--plan", ceremony.plan("alice", "bob", "carol"))
    result = ceremony.sign("root.1.draft", "alice", typed=typed)
    assert result.exit_code == 1
    assert "error: not signed: expected version 1 typed" in result.stderr
    assert not Path("alice.sig").exists()


def test_whoever_types_nothing_at_all_signs_nothing(ceremony):
    ceremony.run("draft", "--plan", ceremony.plan("alice", "bob", "carol"))
    assert ceremony.sign("root.1.draft", "alice", typed="").exit_code == 1
    assert not Path("alice.sig").exists()


def test_a_signer_sees_the_roles_before_the_question(ceremony, people):
    ceremony.run("draft", "--plan", ceremony.plan("alice", "bob", "carol"))
    result = ceremony.sign("root.1.draft", "alice", typed="1\n")
    table, _, _ = result.stderr.partition("Type the version")
    assert "2 of 3" in table
    assert all(people.keyid(name)[:16] in table for name in ("alice", "bob", "carol", "server", "release"))
    assert result.stdout == "alice.sig\n"


def test_a_stranger_cannot_sign(ceremony):
    ceremony.run("draft", "--plan", ceremony.plan("alice", "bob", "carol"))
    result = ceremony.sign("root.1.draft", "mallory", typed="1\n")
    assert result.exit_code == 1
    assert "has no say in root 1" in result.stderr
    assert not Path("mallory.sig").exists()


def test_a_draft_from_a_root_of_the_attackers_is_noticed_by_whoever_brings_their_own(ceremony):
    ceremony.found()
    Path("root.1.json").rename("ours.json")
    for path in (*ceremony.folder.glob("root.1.*"), *ceremony.folder.glob("transcript.1.*")):
        path.unlink()
    ceremony.found()  # an authority of the same people, but another one
    ceremony.run("draft", "--previous", "root.1.json")
    result = ceremony.sign("root.2.draft", "alice", "--previous", "ours.json", typed="2\n")
    assert result.exit_code == 1
    assert "the draft does not follow ours.json" in result.stderr
    result = ceremony.run("assemble", "root.2.draft", "--previous", "ours.json")
    assert result.exit_code == 1
    assert not Path("root.2.json").exists()


def test_assembling_without_the_previous_root_warns_whose_word_that_is(ceremony):
    ceremony.found()
    ceremony.run("draft", "--previous", "root.1.json")
    for name in ("alice", "bob"):
        ceremony.sign("root.2.draft", name, typed="2\n")
    result = ceremony.run("assemble", "root.2.draft", "alice.sig", "bob.sig")
    assert result.exit_code == 0
    assert "warning: the previous root was taken from the draft itself" in result.stderr


def test_nothing_is_overwritten(ceremony):
    ceremony.found()
    for again in (
        ("draft", "--plan", "plan.toml"),
        ("draft", "--previous", "root.1.json", "--out", "plan.toml"),
    ):
        before = {path: path.read_bytes() for path in ceremony.folder.iterdir()}
        result = ceremony.run(*again)
        assert result.exit_code == 1
        assert "exists already" in result.stderr
        assert {path: path.read_bytes() for path in ceremony.folder.iterdir()} == before


def test_a_weak_root_is_refused_with_its_code_and_allowed_only_by_naming_it(ceremony):
    plan = ceremony.plan("alice", "bob", text=PLAN.replace("threshold = 2", "threshold = 1"))
    result = ceremony.run("draft", "--plan", plan)
    assert result.exit_code == 1
    assert "ROOT006 one stolen root key is enough" in result.stderr
    assert not Path("root.1.draft").exists()
    result = ceremony.run("draft", "--plan", plan, "--allow", "ROOT006")
    assert result.exit_code == 0
    assert "ROOT006" in result.stderr


def test_a_finding_that_would_lock_clients_out_cannot_be_allowed(ceremony):
    ceremony.found()
    plan = ceremony.plan("alice", "bob", "carol", text=PLAN.replace("epoch = 1", "epoch = 4"))
    assert ceremony.run("draft", "--plan", plan, "--previous", "root.1.json").exit_code == 0
    for name in ("alice", "bob"):
        ceremony.sign("root.2.draft", name, typed="2\n")
    assert ceremony.run("assemble", "root.2.draft", "alice.sig", "bob.sig").exit_code == 0
    plan = ceremony.plan("alice", "bob", "carol")
    result = ceremony.run("draft", "--plan", plan, "--previous", "root.2.json")
    assert result.exit_code == 1
    assert "ROOT003 timestamp epoch falls from 4 to 1" in result.stderr
    assert ceremony.run("draft", "--plan", plan, "--previous", "root.2.json", "--allow", "ROOT003").exit_code == 2


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (("threshold = 2", "threshold = 2.0"), "has the wrong type"),
        (("threshold = 2", "treshold = 2"), "unknown name"),
        (("threshold = 2", "threshold = 9"), "can never be met"),
        (("[root]", "[rot]"), "unknown name"),
        (('label = "acme"', ""), "must state its label"),
        (('label = "acme"', 'label = "Acme"'), "is not an authority"),
        (('["server"]', '["nobody"]'), "names keys that the plan does not state"),
        (('["payments-*"]', '["Payments"]'), "bad pattern"),
        (("[root]", "[root"), "is not TOML"),
        (("epoch = 1", "epoch = 0"), "out of range"),
    ],
)
def test_a_plan_with_a_mistake_is_refused_and_nothing_is_written(ceremony, damage, complaint):
    plan = ceremony.plan("alice", "bob", "carol", text=PLAN.replace(*damage))
    result = ceremony.run("draft", "--plan", plan)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert ceremony.names() == {"plan.toml", "pass"}


def test_a_plan_with_a_small_order_key_is_refused(ceremony):
    plan = Path(ceremony.plan("alice", "bob", "carol"))
    keys = [line for line in plan.read_text().splitlines() if line.startswith("bob = ")]
    plan.write_text(plan.read_text().replace(keys[0], f'bob = "{encode_base64(bytes(32))}"'))
    result = ceremony.run("draft", "--plan", plan)
    assert result.exit_code == 1
    assert "prime order" in result.stderr


def test_one_person_under_two_names_is_refused(ceremony, people):
    plan = Path(ceremony.plan("alice", "bob", "carol"))
    text = plan.read_text()
    plan.write_text(
        text.replace(encode_base64(people.signer("bob").public), encode_base64(people.signer("alice").public))
    )
    result = ceremony.run("draft", "--plan", plan)
    assert result.exit_code == 1
    assert "named twice" in result.stderr


def test_the_plan_that_help_shows_is_one_that_can_be_drafted(ceremony):
    shown = ceremony.run("draft", "--help").stdout
    Path("plan.toml").write_text(EXAMPLE)
    assert all(line in shown for line in EXAMPLE.splitlines())
    assert ceremony.run("draft", "--plan", "plan.toml").stdout == "root.1.draft\n"


def test_a_draft_from_nothing_is_a_usage_error(ceremony):
    assert ceremony.run("draft").exit_code == 2


def test_a_root_with_a_changed_byte_does_not_verify(ceremony):
    envelope = Envelope.parse(ceremony.found(), expect=ROOT_TYPE)
    changed = Envelope.of(ROOT_TYPE, envelope.payload.replace(b'"epoch":1', b'"epoch":2', 1), envelope.signatures)
    Path("changed.json").write_bytes(changed.to_bytes())
    result = ceremony.run("verify", "changed.json")
    assert result.exit_code == 1
    assert "error: too few valid signatures: expected 2 of 3 keys" in result.stderr


def test_verify_says_what_it_did_not_check(ceremony):
    ceremony.found()
    assert ceremony.run("verify", "root.1.json").stderr == ""
    ceremony.run("draft", "--previous", "root.1.json")
    for name in ("alice", "bob"):
        ceremony.sign("root.2.draft", name, typed="2\n")
    ceremony.run("assemble", "root.2.draft", "alice.sig", "bob.sig")
    assert "was not checked" in ceremony.run("verify", "root.2.json").stderr
    answer = json.loads(ceremony.run("verify", "root.2.json", "--previous", "root.1.json", "--json").stdout)
    assert (answer["version"], answer["previous_checked"], answer["expired"]) == (2, True, False)


@pytest.mark.parametrize("command", [("show",), ("verify",), ("assemble",), ("sign", "--key", "k")])
def test_what_is_no_root_is_refused_with_a_sentence(ceremony, command):
    for content in (b"", b"rubbish", b"{}", b'{"format":"pinwarden-key-1"}', b"\xff\xfe"):
        Path("x").write_bytes(content)
        result = ceremony.run(*command, "x")
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
    assert ceremony.run(*command, "missing").exit_code == 2


def test_show_prints_what_changes_and_how_to_say_the_digest(ceremony, people):
    ceremony.found()
    ceremony.next("bob", "carol", "dave", signers=())
    shown = ceremony.run("show", "root.2.draft")
    change = shown.stdout.partition("changes since root 1 of ")[2].splitlines()[1:-1]
    alice, dave = (people.keyid(name)[:16] for name in ("alice", "dave"))
    assert change[0] == "  ~ version 1 -> 2"
    assert [line for line in change if "version" not in line and "expires" not in line] == [
        f"  - root key {alice}",
        f"  + root key {dave} dave",
    ]
    answer = json.loads(ceremony.run("show", "root.2.draft", "--json").stdout)
    assert (answer["compared_with"], answer["findings"]) == (1, [])
    assert {"mark": "+", "what": f"root key {dave} dave"} in answer["changes"]
    words = " ".join(answer["digest_words"])
    assert all(word in shown.stdout for word in answer["digest_words"])
    assert ceremony.run("show", "root.2.draft", "--digest-words", words).exit_code == 0


def test_show_compares_a_signed_root_with_the_one_before_it_when_that_is_named(ceremony):
    ceremony.found()
    ceremony.next("alice", "bob", "carol", signers=("alice", "bob"))
    assert ceremony.run("assemble", "root.2.draft", "alice.sig", "bob.sig").exit_code == 0
    assert "changes since" not in ceremony.run("show", "root.2.json").stdout
    assert "changes since root 1 of acme-" in ceremony.run("show", "root.2.json", "--previous", "root.1.json").stdout


def published_files(name):
    """Return a file of each kind in which the name of a published pin set may stand, by its name."""
    authority = ThrowawayAuthority(name=name)
    authority.publish({"example.com": [bytes(range(32))]})
    bundle = authority.bundle()
    return {
        "names.txt": f"# what we publish\n\n{name}  # the only one\n".encode(),
        "bundle.json": bundle.to_bytes(),
        "pinset.json": bundle.pinset.to_bytes(),
    }


@pytest.mark.filterwarnings("ignore:.*keys that anyone can compute")
@pytest.mark.parametrize("file", ["names.txt", "bundle.json", "pinset.json"])
def test_published_names_are_taken_from_a_list_or_from_what_is_served(ceremony, file):
    ceremony.found()
    Path(file).write_bytes(published_files("payments-us")[file])
    plan = ceremony.plan("alice", "bob", "carol", text=PLAN.replace("payments-*", "payments-eu"))
    words = ("draft", "--plan", plan, "--previous", "root.1.json", "--allow", "ROOT013")
    before = ceremony.contents()
    result = ceremony.run(*words, "--published-in", file)
    assert result.exit_code == 1
    assert "ROOT004 pin set 'payments-us' loses its grant" in result.stderr
    assert ceremony.contents() == before
    assert ceremony.run(*words, "--published", "payments-eu").exit_code == 0


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"{}", b"{", b"\xff", b"Payments\n", b"a b\n"])
def test_a_list_without_names_is_refused(ceremony, content):
    Path("names").write_bytes(content)
    result = ceremony.run("draft", "--plan", ceremony.plan("alice", "bob", "carol"), "--published-in", "names")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no names of pin sets" in result.stderr or "not a pin set name" in result.stderr
    assert not Path("root.1.draft").exists()


@pytest.mark.parametrize("label", ["acm", "acme-", "other", "acme-0123456789abcdef"])
def test_a_plan_for_another_authority_makes_no_root_of_this_one(ceremony, label):
    ceremony.found()
    plan = ceremony.plan("alice", "bob", "carol", text=PLAN.replace('"acme"', f'"{label}"'))
    before = ceremony.contents()
    for command in ("draft", "rehearse"):
        result = ceremony.run(command, "--plan", plan, "--previous", "root.1.json")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "the plan is for another authority than the previous root" in result.stderr
    assert ceremony.contents() == before


@pytest.mark.parametrize("taken", ["a folder", "a link that leads nowhere", "a larger file"])
def test_what_stands_in_the_way_of_a_new_file_is_left_alone(ceremony, taken):
    plan, path = ceremony.plan("alice", "bob", "carol"), Path("root.1.draft")
    if taken == "a folder":
        path.mkdir()
    elif taken == "a larger file":
        path.write_bytes(bytes(100_000))
    else:
        path.symlink_to("elsewhere")
    result = ceremony.run("draft", "--plan", plan)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "root.1.draft exists already" in result.stderr
    assert ceremony.names() == {"pass", "plan.toml", "root.1.draft"}


def test_a_finding_that_breaks_the_chain_is_refused_though_it_were_allowed(ceremony):
    ceremony.found()
    draft = ceremony.draft()
    with pytest.raises(CeremonyError, match="ROOT012"):
        judged(draft, None, draft.root.expires, ("ROOT012",), ())
