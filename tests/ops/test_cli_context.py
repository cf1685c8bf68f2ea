"""Several servers side by side: which one a command means, and what never goes to the other one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinwarden.errors import ConfigError
from pinwarden_ops.settings import ops_settings
from tests.server.http.conftest import Running

if TYPE_CHECKING:
    from conftest import Api, Shell, Workshop

NO_VARIABLES: dict[str, None] = {"PINWARDEN_OPS_URL": None, "PINWARDEN_OPS_TOKEN_FILE": None}


@pytest.fixture
def two(shop: "Workshop", api: "Api") -> "Workshop":
    """Staging is the real server and asks nothing; production is another one, and asks for its name."""
    token = shop.write("production.token", "pw_0123456789abcdef_" + "p" * 43)
    Path(token).chmod(0o600)
    staging = ("add", "staging", "--url", shop.url, "--token-file", str(shop.token_file))
    production = ("add", "production", "--url", api.url, "--token-file", token, "--ask-before-writes")
    for words in (staging, production):
        done = shop("context", *words, **NO_VARIABLES)
        assert done.exit_code == 0, done.output
    return shop


def contexts_file(shell: "Shell") -> Path:
    return shell.folder / "config/pinwarden/contexts.toml"


def test_a_context_names_server_and_token_for_every_command(two: "Workshop") -> None:
    assert two("set", "list", **NO_VARIABLES).exit_code == 2
    for words, variables in (
        (("set", "list", "--context", "staging"), {}),
        (("change", "list", "--context", "staging"), {}),
        (("token", "list"), {"PINWARDEN_OPS_CONTEXT": "staging"}),
    ):
        assert two(*words, **NO_VARIABLES, **variables).exit_code == 0
    assert two("context", "use", "staging").stdout == "context staging is in use\n"
    assert two("set", "list", **NO_VARIABLES).exit_code == 0


def test_list_and_show_print_places_and_no_token(two: "Workshop") -> None:
    two("context", "use", "production")
    listed, shown = two("context", "list"), two("context", "show")
    assert [line.split()[:2] for line in listed.stdout.splitlines()[1:]] == [["staging", two.url], ["*", "production"]]
    assert dict(line.split(None, 1) for line in shown.stdout.splitlines())["writes"] == "ask for the name"
    assert "pw_" not in listed.output + shown.output
    found = json.loads(two("context", "list", "--json").stdout)["contexts"]
    assert [(each["name"], each["current"], each["confirm"]) for each in found] == [
        ("staging", False, False),
        ("production", True, True),
    ]


def test_a_write_names_context_server_and_authority_before_it_acts(two: "Workshop") -> None:
    file = two.write("c.json", Running.draft("live", "spare"))
    done = two("set", "put", "announced", file, "--create", "--context", "staging", **NO_VARIABLES)
    authority = two.running.ask("GET", "/admin/v1/roots").json()["roots"][0]["authority"]
    first = done.stderr.splitlines()[0]
    assert (done.exit_code, first) == (0, f"note: writes to context staging, {two.url}, authority {authority}")


@pytest.mark.parametrize(
    ("options", "typed", "code"),
    [
        ((), "production\n", 0),
        (("--confirm", "production"), None, 0),
        ((), "staging\n", 1),
        ((), "\nyes\n", 1),
        ((), "", 130),
        (("--confirm", "staging"), None, 1),
    ],
)
def test_production_wants_its_name_typed_before_anything_is_sent(
    two: "Workshop", api: "Api", options: tuple[str, ...], typed: str | None, code: int
) -> None:
    api.body = json.dumps({"roots": [{"authority": "acme-0123456789abcdef"}], "revoked_at": "now"}).encode()
    words = ("token", "revoke", "0123456789abcdef", "--context", "production", *options)
    done = two(*words, typed=typed, **NO_VARIABLES)
    assert done.exit_code == code, done.output
    assert [method for method, *_ in api.requests] == (["GET", "DELETE"] if code == 0 else ["GET"])


def test_a_server_of_another_authority_than_the_own_root_is_refused_before_a_write(two: "Workshop", api: "Api") -> None:
    root = str(two.running.installation.root_json)
    own = two(
        "token",
        "create",
        str(two.folder / "x"),
        "--role",
        "reader",
        "--names",
        "*",
        "--days",
        "1",
        PINWARDEN_OPS_ROOT=root,
    )
    assert own.exit_code == 0, own.output
    api.body = json.dumps({"roots": [{"authority": "evil-0123456789abcdef"}]}).encode()
    words = ("token", "revoke", "0123456789abcdef", "--context", "production", "--confirm", "production")
    done = two(*words, **NO_VARIABLES, PINWARDEN_OPS_ROOT=root)
    assert (done.exit_code, "another authority than" in done.stderr) == (1, True)
    assert [method for method, *_ in api.requests] == ["GET"]


def test_the_token_of_a_context_never_goes_to_a_server_that_was_named_otherwise(two: "Workshop", api: "Api") -> None:
    two("context", "use", "staging")
    elsewhere = {"PINWARDEN_OPS_TOKEN_FILE": None}
    for variables, options in (
        ({"PINWARDEN_OPS_URL": api.url}, ()),
        ({"PINWARDEN_OPS_URL": None}, ("--server", api.url)),
    ):
        done = two("set", "list", *options, **elsewhere, **variables)
        assert (done.exit_code, "token_file is not set" in done.stderr) == (2, True), done.output
        both = two("set", "list", *options, "--context", "staging", **elsewhere, **variables)
        assert (both.exit_code, "are both given" in both.stderr) == (2, True), both.output
    assert api.requests == []


def test_variables_win_over_the_context_in_use(two: "Workshop", api: "Api", token_file: Path) -> None:
    two("context", "use", "staging")
    api.body = b'{"pinsets": []}'
    done = two("set", "list", PINWARDEN_OPS_URL=api.url, PINWARDEN_OPS_TOKEN_FILE=str(token_file))
    assert (done.exit_code, len(api.requests)) == (0, 1)


BAD_FILES: dict[str, tuple[str, str]] = {
    "no TOML": ("[", "is not TOML"),
    "a setting outside": ('url = "https://x.example"', "outside of any context"),
    "a token": ('[a]\ntoken = "pw_x"', "unknown setting 'token'"),
    "a context inside": ('[a]\ncontext = "b"', "unknown setting 'context'"),
    "a number": ("[a]\nurl = 1", "url has the wrong type"),
    "no switch": ('[a]\nconfirm = "yes"', "confirm has the wrong type"),
    "an odd name": ('["a b"]\n', "names a context 'a b'"),
}


@pytest.mark.parametrize("words", BAD_FILES)
def test_a_contexts_file_that_is_not_understood_whole_is_refused(shop: "Workshop", words: str) -> None:
    content, sentence = BAD_FILES[words]
    shop.write("config/pinwarden/contexts.toml", content)
    contexts_file(shop).chmod(0o600)
    done = shop("set", "list", "--context", "a", **NO_VARIABLES)
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.output


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_contexts_file_that_others_may_write_is_refused(two: "Workshop", mode: int) -> None:
    contexts_file(two).chmod(mode)
    done = two("set", "list", "--context", "staging", **NO_VARIABLES)
    assert (done.exit_code, "may be written by others" in done.stderr) == (2, True)


def test_add_keeps_what_people_wrote_and_refuses_what_cannot_work(two: "Workshop", api: "Api") -> None:
    file = contexts_file(two)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(file.read_text() + "# mine, without a line end")
    before = file.read_text()
    token = str(two.token_file)
    open_token = two.write("open.token", "pw_x")
    for words, sentence in (
        (("staging", "--url", api.url, "--token-file", token), "exists already"),
        (("a b", "--url", api.url, "--token-file", token), "not a name of a context"),
        (("third", "--url", "http://pins.example.com", "--token-file", token), "plain http"),
        (("third", "--url", api.url, "--token-file", str(two.folder / "none")), "cannot be read"),
        (("third", "--url", api.url, "--token-file", open_token), "open to others"),
    ):
        done = two("context", "add", *words)
        assert (done.exit_code, sentence in done.stderr, file.read_text()) == (2, True, before), done.output
    odd = two.write('odd "\\ ü.token', "pw_x")
    Path(odd).chmod(0o600)
    assert two("context", "add", "third", "--url", api.url, "--token-file", odd).exit_code == 0
    assert file.read_text().startswith(before)
    assert json.loads(two("context", "show", "third", "--json").stdout)["settings"] == {
        "url": api.url,
        "token_file": odd,
    }


def test_a_context_that_does_not_exist_is_named_with_those_that_do(two: "Workshop") -> None:
    for words in (("set", "list", "--context", "prod"), ("context", "use", "prod"), ("context", "show", "prod")):
        done = two(*words, **NO_VARIABLES)
        assert (done.exit_code, "expected staging, production" in done.stderr) == (2, True), done.output


def test_relative_paths_count_from_the_folder_of_the_file_and_a_tilde_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".config/pinwarden").mkdir(parents=True)
    file = tmp_path / ".config/pinwarden/contexts.toml"
    file.write_text('[a]\nurl = "https://x.example"\ntoken_file = "a.token"\nroot = "~/root.json"\nallow_http = true\n')
    file.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = ops_settings({"HOME": str(tmp_path), "PINWARDEN_OPS_CONTEXT": "a"})
    assert (found["token_file"], found["root"]) == (file.parent / "a.token", tmp_path / "root.json")
    assert (found["allow_http"], found["context"].name) == (True, "a")
    config = tmp_path / "ops.toml"
    config.write_text("")
    with pytest.raises(ConfigError, match="PINWARDEN_OPS_CONFIG are both given"):
        ops_settings({"HOME": str(tmp_path), "PINWARDEN_OPS_CONTEXT": "a", "PINWARDEN_OPS_CONFIG": str(config)})
