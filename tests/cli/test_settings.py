"""The settings of applications: one table, three sources, and nothing that is ignored in silence."""

from pathlib import Path
from typing import Any

import pytest

from pinwarden import ConfigError, PinClient
from pinwarden.client import POLL_SECONDS, Options
from pinwarden.settings import TABLE, sdk_settings
from pinwarden.settings_table import Setting, SettingsTable, absolute_path, choice, integer, number, switch, text, texts

DOCS = Path(__file__).parents[2] / "docs"
LEAST = {"PINWARDEN_URL": "https://pins.example.com", "PINWARDEN_PINSET": "app", "PINWARDEN_ROOT": "root.json"}


def test_the_least_settings_bring_the_defaults_of_the_client() -> None:
    assert sdk_settings(LEAST) == {
        "url": "https://pins.example.com",
        "pinset": "app",
        "root": Path("root.json"),
        "cache": None,
        "bootstrap": None,
        "unpinned": "allow",
        "when_empty": "refuse",
        "ca_file": None,
        "allow_http": False,
        "poll_seconds": POLL_SECONDS,
        "telemetry": True,
        "reports": True,
        "report_certificates": False,
    }


def test_every_option_of_the_client_but_its_functions_is_a_setting() -> None:
    names = {row.name for row in TABLE}
    assert set(Options.__annotations__) - {"clock", "on_event"} <= names
    assert names - set(Options.__annotations__) == {
        "url",
        "url_file",
        "pinset",
        "root",
        "cache",
        "cache_file",
        "bootstrap",
    }


def test_every_variable_reaches_the_client(tmp_path: Path) -> None:
    values = {
        "CACHE": "kept",
        "BOOTSTRAP": "bundle.json",
        "UNPINNED": "refuse",
        "WHEN_EMPTY": "platform",
        "CA_FILE": "ca.pem",
        "ALLOW_HTTP": "true",
        "POLL_SECONDS": "0.5",
        "TELEMETRY": "false",
    }
    read = sdk_settings(LEAST | {f"PINWARDEN_{name}": value for name, value in values.items()})
    assert {name: read[name.lower()] for name in values} == {
        "CACHE": Path("kept"),
        "BOOTSTRAP": Path("bundle.json"),
        "UNPINNED": "refuse",
        "WHEN_EMPTY": "platform",
        "CA_FILE": "ca.pem",
        "ALLOW_HTTP": True,
        "POLL_SECONDS": 0.5,
        "TELEMETRY": False,
    }


def test_a_client_comes_from_the_environment_alone(command: Any, publish: Any) -> None:
    publish({"api.example.com": [b"1" * 32, b"2" * 32]})
    client = PinClient.from_env({**command.environ, "PATH": "/bin", "PINWARDEN_UNPINNED": "refuse"})
    assert client.refresh().version == 1
    client.close()


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Return a function that writes a settings file and returns its path."""

    def write(content: str) -> Path:
        path = tmp_path / "conf" / "pinwarden.toml"
        path.parent.mkdir()
        path.write_text(content)
        return path

    return write


def test_the_command_line_wins_over_the_environment_which_wins_over_the_file(config: Any) -> None:
    file = config('url = "https://file"\npinset = "file"\nroot = "file"\npoll_seconds = 7\ntelemetry = false\n')
    environ = {"PINWARDEN_CONFIG": str(file), "PINWARDEN_PINSET": "environ", "PINWARDEN_ROOT": "environ"}
    read = sdk_settings(environ, given={"root": "given"})
    assert [read[name] for name in ("url", "pinset", "root", "poll_seconds", "telemetry")] == [
        "https://file",
        "environ",
        Path("given"),
        7.0,
        False,
    ]


def test_a_relative_path_counts_from_the_folder_of_the_file_that_has_it(config: Any) -> None:
    file = config('root = "root.json"\ncache = "../kept"\nbootstrap = "/b.json"\n')
    read = sdk_settings({"PINWARDEN_URL": "https://x", "PINWARDEN_PINSET": "app"}, config=file)
    assert (read["root"], read["cache"], read["bootstrap"]) == (
        file.parent / "root.json",
        file.parent / "../kept",
        Path("/b.json"),
    )


def test_the_url_of_a_cache_is_not_taken_for_a_folder(config: Any) -> None:
    file = config('cache = "rediss://cache/0"\n')
    assert sdk_settings(LEAST, config=file)["cache"] == "rediss://cache/0"


@pytest.mark.parametrize(
    ("spelt", "urls"),
    [
        ("https://a", "https://a"),
        ("https://a,https://b", ("https://a", "https://b")),
        (" https://a , https://b ", ("https://a", "https://b")),
        ("https://a,", "https://a"),
    ],
)
def test_several_servers_are_separated_by_commas_also_in_a_file_of_their_own(
    spelt: str, urls: object, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(spelt + "\n")
    least = {name: value for name, value in LEAST.items() if name != "PINWARDEN_URL"}
    assert sdk_settings({**least, "PINWARDEN_URL": spelt})["url"] == urls
    assert sdk_settings({**least, "PINWARDEN_URL_FILE": str(tmp_path / "url")})["url"] == urls


@pytest.mark.parametrize("name", ["url", "cache"])
def test_what_may_hold_a_password_may_stand_in_a_file(tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("https://user:secret@host\n")
    environ = {key: value for key, value in LEAST.items() if key != f"PINWARDEN_{name.upper()}"}
    read = sdk_settings({**environ, f"PINWARDEN_{name.upper()}_FILE": str(secret)})
    assert read[name] == "https://user:secret@host"


def test_a_nearer_source_wins_whichever_of_the_two_names_it_uses(tmp_path: Path, config: Any) -> None:
    (tmp_path / "url").write_text("https://nearer")
    file = config('url = "https://farther"\n')
    environ = {name: value for name, value in LEAST.items() if name != "PINWARDEN_URL"}
    assert (
        sdk_settings({**environ, "PINWARDEN_URL_FILE": str(tmp_path / "url")}, config=file)["url"] == "https://nearer"
    )
    file.write_text('url_file = "missing"\n')
    assert sdk_settings(LEAST, config=file)["url"] == LEAST["PINWARDEN_URL"]


REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "misspelt": ({"PINWARDEN_PINSETT": "x"}, "unknown setting 'PINWARDEN_PINSETT'. Did you mean PINWARDEN_PINSET?"),
    "lower case": ({"PINWARDEN_url": "x"}, "unknown setting 'PINWARDEN_url'. Did you mean PINWARDEN_URL?"),
    "unlike any": ({"PINWARDEN_QQQQ": "x"}, "`pinwarden run --help` lists all of them."),
    "both twins": ({"PINWARDEN_URL_FILE": "x"}, "url and url_file are both set by the environment: expected one"),
    "a file that is missing": (
        {"PINWARDEN_CACHE_FILE": "/no/file"},
        "cache_file /no/file cannot be read: No such file",
    ),
    "a choice": (
        {"PINWARDEN_UNPINNED": "maybe"},
        "from the environment, has an impossible value: expected allow or ref",
    ),
    "a switch": ({"PINWARDEN_ALLOW_HTTP": "1"}, "setting allow_http, from the environment, has an impossible value"),
    "a number": ({"PINWARDEN_POLL_SECONDS": "1e3"}, "expected a number from 0.1 to 86400, got '1e3'."),
    "too small a number": ({"PINWARDEN_POLL_SECONDS": "0"}, "expected a number from 0.1 to 86400, got '0'."),
    "empty": (
        {"PINWARDEN_PINSET": ""},
        "setting pinset, from the environment, has an impossible value: expected a text",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unknown_or_impossible_variable_is_refused_by_name(case: str) -> None:
    environ, sentence = REFUSED[case]
    with pytest.raises(ConfigError) as refused:
        sdk_settings({**LEAST, **environ})
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no toml", "is not TOML: "),
        ('nope = "x"', "has an unknown setting 'nope'. `pinwarden run --help` lists all of them."),
        ('PINSET = "x"', "has an unknown setting 'PINSET'. Did you mean pinset?"),
        ("pinset = 5", "pinwarden.toml, has an impossible value: expected a text that is not empty, got 5."),
        ("poll_seconds = true", "expected a number from 0.1 to 86400, got True."),
        ("[url]\nx = 1", "has an impossible value: expected a text that is not empty, got a value that may be secret."),
    ],
)
def test_an_unknown_or_impossible_line_is_refused_with_its_file(config: Any, content: str, sentence: str) -> None:
    file = config(content)
    environ = {} if "url" in content else {"PINWARDEN_URL": "https://x"}
    with pytest.raises(ConfigError) as refused:
        sdk_settings(environ, config=file)
    assert sentence in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "PINWARDEN_SERVER_BIND",
        "PINWARDEN_KEYS_ANY",
        "PINWARDEN_FAILPOINT",
        "PINWARDEN_SERVICE_HOST",
        "PINWARDEN_SERVICE_PORT",
        "PINWARDEN_SERVICE_PORT_HTTP",
        "PINWARDEN_PORT",
        "PINWARDEN_PORT_8750_TCP",
        "PINWARDEN_PORT_8750_TCP_ADDR",
        "PINWARDEN_CANARY_SERVICE_HOST",
        "PINWARDEN_CANARY_PORT_443_TCP_PROTO",
    ],
)
def test_what_belongs_to_others_is_left_to_them(name: str) -> None:
    assert sdk_settings({**LEAST, name: "tcp://10.0.0.1:8750"}) == sdk_settings(LEAST)


def test_no_setting_could_be_taken_for_what_kubernetes_injects() -> None:
    assert [row.name for row in TABLE if row.name.endswith("_port")] == []


PARSERS: tuple[tuple[Any, tuple[tuple[object, object], ...], tuple[object, ...]], ...] = (
    (text, (("a", "a"),), ("", 5, None, b"a", ["a"])),
    (absolute_path, (("/a", Path("/a")),), ("a", "", 5)),
    (switch, ((True, True), (False, False), ("true", True), ("false", False)), ("True", "yes", "1", 1, 0, "")),
    (texts, (("a, b,", ("a", "b")), (["a"], ("a",)), ("", ()), ((), ())), (5, [1], None)),
    (integer(1, 9), ((1, 1), ("9", 9)), (0, 10, "0", "1.0", 1.0, True, "-1", "٣", "")),
    (number(0.5, 9), ((1, 1.0), ("0.5", 0.5), (9.0, 9.0)), (0, "10", "1.", ".5", True, "nan", "1e0", float("nan"))),
    (choice("a", "b"), (("a", "a"),), ("A", "", 1, None)),
)


@pytest.mark.parametrize(("parse", "good", "bad"), PARSERS)
def test_each_kind_of_value_has_few_spellings(parse: Any, good: Any, bad: Any) -> None:
    assert [parse(spelt) for spelt, _ in good] == [value for _, value in good]
    for value in bad:
        with pytest.raises(ValueError, match=r"\w"):
            parse(value)


def test_a_table_of_another_part_reads_by_its_own_prefix() -> None:
    table = SettingsTable("OTHER_", (Setting("a_path", absolute_path, "/x", "A path."),), listed_by="other --help")
    assert table.read({"OTHER_A_PATH": "/y", "PINWARDEN_URL": "x"}) == {"a_path": Path("/y")}
    assert table.read({}) == {"a_path": Path("/x")}


def test_the_settings_file_of_the_docs_is_read(config: Any) -> None:
    file = config((DOCS / "settings.md").read_text().partition("```toml\n")[2].partition("```")[0])
    read = sdk_settings({}, config=file)
    assert (read["pinset"], read["root"], read["poll_seconds"]) == ("payments", file.parent / "root.json", 120.0)


def test_the_docs_have_every_setting_as_the_table_has_it() -> None:
    lines = (DOCS / "settings.md").read_text().splitlines()
    for row in TABLE:
        default = f"`{row.default_text}`" if row.default_text else ""
        line = f"| `{TABLE.variable(row.name)}` | `{row.name}` | {default} | {row.help} |"
        assert line in lines
