import hashlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pinwarden.envelope import TIMESTAMP_TYPE
from pinwarden_keys.signer import CHALLENGE
from pinwarden_keys.signer_file import file_uri
from pinwarden_keys.signer_unix import MAX_MESSAGE_BYTES as MAX_UNIX_BYTES
from pinwarden_keys.signer_vault import MAX_MESSAGE_BYTES
from tests.keys.signers.keepers import Keeper
from tests.keys.signers.kms import ACCESS_KEY, REGION, SECRET_KEY, SESSION_TOKEN, Kms, KmsKey
from tests.keys.signers.softhsm import MODULES, PIN, SO_PIN, SoftHsm
from tests.keys.signers.vault import TOKEN, TransitKey, Vault
from tests.signer.safe import (
    ALICE,
    BOB,
    PASSPHRASE,
    STAMP,
    approvals,
    make_safe,
    message_of,
    open_unix,
    pinset,
    seed_of,
    timestamp,
)

REMOTE = ("pkcs11", "awskms", "vault", "unix")
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
    softhsm = SoftHsm(tmp_path, util, str(Path(module).resolve()))
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


@pytest.fixture
def vault(people, tmp_path):
    """A Vault server with one key of one version."""
    vault = Vault(tmp_path)
    vault.keys["timestamp"] = TransitKey([people.seed("alice")])
    yield vault
    vault.web.stop()


@pytest.fixture
def vault_keeper(vault, people):
    return Keeper(
        uri=vault.uri(),
        public=people.signer("alice").public,
        secrets=(TOKEN, people.seed("alice").hex()),
        label="timestamp",
        largest=MAX_MESSAGE_BYTES,
        hangs=vault.web.hangs,
        away=vault.away,
    )


@pytest.fixture
def kms(people, monkeypatch):
    """AWS KMS with one key, known by its id and by an alias; no credentials but those of the environment."""
    kms = Kms()
    kms.keys["key-alice"] = KmsKey(people.seed("alice"))
    kms.aliases["alias/timestamp"] = "key-alice"
    environment = {
        "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{kms.web.port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield kms
    kms.web.stop()


@pytest.fixture
def awskms_keeper(kms, people):
    return Keeper(
        uri=f"awskms:alias/timestamp?region={REGION}",
        public=people.signer("alice").public,
        secrets=(SECRET_KEY, SESSION_TOKEN),
        label="timestamp",
        largest=4096,
        hangs=kms.web.hangs,
        away=kms.away,
    )


@pytest.fixture
def unix_keeper(tmp_path):
    """The timestamp key of a signer process, which signs what it has judged: challenges, and timestamps."""
    now = datetime.now(UTC).replace(microsecond=0)
    safe = make_safe(tmp_path / "safe", now=now)
    approved = pinset(version=1, now=now)
    with safe.running() as running:
        with closing(open_unix(safe)) as pins:
            pins.sign_approved(message_of(approved), approvals(approved, ALICE, BOB))
        yield Keeper(
            uri=safe.uri(STAMP),
            public=STAMP.public,
            secrets=(PASSPHRASE.decode(), seed_of("timestamp").hex()),
            label="timestamp",
            largest=MAX_UNIX_BYTES,
            hangs=running.hangs,
            away=running.away,
            message=lambda content: CHALLENGE + hashlib.sha256(content).digest(),
            document=(TIMESTAMP_TYPE, timestamp(approved, version=1, now=now).encode()),
        )
