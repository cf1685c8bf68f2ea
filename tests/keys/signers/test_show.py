"""``pinwarden keys show`` and ``pinwarden root sign`` take the URI of any signer."""

import base64
import json

import pytest
from click.testing import CliRunner

from pinwarden.envelope import keyid_of
from pinwarden_keys.cli import keys
from tests.keys.signers.vault import TOKEN


@pytest.fixture
def show():
    return lambda *arguments: CliRunner().invoke(keys, ["show", *arguments])


def test_show_prints_the_public_half_of_every_kind_of_key(show, keeper):
    result = show(keeper.uri, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "uri": keeper.uri,
        "keyid": keyid_of(keeper.public),
        "public": base64.b64encode(keeper.public).decode(),
        "label": keeper.label,
        "scheme": "ed25519",
    }
    assert f'plan    "{keeper.label}" = ' in show(keeper.uri).stdout


def test_a_keeper_that_refuses_is_an_error_with_a_hint_and_no_output(show, vault):
    vault.sealed = True
    result = show(vault.uri())
    assert (result.exit_code, result.stdout) == (3, "")  # it may be unsealed later
    assert result.stderr.startswith("error: Vault at 127.0.0.1:")
    assert "hint: Unseal Vault" in result.stderr
    assert TOKEN not in result.stderr


def test_a_misspelt_scheme_is_refused_with_those_there_are(show):
    result = show("vualt:transit/timestamp?token=canary")
    assert result.exit_code == 2
    assert "expected file: or pkcs11: or awskms: or vault: or unix:, got vualt:" in result.stderr
    assert "canary" not in result.stderr


def test_a_file_whose_name_has_a_colon_is_shown_as_a_file(show, people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people.key_file(tmp_path, "alice").rename(tmp_path / "vault:alice")
    assert json.loads(show("vault:alice", "--json").stdout)["keyid"] == people.keyid("alice")


@pytest.mark.parametrize("spelling", ["file:/nowhere", "/nowhere"])
def test_a_key_file_that_is_missing_is_refused(show, spelling):
    result = show(spelling)
    assert result.exit_code == 2
    assert "error: key file /nowhere cannot be read: No such file or directory" in result.stderr
