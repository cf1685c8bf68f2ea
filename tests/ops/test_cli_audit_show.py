"""``audit show``: the log of a real server holds together, and one that was touched anywhere does not."""

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from pinwarden_ops.cli_audit_show import show
from pinwarden_ops.commands import OpsGroup

if TYPE_CHECKING:
    from conftest import Api, Shell, Workshop

audit = OpsGroup("audit")
audit.add_command(show)


def run(shell: "Shell", *words: str) -> Result:
    return CliRunner().invoke(audit, ["show", *words], env=shell.variables())


@pytest.fixture(scope="module")
def told(server: Any) -> dict[str, Any]:
    """What the real server says after three publications."""
    condition = {"If_None_Match": "*"}
    for word in ("a", "b", "ü"):
        draft = server.draft(word, "spare", reason=f"reason {word}")
        answer = server.ask("PUT", "/admin/v1/pinsets/logged", body=draft, **condition)
        condition = {"If_Match": answer.headers["ETag"]}
    found: dict[str, Any] = server.ask("GET", "/admin/v1/audit").json()
    return found


def test_the_log_is_shown_and_continues_where_it_was_left(shop: "Workshop", told: dict[str, Any]) -> None:
    first = run(shop, "--limit", "2")
    assert (first.exit_code, len(first.stdout.splitlines())) == (0, 3), first.output
    end = first.stderr.split()[-1]
    assert first.stderr == f"note: 2 rows hold together; the log was seen up to {end}\n"
    rest = json.loads(run(shop, "--after", end, "--json").stdout)
    assert rest["rows"][: len(told["rows"]) - 2] == told["rows"][2:]
    last = run(shop, "--after", rest["end"], "--json")
    assert (last.exit_code, json.loads(last.stdout)) == (0, {"rows": [], "end": rest["end"]})
    assert "version 1.3, replaces 1.2, reason reason ü" in run(shop).stdout


def test_pages_are_walked_to_the_end(shop: "Workshop", told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinwarden_ops.audit_pages.PAGE", 2)
    rows = json.loads(run(shop, "--json").stdout)["rows"]
    assert rows[: len(told["rows"])] == told["rows"]


@pytest.mark.parametrize("field", ["at", "actor", "action", "subject", "previous", "hash", "detail", "seq"])
def test_a_row_that_was_changed_is_found(hostile: "Shell", api: "Api", told: dict[str, Any], field: str) -> None:
    rows = deepcopy(told["rows"])
    rows[1][field] = {"detail": {**rows[1]["detail"], "reason": "other"}, "seq": 7}.get(field, "0" * 64)
    api.body = json.dumps({"rows": rows}).encode()
    done = run(hostile)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: audit row")


@pytest.mark.parametrize("touch", ["removed", "moved", "doubled", "without the first"])
def test_rows_that_were_removed_added_or_moved_are_found(
    hostile: "Shell", api: "Api", told: dict[str, Any], touch: str
) -> None:
    rows = told["rows"]
    touched = {
        "removed": [rows[0], *rows[2:]],
        "moved": [rows[1], rows[0], *rows[2:]],
        "doubled": [rows[0], rows[0], *rows[1:]],
        "without the first": rows[1:],
    }
    api.body = json.dumps({"rows": touched[touch]}).encode()
    assert (run(hostile).exit_code, run(hostile).stdout) == (1, "")


def test_a_log_that_was_rewritten_as_a_whole_is_found_by_who_kept_a_hash(
    hostile: "Shell", api: "Api", told: dict[str, Any]
) -> None:
    api.body = json.dumps({"rows": told["rows"][1:]}).encode()
    kept = told["rows"][0]
    assert run(hostile, "--after", f"1:{kept['hash']}").exit_code == 0
    done = run(hostile, "--after", f"1:{'f' * 64}")
    assert (done.exit_code, "does not follow the row before it" in done.stderr) == (1, True)


@pytest.mark.parametrize("text", ["1", "1:abc", "x:" + "0" * 64, "-1:" + "0" * 64])
def test_a_place_that_is_none_is_misuse(hostile: "Shell", api: "Api", text: str) -> None:
    assert (run(hostile, "--after", text).exit_code, api.requests) == (2, [])


def test_no_escape_sequence_reaches_the_terminal(hostile: "Shell", api: "Api", told: dict[str, Any]) -> None:
    for field in ("hash", "previous"):
        rows = deepcopy(told["rows"])
        rows[0][field] = "\x1b]0;owned\x07\x9b31m" * 50
        api.body = json.dumps({"rows": rows}).encode()
        done = run(hostile)
        assert (done.exit_code, [bad for bad in "\x1b\x07\x9b" if bad in done.output]) == (1, [])
