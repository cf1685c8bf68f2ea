"""``server backup`` and ``restore`` as commands: their exit codes, and floors from a server that runs."""

import json
from pathlib import Path

from pinwarden_server.publishing import renew_timestamp
from pinwarden_server.restore import TIMESTAMPS_AHEAD
from pinwarden_server.store import open_store
from pinwarden_server.store.copying import highest_numbers

NEW = "PINWARDEN_SERVER_DATABASE_URL"


def test_floors_are_taken_from_a_server_that_runs(start, command_line, tmp_path: Path):
    server = start()
    path, url = tmp_path / "backup", f"sqlite:///{tmp_path}/restored.db"
    server.ask("PUT", "/admin/v1/pinsets/kept", body=server.draft("a", "b"), If_None_Match="*")
    assert command_line("backup", str(path)).returncode == 0
    for version in (1, 2):
        server.ask("PUT", "/admin/v1/pinsets/kept", body=server.draft(f"{version}", "b"), If_Match=f'"1.{version}"')
    done = command_line("restore", str(path), "--floor-from", server.url, **{NEW: url})
    assert done.returncode == 0, done.stderr
    assert f"kept: version 3, timestamp 3 from {server.url}" in done.stdout.splitlines()
    assert done.stderr == "waits for a floor: names that the backup does not know\n"


def test_what_is_refused_ends_with_1_what_is_occupied_with_4_and_what_is_away_with_3(
    service, command_line, tmp_path: Path
):
    service.create()
    path = tmp_path / "backup"
    assert command_line("backup", str(path)).returncode == 0
    assert command_line("backup", str(path)).returncode == 1
    before = service.stored()
    occupied = command_line("restore", str(path))
    assert (occupied.returncode, occupied.stderr.splitlines()[0]) == (
        4,
        "error: the store is not empty: expected a new database, or none. Nothing stored has changed.",
    )
    assert service.stored() == before
    path.write_bytes(path.read_bytes()[:-2])
    damaged = command_line("restore", str(path), **{NEW: f"sqlite:///{tmp_path}/restored.db"})
    assert (damaged.returncode, "is damaged" in damaged.stderr) == (1, True)
    away = {NEW: "postgresql://nobody:canary@127.0.0.1:1/none"}
    for words in (("backup", str(tmp_path / "other")), ("restore", str(path)), ("migrate",)):
        done = command_line(*words, **away)
        assert (done.returncode, "canary" in done.stdout + done.stderr) == (3, False), done.stderr
    assert not (tmp_path / "other").exists()


def test_publishing_into_a_restored_store_is_a_conflict_that_says_what_to_do(
    service, serve, command_line, tmp_path: Path
):
    service.create()
    path, database = tmp_path / "backup", tmp_path / "restored.db"
    assert command_line("backup", str(path), "--with-tokens").returncode == 0
    assert command_line("restore", str(path), **{NEW: f"sqlite:///{database}"}).returncode == 0
    restored = serve(service.installation, database_url=f"sqlite:///{database}")
    ask = {"body": restored.draft("new", "spare"), "If_Match": '"1.1"'}
    refused = restored.ask("PUT", "/admin/v1/pinsets/payments", **ask)
    document = restored.problem(refused, 409, "conflict")
    assert "`pinwarden server restore --floor payments=VERSION`" in document["detail"]
    assert restored.ask("GET", "/admin/v1/pinsets/payments").json["version"] == "1.1"
    assert command_line("restore", "--floor", "payments=41", **{NEW: f"sqlite:///{database}"}).returncode == 0
    assert json.loads(restored.ask("PUT", "/admin/v1/pinsets/payments", **ask).data)["version"] == "1.42"


def test_a_floor_by_hand_is_never_below_what_is_served_nor_below_the_timestamps_of_any_name(
    service, command_line, tmp_path: Path
):
    service.create()
    service.create("orders")
    for _ in range(5):
        renew_timestamp(service.node.site, "orders", service.clock())
    path, database = tmp_path / "backup", {NEW: f"sqlite:///{tmp_path}/restored.db"}
    assert command_line("backup", str(path)).returncode == 0
    renew_timestamp(service.node.site, "payments", service.clock())
    tree = str(service.node.settings.tree_dir)
    done = command_line("restore", str(path), "--floor", "payments=0/0", "--floor-from", tree, **database)
    assert done.returncode == 0, done.stderr
    assert command_line("restore", "--floor", "9", **database).returncode == 0
    store = open_store(database[NEW])
    floors = {
        name: (each.pinset_version, each.timestamp_version) for name, each in highest_numbers(store.reader).items()
    }
    assert floors == {"payments": (1, 2), "orders": (1, 6), "*": (9, 9 + TIMESTAMPS_AHEAD)}
    store.close()
