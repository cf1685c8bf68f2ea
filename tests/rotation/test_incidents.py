"""docs/incidents.md, carried out word for word: the commands of the page, on a real server, with clients looking on."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner

from pinwarden.cli import pinwarden
from pinwarden_keys import LIGHT_KDF, file_uri, write_key_file
from pinwarden_ops.cli_root import publish
from pinwarden_server.backup import make_backup
from pinwarden_server.founding import reconcile
from pinwarden_server.restore import floor_at, restore_backup, set_floors
from pinwarden_server.site import Act
from pinwarden_server.store import open_store
from tests.rotation.line import BEGIN
from tests.rotation.stage import SEEDS, House, looks, pin_json, verdict

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "incidents.md").read_text("utf-8")
PASSPHRASE = "correct horse battery staple"
FOLDER = "/var/lib/pinwarden"


def section(heading: str) -> str:
    """Return the text of one section of the page."""
    (found,) = re.findall(rf"(?ms)^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE)
    return str(found)


def block(text: str, language: str, containing: str) -> str:
    """Return the one code block of *text* that has *containing* in it."""
    found = re.findall(rf"(?ms)^ *```{language}\n(.*?)^ *```$", text)
    (one,) = [each for each in found if containing in each]
    return str(one)


@dataclass
class Desk:
    """The people and machines of a ceremony, all in one folder."""

    house: House
    folder: Path

    def run(self, script: str, *, typed: str = "") -> str:
        """Run each line of *script* as it stands, and return what was printed on stdout."""
        printed = ""
        for line in filter(None, script.splitlines()):
            words = shlex.split(line.replace(FOLDER, str(self.house.installation.folder)))
            names = [str(path.name) for word in words if "*" in word for path in sorted(self.folder.glob(word))]
            words = [word for word in words[1:] if "*" not in word] + names
            # Until the group has it, `root publish` is called by itself.
            command, arguments = (publish, words[2:]) if words[:2] == ["root", "publish"] else (pinwarden, words)
            done = CliRunner().invoke(command, arguments, input=typed)
            assert done.exit_code == 0, (line, done.stderr, done.exception)
            printed += done.stdout
        return printed

    def make_keys(self, *names: str) -> dict[str, str]:
        """Follow step 1 for each name, restart the server with them, and return their public halves."""
        script = block(section("The ceremony"), "sh", "keys new")
        publics = {}
        for name in names:
            (plan,) = re.findall(r'(?m)^plan +".*" = "(.*)"$', self.run(script.replace("timestamp-2", name)))
            publics[name] = plan
        self.house.restart(*(file_uri(self.house.installation.key(name)) for name in names))
        return publics

    def hold_ceremony(self, plan: str | None, publics: dict[str, str]) -> None:
        """Follow steps 2 and 3 with the plan of a section."""
        if plan is not None:
            for name, public in publics.items():
                plan = re.sub(rf'(?m)^({name} =) "the .*"$', rf'\1 "{public}"', plan)
            (self.folder / "plan.toml").write_text(plan)
        script = block(section("The ceremony"), "sh", "root draft")
        if plan is None:
            script = block(section("Expired root"), "sh", "root draft") + script.partition("\n")[2]
        self.run(script, typed=f"2\n{PASSPHRASE}\n")
        self.run(block(section("The ceremony"), "sh", "root publish"), typed="2\n")


@pytest.fixture
def desk(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Two people's key files and the published root in one folder, at the time when the server began."""
    folder = tmp_path / "desk"
    folder.mkdir()
    for name, signer in zip(("alice", "bob"), house.root_keys, strict=False):
        write_key_file(folder / f"{name}.key", SEEDS[signer.keyid], PASSPHRASE.encode(), label=name, kdf=LIGHT_KDF)
    (folder / "root.1.json").write_bytes(house.roots[0].to_bytes())
    (folder / "admin.token").touch(mode=0o600)
    (folder / "admin.token").write_text(house.token)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PINWARDEN_OPS_URL", house.line.url)
    monkeypatch.setenv("PINWARDEN_OPS_TOKEN_FILE", "admin.token")
    with time_machine.travel(BEGIN):
        yield Desk(house, folder)


def test_a_stolen_timestamp_key(desk: Desk) -> None:
    house, client = desk.house, desk.house.client()
    pinset = house.served().pinset
    house.hijack(house.forged_timestamp(house.timestamp_key, pinset, version=1000), pinset)
    client.refresh()
    house.release()
    plan = block(section("Stolen timestamp key"), "toml", "timestamp-2")
    desk.hold_ceremony(plan, desk.make_keys("timestamp-2"))
    client.refresh()
    assert (looks(client), verdict(client, "live")) == (("fresh", 2, 1, 1), "accepted")


def test_a_stolen_pin_set_key(desk: Desk) -> None:
    house, client = desk.house, desk.house.client()
    forged = house.forged_pinset(house.pinset_key, version=9)
    house.hijack(house.forged_timestamp(house.timestamp_key, forged, version=9), forged)
    client.refresh()
    assert verdict(client, "thief") == "accepted"
    house.release()
    plan = block(section("Stolen pin-set key"), "toml", "pinset-2")
    desk.hold_ceremony(plan, desk.make_keys("timestamp-2", "pinset-2"))
    client.refresh()
    assert (looks(client), verdict(client, "thief")) == (("fresh", 2, 2, 2), "refused")
    house.publish(deny=[pin_json("thief")["sha256"]])
    client.refresh()
    assert [verdict(client, word) for word in ("live", "thief")] == ["accepted", "denied"]
    house.uris = house.uris[2:]  # step 4: the old keys are taken away
    house.restart()
    house.publish(word="next")
    client.refresh()
    assert verdict(client, "next") == "accepted"


def test_a_lost_timestamp_key_is_replaced_without_a_new_epoch(desk: Desk) -> None:
    house, client = desk.house, desk.house.client()
    client.refresh()
    house.uris = house.uris[1:]
    plan = block(section("Stolen timestamp key"), "toml", "timestamp-2").replace("epoch = 2", "epoch = 1")
    desk.hold_ceremony(plan, desk.make_keys("timestamp-2"))
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)


def test_an_expired_root(desk: Desk) -> None:
    house, client = desk.house, desk.house.client()
    client.refresh()
    house.clock.now = house.root.expires
    with time_machine.travel(house.clock.now):
        desk.hold_ceremony(None, {})
    client.refresh()
    assert (looks(client)[:2], verdict(client, "live")) == (("fresh", 2), "accepted")


def test_a_stolen_admin_token(desk: Desk) -> None:
    house = desk.house
    stolen = house.token.split("_")[1]
    script = block(section("Stolen admin token"), "sh", "revoke")
    assert desk.run(script.replace("0123456789abcdef", stolen)) == f"{stolen}\n"
    assert house.ask("GET", "/pinsets").status == 401


def test_a_bad_publication(desk: Desk) -> None:
    house, client = desk.house, desk.house.client()
    house.publish(word="wrong")
    client.refresh()
    assert verdict(client, "live") == "refused"
    words = shlex.split(block(section("Bad publish"), "sh", "rollback").replace("\\\n", " "))
    body, address = words[words.index("-d") + 1], words[-1]
    condition = next(word for word in words if word.startswith("If-Match")).partition(": ")[2]
    assert (condition, body) == ('"1.8"', '{"to": 7, "reason": "version 8 locked the shop out"}')
    path = address.partition("/admin/v1")[2]
    answer = house.ask("POST", path, {"to": 1, "reason": "version 2 locked the shop out"}, If_Match='"1.2"')
    assert answer.status == 200
    client.refresh()
    assert verdict(client, "live") == "accepted"


def test_a_restored_backup(desk: Desk) -> None:
    house, client = desk.house, desk.house.client()
    assert house.node is not None
    backup, url = desk.folder / "backup", house.node.site.store.url
    make_backup(house.node.site.store.reader, backup, now=house.clock(), tokens=True)
    plan = block(section("Stolen timestamp key"), "toml", "timestamp-2")
    desk.hold_ceremony(plan, desk.make_keys("timestamp-2"))
    house.publish(word="after the copy")
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 2)
    house.stop()
    for file in house.installation.folder.glob("pinwarden.db*"):
        file.unlink()
    store, by = open_store(url), Act("tester", house.clock())
    restore_backup(store, backup, by)
    assert set_floors(store, {"*": floor_at(1000, None, None)}, by) == []
    store.close()
    house.start()
    assert house.node is not None
    reconcile(house.node.site, rebuild=True)
    assert verdict(client, "after the copy") == "accepted"
    desk.run(block(section("Restored backup"), "sh", "root publish"), typed="2\n")
    house.publish(word="today")
    client.refresh()
    assert (looks(client), verdict(client, "today")) == (("fresh", 2, 1, 1001), "accepted")
