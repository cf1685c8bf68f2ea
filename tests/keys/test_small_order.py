"""
The 14 encodings of points of small order, at every door through which a public key comes in (spec V1).

For such a key a signature exists that fits every message: whoever lets one in lets everybody sign.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from pinwarden import trust
from pinwarden.envelope import ROOT_TYPE, Envelope, keyid_of
from pinwarden.errors import SignatureError
from pinwarden.strict_json import encode, encode_base64
from pinwarden.testing import ThrowawayAuthority, sign
from pinwarden_keys.errors import CeremonyError, KeyFileError
from pinwarden_keys.keyfile import KeyFile
from pinwarden_keys.root_plan import EXAMPLE, parse_plan
from pinwarden_server.cli import server

VECTORS = Path(__file__).parents[1] / "vectors" / "ed25519" / "small_order_encodings.json"
ENCODINGS = [bytes.fromhex(encoding) for encoding in json.loads(VECTORS.read_text("utf-8"))]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
every_encoding = pytest.mark.parametrize("public", ENCODINGS, ids=lambda public: public.hex()[:8])


@pytest.fixture
def authority() -> ThrowawayAuthority:
    with pytest.warns(UserWarning, match="keys that anyone can compute"):
        return ThrowawayAuthority(now=NOW, seed="small order")


def root_with(authority: ThrowawayAuthority, public: bytes, role: str, *, version: int) -> Envelope:
    """A root of the authority, well signed, whose *role* may also be held by *public*."""
    body = json.loads(authority.draft_root(version=version).encode())
    body["keys"][keyid_of(public)] = {"scheme": "ed25519", "public": encode_base64(public)}
    place = body["roles"]["pinset"][0] if role == "pinset" else body["roles"][role]
    place["keyids"].append(keyid_of(public))
    return sign(ROOT_TYPE, encode(body), authority.root_keys)


@every_encoding
@pytest.mark.parametrize("role", ["root", "timestamp", "pinset"])
def test_no_client_believes_a_root_with_such_a_key_whoever_signed_it(
    authority: ThrowawayAuthority, public: bytes, role: str
) -> None:
    holding = trust.begin(authority.root_json, name="app")
    before = repr(holding)
    with pytest.raises(SignatureError, match="prime order") as embedded:
        trust.begin(root_with(authority, public, role, version=1), name="app")
    with pytest.raises(SignatureError, match="prime order") as followed:
        trust.advance_root(holding, root_with(authority, public, role, version=2))
    assert (embedded.value.step, followed.value.step, repr(holding)) == ("V1", "V1", before)


@every_encoding
def test_no_plan_of_a_root_may_name_such_a_key(public: bytes) -> None:
    lines = [f'bob = "{encode_base64(public)}"' if line.startswith("bob = ") else line for line in EXAMPLE.split("\n")]
    with pytest.raises(CeremonyError, match="cannot be used"):
        parse_plan("\n".join(lines).encode())


@every_encoding
def test_no_key_file_may_state_such_a_key_under_its_own_keyid(people, public: bytes) -> None:
    stated = replace(people.sealed("alice"), public=public)
    assert stated.keyid == keyid_of(public)
    with pytest.raises(KeyFileError, match="prime order"):
        KeyFile.parse(stated.to_bytes())


def test_no_server_takes_a_root_with_such_a_key(authority: ThrowawayAuthority, tmp_path: Path) -> None:
    folder, root = tmp_path / "server", tmp_path / "root.json"
    assert CliRunner().invoke(server, ["init", str(folder)]).exit_code == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for public in ENCODINGS:
        root.write_bytes(root_with(authority, public, "timestamp", version=1).to_bytes())
        result = CliRunner().invoke(server, ["init", str(folder), "--root", str(root)])
        assert (result.exit_code, "prime order" in result.stderr) == (1, True)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
