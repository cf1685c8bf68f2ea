"""
Who may do what: every route with every role and every reach of its names, and every way of having no token.

Nothing moves in this module: a write that a token is allowed to try names a version that is not in force.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any

import pytest

from pinwarden_server.auth import RIGHTS, WIDE_RIGHTS, Right, Role

DRAFT = b'{"hosts": []}'


@dataclass(frozen=True)
class Route:
    """One route, the right it needs, and a request that stores nothing although it may be made."""

    method: str
    rule: str
    right: Right
    allowed: int
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        filled = self.rule.replace("<name>", "payments").replace("<version>", "1.1")
        filled = filled.replace("<session_id>", "0123456789abcdef")
        return filled.replace("<token_id>", "0123456789abcdef").replace("<change_id>", "7777")

    @property
    def is_of_a_pin_set(self) -> bool:
        return "<name>" in self.rule

    def ask(self, service: Any, token: str, **more: str) -> Any:
        return service.ask(self.method, self.path, token=token, body=self.body, **dict(self.headers), **more)


STALE = (("If_Match", '"7.7"'),)
ROUTES = [
    Route("GET", "/admin/v1/pinsets", Right.READ, 200),
    Route("GET", "/admin/v1/pinsets/<name>", Right.READ, 200),
    Route("GET", "/admin/v1/pinsets/<name>/versions", Right.READ, 200),
    Route("GET", "/admin/v1/pinsets/<name>/versions/<version>", Right.READ, 200),
    Route("PUT", "/admin/v1/pinsets/<name>", Right.PUBLISH, 412, DRAFT, STALE),
    Route("POST", "/admin/v1/pinsets/<name>/preview", Right.PREVIEW, 200, DRAFT),
    Route("POST", "/admin/v1/pinsets/<name>/rollback", Right.PUBLISH, 412, b'{"to": 1}', STALE),
    Route("POST", "/admin/v1/pinsets/<name>/renewal", Right.PUBLISH, 412, b"{}", STALE),
    Route("GET", "/admin/v1/changes", Right.READ, 200),
    Route("GET", "/admin/v1/changes/<change_id>", Right.READ, 404),
    Route("POST", "/admin/v1/changes/<change_id>/signatures", Right.SIGN, 404, b"{}"),
    Route("POST", "/admin/v1/changes/<change_id>/rejection", Right.SIGN, 404, b"{}"),
    Route("POST", "/admin/v1/changes/<change_id>/approvals", Right.APPROVE, 404, b"{}"),
    Route("POST", "/admin/v1/changes/<change_id>/review", Right.APPROVE, 404, b"{}"),
    Route("PUT", "/admin/v1/pinsets/<name>/policy", Right.POLICY, 422, b"{}"),
    Route("GET", "/admin/v1/audit/checkpoints", Right.AUDIT, 200),
    Route("GET", "/admin/v1/roots", Right.READ, 200),
    Route("GET", "/admin/v1/roots/<version>", Right.READ, 404),
    Route("POST", "/admin/v1/roots", Right.ROOTS, 422, b"{}"),
    Route("POST", "/admin/v1/roots/preview", Right.ROOTS, 422, b"{}"),
    Route("GET", "/admin/v1/audit", Right.AUDIT, 200),
    Route("GET", "/admin/v1/tokens", Right.TOKENS, 200),
    Route("POST", "/admin/v1/tokens", Right.TOKENS, 422, b"{}"),
    Route("DELETE", "/admin/v1/tokens/<token_id>", Right.TOKENS, 404),
    Route("POST", "/admin/v1/one-time-links", Right.TOKENS, 422, b"{}"),
    Route("GET", "/admin/v1/one-time-links", Right.TOKENS, 200),
    Route("DELETE", "/admin/v1/one-time-links/<link_id>", Right.TOKENS, 404),
    Route("GET", "/admin/v1/sessions", Right.TOKENS, 200),
    Route("DELETE", "/admin/v1/sessions/<session_id>", Right.TOKENS, 404),
    Route("DELETE", "/admin/v1/sessions/current", Right.READ, 404),
    Route("GET", "/metrics", Right.METRICS, 200),
    Route("GET", "/statusz", Right.METRICS, 200),
]
OPEN = {
    "/v1/audit/checkpoint",
    "/openapi.json",
    "/docs/api",
    "/docs/api.css",
    "/admin/v1/logins",
    "/livez",
    "/readyz",
    "/v1/bundles/<name>/<root>",
    "/v1/roots/<version>",
    "/v1/pinsets/<name>/timestamp",
    "/v1/pinsets/<name>/versions/<tag>",
    "/v1/history/<name>",
    "/v1/pinsets/<name>/history/<segment>",
}
# What the documentation promises, in its order: a row for each right, a letter for each role that has it.
PROMISED = {
    Right.READ: {"reader", "editor", "approver", "operator", "admin"},
    Right.PREVIEW: {"editor", "approver", "operator", "admin"},
    Right.PUBLISH: {"editor", "operator", "admin"},
    Right.SIGN: {"editor", "approver", "operator", "admin"},
    Right.APPROVE: {"approver", "operator", "admin"},
    Right.BREAK_GLASS: {"operator", "admin"},
    Right.POLICY: {"admin"},
    Right.AUDIT: {"approver", "operator", "admin"},
    Right.METRICS: {"operator", "admin"},
    Right.TOKENS: {"admin"},
    Right.ROOTS: {"admin"},
}
REACHES = {"everything": ("*",), "by pattern": ("pay*",), "by name": ("payments",), "another": ("orders", "refunds*")}
routes = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.rule}")


@pytest.fixture(scope="module")
def tokens(shared, refused):
    """A token for each role and reach; each was used before, so that its first use is recorded already."""
    made = {(role, reach): shared.token(role.value, *names) for role in Role for reach, names in REACHES.items()}
    for token in made.values():
        assert shared.ask("GET", "/admin/v1/roots", token=token).status_code == 200
    return made


def test_every_route_is_in_the_table_or_open_to_all(shared):
    served = {
        (method, rule.rule)
        for rule in shared.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule not in OPEN
    }
    assert served == {(route.method, route.rule) for route in ROUTES}


def test_the_roles_have_the_rights_that_are_promised():
    assert {right: {role.value for role in Role if right in RIGHTS[role]} for right in Right} == PROMISED


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("role", list(Role))
@routes
def test_a_route_is_open_to_the_roles_and_names_of_the_table(shared, tokens, route: Route, role: Role, reach: str):
    before = shared.stored()
    answer = route.ask(shared, tokens[role, reach])
    may = role.value in PROMISED[route.right]
    wide = route.right in WIDE_RIGHTS
    reached = reach == "everything" if wide else reach != "another" or not route.is_of_a_pin_set
    assert answer.status_code == (route.allowed if may and reached else 403), answer.text
    if answer.status_code == 403:
        document = shared.problem(answer, 403, "forbidden")
        names = ", ".join(REACHES[reach])
        assert document["got"] == (names if may else role.value)
        assert document["expected"].startswith("a name or pattern for " if may else "role ")
        assert "Nothing stored has changed." in document["detail"]
    assert shared.stored() == before


def test_lists_show_only_the_pin_sets_that_a_token_reaches(service):
    for name in ("orders", "payments", "payouts"):
        service.create(name)

    def seen(*names: str) -> list[str]:
        answer = service.ask("GET", "/admin/v1/pinsets", token=service.token("reader", *names))
        return [row["name"] for row in answer.json["pinsets"]]

    assert seen("*") == ["orders", "payments", "payouts"]
    assert seen("pay*") == ["payments", "payouts"]
    assert seen("payments", "orders") == ["orders", "payments"]
    assert seen("nothing") == []


@pytest.fixture(scope="module")
def refused(shared):
    """Values of an Authorization header that let nobody in, and why."""
    expired, revoked = (shared.ask("POST", "/admin/v1/tokens", body=body).json for body in BODIES)
    assert shared.ask("DELETE", f"/admin/v1/tokens/{revoked['id']}").status_code == 200
    good_id, good_secret = shared.admin.split("_", 2)[1:]
    basic = base64.b64encode(f"admin:{shared.admin}".encode()).decode()
    shared.clock.advance(seconds=60)
    shared.ask("GET", "/admin/v1/pinsets")  # the last use of a token is recorded once a minute: now
    return {
        "no value": "",
        "no scheme": shared.admin,
        "another scheme": f"Token {shared.admin}",
        "basic": f"Basic {basic}",
        "no token": "Bearer",
        "no secret": f"Bearer pw_{good_id}_",
        "another secret": f"Bearer pw_{good_id}_{'A' * 43}",
        "another id": f"Bearer pw_{'0' * 16}_{good_secret}",
        "one letter less": f"Bearer {shared.admin[:-1]}",
        "one letter more": f"Bearer {shared.admin}A",
        "capitals": f"Bearer {shared.admin.upper()}",
        "two tokens": f"Bearer {shared.admin} {shared.admin}",
        "a NUL": f"Bearer {shared.admin}\0",
        "expired": f"Bearer {expired['token']}",
        "revoked": f"Bearer {revoked['token']}",
    }


BODIES = [{"role": "admin", "lifetime_seconds": 60}, {"role": "admin", "lifetime_seconds": 3600}]
REASONS = ["no value", "no scheme", "another scheme", "basic", "no token", "no secret", "another secret", "another id"]
REASONS += ["one letter less", "one letter more", "capitals", "two tokens", "a NUL", "expired", "revoked"]


@pytest.mark.parametrize("reason", REASONS)
def test_without_a_valid_token_every_route_answers_alike_and_nothing_moves(shared, refused, reason: str):
    before = shared.stored()
    answers = [route.ask(shared, "", Authorization=refused[reason]) for route in ROUTES]
    assert {answer.data for answer in answers} == {answers[0].data}  # not a word about the reason, or the address
    for answer in answers:
        document = shared.problem(answer, 401, "unauthenticated")
        assert document["expected"] == "Authorization: Bearer pw_<id>_<secret>"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pinwarden"'
    assert shared.stored() == before


def test_without_an_authorization_header_the_answer_is_the_same(shared, refused):
    silent = shared.client.get("/admin/v1/pinsets")
    wrong = shared.ask("GET", "/admin/v1/pinsets", Authorization=refused["another secret"])
    assert (silent.status_code, silent.data) == (401, wrong.data)


def test_a_refused_token_is_told_before_the_request_is_judged(shared):
    answer = shared.ask("PUT", "/admin/v1/pinsets/payments?x=1", token="pw_x", body=b"{", Content_Type="text/plain")
    shared.problem(answer, 401, "unauthenticated")


def test_the_scheme_is_read_in_any_case(shared):
    assert shared.ask("GET", "/admin/v1/pinsets", Authorization=f"bEARER  {shared.admin}").status_code == 200


def test_open_routes_need_no_token_and_mind_no_wrong_one(shared, refused):
    paths = ["/livez", "/readyz", "/v1/bundles/payments/1", "/v1/roots/1", "/v1/pinsets/payments/timestamp"]
    for path in [*paths, "/v1/pinsets/payments/versions/1.1"]:
        assert shared.client.get(path).status_code == 200
        assert shared.ask("GET", path, Authorization=refused["revoked"]).status_code == 200


def test_a_token_is_shown_once_and_kept_as_a_digest_only(service):
    answer = service.ask("POST", "/admin/v1/tokens", body={"role": "editor", "names": ["pay*"], "lifetime_seconds": 60})
    token = answer.json["token"]
    assert re.fullmatch(r"pw_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", token)
    secret = token.split("_", 2)[2]
    service.ask("PUT", "/admin/v1/pinsets/payments", token=token, body=service.draft(), If_None_Match="*")
    answers = [service.ask("GET", route.path) for route in ROUTES if route.method == "GET"]
    assert all(secret not in answer.text for answer in answers)
    assert secret.encode() not in (service.installation.folder / "pinwarden.db").read_bytes()
    shown = next(row for row in service.ask("GET", "/admin/v1/tokens").json["tokens"] if row["role"] == "editor")
    assert shown == {name: value for name, value in answer.json.items() if name != "token"} | {
        "last_used_at": shown["last_used_at"]
    }


def test_a_revoked_token_ends_at_once_and_revoking_again_changes_nothing(service):
    issued = service.ask("POST", "/admin/v1/tokens", body={"role": "reader", "lifetime_seconds": 600}).json
    assert service.ask("GET", "/admin/v1/pinsets", token=issued["token"]).status_code == 200
    first = service.ask("DELETE", f"/admin/v1/tokens/{issued['id']}")
    before = service.stored()
    again = service.ask("DELETE", f"/admin/v1/tokens/{issued['id']}")
    assert (first.status_code, again.status_code, again.json) == (200, 200, first.json)
    assert service.ask("GET", "/admin/v1/pinsets", token=issued["token"]).status_code == 401
    assert service.stored() == before
