"""``status``, ``refresh`` and ``init``: answers, refusals, exit codes, and a folder that is a client of its own."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pinwarden import Outcome, PinMismatchError
from pinwarden.strict_json import format_time
from pinwarden.testing import pinned

HOSTS = {"api.example.com": [b"1" * 32, b"2" * 32]}


def test_refresh_prints_what_it_accepted_and_status_says_the_same_without_the_server(
    command: Any, publish: Any, authority: Any, pin_files: Any, tmp_path: Path
) -> None:
    publish(HOSTS)
    refreshed = command("refresh", "--json")
    pin_files.close()
    status = command("status", "--exit-code", "--json")
    assert (refreshed.exit_code, refreshed.stderr) == (0, "")
    assert (status.exit_code, status.stderr, status.stdout) == (0, "", refreshed.stdout)
    answer = json.loads(status.stdout)
    assert answer.pop("cache").startswith(str(tmp_path / "cache"))
    assert answer == {
        "state": "fresh",
        "authority": authority.authority,
        "name": "app",
        "root": 1,
        "epoch": 1,
        "version": 1,
        "issued": format_time(authority.now),
        "expires": format_time(authority.now + timedelta(days=30)),
        "fresh_until": format_time(authority.now + timedelta(days=3)),
        "hosts": 1,
        "rollout": [],
    }


def test_status_for_people_says_how_long_the_pins_hold(command: Any, publish: Any, authority: Any) -> None:
    publish(HOSTS)
    command("refresh")
    lines = dict(line.split(maxsplit=1) for line in command("status").stdout.splitlines() if "  " in line)
    assert lines["state"] == "fresh"
    assert lines["version"] == "1.1"
    assert lines["expires"] == f"{format_time(authority.now + timedelta(days=30))} (29 days left)"


def test_status_shows_how_far_each_host_is_on_its_way_from_report_to_enforce(command: Any, publish: Any) -> None:
    pins = (b"1" * 32, b"2" * 32)
    staged = [pinned(f"h{share}.example.com", *pins, enforce_percent=share) for share in (1, 25, 50, 75, 100)]
    publish([*staged, pinned("r.example.com", *pins, mode="report")])
    told = command("refresh", "--json")
    rollout = json.loads(told.stdout)["rollout"]
    assert [(one["host"], one["mode"], one["enforce_percent"]) for one in rollout] == [
        ("h1.example.com", "enforce", 1),
        ("h25.example.com", "enforce", 25),
        ("h50.example.com", "enforce", 50),
        ("h75.example.com", "enforce", 75),
        ("r.example.com", "report", 100),
    ]
    assert not rollout[-1]["enforced_here"]
    shown = [line.split(maxsplit=1)[1] for line in command("status").stdout.splitlines() if line.startswith("roll-out")]
    words = {True: "enforced here", False: "reported here"}
    assert shown == [
        *(f"{one['host']}: enforce {one['enforce_percent']} %, {words[one['enforced_here']]}" for one in rollout[:-1]),
        "r.example.com: report only",
    ]


def test_status_says_of_each_host_what_a_connection_would_meet(throwaway_pins: Any) -> None:
    pins = (b"1" * 32, b"2" * 32)
    hosts = [pinned(f"h{number}.example.com", *pins, enforce_percent=50) for number in range(40)]
    rollout = throwaway_pins.publish(hosts).rollout
    met = []
    for staged in rollout:
        try:
            verdict = throwaway_pins.check(staged.host, [])
        except PinMismatchError:
            met.append(True)
        else:
            met.append(verdict.outcome is not Outcome.REPORTED)
    assert [staged.enforced_here for staged in rollout] == met
    assert 0 < sum(met) < 40


def test_a_long_roll_out_is_cut_short_for_people_only(command: Any, publish: Any) -> None:
    hosts = [pinned(f"h{number}.example.com", b"1" * 32, b"2" * 32, mode="report") for number in range(12)]
    publish(hosts)
    assert len(json.loads(command("refresh", "--json").stdout)["rollout"]) == 12
    shown = [line for line in command("status").stdout.splitlines() if line.startswith("roll-out")]
    assert (len(shown), shown[-1].split(maxsplit=1)[1]) == (11, "and 2 more, which --json lists")


def test_refresh_names_the_version_that_it_replaced(command: Any, publish: Any) -> None:
    publish(HOSTS)
    command("refresh")
    publish(HOSTS)
    assert command("refresh").stderr == "note: the version before was 1.1\n"


@pytest.mark.parametrize(
    ("later", "state", "code"),
    [(timedelta(0), "empty", 3), (timedelta(days=4), "stale", 1), (timedelta(days=31), "expired", 1)],
)
def test_status_tells_scripts_that_pins_are_not_fresh_and_says_which_state_holds(
    command: Any, publish: Any, authority: Any, tmp_path: Path, later: timedelta, state: str, code: int
) -> None:
    publish(HOSTS)
    client = founded(command, tmp_path)
    if state != "empty":
        assert command(*client, "refresh").exit_code == 0
    told = command(*client, "--now", format_time(authority.now + later), "status", "--exit-code")
    assert told.exit_code == code
    assert told.stdout.splitlines()[0].split() == ["state", state]
    assert told.stderr.startswith(f"warning: {state}: ")
    assert command(*client, "--now", format_time(authority.now + later), "status").exit_code == 0


def test_status_before_its_pin_set_was_issued_tells_of_the_clock(
    command: Any, publish: Any, authority: Any, tmp_path: Path
) -> None:
    publish(HOSTS)
    client = founded(command, tmp_path)
    assert command(*client, "refresh").exit_code == 0
    early = format_time(authority.now - timedelta(days=365))
    told = command(*client, "--now", early, "status", "--exit-code")
    assert told.exit_code == 0
    assert f"warning: by this machine's clock it is {early}, before the pin set was issued" in told.stderr
    tolerated = command(*client, "--now", format_time(authority.now - timedelta(hours=23)), "status")
    assert "clock" not in tolerated.stderr


def test_an_unreachable_server_is_three_and_the_pins_stay(command: Any, publish: Any, pin_files: Any) -> None:
    publish(HOSTS)
    command("refresh")
    before = command("status", "--json").stdout
    pin_files.close()
    refused = command("refresh")
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr.startswith(f"error: {pin_files.url} cannot be asked: ")
    assert "The pins already trusted stay in force." in refused.stderr
    assert command("status", "--json").stdout == before


def test_an_unknown_pin_set_is_three_and_says_so(command: Any, pin_files: Any) -> None:
    refused = command("refresh", "--pinset", "nobody")
    assert refused.exit_code == 3
    assert f"error: {pin_files.url}/v1/bundles/nobody/1 " in refused.stderr
    assert "got 404" in refused.stderr
    assert "hint: The server does not know this pin set, or no longer this root.\n" in refused.stderr


def test_a_garbage_bundle_is_one_and_changes_nothing(command: Any, publish: Any, pin_files: Any) -> None:
    publish(HOSTS)
    command("refresh")
    before = command("status", "--json").stdout
    (pin_files.folder / "v1/bundles/app/1").write_bytes(b"garbage")
    refused = command("refresh")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: bundle is not JSON")
    assert "What was trusted before stays in force." in refused.stderr
    assert command("status", "--json").stdout == before


def test_a_cache_that_cannot_be_written_is_three_after_the_answer_was_printed(
    command: Any, publish: Any, tmp_path: Path
) -> None:
    publish(HOSTS)
    (tmp_path / "file").write_text("no folder")
    told = command("refresh", "--json", "--cache", tmp_path / "file" / "cache")
    assert told.exit_code == 3
    assert json.loads(told.stdout)["version"] == 1
    assert "error: the pin set was accepted, but could not be kept in " in told.stderr


def test_pins_in_memory_only_are_warned_about(command: Any, publish: Any) -> None:
    publish(HOSTS)
    del command.environ["PINWARDEN_CACHE"]
    told = command("refresh")
    assert told.exit_code == 0
    assert told.stderr.startswith("warning: pinwarden keeps pins in memory only")


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (
            ["PINWARDEN_URL"],
            "error: url is not set.\nhint: Set PINWARDEN_URL, or url in the file that PINWARDEN_CONFIG",
        ),
        (
            ["PINWARDEN_URL", "PINWARDEN_ROOT"],
            "error: url and root are not set.\nhint: Set PINWARDEN_URL and PINWARDEN_R",
        ),
        (["PINWARDEN_URL", "PINWARDEN_PINSET", "PINWARDEN_ROOT"], "error: url, pinset and root are not set.\n"),
    ],
)
@pytest.mark.parametrize("name", ["status", "refresh", "check", "run"])
def test_a_missing_setting_is_two_and_names_every_way_to_give_it(
    command: Any, name: str, missing: list[str], sentence: str
) -> None:
    for variable in missing:
        del command.environ[variable]
    told = command(name, *(["x"] if name in ("check", "run") else []))
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(sentence)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--root", "nowhere.json", "error: root cannot be read from 'nowhere.json': No such file or directory."),
        ("--root", ".", "error: root cannot be read from '.': Is a directory."),
        ("--config", "nowhere.toml", "error: settings file nowhere.toml cannot be read: No such file or directory."),
        ("--pinset", "UPPER", "error: pinset is not a name: expected [a-z0-9]"),
        ("--url", "ftp://x", "error: url is not the address of a pin server"),
        ("--url", "http://192.0.2.1", "error: url is plain http: expected https"),
    ],
)
def test_an_impossible_setting_is_two(command: Any, option: str, value: str, sentence: str) -> None:
    told = command("status", option, value)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(sentence)


def test_a_root_that_is_none_is_refused_with_one_because_it_may_be_an_attack(command: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_bytes((tmp_path / "root.json").read_bytes().replace(b"sig", b"gis"))
    told = command("status", "--root", bad)
    assert (told.exit_code, told.stdout) == (1, "")
    assert told.stderr.startswith("error: the root that this application embeds is unusable")


def test_a_settings_file_serves_instead_of_variables(command: Any, publish: Any, tmp_path: Path) -> None:
    publish(HOSTS)
    config = tmp_path / "pinwarden.toml"
    config.write_text(
        f'url = "{command.environ["PINWARDEN_URL"]}"\npinset = "app"\nroot = "root.json"\ncache = "kept"\n'
    )
    command.environ.clear()
    assert command("refresh", "--config", config).exit_code == 0
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".json", ".lock"}
    assert command("status", "--exit-code", PINWARDEN_CONFIG=str(config)).exit_code == 0


def founded(command: Any, tmp_path: Path) -> tuple[str, ...]:
    """Found a folder, and return the words that name it."""
    folder = str(tmp_path / "client")
    assert command("--state-dir", folder, "init", tmp_path / "root.json").exit_code == 0
    return ("--state-dir", folder)


def test_a_founded_folder_is_a_client_that_knows_nothing_else(command: Any, publish: Any, tmp_path: Path) -> None:
    publish(HOSTS)
    client = founded(command, tmp_path)
    (tmp_path / "root.json").unlink()
    command.environ = {"PINWARDEN_URL": "http://127.0.0.1:1", "PINWARDEN_NO_SUCH": "1", "PINWARDEN_UNPINNED": "refuse"}
    assert command(*client, "refresh").exit_code == 0
    assert command(*client, "status", "--exit-code").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "client").iterdir()) == ["cache", "root.json", "settings.toml"]


def test_init_may_take_everything_from_its_options(command: Any, publish: Any, tmp_path: Path, pin_files: Any) -> None:
    publish(HOSTS)
    command.environ.clear()
    client = ("--state-dir", tmp_path / "client")
    made = command(*client, "init", tmp_path / "root.json", "--url", pin_files.url, "--pinset", "app")
    assert (made.exit_code, made.stderr) == (0, "")
    assert command(*client, "refresh").exit_code == 0


def test_init_without_a_server_leaves_it_to_later_options(
    command: Any, publish: Any, tmp_path: Path, pin_files: Any
) -> None:
    publish(HOSTS)
    command.environ.clear()
    client = founded(command, tmp_path)
    assert command(*client, "refresh").exit_code == 2
    assert command(*client, "refresh", "--url", pin_files.url, "--pinset", "app").exit_code == 0


def test_init_again_is_no_change_with_the_same_root_and_refused_with_another(
    command: Any, authority: Any, tmp_path: Path
) -> None:
    client = founded(command, tmp_path)
    founded(command, tmp_path)
    authority.rotate_root()
    other = tmp_path / "other.json"
    other.write_bytes(authority.roots[1].to_bytes())
    before = {path.name: path.read_bytes() for path in (tmp_path / "client").iterdir()}
    told = command(*client, "init", other)
    assert told.exit_code == 1
    assert "exists already, with other content" in told.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "client").iterdir()} == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"garbage", "is no root: envelope is not JSON"),
        (b"{}", "is no root: envelope of the wrong type"),
    ],
)
def test_init_refuses_what_is_no_root_and_writes_nothing(
    command: Any, tmp_path: Path, content: bytes, sentence: str
) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    told = command("--state-dir", tmp_path / "client", "init", tmp_path / "bad.json")
    assert told.exit_code == 1
    assert sentence in told.stderr
    assert not (tmp_path / "client").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["init", "root.json"], "error: init needs --state-dir in front"),
        (["--now", "2026-11-24T12:00:00Z", "status"], "error: --now needs --state-dir"),
        (
            ["--state-dir", "d", "--now", "tomorrow", "status"],
            "error: Invalid value for '--now': 'tomorrow' is not a time",
        ),
        (["--state-dir", "d", "verify", "x"], "error: --state-dir goes with check, init, refresh, run, status"),
        (["--state-dir", "d", "--now", "2026-11-24T12:00:00Z", "run", "x"], "error: --now does not go with run"),
        (["--state-dir", "d", "status"], "error: folder d was not founded: expected a file settings.toml in it."),
        (["--state-dir", "d", "status", "--config", "x"], "error: --config and --state-dir exclude each other"),
        (["--state-dir", "d", "init", "nowhere.json"], "error: nowhere.json cannot be read: No such file"),
        (["--state-dir", "d", "init", "r", "--pinset", "UPPER"], "error: Invalid value: 'UPPER' is not a name"),
    ],
)
def test_a_misuse_of_the_state_folder_is_two_and_makes_no_folder(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").write_bytes((tmp_path / "root.json").read_bytes())
    told = command(*words)
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith(sentence)
    assert not (tmp_path / "d").exists()
