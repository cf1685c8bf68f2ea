import pytest

from pinwarden_keys.signer_file import file_uri
from tests.keys.signers.keepers import Keeper

REMOTE = ()
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
