"""The page about backups, carried out command by command on a real server whose clients are ahead of the backup."""

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.cli import pinwarden
from pinwarden.testing import pinned
from pinwarden_server import audit
from pinwarden_server.checkpoints import make_checkpoint
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import FloorMissing
from pinwarden_server.founding import reconcile, reconcile_pinset
from pinwarden_server.installation import Installation, init_development
from pinwarden_server.node import open_site
from pinwarden_server.publishing import publish
from pinwarden_server.site import Act, Site
from tests.docs.pages import REPOSITORY

PAGE = REPOSITORY / "docs/backup.md"
COMMANDS = [line.strip() for line in re.findall(r"^ *(pinwarden server --config .*)$", PAGE.read_text(), re.MULTILINE)]


@contextmanager
def opened(installation: Installation) -> Iterator[Site]:
    site = open_site(installation.settings(), with_signers=True)
    yield site
    site.signers.close()
    site.store.close()
    site.bell.close()


def put(installation: Installation, name: str, word: bytes) -> str:
    """Publish over whatever is in force, as the admin API does, and return the version."""
    with opened(installation) as site:
        current = site.store.reader.find_current(name)
        draft = Draft((pinned("api.example.com", word.ljust(32), b"in the safe".ljust(32)),))
        done = publish(site, name, draft, current.tag if current else None, Act("tester", datetime.now(UTC)))
        return f"{done.tag[0]}.{done.tag[1]}"


def test_the_commands_of_the_page_bring_a_server_back_above_every_number_that_clients_hold(tmp_path: Path) -> None:
    server, shelf = tmp_path / "server", tmp_path / "shelf"
    shelf.mkdir()
    made = init_development(server, bind=None, label="backup", now=datetime.now(UTC))
    told: list[str] = []

    def carry_out(line: str) -> None:
        words = line.replace("/var/lib/pinwarden", str(server)).replace("/backup", str(shelf))
        done = CliRunner().invoke(pinwarden, shlex.split(words)[1:])
        assert done.exit_code == 0, done.output
        told.append(done.output)

    back_up, restore, rest, publish_tree = COMMANDS
    put(made, "payments", b"kept")
    carry_out(back_up)
    put(made, "payments", b"lost")
    put(made, "orders", b"lost too")
    state = trust.begin(made.root_json.read_bytes(), name="payments")
    ahead = trust.advance_bundle(state, bundle(made, "payments"), now=datetime.now(UTC))

    for file in server.glob("pinwarden.db*"):
        file.unlink()
    carry_out(restore)
    published = server / "published"
    assert f"payments: version 2, timestamp 2 from {published}" in told[-1]
    assert f"orders: version 1, timestamp 1 from {published}" in told[-1]
    assert "waits for a floor: names that the backup does not know" in told[-1]
    with pytest.raises(FloorMissing):
        put(made, "afterwards", b"new")
    carry_out(rest)
    assert "waits" not in told[-1]
    carry_out(publish_tree)

    assert put(made, "payments", b"today") == "1.3"
    assert put(made, "afterwards", b"new") == "1.5001"
    ahead = trust.advance_bundle(ahead, bundle(made, "payments"), now=datetime.now(UTC))
    assert ahead.pinset.version == 3
    with opened(made) as site:
        actions = [row.action for row in site.store.reader.audit()]
        assert actions.count("store.restore") == 1
        assert audit.verify_chain(site.store.reader).rows == len(actions)
    assert put(made, "orders", b"today") == "1.2"


def test_a_published_folder_that_survived_is_not_taken_back_by_a_restored_store(tmp_path: Path) -> None:
    server, file = tmp_path / "server", tmp_path / "backup.jsonl"
    made = init_development(server, bind=None, label="backup", now=datetime.now(UTC))

    def run(*words: str) -> Result:
        return CliRunner().invoke(pinwarden, ["server", "--config", str(made.config), *words])

    put(made, "payments", b"kept")
    put(made, "orders", b"kept")
    assert run("backup", str(file)).exit_code == 0
    put(made, "payments", b"lost")
    with opened(made) as site:
        make_checkpoint(site, datetime.now(UTC) + timedelta(hours=2))
    before = files_of(made)
    for old in server.glob("pinwarden.db*"):
        old.unlink()
    assert run("restore", str(file)).exit_code == 0
    done = run("publish-tree")
    assert (done.exit_code, files_of(made)) == (4, before), done.output
    assert "the published files of payments are newer than the store" in done.output
    with opened(made) as site:
        reconcile(site)  # as a server does that starts
        reconcile_pinset(site, "payments")
    assert files_of(made) == before
    assert run("restore", "--floor-from", str(server / "published")).exit_code == 0
    assert run("publish-tree").exit_code == 0
    assert put(made, "payments", b"today") == "1.3"


def files_of(installation: Installation) -> dict[str, bytes]:
    folder = installation.settings().tree_dir / "v1"
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bundle(installation: Installation, name: str) -> Bundle:
    return Bundle.parse((installation.settings().tree_dir / f"v1/bundles/{name}/1").read_bytes())


def test_a_floor_that_is_none_is_a_mistake_of_usage(tmp_path: Path) -> None:
    made = init_development(tmp_path / "server", bind=None, label="backup", now=datetime.now(UTC))
    for words in ([], ["--floor", "x"], ["--floor", "Payments=1"], ["--floor", "a=-1"], ["--floor", "a=1/"]):
        command = ["server", "--config", str(made.config), "restore", *words]
        assert CliRunner().invoke(pinwarden, command).exit_code == 2, words
    with opened(made) as site:
        assert [row.action for row in site.store.reader.audit()] == ["root.publish", "token.issue"]
