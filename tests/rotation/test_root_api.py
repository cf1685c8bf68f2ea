"""The part of the admin API's documentation that needs a ceremony: answers to real roots, as the page shows them."""

import json
import re
from pathlib import Path

from pinwarden_keys.root_lint import POLICY_CODES
from tests.rotation.stage import House

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
