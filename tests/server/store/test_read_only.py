"""A database that answers and takes no writes, or is no database: each is told apart, and says what to do."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from pinwarden_server.errors import StoreUnavailable
from pinwarden_server.store import Store, migrate, open_store
from pinwarden_server.store.failures import store_failures
from pinwarden_server.store.sqlite import check_file_writable

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    made = Path(tempfile.mkdtemp(prefix="pinwarden-read-only-"))
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


def refusal_to_nobody(look: Callable[[], None]) -> str:
    """Return what *look* raises for a user who is not root, in a process of its own; empty when it returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setresuid(NOBODY, NOBODY, NOBODY)
            look()
        except StoreUnavailable as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        said = told.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def test_a_store_that_may_be_written_to_is_said_to_be(store: Store) -> None:
    store.check_writable()


def test_a_database_that_was_not_made_yet_is_no_read_only_one(tmp_path: Path) -> None:
    check_file_writable(tmp_path / "none.db")


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_a_file_or_folder_that_this_user_may_not_write_to_is_found_without_writing(folder: Path, closed: str) -> None:
    path = folder / "store.db"
    migrate(f"sqlite:///{path}")
    folder.chmod(0o777)
    path.chmod(0o666)
    assert refusal_to_nobody(lambda: check_file_writable(path)) == ""
    shut = path if closed == "file" else folder
    shut.chmod(0o444 if closed == "file" else 0o555)
    before = path.read_bytes()
    said = refusal_to_nobody(lambda: check_file_writable(path))
    assert said.startswith(f"the database can be read, and not written: expected {shut} to be writable for user ")
    assert path.read_bytes() == before


def write_to_a_read_only_file(path: Path) -> None:
    sqlite3.connect(path).execute("CREATE TABLE rows (number)")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.execute("INSERT INTO rows VALUES (1)")


def wait_for_a_lock(path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    sqlite3.connect(path, timeout=0.01, isolation_level=None).execute("BEGIN IMMEDIATE")


def read_what_is_no_database(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    sqlite3.connect(path).execute("SELECT * FROM rows")


def read_what_was_cut_into(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE rows (number); INSERT INTO rows VALUES (1)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek(size)
        file.write(b"\xff" * size)
    sqlite3.connect(path).execute("SELECT * FROM rows").fetchall()


def in_the_store(fails: Callable[[], None]) -> None:
    """Do what fails as the store does it: SQLAlchemy hands on what the driver raised."""
    with store_failures():
        try:
            fails()
        except sqlite3.Error as error:
            raise OperationalError("statement", {}, error) from error


@pytest.mark.parametrize(
    ("fails", "what", "hint"),
    [
        (write_to_a_read_only_file, "attempt to write a readonly database", "Let the server's user write to the file"),
        (wait_for_a_lock, "database is locked", "Another process keeps it locked: end that one"),
        (
            read_what_was_cut_into,
            "database disk image is malformed",
            "Restore a backup (docs/backup.md)",
        ),
        (read_what_is_no_database, "file is not a database", "Put the right file back, or restore a backup"),
    ],
)
def test_each_failure_of_sqlite_says_what_to_do_about_it(
    tmp_path: Path, fails: Callable[[Path], None], what: str, hint: str
) -> None:
    with pytest.raises(StoreUnavailable) as refusal:
        in_the_store(lambda: fails(tmp_path / "store.db"))
    assert refusal.value.what == f"the database cannot be used: {what}"
    assert refusal.value.hint.startswith(hint)


def test_what_postgresql_says_of_its_host_and_user_is_not_in_what_clients_are_told() -> None:
    store = open_store("postgresql://somebody@127.0.0.1:9/nothing")
    with pytest.raises(StoreUnavailable) as refusal:
        store.reader.roots()
    store.close()
    assert refusal.value.what == "the database cannot be used"
    assert "127.0.0.1" in str(refusal.value.got)
