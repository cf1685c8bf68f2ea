"""The documentation of the server against the server: nothing is missing there, and what it shows is what happens."""

import inspect
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from pinwarden_keys.cli import keys
from pinwarden_keys.cli_root import root
from pinwarden_server import problems, rules_draft, rules_held, rules_shown
from pinwarden_server.auth import RIGHTS, WIDE_RIGHTS, Right
from pinwarden_server.bodies import RequestBody
from pinwarden_server.cli import server as commands
from pinwarden_server.drafts import _BackupBody, _DraftBody, _HostBody, _PinBody
from pinwarden_server.installation import init_development
from pinwarden_server.lint_codes import CODES, NOT_YET, codes_table
from pinwarden_server.settings import TABLE

DOCS = Path(__file__).parents[3] / "docs"
API, SERVER = (DOCS / "admin-api.md").read_text(), (DOCS / "server.md").read_text()
PAYMENTS = "/admin/v1/pinsets/payments"
EXAMPLE_TIME = datetime(2026, 6, 1, 12, tzinfo=UTC)


def rows_of(text: str, head: str) -> list[list[str]]:
    """Return the cells of the table whose first line begins with *head*."""
    (start,) = [match.start() for match in re.finditer(rf"(?m)^\| {re.escape(head)} \|", text)]
    lines = text[start:].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def examples() -> list[tuple[str, str]]:
    """Return request and answer of every example, in order."""
    blocks = re.findall(r"```http\n(.*?)```", API, re.DOTALL)
    asked, answered = blocks[::2], blocks[1::2]
    assert len(blocks) % 2 == 0
    assert all(re.match(r"(GET|PUT|POST|DELETE) /", block) for block in asked)
    assert all(re.match(r"HTTP \d\d\d\n", block) for block in answered)
    return list(zip(asked, answered, strict=True))


def parts(block: str) -> tuple[str, dict[str, str], Any]:
    """Return first line, headers and body of an example."""
    head, _, body = block.partition("\n\n")
    first, *lines = head.strip().splitlines()
    return first, dict(line.split(": ", 1) for line in lines), json.loads(body) if body.strip() else None


def filled(shown: Any, real: Any) -> Any:
    """Return *shown* with each text that has an ellipsis replaced by the real text that fits it."""
    if isinstance(shown, str) and "…" in shown and isinstance(real, str):
        pattern = ".+".join(map(re.escape, shown.split("…")))
        return real if re.fullmatch(pattern, real) else shown
    if isinstance(shown, dict) and isinstance(real, dict):
        return {name: filled(value, real.get(name)) for name, value in shown.items()}
    if isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
        return [filled(one, other) for one, other in zip(shown, real, strict=True)]
    return shown


def test_every_example_gives_the_answer_that_is_shown(tmp_path, serve):
    made = init_development(tmp_path / "server", bind=None, label="example", now=EXAMPLE_TIME - timedelta(hours=1))
    service, last_id = serve(made, now=EXAMPLE_TIME), ""
    for request, answer in examples():
        first, headers, body = parts(request)
        method, _, path = first.partition(" ")
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        got = service.ask(method, path.replace("{id}", last_id), body=body, **named)
        status, shown_headers, shown = parts(answer)
        assert f"HTTP {got.status_code}" == status, got.text
        assert {name: got.headers[name] for name in shown_headers} == shown_headers
        assert filled(shown, got.json) == got.json, first
        last_id = got.json.get("id", last_id)
    assert len(examples()) > 14


def test_what_is_shown_of_a_pin_set_can_be_sent_back(service):
    service.create()
    shown = service.ask("GET", "/admin/v1/pinsets/payments")
    again = service.ask("PUT", "/admin/v1/pinsets/payments", body=shown.json["content"], If_Match=shown.headers["ETag"])
    assert again.status_code == 200
    assert service.ask("GET", "/admin/v1/pinsets/payments").json["content"] == shown.json["content"]


def test_every_route_is_documented_and_no_other(service):
    served = {
        f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
        for rule in service.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    headings = set(re.findall(r"(?m)^### ((?:GET|PUT|POST|DELETE) /\S+)$", API))
    tables = set(re.findall(r"(?m)^\| `(GET /\S+)` \|", API))
    assert headings | tables == served


def test_every_right_is_documented_with_its_roles_and_reach():
    documented = {row[0].strip("`"): (set(row[2].split(", ")), row[3]) for row in rows_of(API, "right")}
    reach = {True: "tokens for `*` only", False: "the token's names"}
    assert documented == {
        right.value: ({role.value for role, rights in RIGHTS.items() if right in rights}, reach[right in WIDE_RIGHTS])
        for right in Right
    }


def test_every_problem_is_documented_with_its_status():
    kinds = {kind.slug: str(kind.status) for kind in vars(problems).values() if isinstance(kind, problems.Kind)}
    assert {row[0].strip("`"): row[1] for row in rows_of(API, "type")} == kinds


def test_every_field_of_a_draft_is_documented_with_its_default():
    documented = {row[0].strip("`"): row[2].strip("`") for row in rows_of(API, "field")}
    names = {**fields(_DraftBody, ""), **fields(_HostBody, "hosts[].")}
    proof = fields(_BackupBody, "hosts[].backups[].").keys() - fields(_PinBody, "hosts[].backups[].").keys()
    names |= dict.fromkeys(proof, "none")
    said = {name: default for name, default in documented.items() if name in names}
    assert documented.keys() == names.keys()
    assert said == {**names, "lifetime_seconds": "pinset_lifetime_seconds"}


def fields(body: type[RequestBody], prefix: str) -> dict[str, str]:
    """Return the fields of *body* with their defaults as the documentation spells them."""
    spelt = {"": "empty", "None": "none", "[]": "none", "False": "false"}
    found = {}
    for field in msgspec.structs.fields(body):
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        text = "required" if default is msgspec.NODEFAULT else str(default)
        found[prefix + field.name] = spelt.get(text, text)
    return found


def test_every_lint_code_is_documented_as_the_table_of_codes_says():
    rooms = (rules_draft, rules_held, rules_shown)
    found = {code for room in rooms for code in re.findall(r'"(PIN\d{3})"', inspect.getsource(room))}
    assert {each.code for each in CODES} == found
    assert found.isdisjoint(NOT_YET)
    page = (DOCS / "lint.md").read_text()
    assert codes_table() in page
    assert {code: reason for code, reason in NOT_YET.items() if f"- {code}, {reason}" in page} == NOT_YET


def test_every_metric_is_documented(service):
    service.create()
    text = service.ask("GET", "/metrics").text
    served = set(re.findall(r"(?m)^# TYPE (pinwarden_\w+) ", text))
    served = {name for name in served if not name.endswith("_created")}
    assert set(re.findall(r"`(pinwarden_\w+)`", API[API.index("| metric |") :])) == served


def test_every_setting_is_documented_with_its_default_and_its_meaning():
    documented = {row[0].strip("`"): (row[1].strip("`"), row[2]) for row in rows_of(SERVER, "setting")}
    assert documented == {row.name: (spelt(row.default), row.help) for row in TABLE}


def spelt(default: object) -> str:
    """Return a default as the documentation spells it."""
    return "" if default in (None, ()) else str(default).lower() if isinstance(default, bool) else str(default)


def test_every_command_is_documented_with_its_options():
    documented = set(re.findall(r"(?m)^### `pinwarden server ([a-z-]+)", SERVER))
    assert documented == set(commands.commands)
    for name, command in commands.commands.items():
        section = re.search(rf"(?ms)^### `pinwarden server {name}\b(.*?)(?=^##|\Z)", SERVER)
        for option in (option for parameter in command.params for option in parameter.opts if option.startswith("--")):
            assert f"`{option}" in section[1], f"{name} {option}"


def test_the_files_of_an_installation_are_documented_with_their_modes(service):
    folder = service.installation.folder
    documented = {}
    for names, mode, _ in rows_of(SERVER, "file in `data_dir`"):
        documented |= dict.fromkeys(re.findall(r"`([\w./]+)`", names), mode)
    modes = {name: f"{stat.S_IMODE((folder / name).stat().st_mode):04o}" for name in documented}
    assert modes == documented
    found = {
        path.relative_to(folder).as_posix() + "/" * path.is_dir()
        for path in (*folder.iterdir(), *folder.glob("keys/*"))
    }
    passing = {"keys/", "keys/root.key", "pinwarden.db-wal", "pinwarden.db-shm"}
    assert found - passing == set(documented)


def test_hints_of_the_server_name_only_commands_and_pages_that_exist():
    context = click.Context(root)
    groups = {group.name: group.list_commands(context) for group in (commands, root, keys)}
    sources = [path.read_text() for path in (DOCS.parent / "server/pinwarden_server").rglob("*.py")]
    named = {found for text in sources for found in re.findall(r"`pinwarden (server|root|keys) ([a-z-]+)", text)}
    assert {(group, word) for group, word in named if word not in groups[group]} == set()
    pages = {found for text in sources for found in re.findall(r"docs/[a-z-]+\.md", text)}
    words = ("admin-api", "approvals", "audit", "backup", "doctor", "lint", "rights", "server", "signers", "stores")
    assert pages == {f"docs/{name}.md" for name in (*words, "signing-by-people")}
    routes = {found for text in sources for found in re.findall(r"\b(?:GET|POST|PUT) (/admin/v1/[a-z]+) ", text)}
    assert routes == {f"/admin/v1/{name}" for name in ("changes", "pinsets", "roots", "sessions", "tokens")}
    assert len(named) > 5


@pytest.mark.parametrize("page", ["admin-api.md", "backup.md", "server.md", "stores.md"])
def test_a_page_names_only_settings_commands_and_files_that_exist(page: str):
    text = (DOCS / page).read_text()
    for name in re.findall(r"`PINWARDEN_SERVER_([A-Z_]+)", text):
        assert name == "CONFIG" or name.lower() in {row.name for row in TABLE}, name
    for name in re.findall(r"pinwarden server (?:--config \S+ )?([a-z-]+)", text):
        assert name in commands.commands, name
    for path in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (DOCS / path).exists(), path
