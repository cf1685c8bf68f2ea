"""``pinwarden set apply``: a folder of files, a real server, and other people who publish at the same time."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from pinwarden_ops import cli_set_apply
from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Workshop

pin = Running.pin


def toml(*words: str, host: str = "api.example.com", more: str = "") -> str:
    """Return a file: the first word's pin in service, the others' as backups."""
    first, *backups = words
    spare = ", ".join(f'{{sha256 = "{pin(word)}"}}' for word in backups)
    return f"""# Who holds the backup key: the operations safe.
{more}
[[hosts]]
host = "{host}"
pins = [{{sha256 = "{pin(first)}"}}]
backups = [{spare}]
"""


@pytest.fixture
def folder(shop: "Workshop", request: pytest.FixtureRequest) -> "Folder":
    return Folder(shop, f"t{crc32(request.node.name.encode())}")


class Folder:
    """Files whose pin sets have names of this test alone, and the command on them."""

    def __init__(self, shop: "Workshop", prefix: str) -> None:
        self.shop, self.prefix = shop, prefix

    def name(self, word: str) -> str:
        return f"{self.prefix}-{word}"

    def write(self, word: str, content: Any, suffix: str = ".toml") -> None:
        self.shop.write(f"pinsets/{self.name(word)}{suffix}", content)

    def apply(self, *options: str, **variables: str) -> Any:
        return self.shop("set", "apply", "-f", str(self.shop.folder / "pinsets"), *options, **variables)

    def steps(self) -> dict[str, str]:
        """Return the action for each pin set of this test, by the word of its name."""
        shown = json.loads(self.apply("--plan", "--json").stdout)["steps"]
        mine = [step for step in shown if step["name"].startswith(f"{self.prefix}-")]
        return {step["name"].removeprefix(f"{self.prefix}-"): step["action"] for step in mine}

    def versions(self, word: str) -> list[str]:
        return self.shop.versions(self.name(word))

    def publish(self, word: str, *words: str, **fields: Any) -> str:
        return self.shop.publish(self.name(word), *words, **fields)


def test_a_folder_is_applied_once_and_a_second_time_there_is_nothing_to_do(folder: Folder) -> None:
    folder.write("a", toml("live", "spare"))
    folder.write("b", Running.draft("b", "c", host="b.example.com", lifetime_seconds=864000), ".json")
    before = folder.shop.stored()
    plan = folder.apply("--plan")
    assert (plan.exit_code, folder.shop.stored()) == (0, before)
    for line, word, code in zip(plan.stderr.splitlines(), "aab", ("PIN004", "PIN017", "PIN004"), strict=True):
        assert line.startswith(f"warning: {folder.name(word)}."), plan.stderr
        assert f" {code} " in line
    assert folder.apply("--plan", "--exit-code").exit_code == 5
    done = folder.apply("--reason", "commit 3f2c1d0")
    assert done.exit_code == 0, done.output
    assert (folder.versions("a"), folder.versions("b")) == (["1.1"], ["1.1"])
    after = folder.shop.stored()
    again = folder.apply("--reason", "commit 3f2c1d0")
    assert (again.exit_code, again.stderr, folder.shop.stored()) == (0, "", after)
    assert folder.apply("--plan", "--exit-code").exit_code == 0
    assert folder.steps() == {"a": "nothing", "b": "nothing"}
    shown = json.loads(folder.shop("set", "show", folder.name("a"), "--json").stdout)
    assert shown["reason"] == "apply: commit 3f2c1d0"


def test_the_plan_names_every_kind_of_step_with_its_difference(folder: Folder) -> None:
    folder.write("same", toml("live", "spare"))
    folder.write("other", toml("live", "spare"))
    folder.write("gone", toml("live", "spare"))
    assert folder.apply().exit_code == 0
    folder.write("other", toml("next", "live", "spare", more="lifetime_seconds = 864000"))
    folder.write("fresh", toml("x", "y", host="new.example.com"))
    (folder.shop.folder / "pinsets" / f"{folder.name('gone')}.toml").unlink()
    told = folder.apply("--plan").stdout
    assert folder.steps() == {"same": "nothing", "other": "replace", "gone": "foreign", "fresh": "create"}
    lines = [line for line in told.splitlines() if folder.prefix in line]
    assert [line.split()[0] for line in lines] == ["create", "foreign", "nothing", "replace"]
    assert f"           + api.example.com  pin {pin('next')} leaf\n" in told
    assert "life 2592000 -> 864000 seconds" in told
    assert folder.apply().exit_code == 0
    assert (folder.versions("gone"), folder.versions("other")) == (["1.1"], ["1.2", "1.1"])


def test_what_takes_away_comes_after_what_only_adds(folder: Folder) -> None:
    """A host that moves to another pin set is in both for a moment, and never in none."""
    two = toml("live", "spare") + toml("m", "n", host="moved.example.com").partition("\n\n")[2]
    folder.write("a", two)
    folder.write("z", toml("live", "spare"))
    assert folder.apply().exit_code == 0
    folder.write("a", toml("live", "spare"))
    folder.write("z", two)
    done = folder.apply()
    told = [line for line in done.stderr.splitlines() if "is published" in line]
    assert told == [f"note: {folder.name(word)} 1.2 is published" for word in ("z", "a")]


def test_order_and_defaults_that_are_spelt_out_are_no_change(folder: Folder) -> None:
    folder.write("a", toml("live", "spare", "vault"))
    assert folder.apply().exit_code == 0
    spelt = toml("live", "vault", "spare", more='on_stale = "enforce"')
    folder.write("a", spelt + 'mode = "enforce"\nenforce_percent = 100\n')
    assert folder.steps() == {"a": "nothing"}


def test_what_was_published_by_hand_is_drift_and_is_overwritten_only_when_told_so(folder: Folder) -> None:
    folder.write("a", toml("live", "spare"))
    folder.write("b", toml("live", "spare"))
    assert folder.apply().exit_code == 0
    folder.publish("a", "hotfix", "spare", base="1.1", reason="it was three in the morning")
    folder.write("a", toml("next", "spare"))
    folder.write("b", toml("next", "spare"))
    before = folder.shop.stored()
    for options in ((), ("--plan",)):
        done = folder.apply(*options)
        assert (done.exit_code, folder.shop.stored()) == (4, before), done.output
        assert "1.2 was published by token:" in done.stdout
        assert "it was three in the morning" in done.stdout
        assert f"error: published by hand since files were applied last: {folder.name('a')}." in done.stderr
    assert folder.steps() == {"a": "drift", "b": "replace"}
    taken = folder.apply("--take-over", folder.name("a"))
    assert taken.exit_code == 0, taken.output
    assert (folder.versions("a")[0], folder.versions("b")[0]) == ("1.3", "1.2")


def test_a_hand_made_change_that_is_taken_into_the_file_is_no_drift(folder: Folder) -> None:
    folder.write("a", toml("live", "spare"))
    assert folder.apply().exit_code == 0
    folder.publish("a", "hotfix", "spare", base="1.1")
    folder.write("a", folder.shop("set", "show", folder.name("a"), "--draft").stdout)
    assert folder.steps() == {"a": "nothing"}


def test_a_pin_set_that_was_never_applied_from_files_is_taken_over_once(folder: Folder) -> None:
    folder.publish("a", "live", "spare")
    folder.write("a", toml("next", "spare"))
    assert (folder.steps(), folder.apply().exit_code) == ({"a": "drift"}, 4)
    assert folder.apply("--take-over", folder.name("a")).exit_code == 0
    folder.write("a", toml("third", "spare"))
    assert (folder.steps(), folder.apply().exit_code) == ({"a": "replace"}, 0)


def test_a_renewal_keeps_the_content_and_is_nobodys_drift(folder: Folder) -> None:
    folder.write("a", toml("live", "spare"))
    assert folder.apply().exit_code == 0
    path = f"/admin/v1/pinsets/{folder.name('a')}/renewal"
    assert folder.shop.running.ask("POST", path, body={"reason": "monthly"}, If_Match='"1.1"').status == 200
    folder.write("a", toml("next", "spare"))
    assert folder.steps() == {"a": "replace"}
    assert folder.apply().exit_code == 0
    assert folder.versions("a") == ["1.3", "1.2", "1.1"]


def test_one_file_that_lint_refuses_stops_all_of_them_before_the_first_write(folder: Folder) -> None:
    folder.write("a", toml("live", "spare"))
    folder.write("b", toml("live", "spare").replace(pin("live"), "A" * 43 + "="))
    before = folder.shop.stored()
    for options in ((), ("--plan",)):
        done = folder.apply(*options)
        assert (done.exit_code, folder.shop.stored()) == (1, before), done.output
        assert f"error: {folder.name('b')}.toml: PIN014 " in done.stderr
        assert "lint refuses 1 of the files. Nothing was published." in done.stderr
    forced = f"{folder.name('b')}:PIN014"
    assert folder.apply("--force", forced).exit_code == 2
    assert folder.apply("--force", forced, "--reason", "a drill").exit_code == 0
    assert (folder.versions("a"), folder.versions("b")) == (["1.1"], ["1.1"])


def test_somebody_who_publishes_between_plan_and_write_stops_it_and_it_says_how_far_it_came(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word in ("a", "b", "c"):
        folder.write(word, toml("live", "spare"))
    assert folder.apply().exit_code == 0
    for word in ("a", "b", "c"):
        folder.write(word, toml("next", "spare"))
    genuine = cli_set_apply.send

    def raced(api: Any, method: str, name: str, path: str, **request: Any) -> Any:
        if name == folder.name("b"):
            folder.publish("b", "faster", "spare", base="1.1", reason="faster than you")
        return genuine(api, method, name, path, **request)

    monkeypatch.setattr(cli_set_apply, "send", raced)
    done = folder.apply()
    assert done.exit_code == 4, done.output
    assert f"note: {folder.name('a')} 1.2 is published" in done.stderr
    assert "faster than you" in done.stderr
    left = f"{folder.name('b')}, {folder.name('c')}"
    assert f"note: 1 of 3 were done before the refusal; not done: {left}" in done.stderr
    assert [folder.versions(word) for word in ("a", "b", "c")] == [["1.2", "1.1"], ["1.2", "1.1"], ["1.1"]]
    monkeypatch.undo()
    assert folder.steps() == {"a": "nothing", "b": "drift", "c": "replace"}


# What stands in the file, and the end of the refusal.
BAD_FILES: dict[str, tuple[str, str]] = {
    "a field that nobody knows": (
        toml("a", "b", more='report_too = "https://r.example.com"'),
        ", line 2, at /report_too: unknown field: expected hosts, deny, ",
    ),
    "a field of a host that nobody knows": (
        toml("a", "b") + 'modus = "report"\n',
        ", line 7, at /hosts/0/modus: unknown field",
    ),
    "a word that no field takes": (
        toml("a", "b") + 'mode = "warn"\n',
        ", line 7, at /hosts/0/mode: is unknown: expected enforce or report, got 'warn'",
    ),
    "a host that no client understands": (toml("a", "b", host="https://x"), ", line 4, at /hosts/0/host: "),
    "no backup": (toml("a"), ", line 3, at /hosts/0: has no backup"),
    "no hosts": ('on_stale = "refuse"\n', ": lacks 'hosts'"),
    "a pin that is none": (
        toml("a", "b").replace(pin("a"), "abc"),
        ", line 5, at /hosts/0/pins/0/sha256: is not base64",
    ),
    "a pin of the wrong type": (
        toml("a", "b").replace(f'{{sha256 = "{pin("a")}"}}', '"x"'),
        ", line 5, at /hosts/0/pins/0: has the wrong type: expected object, got string",
    ),
    "a number for a text": (toml("a", "b", more="on_stale = 1"), ", line 2, at /on_stale: has the wrong type"),
    "a date": (toml("a", "b", more="report_to = 2026-01-01"), ": has a date or time"),
    "half a percent": (toml("a", "b") + "enforce_percent = 0.5\n", "has a number that is not an integer"),
    "an endless life": (
        toml("a", "b", more="lifetime_seconds = 0"),
        ", line 2, at /lifetime_seconds: is impossible: expected an integer from 1",
    ),
    "a reason": (
        toml("a", "b", more='reason = "x"'),
        ", line 2, at /reason: does not belong into a file that is applied again and again",
    ),
    "a force": (toml("a", "b", more='force = ["PIN014"]'), "Give --force to the command."),
    "no TOML": ("hosts = [\n", " is not TOML: "),
    "a table twice": ("[x]\n[x]\n", " is not TOML: "),
}


@pytest.mark.parametrize("words", BAD_FILES)
def test_a_bad_file_is_named_with_line_and_place_and_nothing_is_asked(folder: Folder, words: str) -> None:
    content, sentence = BAD_FILES[words]
    folder.write("a", toml("live", "spare"))
    folder.write("bad", content)
    done = folder.apply(PINWARDEN_OPS_URL="http://127.0.0.1:1")
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert f"{folder.name('bad')}.toml" in done.stderr
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", '{"hosts": [], "hosts": []}', "names the field 'hosts' twice"),
        ("a.json", "[]", "is not a JSON object"),
        ("a.yaml", "hosts: []", "is neither TOML nor JSON"),
        ("README.md", "# pins", "is neither TOML nor JSON"),
        ("Bad_Näme.toml", toml("a", "b"), "not a pin set name"),
    ],
)
def test_files_of_other_kinds_are_refused(shop: "Workshop", name: str, content: str, sentence: str) -> None:
    shop.write(f"pinsets/{name}", content)
    done = shop("set", "apply", "-f", str(shop.folder / "pinsets"))
    assert (done.exit_code, sentence in done.stderr) == (1, True), done.output


def test_every_bad_file_is_told_at_once(shop: "Workshop") -> None:
    for name in ("a", "b"):
        shop.write(f"pinsets/{name}.toml", "hosts = 1")
    done = shop("set", "apply", "-f", str(shop.folder / "pinsets"))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.exit_code, len(errors)) == (1, 2)


def test_two_files_for_one_pin_set_and_an_empty_folder_are_refused(shop: "Workshop") -> None:
    (shop.folder / "pinsets").mkdir()
    empty = shop("set", "apply", "-f", str(shop.folder / "pinsets"))
    assert (empty.exit_code, "An empty folder deletes nothing." in empty.stderr) == (1, True)
    shop.write("pinsets/a.toml", toml("a", "b"))
    shop.write("pinsets/a.json", Running.draft("a", "b"))
    twice = shop("set", "apply", "-f", str(shop.folder / "pinsets"))
    assert (twice.exit_code, "both mean pin set 'a'" in twice.stderr) == (1, True)
    assert shop("set", "apply", "-f", str(shop.folder / "nowhere")).exit_code == 2


def test_hidden_files_and_folders_are_passed_over(folder: Folder) -> None:
    folder.write("a", toml("live", "spare"))
    folder.shop.write("pinsets/.swap.toml", "rubbish")
    folder.shop.write("pinsets/attic/old.toml", "rubbish")
    assert folder.apply().exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--exit-code",),
        ("--force", "PIN014", "--reason", "x"),
        ("--reason", "x" * 901),
        ("--take-over", "typo"),
        ("--force", "typo:PIN008", "--reason", "x"),
    ],
)
def test_misuse_is_two(folder: Folder, options: tuple[str, ...]) -> None:
    folder.write("a", toml("live", "spare"))
    assert (folder.apply(*options).exit_code, folder.versions("a")) == (2, [])


def test_the_line_is_left_out_where_it_is_not_certain(shop: "Workshop") -> None:
    inline = f'hosts = [{{host = "a.example.com", pins = [], backups = [{{sha256 = "{pin("b")}"}}]}}]'
    file = shop.write("pinsets/a.toml", inline)
    done = shop("set", "apply", "-f", str(Path(file).parent))
    assert f"error: {file}, at /hosts/0: has no pin (step V8)." in done.stderr
