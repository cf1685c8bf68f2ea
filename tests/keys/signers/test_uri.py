"""Parameters of signer URIs: known, once, and never echoed."""

import pytest

from pinwarden_keys.errors import KeyFileError, SignerError
from pinwarden_keys.signer_uri import octets_of, parameters_of, secret_text

KNOWN = ("region", "token-file")


def test_parameters_are_percent_decoded():
    assert parameters_of("region=eu%2Dx&token-file=/a%20b", KNOWN, scheme="x") == {
        "region": "eu-x",
        "token-file": "/a b",
    }
    assert octets_of("id=%00%ff", ("id",), scheme="x", separator=";") == {"id": b"\x00\xff"}
    assert parameters_of("", KNOWN, scheme="x") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regoin=canary", "'regoin' is not allowed: expected region, token-file"),
        ("region=canary&region=b", "'region' must be stated once, with a value"),
        ("region=", "must be stated once, with a value"),
        ("region", "must be stated once, with a value"),
        ("region=canary%00", "is not printable text"),
        ("region=canary%ff", "is not printable text"),
        ("region=canary%0ax", "is not printable text"),
        ("pin-value=canary", "Write the PIN into a file"),
        ("PIN-VALUE=canary", "Write the PIN into a file"),
        ("token=canary", "Write the token into a file"),
    ],
)
def test_a_parameter_that_is_not_wanted_is_refused_without_its_value(text, said):
    with pytest.raises(SignerError) as refusal:
        parameters_of(text, KNOWN, scheme="x")
    assert said in str(refusal.value)
    assert "canary" not in str(refusal.value)


def test_a_secret_is_one_line_of_a_private_file(tmp_path):
    path = tmp_path / "pin"
    path.write_bytes(b"1234\r\n")
    path.chmod(0o600)
    assert secret_text(path, what="PIN file") == "1234"


@pytest.mark.parametrize("content", [b"", b"\n", b"canary\nx\n", b"canary\xff", b"canary\x00"])
def test_a_secret_file_that_holds_something_else_is_refused_without_its_content(tmp_path, content):
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="does not hold one line of text") as refusal:
        secret_text(path, what="PIN file")
    assert "canary" not in str(refusal.value)


def test_a_secret_file_that_others_may_read_is_refused(tmp_path):
    (tmp_path / "pin").write_bytes(b"1234")
    (tmp_path / "pin").chmod(0o644)
    with pytest.raises(KeyFileError, match=r"PIN file .* is open to other users"):
        secret_text(tmp_path / "pin", what="PIN file")
