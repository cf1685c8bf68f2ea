"""The description of the HTTP API against the routes, the page, the bodies that are taken, and the answers."""

import json
import re
import sqlite3
from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import click.testing
import pytest
from jsonschema import Draft202012Validator

from pinwarden_keys.ceremony import assemble, next_root, roles_of, sign_draft, verify_root
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_server import problems
from pinwarden_server.auth import Role
from pinwarden_server.cli import server
from pinwarden_server.installation import init_development
from pinwarden_server.openapi import document
from pinwarden_server.operations import OPERATIONS
from tests.api.conftest import REACHES, House
from tests.api.description import Description
from tests.api.test_rights import MATRIX, ask
from tests.changes.conftest import Office, Town, found_town, office_of
from tests.server.http.conftest import Service, serving
from tests.server.http.test_docs import EXAMPLE_TIME, examples, parts

pytestmark = pytest.mark.xdist_group("api")
PAGE = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text("utf-8")
DOCUMENT = document()
SAME_BODY = {
    "POST /admin/v1/pinsets/{name}/preview": "PUT /admin/v1/pinsets/{name}",
    "POST /admin/v1/roots/preview": "POST /admin/v1/roots",
}
NAMED = {f"{each.method} {each.path}": each for each in OPERATIONS}


@pytest.fixture(scope="module")
def description(house: House) -> Description:
    """What the running server says of itself."""
    return Description(json.loads(house.running.fetch("/openapi.json").data))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A new server at the time of the documentation's examples."""
    folder = tmp_path_factory.mktemp("examples") / "server"
    made = init_development(folder, bind=None, label="example", now=EXAMPLE_TIME - timedelta(hours=1))
    with serving(made, now=EXAMPLE_TIME) as service:
        yield service


def judged(description: Description, service: Service, method: str, path: str, **request: Any) -> Any:
    """Ask the service, and have its answer judged."""
    answer = service.ask(method, path, **request)
    description.judge(method, path, answer.status_code, answer.headers, answer.data)
    return answer


def test_the_server_the_command_and_the_table_say_the_same(description: Description):
    printed = click.testing.CliRunner().invoke(server, ["openapi"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == DOCUMENT == description.document


def test_every_route_is_described_and_nothing_else(service: Service):
    served = {
        (method, rule.rule.replace("<", "{").replace(">", "}"))
        for rule in service.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == served


def test_the_page_tells_the_same_operations_with_the_same_rights():
    sections = re.findall(r"(?ms)^### ((?:GET|PUT|POST|DELETE) /\S+)$(.*?)(?=^##|\Z)", PAGE)
    told = {name: re.search(r"Right: (?:`([a-z]+)`|none)", text) for name, text in sections}
    rights = {name: found and (found[1] or "none") for name, found in told.items()}
    admin = {
        name: each.right.value if each.right else "none"
        for name, each in NAMED.items()
        if each.path.startswith("/admin/")
    }
    assert rights == admin
    assert set(re.findall(r"(?m)^\| `(GET /\S+)` \|", PAGE)) == NAMED.keys() - admin.keys()


def test_the_page_tells_which_operations_want_a_recent_login():
    sections = re.findall(r"(?ms)^### ((?:GET|PUT|POST|DELETE) /\S+)$(.*?)(?=^##|\Z)", PAGE)
    told = {name for name, text in sections if re.search(r"Right: `[a-z]+`; a recent login\.", text)}
    assert told == {name for name, each in NAMED.items() if each.step_up}


def test_no_heading_of_the_page_is_doubled():
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?s)```.*?```", "", PAGE))
    assert len(headings) == len(set(headings))


def test_the_page_tells_every_member_of_every_body():
    sections = dict(re.findall(r"(?ms)^### ((?:GET|PUT|POST|DELETE) /\S+)$(.*?)(?=^### |^## |\Z)", PAGE))
    for name, each in NAMED.items():
        if each.body is not None:
            members = DOCUMENT["components"]["schemas"][each.body]["properties"]
            text = sections[SAME_BODY.get(name, name)]
            assert [member for member in members if not re.search(rf"[`.\"]{member}[`\"]", text)] == [], name


def test_the_page_names_no_problem_of_an_operation_that_is_not_described():
    for name, text in re.findall(r"(?ms)^### ((?:GET|PUT|POST|DELETE) /\S+)$(.*?)(?=^### |^## |\Z)", PAGE):
        listed = re.search(r"(?ms)^Problems: (.*?)\.$", text)
        told = set(re.findall(r"`([a-z-]+)`", listed[1])) if listed else set()
        assert told - {kind.slug for kind in NAMED[name].problems} == set(), name


def test_every_operation_has_a_name_of_its_own():
    assert len({each.id for each in OPERATIONS}) == len(NAMED) == len(OPERATIONS)


def test_every_reference_leads_somewhere_and_every_schema_is_used_and_sound():
    text = json.dumps(DOCUMENT)
    for part in ("schemas", "examples"):
        assert set(re.findall(rf'"#/components/{part}/([^"]+)"', text)) == DOCUMENT["components"][part].keys()
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        assert r"\Z" not in json.dumps(schema)  # Python's alone


def test_every_problem_is_described_where_it_may_come(description: Description):
    known = {kind.slug for kind in vars(problems).values() if isinstance(kind, problems.Kind)}
    assert DOCUMENT["components"]["examples"].keys() == known - {"method-not-allowed"}  # no operation's own
    for example in DOCUMENT["components"]["examples"].values():
        description.validator({"$ref": "#/components/schemas/Problem"}).validate(example["value"])


def test_every_parameter_of_a_path_is_described_once_and_no_other():
    for name, operation in NAMED.items():
        described = DOCUMENT["paths"][operation.path][operation.method.lower()]["parameters"]
        assert [each["name"] for each in described if each["in"] == "path"] == list(operation.parameters), name
        assert all(each["required"] for each in described if each["in"] == "path")


def test_every_example_of_the_page_is_asked_and_answered_as_described(description: Description, service: Service):
    last_id = ""
    for request, _ in examples():
        first, headers, body = parts(request)
        method, _, path = first.partition(" ")
        path = path.replace("{id}", last_id)
        named = {name.replace("-", "_"): value for name, value in headers.items()}
        answer = judged(description, service, method, path, body=body, **named)
        if body is not None and answer.status_code < 300:
            assert description.accepts(method, path, body), first
        last_id = answer.json.get("id", last_id)


@pytest.mark.parametrize("operation", MATRIX)
def test_a_running_server_answers_everybody_as_described(house: House, description: Description, operation: str):
    method, _, path = operation.partition(" ")
    values = [None, *(f"Bearer {house.tokens[role.value, reach]}" for role in Role for reach in REACHES)]
    for value in values:
        answer = ask(house, operation, value)
        description.judge(method, path, answer.status, answer.headers, answer.data)


def test_published_documents_are_not_sent_again_and_the_answer_is_described(house: House, description: Description):
    for path in ("/v1/bundles/payments/1", "/v1/pinsets/payments/timestamp", "/v1/roots/1", "/v1/history/payments"):
        etag = house.running.fetch(path).headers["ETag"]
        answer = house.running.fetch(path, If_None_Match=etag)
        assert answer.status == 304
        description.judge("GET", path, answer.status, answer.headers, answer.data)


def test_the_life_of_a_change_and_of_a_root_is_answered_as_described(description: Description, tmp_path: Path):
    town = found_town(tmp_path, now=datetime.now(UTC).replace(microsecond=0))
    alice, bob, carol = town.people
    with serving(town.installation) as service:
        office = office_of(service, town)

        def told(status: int, method: str, path: str, body: Any, **headers: str) -> Any:
            answer = judged(description, office, method, path, body=body, **headers)
            assert answer.status_code == status, answer.text
            return answer

        path, key = "/admin/v1/pinsets/payments", {"Idempotency_Key": "once"}
        first = told(202, "PUT", path, office.draft(), If_None_Match="*", **key).json["id"]
        told(202, "PUT", path, office.draft(), If_None_Match="*", **key)
        told(422, "PUT", path, office.draft("other"), If_None_Match="*", **key)
        change, payload = f"/admin/v1/changes/{first}", office.payload(first)
        told(202, "POST", f"{change}/signatures", alice.signature(payload))
        told(422, "POST", f"{change}/signatures", alice.signature(payload))
        told(200, "POST", f"{change}/signatures", bob.signature(payload))
        told(409, "POST", f"{change}/signatures", carol.signature(payload))
        told(200, "GET", change, None)
        again = told(202, "POST", f"{path}/renewal", {}, If_Match='"1.1"').json["id"]
        told(200, "POST", f"/admin/v1/changes/{again}/rejection", {"reason": "too early"})
        told(409, "POST", f"/admin/v1/changes/{again}/rejection", {"reason": "twice"})
        told(202, "POST", f"{path}/rollback", {"to": 1}, If_Match='"1.1"')
        told(200, "GET", "/admin/v1/changes?state=rejected", None)
        offer = {"root": json.loads(following_root(office, town)), "reason": "yearly", "force": FORCED}
        told(200, "POST", "/admin/v1/roots/preview", offer)
        told(201, "POST", "/admin/v1/roots", offer)
        told(200, "POST", "/admin/v1/roots", offer)
        told(200, "GET", "/admin/v1/audit", None)


def test_every_way_in_and_out_is_answered_as_described(description: Description, tmp_path: Path):
    made = init_development(tmp_path / "server", bind=None, label="ways", now=datetime.now(UTC))
    with serving(made, wrong_attempts_per_minute=4) as service:

        def told(status: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
            answer = judged(description, service, method, f"/admin/v1/{path}", body=body, **headers)
            assert answer.status_code == status, answer.text
            return answer

        link = {"owner": "alice", "role": "admin", "names": ["*"], "lifetime_seconds": 600}
        assert description.accepts("POST", "/admin/v1/one-time-links", link)
        login = {"link": told(201, "POST", "one-time-links", link).json["url"].partition("#")[2]}
        assert description.accepts("POST", "/admin/v1/logins", login)
        begun = told(201, "POST", "logins", login).json
        told(401, "POST", "logins", login)
        unused = told(201, "POST", "one-time-links", link).json["id"]
        told(200, "GET", "one-time-links", None)
        told(200, "DELETE", f"one-time-links/{unused}")
        told(409, "DELETE", f"one-time-links/{login['link'].split('_')[1]}")
        told(404, "DELETE", f"one-time-links/{'0' * 16}")
        told(401, "POST", "logins", {"account": "nobody", "password": "x"})
        told(401, "POST", "logins", {"oidc_token": "x"})
        told(422, "POST", "logins", {})
        told(200, "GET", "sessions", None)
        service.clock.advance(minutes=16)
        told(401, "POST", "tokens", {}, Authorization=f"Bearer {begun['token']}")
        told(200, "DELETE", "sessions/current", Authorization=f"Bearer {begun['token']}")
        told(404, "DELETE", "sessions/current")
        told(200, "DELETE", f"sessions/{begun['id']}")
        told(404, "DELETE", f"sessions/{'0' * 16}")
        for status in (401, 401, 401, 401, 429):
            told(status, "GET", "sessions", Authorization="Bearer x")
        told(429, "POST", "logins", {"account": "nobody", "password": "x"})


def test_approvals_reviews_and_policies_are_answered_as_described(description: Description, service: Service):
    def told(status: int, method: str, path: str, body: Any, **headers: str) -> Any:
        answer = judged(description, service, method, path, body=body, **headers)
        assert answer.status_code == status, answer.text
        assert body is None or status >= 400 or description.accepts(method, path, body)
        return answer

    def owned(owner: str) -> dict[str, str]:
        body = {"role": "admin", "names": ["*"], "lifetime_seconds": 3600, "owner": owner}
        return {"Authorization": f"Bearer {told(201, 'POST', '/admin/v1/tokens', body).json['token']}"}

    anna, path = owned("anna"), "/admin/v1/pinsets/approved"
    told(201, "PUT", path, service.draft(), If_None_Match="*")
    told(200, "PUT", f"{path}/policy", {"approvals_required": 1, "replaces": 0})
    told(409, "PUT", f"{path}/policy", {"approvals_required": 1, "replaces": 0})
    lower = told(202, "PUT", f"{path}/policy", {"approvals_required": 0, "replaces": 1}).json["id"]
    later = service.draft("next", "spare", not_before="2026-06-02T12:00:00Z")
    waiting = told(202, "PUT", path, later, If_Match='"1.1"').json["id"]
    first = told(202, "PUT", path, service.draft("next", "spare"), If_Match='"1.1"').json["id"]
    for number, status in ((waiting, 202), (first, 200), (first, 409), (lower, 200)):
        payload = b64decode(told(200, "GET", f"/admin/v1/changes/{number}", None).json["payload"])
        approval, change = {"sha256": sha256(payload).hexdigest()}, f"/admin/v1/changes/{number}"
        if status != 409:
            told(422, "POST", f"{change}/approvals", approval)  # one's own
        told(status, "POST", f"{change}/approvals", approval, **anna)
    told(200, "PUT", f"{path}/policy", {"approvals_required": 1, "replaces": 0})
    glass = service.draft("stolen", "spare", break_glass=True, reason="drill")
    version = told(200, "GET", path, None).headers["ETag"]
    told(200, "PUT", path, glass, If_Match=version)
    [number] = told(200, "GET", path, None).json["open_reviews"]
    told(200, "GET", "/admin/v1/changes?state=review", None)
    told(200, "GET", "/statusz", None)
    review = {"verdict": "objected", "reason": "drill"}
    told(422, "POST", f"/admin/v1/changes/{number}/review", review)
    told(200, "POST", f"/admin/v1/changes/{number}/review", review, **anna)
    told(200, "GET", f"/admin/v1/changes/{number}", None)


FORCED = ["ROOT006", "ROOT007", "ROOT008", "ROOT009", "ROOT010", "ROOT011"]


def following_root(office: Office, town: Town) -> bytes:
    """Return the next root of the town's authority, which changes nothing but its own version and life."""
    before = office.node.site.store.reader.roots()[-1]
    previous = verify_root(before, previous=None)
    root = next_root(previous, roles_of(previous), now=office.clock(), lifetime=timedelta(days=365))
    draft = RootDraft(root.encode(), before, {})
    return assemble(draft, [sign_draft(draft, town.root_signer)]).to_bytes()


REFUSED = [
    ("GET", "/admin/v1/pinsets?x=1", 400, None, {}),
    ("GET", "/admin/v1/audit?limit=501", 400, None, {}),
    ("GET", "/admin/v1/changes?state=lost", 400, None, {}),
    ("PUT", "/admin/v1/pinsets/payments", 400, b"{", {"If_None_Match": "*"}),
    ("PUT", "/admin/v1/pinsets/payments", 400, b"{}", {"If_None_Match": "*", "If_Match": '"1.1"'}),
    ("PUT", "/admin/v1/pinsets/payments", 415, b"{}", {"If_None_Match": "*", "Content_Type": "text/plain"}),
    ("PUT", "/admin/v1/pinsets/payments", 428, b"{}", {}),
    ("PUT", "/admin/v1/pinsets/payments", 422, b"{}", {"If_None_Match": "*"}),
    ("PUT", "/admin/v1/pinsets/payments", 413, b" " * (2 * 1024 * 1024 + 1), {"If_None_Match": "*"}),
    ("GET", "/admin/v1/pinsets/nothing", 404, None, {}),
    ("GET", "/admin/v1/pinsets/nothing/versions", 404, None, {}),
    ("GET", "/admin/v1/roots/77", 404, None, {}),
    ("POST", "/admin/v1/tokens", 422, b"{}", {"Idempotency_Key": "a b"}),
    ("DELETE", "/admin/v1/tokens/0000000000000000", 422, None, {"Idempotency_Key": "a b"}),
    ("GET", "/v1/bundles/nothing/1", 404, None, {}),
    ("GET", "/v1/history/nothing", 404, None, {}),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: " ".join(map(str, [*refused[:3], *refused[4]])))
def test_a_refusal_is_described(description: Description, service: Service, refused: tuple[Any, ...]):
    method, path, status, body, headers = refused
    assert judged(description, service, method, path, body=body, **headers).status_code == status


def test_that_no_checkpoint_was_signed_yet_is_described(description: Description, tmp_path: Path):
    made = init_development(tmp_path / "server", bind=None, label="early", now=datetime.now(UTC))
    # What a server has that was made before there were checkpoints, until its renewer signs the first.
    with closing(sqlite3.connect(made.folder / "pinwarden.db")) as connection, connection:
        connection.execute("DELETE FROM checkpoints")
    (made.settings().tree_dir / "v1" / "audit" / "checkpoint").unlink()
    with serving(made) as service:
        answer = judged(description, service, "GET", "/v1/audit/checkpoint")
        service.problem(answer, 404, "not-found")


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("an unknown member", {"surprise": 1}),
    ("a number for a text", {"reason": 7}),
    ("a text with a NUL", {"reason": "a\0"}),
    ("a text that is too long", {"reason": "a" * 1001}),
    ("a life of nothing", {"lifetime_seconds": 0}),
    ("a code that is none", {"force": ["PIN1"]}),
    ("hosts that are none", {"hosts": None}),
    ("a host without pins", {"hosts": [{"host": "api.example.com", "backups": []}]}),
    ("a word that is none", {"on_stale": "hope"}),
    ("a pin that is none", {"deny": ["AAAA"]}),
    ("a pin that is not canonical", {"deny": ["A" * 42 + "B="]}),
    ("a report address without TLS", {"report_to": "http://reports.example.com"}),
]


@pytest.mark.parametrize(("wrong", "members"), WRONG, ids=[wrong for wrong, _ in WRONG])
def test_what_the_schema_of_a_draft_refuses_the_server_refuses(
    description: Description, service: Service, wrong: str, members: dict[str, Any]
):
    path, right = "/admin/v1/pinsets/payments/preview", Service.draft()
    assert description.accepts("POST", path, right)
    assert judged(description, service, "POST", path, body=right).status_code == 200
    assert not description.accepts("POST", path, {**right, **members}), wrong
    assert judged(description, service, "POST", path, body={**right, **members}).status_code == 422
