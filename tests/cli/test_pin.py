"""``pin``: every form that a key comes in, the live chain of a host, and what is neither."""

import json
import os
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pinwarden import PinClient, tls
from pinwarden.spki import pin_of
from pinwarden.strict_json import encode_base64

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.example.com")])
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), 7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=30, minutes=1))
        .sign(key, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def forms(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> dict[str, bytes]:
    """The same public key in every form that people have."""
    request = x509.CertificateSigningRequestBuilder(NAME).sign(key, hashes.SHA256())
    public = key.public_key()
    private = key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    spki = PublicFormat.SubjectPublicKeyInfo
    return {
        "certificate": certificate.public_bytes(Encoding.PEM),
        "certificate DER": certificate.public_bytes(Encoding.DER),
        "request": request.public_bytes(Encoding.PEM),
        "request DER": request.public_bytes(Encoding.DER),
        "public key": public.public_bytes(Encoding.PEM, spki),
        "public key DER": public.public_bytes(Encoding.DER, spki),
        "certificate after its private key": private + certificate.public_bytes(Encoding.PEM),
        "certificate between words": b"Bag Attributes\r\n" + certificate.public_bytes(Encoding.PEM) + b"\r\nbye",
        "private": private,
        "private DER": key.private_bytes(Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    }


KINDS = {"certificate": "leaf", "request": "request", "public key": "public key"}
FORMS = [
    "certificate",
    "certificate DER",
    "request",
    "request DER",
    "public key",
    "public key DER",
    "certificate after its private key",
    "certificate between words",
]


@pytest.mark.parametrize("form", FORMS)
def test_the_same_key_has_the_same_pin_in_every_form(
    command: Any, forms: dict[str, bytes], certificate: x509.Certificate, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "key file"
    path.write_bytes(forms[form])
    told = command("pin", "--json", path)
    assert (told.exit_code, told.stderr) == (0, "")
    answer = json.loads(told.stdout)
    kind = next(name for name in KINDS if form.startswith(name))
    assert answer == {
        "file": str(path),
        "keys": [
            {
                "role": KINDS[kind],
                "pin": encode_base64(pin_of(certificate.public_bytes(Encoding.DER))),
                "subject": None if kind == "public key" else "api.example.com",
                "issuer": "api.example.com" if kind == "certificate" else None,
                "key": "EC secp256r1",
                "expires": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
                if kind == "certificate"
                else None,
            }
        ],
    }


@pytest.mark.parametrize("form", FORMS)
def test_the_line_for_openssl_comes_to_the_same_pin(
    command: Any, forms: dict[str, bytes], tmp_path: Path, program: Any, form: str
) -> None:
    program("openssl")
    path = tmp_path / "a key; file"
    path.write_bytes(forms[form])
    told = command("pin", path)
    line = told.stderr.removeprefix("note: to check the first one with other software: ")
    found = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert found.stdout.strip() in told.stdout.splitlines()[1].split()


def test_standard_input_is_read_like_a_file(command: Any, forms: dict[str, bytes]) -> None:
    told = command("pin", "-", "--json", stdin=forms["request"])
    assert told.exit_code == 0
    assert json.loads(told.stdout)["keys"][0]["role"] == "request"


def test_a_pipe_is_read_once_and_gets_no_line_to_read_it_again(
    command: Any, forms: dict[str, bytes], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(forms["certificate"],))
    writer.start()
    told = command("pin", pipe)
    writer.join()
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines()[1].startswith("leaf ")


def test_an_endless_file_is_refused_without_being_read_to_its_end(command: Any) -> None:
    told = command("pin", "/dev/zero")
    assert (told.exit_code, told.stderr) == (2, "error: /dev/zero is too large: expected at most 4194304 bytes.\n")


def test_a_folder_with_the_name_of_a_host_does_not_hide_the_host(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "localhost:1").mkdir()
    monkeypatch.chdir(tmp_path)
    assert command("pin", "localhost:1").exit_code == 3


def test_letters_that_the_terminal_lacks_are_escaped(
    command: Any, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "日本")])
    path = tmp_path / "request.csr"
    path.write_bytes(x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    told = command.process("pin", path, cwd=tmp_path, PYTHONIOENCODING="latin-1")
    assert (told.returncode, r"\u65e5\u672c" in told.stdout) == (0, True)


def test_a_chain_shows_each_role_and_how_long_it_holds(command: Any, certificates: Path) -> None:
    heading, leaf, root = command("pin", certificates / "chain.pem").stdout.splitlines()
    assert heading.split() == ["role", "pin", "key", "validity", "subject", "issuer"]
    assert (leaf.split()[0], root.split()[0]) == ("leaf", "root")
    assert "days left" in leaf


@pytest.mark.parametrize(
    ("key", "spelt"),
    [
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ec.generate_private_key(ec.SECP384R1()), "EC secp384r1"),
    ],
)
def test_the_kind_of_the_key_is_named(command: Any, tmp_path: Path, key: Any, spelt: str) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert json.loads(command("pin", "--json", path).stdout)["keys"][0]["key"] == spelt


def test_a_certificate_that_only_the_pin_can_be_read_from_still_has_it(
    command: Any, certificate: x509.Certificate, tmp_path: Path
) -> None:
    odd = certificate.public_bytes(Encoding.DER).replace(
        bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a811ccf5501822d")[:10]
    )
    path = tmp_path / "odd.der"
    path.write_bytes(odd)
    answer = json.loads(command("pin", "--json", path).stdout)["keys"][0]
    assert (answer["pin"], answer["key"]) == (encode_base64(pin_of(odd)), None)


def test_control_characters_of_a_subject_never_reach_the_terminal(
    command: Any, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "\x1b[2Jgood\nnews")])
    path = tmp_path / "evil.csr"
    path.write_bytes(x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    told = command("pin", path)
    assert "\x1b" not in told.stdout
    assert r"\x1b[2Jgood\nnews" in told.stdout


BROKEN = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"hello", 2, "holds no certificate, request or public key"),
        (b"", 2, "holds no certificate, request or public key"),
        (bytes(range(256)) * 8, 2, "holds no certificate, request or public key"),
        (b"-----BEGIN X-----\nAA==\n-----END X-----\n", 2, "holds no certificate, request or public key: got X."),
        (BROKEN.format("!!!!").encode(), 1, "is damaged: a PEM block is not base64."),
        (BROKEN.format("AAAA").encode(), 1, "is damaged: not a certificate: no element of tag 0x30 at byte 0."),
        (BROKEN.format("").encode().replace(b"CERTIFICATE", b"PUBLIC KEY"), 1, "is damaged: not a public key"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_with_its_name(
    command: Any, tmp_path: Path, content: bytes, code: int, sentence: str
) -> None:
    path = tmp_path / "file.pem"
    path.write_bytes(content)
    told = command("pin", path)
    assert (told.exit_code, told.stdout) == (code, "")
    assert told.stderr.startswith(f"error: {path} {sentence}")


def test_an_rsa_key_without_its_algorithm_is_no_pin(command: Any, tmp_path: Path) -> None:
    path = tmp_path / "pkcs1.der"
    path.write_bytes(rsa.generate_private_key(65537, 2048).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1))
    assert command("pin", path).exit_code == 2


@pytest.mark.parametrize("form", ["private", "private DER"])
def test_a_private_key_alone_is_not_read(command: Any, forms: dict[str, bytes], tmp_path: Path, form: str) -> None:
    path = tmp_path / "server.key"
    path.write_bytes(forms[form])
    told = command("pin", path)
    assert (told.exit_code, told.stdout) == (2, "")
    if form == "private":
        assert "hint: A private key is never read here: openssl pkey -in FILE -pubout" in told.stderr


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("missing.pem", "error: missing.pem cannot be read: No such file or directory."),
        ("./missing", "error: ./missing cannot be read: No such file or directory."),
        (".", "error: . is a folder: expected a file."),
        ("folder/", "error: folder/ is a folder: expected a file."),
        ("host:0", "error: 'host:0' has no such port: expected 1 to 65535, got 0."),
        ("host:99999", "error: 'host:99999' has no such port"),
        ("host:http", "error: 'host:http' is not a host: expected HOST, HOST:PORT or [IPV6]:PORT."),
        ("https://host/", "error: https://host/ cannot be read"),
        ("a..b", "error: 'a..b' cannot be a host name."),
    ],
)
def test_what_is_neither_file_nor_host_is_two(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    told = command("pin", target)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(sentence)


def test_a_live_chain_that_verifies_is_shown_to_its_root(command: Any, tls_server: Any) -> None:
    told = command("pin", tls_server.target, "--host-ca-file", tls_server.ca_file, "--json")
    assert told.exit_code == 0
    answer = json.loads(told.stdout)
    assert [key["role"] for key in answer["keys"]] == ["leaf", "root"]
    assert answer["keys"][0]["pin"] == encode_base64(tls_server.leaf_pin)
    assert (answer["host"], answer["verified"], answer["problem"]) == ("localhost", True, None)
    assert told.stderr.startswith("note: this chain verifies, and is what this network shows of localhost:")
    assert tls_server.stop() == [b""]


def test_a_live_chain_that_does_not_verify_says_so_and_is_shown_as_it_was_sent(command: Any, tls_server: Any) -> None:
    told = command("pin", tls_server.target)
    assert told.exit_code == 0
    assert [line.split()[0] for line in told.stdout.splitlines()] == ["role", "leaf"]
    assert "warning: this chain does NOT verify (unable to get local issuer certificate)" in told.stderr
    assert f"openssl s_client -connect {tls_server.target} -servername localhost < /dev/null" in told.stderr


def test_the_line_for_openssl_of_a_host_comes_to_the_same_pin(command: Any, tls_server: Any, program: Any) -> None:
    program("openssl")
    told = command("pin", tls_server.target)
    line = told.stderr.splitlines()[-1].removeprefix("note: to check the first one with other software: ")
    found = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == encode_base64(tls_server.leaf_pin)


def test_a_host_that_nobody_answers_for_is_three(command: Any) -> None:
    told = command("pin", "localhost:1")
    assert (told.exit_code, told.stdout) == (3, "")
    assert told.stderr == "error: localhost:1 cannot be reached: Connection refused.\n"


def test_a_host_without_tls_is_three(command: Any, pin_files: Any) -> None:
    told = command("pin", pin_files.url.removeprefix("http://"))
    assert (told.exit_code, told.stdout) == (3, "")
    assert "answers, but not with TLS that this machine speaks" in told.stderr


def test_a_ca_file_that_is_none_is_two(command: Any, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path / "root.json"):
        told = command("pin", "localhost:1", "--host-ca-file", path)
        assert told.exit_code == 2
        assert told.stderr.startswith(f"error: CA file {path} cannot be used: ")


def test_the_probe_is_not_judged_by_the_pins_of_its_process(command: Any, publish: Any, tls_server: Any) -> None:
    publish({"localhost": [b"1" * 32, b"2" * 32]})
    client = PinClient.from_env(command.environ)
    client.refresh()
    client.enforce()
    try:
        good = json.loads(command("pin", tls_server.target, "--host-ca-file", tls_server.ca_file, "--json").stdout)
        unverified = json.loads(command("pin", tls_server.target, "--json").stdout)
    finally:
        tls.lift_process()
        client.close()
    pin = encode_base64(tls_server.leaf_pin)
    assert (good["keys"][0]["pin"], good["problem"]) == (pin, None)
    assert (unverified["keys"][0]["pin"], unverified["problem"]) == (pin, "unable to get local issuer certificate")
