from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden_keys.ceremony import Roles, first_root, keyed
from pinwarden_keys.keyfile import Kdf, KeyFile, write_key_file
from pinwarden_keys.signer_file import SoftwareSigner
from tests.keys.ceremony_folder import Ceremony

DAY = 24 * 3600

PASSPHRASE = b"correct horse battery staple"


class People:
    """Signers by name, the same at each run, and their key files with the least work that libsodium allows."""

    passphrase = PASSPHRASE
    fast = Kdf(ops=1, mem_bytes=8 * 1024)

    def seed(self, name: str) -> bytes:
        return sha256(name.encode()).digest()

    def signer(self, name: str) -> SoftwareSigner:
        return SoftwareSigner(self.seed(name), uri=f"memory:{name}", label=name)

    def publics(self, *names: str) -> list[bytes]:
        return [self.signer(name).public for name in names]

    def keyid(self, name: str) -> str:
        return self.signer(name).keyid

    def key_file(self, folder: Path, name: str) -> Path:
        path = folder / f"{name}.key"
        write_key_file(path, self.seed(name), self.passphrase, label=name, kdf=self.fast)
        return path

    def sealed(self, name: str) -> KeyFile:
        return KeyFile.seal(self.seed(name), self.passphrase, label=name, kdf=self.fast)


@pytest.fixture
def people() -> People:
    return People()


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def ceremony(tmp_path: Path, people: People, monkeypatch: pytest.MonkeyPatch) -> Ceremony:
    """Return a folder to hold a ceremony in, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Ceremony(tmp_path, people)


@pytest.fixture
def sound(people, now):
    """A root that no lint says anything about."""
    keys = [keyed(people.publics(*names)) for names in (["alice", "bob", "carol"], ["server"], ["release"])]
    roles = Roles(
        Role(tuple(keys[0]), 2, keys[0]),
        TimestampRole(tuple(keys[1]), 1, keys[1], 5, 7 * DAY),
        (Grant(tuple(keys[2]), 1, keys[2], 5, 90 * DAY, ("payments-*", "app")),),
    )
    return first_root("acme-0123456789abcdef", roles, now=now, lifetime=timedelta(days=365))
