"""``pinwarden set`` against a real server: what is shown, what is published, and how each refusal ends."""

import json
import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Workshop

draft, pin = Running.draft, Running.pin


def test_the_list_shows_what_the_token_reaches(shop: "Workshop", limited: Callable[..., "Workshop"]) -> None:
    for name in ("list-a", "list-b"):
        shop.publish(name, "live", "spare")
    one = limited("reader", "list-a")("set", "list")
    rows = [line.split()[:2] for line in one.stdout.splitlines()]
    assert rows == [["pin", "set"], ["list-a", "1.1"]]
    both = json.loads(limited("reader", "list-*")("set", "list", "--json").stdout)["pinsets"]
    assert [(row["name"], row["version"]) for row in both] == [("list-a", "1.1"), ("list-b", "1.1")]


def test_show_prints_every_pin_of_the_version_that_is_asked_for(shop: "Workshop") -> None:
    shop.publish("shown", "live", "spare", reason="first pins", on_stale="refuse")
    shop.publish("shown", "next", "live", base="1.1")
    now, then = shop("set", "show", "shown"), shop("set", "show", "shown", "--version", "1")
    assert (now.exit_code, then.exit_code) == (0, 0), now.output
    facts = dict(line.split(None, 1) for line in then.stdout.partition("\n\n")[0].splitlines())
    assert {name: facts[name] for name in ("version", "reason", "on_stale")} == {
        "version": "1.1",
        "reason": "first pins",
        "on_stale": "refuse",
    }
    assert [line.split() for line in now.stdout.partition("\n\n")[2].splitlines()[1:]] == [
        ["api.example.com", "enforce", "100", "refuse", "pin", pin("next"), "leaf"],
        *(["api.example.com", "enforce", "100", "refuse", "backup", pin(word), "leaf"] for word in ("live", "vault")),
    ]
    assert json.loads(shop("set", "show", "shown", "--json").stdout)["version"] == "1.2"


def test_what_show_prints_as_a_draft_is_what_put_takes(shop: "Workshop") -> None:
    extra = {"deny": [pin("stolen")], "report_to": "https://reports.example.com/x", "lifetime_seconds": 864000}
    shop.publish("drafted", "live", "spare", **extra)
    shown = shop("set", "show", "drafted", "--draft")
    assert tomllib.loads(shown.stdout)["lifetime_seconds"] == 864000
    file = shop.write("drafted.toml", shown.stdout)
    done = shop("set", "put", "drafted", file, "--replaces", "1.1")
    assert (done.exit_code, done.stdout) == (0, "drafted 1.2 is published\n"), done.output
    assert shop("set", "diff", "drafted").stdout == "drafted 1.1 -> 1.2\n  no difference\n"


def test_history_goes_back_over_pages_to_the_first_version(shop: "Workshop", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinwarden_ops.live_sets.PAGE", 2)
    shop.publish("old", "a", "b", reason="first")
    for number in range(1, 5):
        shop.publish("old", f"c{number}", "b", base=f"1.{number}")
    rows = json.loads(shop("set", "history", "old", "--json").stdout)["versions"]
    assert [row["version"] for row in rows] == ["1.5", "1.4", "1.3", "1.2", "1.1"]
    last = shop("set", "history", "old").stdout.splitlines()[-1].split()
    assert (last[0], last[-1]) == ("1.1", "first")
    assert len(shop("set", "history", "old", "--limit", "3").stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("sides", "heading", "marks"),
    [
        ((), "1.1 -> 1.2", ["+ next", "- live", "+ live", "- spare"]),
        (("1",), "1.1 -> 1.2", ["+ next", "- live", "+ live", "- spare"]),
        (("1.2", "1.1"), "1.2 -> 1.1", ["+ live", "- next", "+ spare", "- live"]),
        (("FILE",), "1.2 -> FILE", ["+ spare", "- live"]),
        (("1.2", "1.2"), "1.2 -> 1.2", []),
    ],
)
def test_diff_compares_versions_and_files(
    shop: "Workshop", sides: tuple[str, ...], heading: str, marks: list[str]
) -> None:
    if not shop.versions("compared"):
        shop.publish("compared", "live", "spare")
        shop.publish("compared", "next", "live", base="1.1")
    file = shop.write("compared.json", draft("next", "spare"))
    done = shop("set", "diff", "compared", *(side.replace("FILE", file) for side in sides))
    words = {pin(word): word for word in ("live", "spare", "next")}
    lines = [line.split() for line in done.stdout.splitlines()[1:] if "no difference" not in line]
    assert done.stdout.splitlines()[0] == f"compared {heading.replace('FILE', file)}"
    assert [f"{line[0]} {words[line[3]]}" for line in lines] == marks


def test_put_creates_replaces_and_says_which_version_it_became(shop: "Workshop") -> None:
    file = shop.write("put.json", draft("live", "spare"))
    made = shop("set", "put", "put", file, "--create", "--reason", "first pins")
    assert (made.exit_code, made.stdout) == (0, "put 1.1 is published\n"), made.output
    assert made.stderr.startswith(f"note: writes to {shop.url}, authority test-")
    file = shop.write("put.json", draft("next", "spare"))
    # An ETag as it is printed elsewhere serves as well.
    again = shop("set", "put", "put", file, "--replaces", '"1.1"', "--json")
    assert json.loads(again.stdout)["version"] == "1.2"
    assert json.loads(shop("set", "show", "put", "--version", "1", "--json").stdout)["reason"] == "first pins"


def test_a_dry_run_shows_the_difference_and_who_holds_what_and_stores_nothing(shop: "Workshop") -> None:
    shop.publish("dry", "live", "spare")
    apart = draft("fresh", "other", force=["PIN009"], reason="stolen")
    apart["hosts"][0]["backups"] = [{"sha256": pin("other")}]
    file = shop.write("dry.json", apart)
    before = shop.stored()
    for words in (("put", "dry", file, "--replaces", "1.1", "--dry-run"), ("preview", "dry", file)):
        done = shop("set", *words)
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert lines[:2] == ["dry 1.1 -> the next version", f"  + api.example.com  pin {pin('fresh')} leaf"]
        assert lines[6] == "clients may hold  1.1"
        assert lines[-1] == "no pin in common  api.example.com with 1.1: holders of these refuse a new key"
    rolled = shop("set", "rollback", "dry", "--to", "1", "--replaces", "1.1", "--dry-run")
    assert (rolled.exit_code, rolled.stdout.splitlines()[0]) == (0, "dry 1.1 -> the next version")
    assert shop.stored() == before


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_conflict_is_four_and_says_who_published_what_meanwhile(shop: "Workshop", dry: tuple[str, ...]) -> None:
    name = f"race{len(dry)}"
    shop.publish(name, "live", "spare")
    shop.publish(name, "theirs", "spare", base="1.1", reason="theirs is better")
    file = shop.write("race.json", draft("ours", "spare"))
    before = shop.stored()
    done = shop("set", "put", name, file, "--replaces", "1.1", *dry)
    lines = done.stderr.splitlines()
    told = [line for line in lines if line.startswith("note: 1.2 was published by token:")]
    assert (done.exit_code, done.stdout, len(told)) == (4, "", 1), done.output
    assert told[0].endswith(": theirs is better")
    assert f"  + api.example.com  pin {pin('theirs')} leaf" in lines
    assert f"error: pin set {name!r} is not at the expected version: expected 1.1, got 1.2." in done.stderr
    assert shop.stored() == before


def test_a_name_that_is_taken_is_a_conflict_too(shop: "Workshop") -> None:
    shop.publish("taken", "live", "spare")
    done = shop("set", "put", "taken", shop.write("t.json", draft("live", "spare")), "--create")
    assert done.exit_code == 4
    assert "note: 1.1 was published by token:" in done.stderr


PLACEHOLDER = {
    "hosts": [{"host": "api.example.com", "pins": [{"sha256": "A" * 43 + "="}], "backups": [{"sha256": pin("b")}]}]
}


def test_what_lint_refuses_is_one_with_every_finding_and_can_be_forced_with_a_reason(shop: "Workshop") -> None:
    file = shop.write("forced.json", PLACEHOLDER)
    before = shop.stored()
    for words in (("put", "--create"), ("put", "--create", "--dry-run"), ("preview",)):
        done = shop("set", words[0], "forced", file, *words[1:])
        assert done.exit_code == 1, done.output
        [finding] = [line for line in done.stderr.splitlines() if line.startswith("error: PIN014 ")]
        assert finding.endswith("(at /hosts/0/pins/0/sha256)")
    bare = shop("set", "put", "forced", file, "--create", "--force", "PIN014")
    assert (bare.exit_code, "--force needs a --reason" in bare.stderr) == (2, True)
    assert shop.stored() == before
    done = shop("set", "put", "forced", file, "--create", "--force", "PIN014", "--reason", "a drill")
    assert (done.exit_code, done.stdout) == (0, "forced 1.1 is published\n"), done.output
    assert json.loads(shop("set", "show", "forced", "--json").stdout)["forced"] == ["PIN014"]


def test_rollback_publishes_the_old_content_under_the_next_number(shop: "Workshop") -> None:
    shop.publish("back", "live", "spare")
    shop.publish("back", "next", "spare", base="1.1")
    late = shop("set", "rollback", "back", "--to", "1", "--replaces", "1.1")
    assert (late.exit_code, shop.versions("back")) == (4, ["1.2", "1.1"])
    done = shop("set", "rollback", "back", "--to", "1", "--replaces", "1.2", "--reason", "it does not work")
    assert (done.exit_code, done.stdout) == (0, "back 1.3 is published\n"), done.output
    assert shop("set", "diff", "back", "1.1", "1.3").stdout == "back 1.1 -> 1.3\n  no difference\n"
    nothing = shop("set", "rollback", "back", "--to", "9", "--replaces", "1.3")
    assert (nothing.exit_code, shop.versions("back")) == (1, ["1.3", "1.2", "1.1"])


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("show", "no-such"), 1, "there is no pin set 'no-such'"),
        (("show", "Bad/Name"), 1, "not a pin set name"),
        (("show", "../tokens"), 1, "not a pin set name"),
        (("show", "no-such", "--version", "1/../2"), 2, "not a version"),
        (("show", "no-such", "--version", "3"), 1, "no-such"),
        (("history", "no-such"), 1, "no-such"),
        (("history", "no-such", "--limit", "0"), 2, "--limit"),
        (("diff", "no-such"), 1, "there is no pin set"),
        (("diff", "no-such", "FILE"), 1, "there is no pin set"),
        (("put", "new", "FILE"), 2, "say which version FILE replaces"),
        (("put", "new", "FILE", "--create", "--replaces", "1.1"), 2, "say which version FILE replaces"),
        (("put", "new", "FILE", "--replaces", "7"), 2, "not a version such as 1.7"),
        (("put", "new", "FILE", "--replaces", "1.7"), 1, "no pin set"),
        (("put", "new", "missing.json", "--create"), 2, "cannot be read"),
        (("rollback", "new", "--to", "1"), 2, "--replaces"),
        (("rollback", "new", "--to", "0", "--replaces", "1.1"), 2, "--to"),
    ],
)
def test_misuse_and_what_is_not_there_change_nothing(
    shop: "Workshop", words: tuple[str, ...], code: int, sentence: str
) -> None:
    file = shop.write("some.json", draft("live", "spare"))
    before = shop.stored()
    done = shop("set", *(word.replace("FILE", file) for word in words))
    assert (done.exit_code, sentence in done.stderr) == (code, True), done.output
    assert shop.stored() == before


def test_a_reader_may_look_and_not_publish(shop: "Workshop", limited: Callable[..., "Workshop"]) -> None:
    shop.publish("readable", "live", "spare")
    reader = limited("reader", "readable")
    assert [reader("set", *words, "readable").exit_code for words in (["show"], ["history"], ["diff"])] == [0, 0, 0]
    before = shop.stored()
    done = reader("set", "put", "readable", shop.write("r.json", draft("x", "y")), "--replaces", "1.1")
    assert done.exit_code == 1
    assert shop.stored() == before


def test_a_server_that_is_away_is_three(shop: "Workshop") -> None:
    file = shop.write("away.json", draft("live", "spare"))
    for words in (("list",), ("show", "x"), ("put", "x", file, "--create"), ("preview", "x", file)):
        assert shop("set", *words, PINWARDEN_OPS_URL="http://127.0.0.1:1").exit_code == 3
