import os
import signal
import stat
import subprocess
import sys

import pytest

from pinwarden_keys.errors import KeyFileError, PassphraseError
from pinwarden_keys.files import read_private, read_public, write_new
from pinwarden_keys.passphrase import generate_passphrase, passphrase_file, write_passphrase_file

KILLED_DURING = """
import os, signal, sys
from pathlib import Path
step = sys.argv[1]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, step, die)
from pinwarden_keys.files import write_new
write_new(Path(sys.argv[2]), b"whole content")
"""


@pytest.mark.parametrize("step", ["fchmod", "fsync", "link"])
def test_a_creation_interrupted_by_an_error_leaves_nothing(tmp_path, monkeypatch, step):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "new", b"content")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fchmod", "fsync", "link"])
def test_a_creation_killed_at_any_step_leaves_no_half_file_under_the_name(tmp_path, step):
    path = tmp_path / "new"
    finished = subprocess.run([sys.executable, "-c", KILLED_DURING, step, str(path)], check=False)
    assert finished.returncode == -signal.SIGKILL
    assert not path.exists()
    write_new(path, b"whole content")  # what was left behind is in nobody's way
    assert path.read_bytes() == b"whole content"


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left") as refusal:
        write_new(tmp_path / "new", b"content")
    assert refusal.value.holds == "Nothing was written."
    assert list(tmp_path.iterdir()) == []


def test_on_a_disk_without_links_a_file_is_still_created_whole_and_never_overwritten(tmp_path, monkeypatch):
    def unsupported(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    path = tmp_path / "new"
    write_new(path, b"first")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"first", 0o600)
    with pytest.raises(KeyFileError, match="exists already"):
        write_new(path, b"second")
    assert [path] == list(tmp_path.iterdir())
    assert path.read_bytes() == b"first"


def test_a_generous_umask_does_not_open_a_private_file(tmp_path):
    before = os.umask(0)
    try:
        write_new(tmp_path / "new", b"content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


def test_a_fifo_and_a_folder_are_no_key_files_and_do_not_block(tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        read_private(tmp_path / "fifo", limit=10, what="key file")
    with pytest.raises(KeyFileError, match="Is a directory"):
        read_private(tmp_path, limit=10, what="key file")


def test_an_endless_file_is_refused_at_its_limit(tmp_path):
    write_new(tmp_path / "long", b"x" * 11)
    for read in (read_private, read_public):
        with pytest.raises(KeyFileError, match="too large"):
            read(tmp_path / "long", limit=10, what="key file")
    assert read_private(tmp_path / "long", limit=11, what="key file") == b"x" * 11


def test_a_missing_file_is_named(tmp_path):
    for read in (read_private, read_public):
        with pytest.raises(KeyFileError, match="No such file"):
            read(tmp_path / "none", limit=10, what="key file")


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"secret\n", b"secret"), (b"secret\r\n", b"secret"), (b"secret", b"secret"), (b" secret \n", b" secret ")],
)
def test_a_passphrase_file_loses_one_line_end_and_nothing_else(tmp_path, content, expected):
    write_new(tmp_path / "passphrase", content)
    assert passphrase_file(tmp_path / "passphrase")() == expected


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"x" * 1025 + b"\n"])
def test_an_empty_a_many_lined_and_an_endless_passphrase_are_refused(tmp_path, content):
    write_new(tmp_path / "passphrase", content)
    with pytest.raises((PassphraseError, KeyFileError)):
        passphrase_file(tmp_path / "passphrase")()


def test_a_passphrase_file_that_others_may_read_is_refused(tmp_path):
    write_passphrase_file(tmp_path / "passphrase", b"secret")
    (tmp_path / "passphrase").chmod(0o644)
    with pytest.raises(KeyFileError, match="open to other users"):
        passphrase_file(tmp_path / "passphrase")()


def test_a_generated_passphrase_is_256_random_bits_and_survives_its_file(tmp_path):
    asked = []

    def entropy(count):
        asked.append(count)
        return os.urandom(count)

    passphrase = generate_passphrase(entropy)
    write_passphrase_file(tmp_path / "passphrase", passphrase)
    assert asked == [32]
    assert passphrase_file(tmp_path / "passphrase")() == passphrase
