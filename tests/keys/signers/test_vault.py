"""What is particular to ``vault:``: versions, tokens, TLS, redirects, and answers that are not Vault's."""

import json
import ssl
from contextlib import closing

import pytest
import trustme

from pinwarden_keys import signer_vault_http, signer_worker
from pinwarden_keys.errors import KeeperAwayError, KeyFileError, SignerError
from pinwarden_keys.second_verifier import check_signature
from pinwarden_keys.signer import open_signer
from tests.keys.signers.vault import TOKEN, TransitKey, Vault
from tests.keys.signers.web import Answer

REST = "transit/k?address=http://127.0.0.1:1&token-file=/t"


def refused(uri, match):
    with pytest.raises(SignerError, match=match) as refusal:
        open_signer(uri)
    assert refusal.value.hint
    assert TOKEN not in str(refusal.value)
    return refusal.value


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (f"{REST}&token=canary", "Write the token into a file"),
        ("transit/k?address=https://vault&token-file=canary", "token-file is not an absolute path"),
        ("transit/k?address=https://vault", "token-file must be stated"),
        ("transit/k", "address and token-file must be stated"),
        ("k?address=https://vault&token-file=/t", "does not name one key"),
        ("transit/../sys/k?address=https://vault&token-file=/t", "does not name one key"),
        ("transit/k%2fx?address=https://vault&token-file=/t", "does not name one key"),
        ("transit/k?address=http://vault:8200&token-file=/t", "would send the token unencrypted"),
        ("transit/k?address=http://127.0.0.1.canary&token-file=/t", "would send the token unencrypted"),
        ("transit/k?address=https://canary@vault&token-file=/t", "address is no address of Vault"),
        ("transit/k?address=https://vault/canary&token-file=/t", "address is no address of Vault"),
        ("transit/k?address=https://vault:canary&token-file=/t", "address is no address of Vault"),
        ("transit/k?address=ftp://canary&token-file=/t", "address is no address of Vault"),
        ("transit/k?address=https://&token-file=/t", "address is no address of Vault"),
        (f"{REST}&ca-file=/canary", "ca-file has no meaning without https"),
        (f"{REST}&version=0", "version is not a number from 1"),
        (f"{REST}&version=latest", "version is not a number from 1"),
        (f"{REST}&namespace=a/../canary%0a", "is not printable text"),
        (f"{REST}&namespace=a//canary", "namespace is not a path of names"),
        (f"{REST}&follow=yes", "'follow' is not allowed"),
        (f"{'m' * 2048}/k?address=https://vault&token-file=/t", "it is too long"),
    ],
)
def test_a_uri_that_is_not_meant_so_is_refused_without_its_secrets(rest, said):
    error = refused(f"vault:{rest}", "this vault: URI cannot be used")
    assert said in str(error)
    assert "canary" not in str(error)


def test_a_key_that_is_rotated_goes_on_with_the_version_that_was_open(vault, people):
    with closing(open_signer(vault.uri())) as signer:
        vault.keys["timestamp"].seeds.append(people.seed("bob"))
        assert check_signature(signer.sign(b"m"), b"m", people.signer("alice").public)
        assert json.loads(vault.web.requests[-1].body)["key_version"] == 1


def test_a_key_of_several_versions_is_opened_only_by_the_version_that_is_stated(vault, people):
    vault.keys["timestamp"].seeds.append(people.seed("bob"))
    assert str(refused(vault.uri(), "names no version")).count("expected version=1 or 2") == 1
    refused(vault.uri(version="3"), "expected version=1 or 2, got 3")
    for version, name in (("1", "alice"), ("2", "bob")):
        with closing(open_signer(vault.uri(version=version), public=people.signer(name).public)) as signer:
            assert check_signature(signer.sign(b"m"), b"m", people.signer(name).public)


def test_a_version_that_vault_no_longer_signs_with_is_refused_in_its_words(vault, people):
    vault.keys["timestamp"].seeds.append(people.seed("bob"))
    with closing(open_signer(vault.uri(version="1"))) as signer:
        vault.keys["timestamp"].min_encryption_version = 2
        with pytest.raises(SignerError, match="less than the minimum encryption key version"):
            signer.sign(b"m")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "ecdsa-p256"}, "expected type ed25519, not derived, got type ecdsa-p256"),
        ({"type": "aes256-gcm96"}, "got type aes256-gcm96"),
        ({"derived": True}, "got type ed25519, derived"),
    ],
)
def test_a_key_of_another_type_is_refused(vault, people, change, said):
    vault.keys["timestamp"] = TransitKey([people.seed("alice")], **change)
    assert said in str(refused(vault.uri(), "is not a key that can sign here"))


def test_a_key_that_is_not_there_is_refused(vault):
    refused(vault.uri("transit/other"), "refused with status 404")
    refused(vault.uri("elsewhere/timestamp"), "refused with status 404: no handler for route")


def test_a_token_that_is_revoked_and_renewed_in_its_file_is_followed(vault):
    with closing(open_signer(vault.uri())) as signer:
        vault.tokens = {"hvs.canary-renewed"}
        with pytest.raises(SignerError, match="refused with status 403: 1 error occurred:") as refusal:
            signer.sign(b"m")
        assert "policy" in refusal.value.hint
        vault.write_token("hvs.canary-renewed")
        assert check_signature(signer.sign(b"m"), b"m", signer.public)


def test_a_token_file_that_others_may_read_is_refused_before_it_is_sent(vault):
    vault.token_file.chmod(0o644)
    with pytest.raises(KeyFileError, match=r"Vault token file .* is open to other users"):
        open_signer(vault.uri())
    assert vault.web.requests == []


def test_the_namespace_goes_with_every_request_and_none_is_invented(vault):
    open_signer(vault.uri()).close()
    assert [request.headers.get("X-Vault-Namespace") for request in vault.web.requests] == [None, None]
    vault.namespace = "team/pins"
    refused(vault.uri(), "refused with status 403")
    vault.web.requests.clear()
    open_signer(vault.uri(namespace="team/pins")).close()
    assert [request.headers.get("X-Vault-Namespace") for request in vault.web.requests] == ["team/pins"] * 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_token_goes_nowhere(vault, tmp_path_factory, status):
    elsewhere = Vault(tmp_path_factory.mktemp("elsewhere"))
    vault.answer = Answer(status, b"", (("Location", f"http://127.0.0.1:{elsewhere.web.port}/v1/transit/keys/k"),))
    refused(vault.uri(), f"answered with a redirect \\(status {status}\\)")
    elsewhere.web.stop()
    assert elsewhere.web.requests == []


def test_proxies_of_the_environment_are_not_obeyed(vault, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    open_signer(vault.uri()).close()
    assert len(vault.web.requests) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>welcome</html>", "answered something that is not Vault's"),
        (b'{"data": null}', "answered something that is not Vault's"),
        (b"x" * (signer_vault_http.MAX_ANSWER_BYTES + 1), "answered something that is not Vault's"),
        (b'{"data": {"type": "ed25519", "keys": []}}', "is not a key that can sign here"),
        (b'{"data": {"type": "ed25519", "keys": {}}}', "names no version"),
        (b'{"data": {"type": "ed25519", "keys": {"1": 7}}}', "something else than 32 bytes"),
        (
            b'{"data": {"type": "ed25519", "keys": {"1": {"public_key": "?"}}}}',
            "something else than 32 bytes",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_that_is_not_vaults_is_refused(vault, body, said):
    vault.answer = Answer(200, body)
    refused(vault.uri(), said)


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("vault:v2:AAAA", "answered with another kind of signature: expected vault:v1: and base64"),
        ("AAAA", "answered with another kind of signature"),
        (7, "answered with another kind of signature"),
        ("vault:v1:?", "something else than 64 bytes"),
        ("vault:v1:AAAA", "something else than 64 bytes"),
    ],
)
def test_an_answer_that_is_no_signature_of_our_version_is_refused(vault, signature, said):
    with closing(open_signer(vault.uri())) as signer:
        vault.answer = Answer(200, json.dumps({"data": {"signature": signature}}).encode())
        with pytest.raises(SignerError, match=said):
            signer.sign(b"m")


@pytest.mark.parametrize("said", [f"bad token {TOKEN}", "\x1b[2J", ""])
def test_a_server_that_gives_the_token_back_is_not_quoted(vault, said):
    vault.answer = Answer(400, json.dumps({"errors": [said]}).encode())
    assert str(refused(vault.uri(), "refused with status 400")).count("status 400. ") == 1


def test_a_server_that_never_quite_falls_silent_is_given_up_in_time(vault, monkeypatch):
    monkeypatch.setattr(signer_worker, "ANSWER_SECONDS", 0.3)
    vault.answer = Answer(200, b" " * 1000, drip_seconds=0.05)
    refused(vault.uri(), "does not answer: expected an answer within 0.3 s")


def test_a_server_that_does_not_listen_is_refused(vault):
    vault.web.stop()
    assert isinstance(refused(vault.uri(), "cannot be reached: ConnectionRefusedError"), KeeperAwayError)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, SignerError), (403, SignerError), (404, SignerError), (307, SignerError)]
    + [(status, KeeperAwayError) for status in (412, 429, 500, 502, 503)],
)
def test_only_what_may_pass_by_itself_counts_as_away(vault, status, kind):
    vault.answer = Answer(status, b"{}")
    assert type(refused(vault.uri(), f"status {status}")) is kind


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def vault_over_tls(authority, people, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    vault = Vault(tmp_path, tls=context)
    vault.keys["timestamp"] = TransitKey([people.seed("alice")])
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    yield vault
    vault.web.stop()


def test_vault_over_tls_is_believed_by_its_own_authority_alone(vault_over_tls, tmp_path):
    with closing(open_signer(vault_over_tls.uri(ca_file=str(tmp_path / "ca.pem")))) as signer:
        assert check_signature(signer.sign(b"m"), b"m", signer.public)
    seen = len(vault_over_tls.web.requests)
    for parameters in ({}, {"ca_file": str(tmp_path / "other.pem")}):
        refused(vault_over_tls.uri(**parameters), "has no certificate that is trusted here")
    by_number = vault_over_tls.uri(ca_file=str(tmp_path / "ca.pem")).replace("localhost", "127.0.0.1")
    refused(by_number, "has no certificate that is trusted here: IP address mismatch")
    assert len(vault_over_tls.web.requests) == seen  # no token went out


def test_a_ca_file_that_holds_no_certificate_is_refused(vault_over_tls, tmp_path):
    refused(vault_over_tls.uri(ca_file="/nowhere.pem"), "ca-file /nowhere.pem cannot be read: No such file")
    (tmp_path / "empty.pem").write_bytes(b"")
    refused(vault_over_tls.uri(ca_file=str(tmp_path / "empty.pem")), r"ca-file .*empty.pem cannot be read")
