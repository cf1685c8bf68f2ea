"""A scheme whose library is not installed names the extra that brings it."""

import subprocess
import sys

import pytest

from pinwarden_keys.errors import SignerError
from pinwarden_keys.signer import EXTRAS, SCHEMES, open_signer

LIBRARIES = {"pkcs11": "pkcs11", "awskms": "boto3"}


def test_every_extra_has_its_library():
    assert set(LIBRARIES) == set(EXTRAS)


@pytest.mark.parametrize("scheme", [scheme for scheme in LIBRARIES if scheme in SCHEMES])
def test_a_missing_library_names_the_extra_to_install(scheme, monkeypatch):
    monkeypatch.delitem(sys.modules, SCHEMES[scheme], raising=False)
    monkeypatch.setitem(sys.modules, LIBRARIES[scheme], None)
    with pytest.raises(SignerError, match=f"a library that {scheme}: needs cannot be loaded") as refusal:
        open_signer(f"{scheme}:anything")
    assert refusal.value.hint == f"Run: pip install 'pinwarden[{EXTRAS[scheme]}]'"


def test_key_files_need_no_extra_library():
    loaded = (
        "import sys, pinwarden_keys.signer_file, pinwarden_keys.signer; print({'boto3', 'pkcs11'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
