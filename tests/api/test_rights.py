"""
The authorisation matrix of docs/rights.md against a running server: every operation, asked for by everybody.

What an entitled caller sends here stores nothing: a request that was let through is told from one that was not by its
status, and the whole matrix leaves the database as it was.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click.testing
import pytest

from pinwarden_server.auth import Role
from pinwarden_server.cli import server
from pinwarden_server.operations import OPERATIONS
from pinwarden_server.rights_page import rights_table
from tests.api.conftest import METRICS_TOKEN, NOBODY, REACHES, SCRAPER, House

PAGE = (Path(__file__).parents[2] / "docs" / "rights.md").read_text("utf-8")
ROLES = [role.value for role in Role]
pytestmark = pytest.mark.xdist_group("api")  # one server for all of them


@dataclass(frozen=True)
class Harmless:
    """A request that changes nothing even when it is let through, and what it is answered with then."""

    status: int
    body: bytes | None = None
    conditions: bool = False


HARMLESS = {
    "GET /admin/v1/pinsets": Harmless(200),
    "GET /admin/v1/pinsets/{name}": Harmless(200),
    "PUT /admin/v1/pinsets/{name}": Harmless(412, body=b'{"hosts": []}', conditions=True),
    "POST /admin/v1/pinsets/{name}/preview": Harmless(200, body=b'{"hosts": []}'),
    "GET /admin/v1/pinsets/{name}/versions": Harmless(200),
    "GET /admin/v1/pinsets/{name}/versions/{version}": Harmless(200),
    "POST /admin/v1/pinsets/{name}/rollback": Harmless(412, body=b'{"to": 1}', conditions=True),
    "POST /admin/v1/pinsets/{name}/renewal": Harmless(412, body=b"{}", conditions=True),
    "GET /admin/v1/changes": Harmless(200),
    "GET /admin/v1/changes/{change_id}": Harmless(200),
    "POST /admin/v1/changes/{change_id}/signatures": Harmless(422, body=b"{}"),
    "POST /admin/v1/changes/{change_id}/rejection": Harmless(422, body=b"{}"),
    "POST /admin/v1/changes/{change_id}/approvals": Harmless(422, body=b"{}"),
    "POST /admin/v1/changes/{change_id}/review": Harmless(422, body=b"{}"),
    "PUT /admin/v1/pinsets/{name}/policy": Harmless(422, body=b"{}"),
    "GET /admin/v1/audit": Harmless(200),
    "GET /admin/v1/audit/checkpoints": Harmless(200),
    "GET /admin/v1/roots": Harmless(200),
    "GET /admin/v1/roots/{version}": Harmless(200),
    "POST /admin/v1/roots": Harmless(422, body=b"{}"),
    "POST /admin/v1/roots/preview": Harmless(422, body=b"{}"),
    "POST /admin/v1/tokens": Harmless(422, body=b"{}"),
    "GET /admin/v1/tokens": Harmless(200),
    "DELETE /admin/v1/tokens/{token_id}": Harmless(404),
    "POST /admin/v1/one-time-links": Harmless(422, body=b"{}"),
    "GET /admin/v1/one-time-links": Harmless(200),
    "DELETE /admin/v1/one-time-links/{link_id}": Harmless(404),
    "POST /admin/v1/logins": Harmless(422, body=b"{}"),
    "DELETE /admin/v1/sessions/current": Harmless(404),  # a token is no session
    "GET /admin/v1/sessions": Harmless(200),
    "DELETE /admin/v1/sessions/{session_id}": Harmless(404),
    "GET /v1/bundles/{name}/{root}": Harmless(200),
    "GET /v1/pinsets/{name}/timestamp": Harmless(200),
    "GET /v1/pinsets/{name}/versions/{tag}": Harmless(200),
    "GET /v1/roots/{version}": Harmless(200),
    "GET /v1/audit/checkpoint": Harmless(200),
    "GET /v1/history/{name}": Harmless(200),
    "GET /v1/pinsets/{name}/history/{segment}": Harmless(404),  # there is none before a hundred versions
    "GET /openapi.json": Harmless(200),
    "GET /docs/api": Harmless(200),
    "GET /docs/api.css": Harmless(200),
    "GET /livez": Harmless(200),
    "GET /readyz": Harmless(200),
    "GET /statusz": Harmless(200),
    "GET /metrics": Harmless(200),
}
PARAMETERS = {
    "name": "payments",
    "root": "1",
    "tag": "1.1",
    "segment": "1",
    "token_id": "0" * 16,
    "session_id": "0" * 16,
    "link_id": "0" * 16,
}


def matrix() -> dict[str, dict[str, str]]:
    """Return the table of the page: for each operation its cells by the words of the first line."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


MATRIX = matrix()
operations = pytest.mark.parametrize("operation", MATRIX)


def ask(house: House, operation: str, authorization: str | None) -> Any:
    """Ask for *operation* with the value of an Authorization header, or with none."""
    method, _, path = operation.partition(" ")
    version = "1" if "/roots/" in path else "1.1"
    parameters = {**PARAMETERS, "version": version, "change_id": str(house.change_id)}
    request, url = HARMLESS[operation], house.running.url + path.format(**parameters)
    headers = {"If-Match": '"7.7"'} if request.conditions else {}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
    if authorization is not None:
        headers["Authorization"] = authorization
    return house.running.http.request(method, url, body=request.body, headers=headers)


def reaches(operation: str, names: tuple[str, ...]) -> bool:
    """Tell whether a token for *names* reaches what the matrix asks for: it is all about payments."""
    said = MATRIX[operation]["reaches"]
    if said == "tokens for `*` only":
        return names == ("*",)
    return names != REACHES["others"] or not said.startswith("names that match the pin set")


def check(house: House, operation: str, cell: str, answer: Any) -> None:
    """Check that *answer* is what *cell* says: the merits of the request, or a refusal that says which."""
    if cell == "yes":
        assert answer.status == HARMLESS[operation].status, answer.data
        return
    assert b"payments" not in answer.data or "{change_id}" not in operation
    house.running.problem(answer, int(cell), {"401": "unauthenticated", "403": "forbidden", "404": "not-found"}[cell])
    assert "Nothing stored has changed." in json.loads(answer.data)["detail"]


def test_the_page_shows_what_the_command_prints_and_the_table_of_operations_says():
    printed = click.testing.CliRunner().invoke(server, ["rights"])
    assert (printed.exit_code, printed.stdout) == (0, rights_table())
    assert rights_table() in PAGE
    assert [f"{each.method} {each.path}" for each in OPERATIONS] == list(MATRIX)
    assert MATRIX.keys() == HARMLESS.keys()


# A session that logs out is no session any more: tests/server/http/test_logins.py does that.
KINDS = [(each, kind) for each in MATRIX for kind in ("tokens", "sessions")]
KINDS.remove(("DELETE /admin/v1/sessions/current", "sessions"))


@pytest.mark.parametrize(("operation", "kind"), KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_matrix_says_within_its_names(house: House, operation: str, kind: str, role: str):
    before = house.stored()
    for reach, names in REACHES.items():
        answer = ask(house, operation, f"Bearer {getattr(house, kind)[role, reach]}")
        cell = MATRIX[operation][role]
        foreign = "404" if "{change_id}" in operation else "403"
        check(house, operation, cell if cell != "yes" or reaches(operation, names) else foreign, answer)
    assert house.stored() == before


@operations
def test_the_metrics_token_opens_what_the_matrix_says_and_nothing_else(house: House, operation: str):
    check(house, operation, MATRIX[operation][SCRAPER], ask(house, operation, f"Bearer {METRICS_TOKEN}"))


@operations
def test_whoever_has_no_valid_token_is_nobody_and_all_of_them_alike(house: House, operation: str, worthless):
    before = house.stored()
    answers = {why: ask(house, operation, value) for why, value in worthless.items()}
    for answer in answers.values():
        check(house, operation, MATRIX[operation][NOBODY], answer)
    if MATRIX[operation][NOBODY] != "yes":
        assert len({answer.data for answer in answers.values()}) == 1
    assert house.stored() == before


@pytest.mark.parametrize("role", ROLES)
def test_a_list_asked_for_a_name_that_the_token_does_not_reach_is_refused(house: House, role: str):
    answers = {
        reach: house.ask("GET", "/admin/v1/changes?name=payments", token=house.tokens[role, reach]).status
        for reach in REACHES
    }
    assert answers == {reach: 403 if reach == "others" else 200 for reach in REACHES}


@pytest.mark.parametrize("role", ROLES)
def test_a_list_shows_nothing_that_the_token_does_not_reach(house: House, role: str):
    def seen(reach: str) -> tuple[int, int]:
        token = house.tokens[role, reach]
        pinsets = json.loads(house.ask("GET", "/admin/v1/pinsets", token=token).data)["pinsets"]
        changes = json.loads(house.ask("GET", "/admin/v1/changes", token=token).data)["changes"]
        return len(pinsets), len(changes)

    assert {reach: seen(reach) for reach in REACHES} == {
        reach: (0, 0) if reach == "others" else (1, 2) for reach in REACHES
    }


def test_head_asks_for_the_rights_of_get(house: House):
    for operation, cells in MATRIX.items():
        if operation.startswith("GET ") and cells[NOBODY] != "yes":
            path = operation.removeprefix("GET ").format(**PARAMETERS, version="1", change_id=house.change_id)
            assert house.running.http.request("HEAD", house.running.url + path).status == 401


@pytest.fixture(scope="session")
def worthless(house: House) -> dict[str, str | None]:
    """Values of an Authorization header that are worth nothing, by the reason; None: no header."""
    body = {"role": "admin", "names": ["*"], "lifetime_seconds": 3600}
    revoked, expired = (
        json.loads(house.ask("POST", "/admin/v1/tokens", body={**body, "lifetime_seconds": seconds}).data)
        for seconds in (3600, 1)
    )
    assert house.ask("DELETE", f"/admin/v1/tokens/{revoked['id']}").status == 200
    house.running.wait_until(lambda: house.ask("GET", "/admin/v1/roots", token=expired["token"]).status == 401)
    admin = house.running.admin
    return {
        "no header": None,
        "empty": "",
        "another scheme": f"Basic {admin}",
        "another secret": f"Bearer {admin[:-43]}{'A' * 43}",
        "revoked": f"Bearer {revoked['token']}",
        "expired": f"Bearer {expired['token']}",
    }
