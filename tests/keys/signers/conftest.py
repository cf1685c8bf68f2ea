from pathlib import Path

import pytest

from pinwarden_keys.signer_file import file_uri
from tests.keys.signers.keepers import Keeper
from tests.keys.signers.softhsm import MODULES, PIN, SO_PIN, SoftHsm

REMOTE = ("pkcs11",)
EVERY = ("file", *REMOTE)


@pytest.fixture(params=EVERY)
def keeper(request):
    """Each scheme's keeper in turn."""
    return request.getfixturevalue(f"{request.param}_keeper")


@pytest.fixture(params=REMOTE)
def remote(request):
    """The keepers that may hang and go away."""
    return request.getfixturevalue(f"{request.param}_keeper")


@pytest.fixture
def file_keeper(people, tmp_path):
    path = people.key_file(tmp_path, "alice")
    return Keeper(
        uri=file_uri(path),
        public=people.signer("alice").public,
        secrets=(people.passphrase.decode(), people.seed("alice").hex()),
        passphrase=lambda: people.passphrase,
        label="alice",
    )


@pytest.fixture
def softhsm(program, tmp_path, monkeypatch):
    """SoftHSM2 with one empty token, ``pinwarden``."""
    util = program("softhsm2-util")
    module = next((path for path in MODULES if Path(path).is_file()), None)
    assert module, f"softhsm2-util is here, its module is in none of {MODULES}"
    softhsm = SoftHsm(tmp_path, util, module)
    monkeypatch.setenv("SOFTHSM2_CONF", str(softhsm.configuration))
    softhsm.make_token("pinwarden")
    return softhsm


@pytest.fixture
def pkcs11_keeper(softhsm):
    return Keeper(
        public=softhsm.make_key("pinwarden", "timestamp", b"\x01"),
        uri=softhsm.uri(),
        secrets=(PIN, SO_PIN),
        label="timestamp",
        hangs=softhsm.hangs,
        away=softhsm.away,
    )
