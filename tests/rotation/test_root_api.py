"""The part of the admin API's documentation that needs a ceremony: answers to real roots, as the page shows them."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pinwarden_keys.errors import SignerError
from pinwarden_keys.root_lint import POLICY_CODES
from pinwarden_server.errors import SignerUnavailable
from pinwarden_server.root_offers import RootOffer
from pinwarden_server.root_publishing import publish_root
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act
from tests.rotation.stage import House, looks

PAGE = (Path(__file__).parents[2] / "docs/admin-api.md").read_text("utf-8")


def shown(heading: str) -> dict[str, object]:
    """Return the JSON block below *heading*."""
    section = PAGE.partition(f"### {heading}\n")[2]
    value: dict[str, object] = json.loads(re.search(r"```json\n(.*?)```", section, re.DOTALL)[1])  # type: ignore[index]
    return value


def test_preview_and_answer_are_those_of_the_page(house: House) -> None:
    root = house.draft(pinset=[house.add_key("pinset-2")])
    preview = house.offer(root, to="/roots/preview")
    assert preview.status == 200
    assert preview.json() == {**shown("POST /admin/v1/roots/preview"), "authority": house.root.authority}
    answer = house.offer(root)
    assert answer.status == 201
    assert answer.json() == {**shown("POST /admin/v1/roots"), "authority": house.root.authority}
    one = house.ask("GET", "/roots/2")
    assert one.json()["envelope"] == root.to_json()
    assert house.ask("GET", "/roots").json()["roots"][1] == one.json()


def test_the_page_says_which_findings_may_be_forced() -> None:
    said = dict(re.findall(r"(?m)^\| (ROOT\d{3}) \|[^|]*\| (yes|no) \|$", PAGE))
    assert {code for code, forced in said.items() if forced == "yes"} == set(POLICY_CODES)
    assert {code for code, forced in said.items() if forced == "no"} == {"ROOT003", "ROOT004", "ROOT005"}


def test_the_audit_log_says_who_published_the_root_and_what_was_forced(house: House) -> None:
    assert house.offer(house.draft(days=20), force=["ROOT011"], reason="a short trial").status == 201
    rows = {row["action"]: row for row in house.ask("GET", "/audit?limit=500").json()["rows"]}
    published, renewed = rows["root.publish"], rows["timestamp.renew"]
    assert (published["subject"], published["detail"]["version"]) == (house.root.authority, 2)
    assert (published["detail"]["reason"], published["detail"]["forced"]) == ("a short trial", ["ROOT011"])
    assert (renewed["actor"], renewed["detail"]["reason"]) == (published["actor"], "root 2")


def test_a_version_that_is_none_has_no_root(house: House) -> None:
    for version in ("0", "2", "01", "x", "9" * 17):
        assert house.ask("GET", f"/roots/{version}").status == 404


def test_a_root_that_cannot_be_served_yet_is_kept_and_served_by_the_same_request_after_repair(house: House) -> None:
    root = house.draft()
    blocked = house.installation.folder / "published/v1/roots/2"
    blocked.mkdir()
    (blocked / "full").touch()  # a rename cannot replace a folder that is not empty
    answer = house.offer(root)
    assert (answer.status, answer.json()["type"]) == (503, "urn:pinwarden:problem:not-served-yet")
    assert answer.json()["version"] == "2"
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 1, 1, 1)
    (blocked / "full").unlink()
    blocked.rmdir()
    again = house.offer(root)
    assert (again.status, again.json()["created"]) == (200, False)
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)


def test_a_signer_that_fails_on_the_way_leaves_nothing_but_spent_numbers(house: House) -> None:
    house.publish("orders")
    root, before = house.draft(), contents(house)

    @dataclass
    class Failing:
        """The timestamp key, in a machine that breaks down after one signature."""

        uri: str
        public: bytes
        keyid: str
        count: int = 0

        def sign(self, message: bytes) -> bytes:
            self.count += 1
            if self.count > 1:
                raise SignerError("the machine is gone")
            return house.timestamp_key.sign(message)

        def close(self) -> None:
            """Hold nothing."""

    key = house.timestamp_key
    assert house.node is not None
    signers = Signers([Failing(key.uri, key.public, key.keyid), house.pinset_key])
    with pytest.raises(SignerUnavailable, match="the machine is gone"):
        publish_root(replace(house.node.site, signers=signers), RootOffer(root), Act("tester", house.clock()))
    assert contents(house) == before
    assert house.offer(root).json()["pinsets"] == [
        {"name": "orders", "version": "1.1", "timestamp_version": 3, "signed": ["timestamp"]},
        {"name": "payments", "version": "1.1", "timestamp_version": 3, "signed": ["timestamp"]},
    ]


def contents(house: House) -> list[object]:
    """Return roots, pairs in force, audit log and served files; numbers given out are spent, whatever came of them."""
    assert house.node is not None
    reader = house.node.site.store.reader
    files = {
        path: path.read_bytes() for path in (house.installation.folder / "published/v1").rglob("*") if path.is_file()
    }
    return [reader.roots(), list(reader.all_current()), reader.audit(), files]
