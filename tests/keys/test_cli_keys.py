import json
import stat

import pytest
from click.testing import CliRunner

from pinwarden_keys.cli import keys
from pinwarden_keys.keyfile import STANDARD_KDF, read_key_file
from pinwarden_keys.passphrase import passphrase_file, write_passphrase_file
from pinwarden_keys.signer import open_signer
from pinwarden_keys.signer_file import file_uri


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    return lambda *arguments, typed=None: runner.invoke(keys, [str(each) for each in arguments], input=typed)


def test_a_new_key_opens_with_its_generated_passphrase(run, tmp_path):
    result = run("new", "alice.key", "--label", "alice", "--generate-passphrase", "alice.pass", "--json")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    signer = open_signer(shown["uri"], passphrase=passphrase_file(tmp_path / "alice.pass"))
    assert (shown["keyid"], shown["label"]) == (signer.keyid, "alice")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert read_key_file(tmp_path / "alice.key").kdf == STANDARD_KDF


def test_a_new_key_asks_twice_for_its_passphrase_and_never_echoes_it(run, tmp_path):
    typed = "six random words are fine"
    result = run("new", "alice.key", typed=f"{typed}\n{typed}\n")
    assert result.exit_code == 0, result.stderr
    assert typed not in result.output
    assert open_signer(file_uri(tmp_path / "alice.key"), passphrase=typed.encode)


def test_a_short_typed_passphrase_is_refused_and_nothing_is_written(run, tmp_path):
    result = run("new", "alice.key", typed="short\nshort\n")
    assert result.exit_code == 1
    assert "error: the passphrase is too short: expected at least 12 characters, got 5." in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_existing_key_is_refused_before_a_passphrase_is_asked_for(run, people, tmp_path):
    people.key_file(tmp_path, "alice")
    result = run("new", "alice.key")
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert "passphrase" not in result.stderr.lower()


def test_both_sources_of_a_passphrase_at_once_are_a_usage_error(run, tmp_path):
    result = run("new", "alice.key", "--passphrase-file", "a", "--generate-passphrase", "b")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_file_that_others_may_read_is_refused_and_nothing_is_written(run, tmp_path):
    write_passphrase_file(tmp_path / "pass", b"secret words")
    (tmp_path / "pass").chmod(0o644)
    result = run("new", "alice.key", "--passphrase-file", "pass")
    assert result.exit_code == 1
    assert "error: passphrase file pass is open to other users: expected mode 0600, got 0644." in result.stderr
    assert "hint: Run: chmod 600 pass." in result.stderr
    assert not (tmp_path / "alice.key").exists()


def test_no_option_takes_a_passphrase_itself():
    options = {
        option for command in keys.commands.values() for parameter in command.params for option in parameter.opts
    }
    secret = {option for option in options if "pass" in option}
    assert secret == {"--passphrase-file", "--generate-passphrase"}


def test_show_prints_the_public_half_without_a_passphrase(run, people, tmp_path):
    people.key_file(tmp_path, "alice")
    result = run("show", "alice.key")
    assert result.exit_code == 0
    assert people.keyid("alice") in result.stdout
    assert json.loads(run("show", "alice.key", "--json").stdout)["keyid"] == people.keyid("alice")


def test_show_warns_about_a_key_that_its_group_may_read(run, people, tmp_path):
    people.key_file(tmp_path, "alice").chmod(0o640)
    result = run("show", "alice.key")
    assert result.exit_code == 0
    assert "warning: key file alice.key is readable by its group (mode 0640)" in result.stderr


@pytest.mark.parametrize("content", [b"", b"rubbish", b"{}"])
def test_show_refuses_what_is_no_key_file(run, tmp_path, content):
    (tmp_path / "x.key").write_bytes(content)
    (tmp_path / "x.key").chmod(0o600)
    result = run("show", "x.key")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: key file x.key ")
    assert result.stdout == ""
