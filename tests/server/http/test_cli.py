"""``pinwarden server`` from a shell: exit codes, what stands on which stream, and what a refusal leaves behind."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.strict_json import encode_base64
from pinwarden_keys import LIGHT_KDF, found_authority, read_key_file, write_key_file, write_passphrase_file
from pinwarden_keys.cli_root import root
from pinwarden_server.cli import server
from pinwarden_server.installation import Installation
from pinwarden_server.settings import TABLE

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run(words: tuple[str, ...], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a command in this process, with no settings but *environment*; what is not a refusal is raised."""
    alien = {name: None for name in os.environ if name.startswith("PINWARDEN")}
    result = CliRunner(env=alien | environment).invoke(server, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def shell() -> Run:
    """Run ``pinwarden server`` without any settings but those that are given."""
    return lambda *words, **environment: run(words, environment)


@pytest.fixture
def command_line(installation) -> Run:
    """Run ``pinwarden server`` with the settings of the test's installation, and those that are given."""
    return lambda *words, **more: run(words, {"PINWARDEN_SERVER_CONFIG": str(installation.config), **more})


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def query(folder: Path, text: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "pinwarden.db")) as connection:
        found = connection.execute(text).fetchall()
        connection.commit()
    return found


def refused(done: "subprocess.CompletedProcess[str]", code: int, error: str, hint: str = "") -> None:
    """Check a refusal: its code, one ``error:`` line, a ``hint:`` line where one is due, and no traceback."""
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert lines[0].startswith(f"error: {error}"), done.stderr
    assert "Traceback" not in done.stderr
    if hint:
        assert any(line.startswith("hint: ") and hint in line for line in lines), done.stderr


def test_a_production_server_is_made_in_two_steps_and_holds_no_root_key(shell: Run, tmp_path: Path):
    folder = tmp_path / "server"
    first = shell("init", str(folder), "--bind", "127.0.0.1:0")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[:2] == [
        f"settings     {folder}/server.toml",
        f"admin token  {folder}/admin.token",
    ]
    plan = first.stdout.partition("[keys]\n")[2]
    assert [line.split(" = ")[0] for line in plan.splitlines()] == ["timestamp", "pinset"]
    assert "--root root.json" in first.stderr
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    private = ("server.toml", "passphrase", "timestamp.key", "pinset.key", "admin.token", "pinwarden.db")
    assert {name: modes[name] for name in private} == dict.fromkeys(private, 0o600)
    assert "root.key" not in modes
    before = {name: body for name, body in content(folder).items() if "pinwarden.db" not in name}
    again = shell("init", str(folder))
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert {name: body for name, body in content(folder).items() if "pinwarden.db" not in name} == before


def stranger(tmp_path: Path) -> Path:
    """Return the root.json of another authority."""
    file = tmp_path / "root.json"
    file.write_bytes(found_authority("other", now=datetime.now(UTC), entropy=os.urandom).root_json)
    return file


PLAN = """
label = "acme"
{keys}
[root]
keys = ["alice", "bob", "carol"]
threshold = 2
[timestamp]
keys = ["timestamp"]
threshold = 1
epoch = 1
max_lifetime_seconds = 604800
[[pinset]]
names = ["pay*"]
keys = ["pinset"]
threshold = 1
epoch = 1
max_lifetime_seconds = 7776000
"""


def test_a_production_server_publishes_under_the_root_of_its_ceremony(shell: Run, serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = shell("init", str(tmp_path / "server")).stdout.partition("[keys]\n")[2]
    write_passphrase_file("pass", b"of everyone")
    for name in ("alice", "bob", "carol"):
        write_key_file(Path(f"{name}.key"), os.urandom(32), b"of everyone", label=name, kdf=LIGHT_KDF)
        keys += f'{name} = "{encode_base64(read_key_file(Path(f"{name}.key")).public)}"\n'
    Path("plan.toml").write_text(PLAN.format(keys=f"[keys]\n{keys}"))
    for words, typed in (
        (["draft", "--plan", "plan.toml"], None),
        (["sign", "root.1.draft", "--key", "alice.key", "--passphrase-file", "pass", "--out", "a.sig"], "1\n"),
        (["sign", "root.1.draft", "--key", "carol.key", "--passphrase-file", "pass", "--out", "c.sig"], "1\n"),
        (["assemble", "root.1.draft", "a.sig", "c.sig"], None),
    ):
        held = CliRunner().invoke(root, words, input=typed)
        assert held.exit_code == 0, held.output
    founded = shell("init", str(tmp_path / "server"), "--root", "root.1.json")
    assert founded.returncode == 0, founded.stderr
    made = Installation(tmp_path / "server")
    assert made.root_json.read_bytes() == Path("root.1.json").read_bytes()
    elsewhere = made.passphrase.rename(tmp_path / "elsewhere")
    service = serve(made, passphrase_file=elsewhere)
    service.create()
    state = trust.begin(made.root_json.read_bytes(), name="payments")
    bundle = Bundle.parse(service.client.get("/v1/bundles/payments/1").data)
    assert trust.advance_bundle(state, bundle, now=service.clock()).pinset.version == 1
    other = service.ask("PUT", "/admin/v1/pinsets/orders", body=service.draft(), If_None_Match="*")
    document = service.problem(other, 409, "conflict")
    assert document["detail"].endswith("Choose another name, or let a new root grant this one.")


def test_a_server_is_founded_once(shell: Run, installation, tmp_path: Path):
    before = content(installation.folder / "published")
    same = shell("init", str(installation.folder), "--root", str(installation.root_json))
    assert same.returncode == 0
    refused(
        shell("init", str(installation.folder), "--root", str(stranger(tmp_path))),
        4,
        "this server serves another authority already",
        "Each authority has a database of its own",
    )
    assert content(installation.folder / "published") == before
    assert query(installation.folder, "SELECT count(*) FROM roots") == [(1,)]


def test_a_throw_away_authority_says_what_it_is(shell: Run, tmp_path: Path):
    done = shell("init", str(tmp_path / "server"), "--dev", "--label", "mine")
    assert done.returncode == 0
    assert "InsecureForProductionWarning: the root key lies on this machine" in done.stderr
    assert (tmp_path / "server/keys/root.key").exists()
    assert query(tmp_path / "server", "SELECT subject FROM audit WHERE seq = 1")[0][0].startswith("mine-")


INIT_REFUSALS = {
    "dev over an installation": (["HERE", "--dev"], 1, "HERE holds an installation already", "Choose another folder"),
    "dev with a root": (["NEW", "--dev", "--root", "x"], 2, "", ""),
    "no folder": ([], 2, "", ""),
    "a root that is missing": (["NEW", "--root", "NEW.json"], 2, "NEW.json cannot be read: No such file", ""),
    "a root that is none": (["NEW", "--root", "HERE/server.toml"], 1, "", ""),
    "another address": (["HERE", "--bind", "127.0.0.1:9"], 1, "HERE/server.toml names another address", "Change the"),
    "an open address": (["NEW", "--bind", "0.0.0.0:80"], 2, "the server would listen beyond this machine", "TLS proxy"),
    "no address": (["NEW", "--bind", "nonsense"], 2, "setting bind, from settings file ", ""),
    "a label that is none": (["NEW", "--dev", "--label", "No Good"], 1, "", ""),
    "a folder below a file": (["HERE/server.toml/x"], 2, "folder HERE/server.toml/x cannot be made", ""),
}


@pytest.mark.parametrize(("words", "code", "error", "hint"), INIT_REFUSALS.values(), ids=INIT_REFUSALS)
def test_init_refuses_what_it_cannot_do_and_leaves_an_installation_alone(
    shell: Run, installation, tmp_path: Path, words: list[str], code: int, error: str, hint: str
):
    def real(text: str) -> str:
        return text.replace("HERE", str(installation.folder)).replace("NEW", str(tmp_path / "new"))

    before = content(installation.folder)
    done = shell("init", *map(real, words))
    assert (done.returncode, done.stdout) == (code, "")
    if error:
        refused(done, code, real(error), hint)
    elif code == 2:
        assert "Usage:" in done.stderr
    assert content(installation.folder) == before


def test_a_lost_passphrase_is_not_replaced_by_a_new_one(shell: Run, installation):
    installation.passphrase.unlink()
    error = f"{installation.passphrase} is missing, and the keys beside it are sealed"
    refused(shell("init", str(installation.folder)), 1, error, "Put the passphrase back")
    assert not installation.passphrase.exists()


def test_migrating_twice_is_harmless_and_a_missing_database_is_made_private(shell: Run, tmp_path: Path):
    url = {"PINWARDEN_SERVER_DATABASE_URL": f"sqlite:///{tmp_path}/new/pinwarden.db"}
    first = shell("migrate", **url)
    dump = content(tmp_path / "new")
    again = shell("migrate", **url)
    assert (first.returncode, first.stdout) == (again.returncode, again.stdout) == (0, "0009_approvals_asked\n")
    assert {name: body for name, body in content(tmp_path / "new").items() if name.endswith(".db")} == {
        name: body for name, body in dump.items() if name.endswith(".db")
    }
    assert stat.S_IMODE((tmp_path / "new/pinwarden.db").stat().st_mode) == 0o600


def test_migrating_keeps_everything_that_was_published(service, command_line):
    service.create()
    before = service.stored()
    done = command_line("migrate")
    assert (done.returncode, done.stdout, service.stored()) == (0, "0009_approvals_asked\n", before)


def test_a_token_is_issued_without_http_used_and_ended(service, command_line, tmp_path: Path):
    file = tmp_path / "new.token"
    words = ["--role", "editor", "--name", "pay*", "--name", "orders", "--label", "by hand", "--days", "7"]
    done = command_line("token", *words, "--output", str(file))
    token_id = done.stdout.strip()
    assert done.returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert token.split("_")[1] == token_id
    assert token.split("_", 2)[2] not in done.stdout + done.stderr
    assert service.ask("GET", "/admin/v1/pinsets", token=token).status_code == 200
    service.problem(service.ask("GET", "/admin/v1/pinsets/refunds", token=token), 403, "forbidden")
    ended = command_line("revoke", token_id)
    assert (ended.returncode, ended.stdout.strip()) == (0, token_id)
    service.problem(service.ask("GET", "/admin/v1/pinsets", token=token), 401, "unauthenticated")
    actions = service.rows("SELECT actor, action, subject FROM audit ORDER BY seq DESC LIMIT 2")
    assert actions == [("system:command", "token.revoke", token_id), ("system:command", "token.issue", token_id)]


def test_a_token_that_cannot_be_written_down_opens_nothing(service, command_line):
    taken = service.installation.folder / "server.toml"
    before = taken.read_bytes()
    refused(command_line("token", "--role", "admin", "--output", str(taken)), 1, f"token file {taken} exists already")
    assert taken.read_bytes() == before
    ((revoked,),) = service.rows("SELECT revoked_at IS NOT NULL FROM tokens WHERE created_by = 'system:command'")
    assert revoked == 1


COMMAND_REFUSALS = {
    "an impossible name": (["token", "--role", "reader", "--name", "../x", "--output", "t"], 1, "the token names imp"),
    "an endless label": (["token", "--role", "reader", "--label", "x" * 201, "--output", "t"], 1, "the body does not"),
    "a role that is none": (["token", "--role", "root", "--output", "t"], 2, ""),
    "no output": (["token", "--role", "reader"], 2, ""),
    "no days": (["token", "--role", "reader", "--days", "0", "--output", "t"], 2, ""),
    "a token that never was": (["revoke", "0123456789abcdef"], 1, "no token '0123456789abcdef'"),
    "no token": (["revoke"], 2, ""),
    "a command that is none": (["backup"], 2, ""),
    "an option that is none": (["run", "--workers", "4"], 2, ""),
}


@pytest.mark.parametrize(("words", "code", "error"), COMMAND_REFUSALS.values(), ids=COMMAND_REFUSALS)
def test_a_command_refuses_what_it_cannot_do(service, command_line, tmp_path: Path, words, code: int, error: str):
    before = service.stored()
    done = command_line(*[str(tmp_path / "t") if word == "t" else word for word in words])
    if code == 2:
        assert (done.returncode, done.stdout, "Usage:" in done.stderr) == (2, "", True)
    else:
        refused(done, code, error)
    assert service.stored() == before
    assert not (tmp_path / "t").exists()


SETTINGS_REFUSALS = {
    "misspelt": ({"WORKRES": "2"}, "the environment has an unknown setting", "Did you mean PINWARDEN_SERVER_WORKERS"),
    "unlike any": ({"ZZZZZZ": "2"}, "the environment has an unknown setting", "settings --table` lists all of them"),
    "no number": (
        {"WORKERS": "two"},
        "setting workers, from the environment, has an impossible value: expected an integer from 1 to 64",
        "",
    ),
    "too many": ({"WORKERS": "65"}, "setting workers, from the environment, has an impossible value", ""),
    "relative": (
        {"DATA_DIR": "server"},
        "setting data_dir, from the environment, has an impossible value: expected an absolute path",
        "",
    ),
    "no switch": (
        {"TLS_TERMINATED_IN_FRONT": "yes"},
        "setting tls_terminated_in_front, from the environment, has an impossible value",
        "",
    ),
    "twins": (
        {"DATABASE_URL": "sqlite:////x/y", "DATABASE_URL_FILE": "/x/z"},
        "database_url and database_url_file are both set",
        "",
    ),
    "a missing file": ({"CONFIG": "/nowhere/server.toml"}, "settings file /nowhere/server.toml cannot be read", ""),
}


@pytest.mark.parametrize(("given", "error", "hint"), SETTINGS_REFUSALS.values(), ids=SETTINGS_REFUSALS)
def test_settings_that_are_not_understood_stop_every_command(shell: Run, given, error: str, hint: str):
    environment = {f"PINWARDEN_SERVER_{name}": value for name, value in given.items()}
    for words in (["run"], ["migrate"], ["settings"]):
        refused(shell(*words, **environment), 2, error, hint)


def test_settings_show_what_is_in_effect_without_the_password(shell: Run, tmp_path: Path):
    file = tmp_path / "server.toml"
    file.write_text('data_dir = "/srv/pins"\nworkers = 3\nthreads = 2\n')
    url = "postgresql://pins:hunter2@db.example.com/pins"
    given = {"PINWARDEN_SERVER_WORKERS": "5", "PINWARDEN_SERVER_DATABASE_URL": url}
    done = shell("--config", str(file), "settings", "--json", **given)
    values = json.loads(done.stdout)
    assert (values["data_dir"], values["workers"], values["threads"]) == ("/srv/pins", 5, 2)
    assert (values["tree_dir"], values["log_level"]) == ("/srv/pins/published", "info")
    assert values["database_url"] == "postgresql://pins:***@db.example.com/pins"
    plain = shell("--config", str(file), "settings", **given)
    assert "hunter2" not in done.stdout + plain.stdout
    assert 'data_dir = "/srv/pins"' in plain.stdout.splitlines()
    assert len(plain.stdout.splitlines()) == len(values) == len(list(TABLE)) - 1


def test_the_table_of_settings_is_shown_even_when_the_settings_are_wrong(shell: Run):
    done = shell("settings", "--table", PINWARDEN_SERVER_WORKRES="2")
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [
        TABLE.variable(row.name) for row in TABLE
    ]


def test_what_kubernetes_injects_is_no_setting(shell: Run):
    injected = {"PINWARDEN_SERVER_SERVICE_HOST": "10.0.0.1", "PINWARDEN_SERVER_PORT": "tcp://10.0.0.1:443"}
    assert shell("settings", **injected).returncode == 0


def test_renewing_by_hand_prints_what_was_renewed(service, command_line):
    service.create()
    assert (command_line("renew").returncode, command_line("renew").stdout) == (0, "")
    query(service.installation.folder, "UPDATE pinsets SET renew_timestamp_after = 1")
    done = command_line("renew")
    assert (done.returncode, done.stdout) == (0, "payments\n")
    assert service.rows("SELECT version, timestamp_version FROM pinsets") == [(1, 2)]
    assert service.ask("GET", "/admin/v1/pinsets/payments").json["timestamp"]["version"] == 2


def test_renewing_says_when_it_cannot(service, command_line):
    service.create()
    query(service.installation.folder, "UPDATE pinsets SET renew_timestamp_after = 1")
    done = command_line("renew", PINWARDEN_SERVER_SIGNERS="")
    refused(done, 3, "not renewed: payments", "The warnings say why")
    assert "warning: payments: too few signers for this role" in done.stderr
    assert service.rows("SELECT timestamp_version FROM pinsets") == [(1,)]
    query(service.installation.folder, "INSERT INTO leases VALUES ('renewal', 'a worker', 99999999999)")
    refused(command_line("renew"), 4, "a worker renews right now", "Nothing is to be done")


def test_a_passphrase_that_is_wrong_opens_no_key(service, command_line, tmp_path: Path):
    wrong = tmp_path / "passphrase"
    wrong.write_text("not the passphrase\n")
    wrong.chmod(0o600)
    done = command_line("renew", PINWARDEN_SERVER_PASSPHRASE_FILE=str(wrong))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "not the passphrase" not in done.stderr


def test_the_tree_is_made_again_byte_for_byte(service, command_line):
    service.create()
    published = service.installation.folder / "published/v1"
    before = content(published)
    shutil.rmtree(published)
    done = command_line("publish-tree")
    assert (done.returncode, done.stdout) == (0, f"{len(before)} files in {published.parent}\n")
    assert content(published) == before


def test_the_audit_chain_is_walked_and_a_change_is_found(service, command_line):
    service.create()
    rows = service.ask("GET", "/admin/v1/audit").json["rows"]
    good = command_line("verify-audit")
    assert (good.returncode, good.stdout) == (0, f"{len(rows)} {rows[-1]['hash']}\n")
    told = json.loads(command_line("verify-audit", "--json").stdout)
    assert (told["rows"], told["head"]) == (len(rows), rows[-1]["hash"])
    assert sorted(told) == ["checkpoints", "head", "rows", "waits_since"]
    query(service.installation.folder, "UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    refused(command_line("verify-audit"), 1, "audit row 2 was changed")


@pytest.mark.parametrize("words", [["renew"], ["publish-tree"], ["verify-audit"], ["revoke", "x"]])
def test_a_missing_database_is_an_outage_and_not_an_empty_one(service, command_line, words: list[str]):
    database = service.installation.folder / "pinwarden.db"
    away = database.with_suffix(".away")
    database.rename(away)
    refused(command_line(*words), 3, "the database cannot be used: unable to open database file")
    assert not database.exists()
    away.rename(database)


def test_a_server_without_signers_is_said_to_serve_only(start):
    keyless = start(PINWARDEN_SERVER_SIGNERS="")
    assert "warning: no signers are set: this server serves, and cannot publish or renew" in keyless.log
    assert keyless.fetch("/readyz").json()["publishing"] is False
    put = keyless.ask("PUT", "/admin/v1/pinsets/payments", body=keyless.draft(), If_None_Match="*")
    keyless.problem(put, 503, "signer-unavailable")


def test_help_needs_neither_settings_nor_a_server(shell: Run):
    for words in (["--help"], ["init", "--help"], ["token", "--help"]):
        done = shell(*words, PINWARDEN_SERVER_WORKRES="2")
        assert (done.returncode, done.stderr) == (0, "")


def test_the_exit_code_of_the_process_is_that_of_the_refusal(installation):
    program = [sys.executable, "-P", "-c", "from pinwarden_server.cli import server; server()"]
    environ = {**os.environ, "PINWARDEN_SERVER_CONFIG": str(installation.config)}
    (installation.folder / "pinwarden.db").unlink()
    done = subprocess.run([*program, "verify-audit"], capture_output=True, text=True, env=environ, timeout=60)
    refused(done, 3, "the database cannot be used")
