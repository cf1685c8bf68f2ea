"""
Requests that name the wrong thing: another version, query, method, address or name. Each is told, and nothing moves.

The service is shared: each test compares all tables and all public files before and after.
"""

import pytest

PAYMENTS = "/admin/v1/pinsets/payments"
TOKENS = "/admin/v1/tokens"
NOTHING = "Nothing stored has changed."


QUOTED = '"<epoch>.<version>", quoted, as in the ETag of GET'
CONDITIONS = {
    "none": ({}, 428, "precondition-required", 'If-Match: "<epoch>.<version>", or If-None-Match: * to create it'),
    "weak": ({"If_Match": 'W/"1.1"'}, 400, "bad-request", QUOTED),
    "two": ({"If_Match": '"1.1", "1.2"'}, 400, "bad-request", QUOTED),
    "bare": ({"If_Match": "1.1"}, 400, "bad-request", QUOTED),
    "any": ({"If_Match": "*"}, 400, "bad-request", QUOTED),
    "a leading zero": (
        {"If_Match": '"1.01"'},
        400,
        "bad-request",
        QUOTED,
    ),
    "other digits": ({"If_Match": '"1.١"'}, 400, "bad-request", QUOTED),
    "an older version": ({"If_Match": '"1.9"'}, 412, "stale-version", "1.9"),
    "another epoch": ({"If_Match": '"2.1"'}, 412, "stale-version", "2.1"),
    "creation of what exists": ({"If_None_Match": "*"}, 412, "stale-version", "no pin set of that name"),
    "creation unless a version": ({"If_None_Match": '"1.1"'}, 400, "bad-request", "*, which creates"),
    "both": ({"If_Match": '"1.1"', "If_None_Match": "*"}, 400, "bad-request", "one of the two"),
}


@pytest.mark.parametrize(("headers", "status", "slug", "expected"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_change_must_name_the_version_that_it_replaces(
    shared, refused, headers: dict[str, str], status: int, slug: str, expected: str
):
    document = refused("PUT", PAYMENTS, status, slug, body=shared.draft(), **headers)
    assert document["expected"] == expected
    assert document["got"]
    assert NOTHING in document["detail"]
    if status == 412:
        assert (document["got"], document["current"]) == ("1.1", "1.1")


def test_a_stale_answer_carries_the_version_to_look_at(shared):
    answer = shared.ask("PUT", PAYMENTS, body=shared.draft(), If_Match='"1.7"')
    assert (answer.status_code, answer.headers["ETag"]) == (412, '"1.1"')
    missing = shared.ask("PUT", "/admin/v1/pinsets/orders", body=shared.draft(), If_Match='"1.1"')
    assert shared.problem(missing, 404, "not-found")["detail"].startswith("no pin set 'orders'")


QUERIES = {
    "unknown": ("/admin/v1/pinsets?limit=1", "no query", "limit"),
    "misspelt": (f"{PAYMENTS}/versions?limt=1", "limit, before", "limt"),
    "repeated": (f"{PAYMENTS}/versions?limit=1&limit=2", "limit, before", "limit"),
    "a fraction": ("/admin/v1/audit?limit=1.5", "an integer from 1 to 500", "1.5"),
    "none": ("/admin/v1/audit?limit=0", "an integer from 1 to 500", "0"),
    "empty": ("/admin/v1/audit?limit=", "an integer from 1 to 500", ""),
    "too many": ("/admin/v1/audit?limit=501", "an integer from 1 to 500", "501"),
    "beyond 2^53": (
        "/admin/v1/audit?after=9007199254740992",
        "an integer from 0 to 9007199254740991",
        "9007199254740992",
    ),
    "negative": ("/admin/v1/audit?after=-1", "an integer from 0 to 9007199254740991", "-1"),
    "other digits": ("/admin/v1/audit?after=%D9%A1", "an integer from 0 to 9007199254740991", "\u0661"),
    "no UTF-8": ("/admin/v1/audit?after=%FF", "an integer from 0 to 9007199254740991", "%FF"),
    "SQL": ("/admin/v1/audit?after=1;drop", "an integer from 0 to 9007199254740991", "1;drop"),
    "a token in the address": ("/admin/v1/roots?token=pw_x", "no query", "token"),
}


@pytest.mark.parametrize(("path", "expected", "got"), QUERIES.values(), ids=QUERIES)
def test_a_query_that_is_not_understood_is_refused_rather_than_ignored(refused, path: str, expected: str, got: str):
    document = refused("GET", path, 400, "bad-request")
    assert (document["expected"], document["got"]) == (expected, got)


METHODS = [
    ("POST", "/admin/v1/pinsets", "GET, HEAD"),
    ("DELETE", PAYMENTS, "GET, HEAD, PUT"),
    ("PATCH", PAYMENTS, "GET, HEAD, PUT"),
    ("OPTIONS", PAYMENTS, "GET, HEAD, PUT"),
    ("TRACE", PAYMENTS, "GET, HEAD, PUT"),
    ("BREW", PAYMENTS, "GET, HEAD, PUT"),
    ("GET", f"{PAYMENTS}/preview", "POST"),
    ("GET", f"{PAYMENTS}/rollback", "POST"),
    ("PUT", f"{PAYMENTS}/versions/1", "GET, HEAD"),
    ("DELETE", "/admin/v1/audit", "GET, HEAD"),
    ("PUT", "/admin/v1/roots", "GET, HEAD, POST"),
    ("DELETE", "/admin/v1/roots/1", "GET, HEAD"),
    ("GET", "/admin/v1/roots/preview", "POST"),
    ("GET", "/admin/v1/roots/previe%77", "POST"),
    ("DELETE", "/admin/v1/roots/preview", "POST"),
    ("GET", "/admin/v1/sessions/current", "DELETE"),
    ("PUT", TOKENS, "GET, HEAD, POST"),
    ("GET", f"{TOKENS}/0123456789abcdef", "DELETE"),
    ("POST", "/v1/bundles/payments/1", "GET, HEAD"),
    ("PUT", "/v1/roots/1", "GET, HEAD"),
    ("DELETE", "/v1/pinsets/payments/timestamp", "GET, HEAD"),
    ("PATCH", "/v1/pinsets/payments/versions/1.1", "GET, HEAD"),
    ("POST", "/livez", "GET, HEAD"),
    ("POST", "/metrics", "GET, HEAD"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS, ids=" ".join)
def test_a_method_that_the_address_does_not_take_is_named_with_those_it_takes(
    shared, method: str, path: str, allowed: str
):
    before = shared.stored()
    answer = shared.ask(method, path)
    document = shared.problem(answer, 405, "method-not-allowed")
    assert sorted(answer.headers["Allow"].split(", ")) == allowed.split(", ")
    assert (sorted(document["expected"].split(", ")), document["got"]) == (allowed.split(", "), method)
    assert shared.stored() == before


def test_an_address_that_is_spelt_out_is_never_taken_for_the_parameter_of_another(shared):
    taken: dict[str, set[str]] = {}
    for rule in shared.app.url_map.iter_rules():
        if not rule.arguments:
            taken.setdefault(rule.rule, set()).update(rule.methods)
    before = shared.stored()
    allowed = {
        path: {
            frozenset(shared.ask(method, path).headers["Allow"].split(", "))
            for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - methods
        }
        for path, methods in taken.items()
    }
    assert allowed == {path: {frozenset(methods)} for path, methods in taken.items()}
    assert shared.stored() == before


def test_a_pin_set_may_be_called_as_an_address_of_another_room_is_spelt(shared):
    shared.problem(shared.ask("GET", "/admin/v1/pinsets/preview"), 404, "not-found")
    shared.problem(shared.ask("GET", "/admin/v1/pinsets/current/versions"), 404, "not-found")


NOWHERE = [
    "/",
    "/admin",
    "/admin/v1",
    "/admin/v1/",
    "/admin/v1/pinsets/",
    "//admin/v1/pinsets",
    "/admin/v1//pinsets",
    "/admin//v1/pinsets/payments",
    "/admin/v1/pinsets/payments/",
    "/admin/v1/pinsets/payments//versions",
    "/admin/v1/pinsets/payments/../orders",
    "/admin/v1/pinsets/..%2ftokens",
    "/admin/v1/./pinsets",
    "/ADMIN/v1/pinsets",
    "/admin/v2/pinsets",
    "/admin/v1/openapi.json",
    "/v1",
    "/v1/",
    "/v1//roots/1",
    "/v1/roots/1/",
    "/v1/roots",
    "/v1/bundles/payments",
    "/v1/bundles/payments/1/",
    "/v1/bundles/payments/1.json",
    "/v1/bundles/payments/01",
    "/v1/bundles/payments/-1",
    "/v1/bundles/payments/1%00",
    "/v1/bundles/Payments/1",
    "/v1/bundles/p%C3%A4yments/1",
    "/v1/bundles/%FF/1",
    "/v1/bundles/%2e%2e/1",
    "/v1/bundles/..%2f..%2fkeys/timestamp.key",
    "/v1/pinsets/../../server.toml",
    "/v1/pinsets/payments/timestamp/",
    "/v1/pinsets/payments/versions/1",
    "/v1/pinsets/payments/versions/1.01",
    "/v1/pinsets/payments/versions/1.1%0a",
    "/.work/locks/payments",
    "/server.toml",
    "/livez/",
    "/static/x",
    "/favicon.ico",
]


@pytest.mark.parametrize("path", NOWHERE)
def test_nothing_is_served_or_redirected_anywhere_else(refused, path: str):
    document = refused("GET", path, 404, "not-found")
    assert (
        "Nothing stored has changed." in document["detail"] or "What is published is served on." in document["detail"]
    )


@pytest.mark.parametrize(
    "name", ["Payments", "p%C3%A4yments", "pay%20ments", "-payments", "p" * 65, "%00", "%FF", "..."]
)
def test_a_pin_set_of_an_impossible_name_cannot_be_made_or_looked_at(shared, refused, name: str):
    document = refused("PUT", f"/admin/v1/pinsets/{name}", 422, "invalid", body=shared.draft(), If_None_Match="*")
    assert document["violations"][0]["hint"] == "Names are lower-case letters, digits and . _ -"
    refused("POST", f"/admin/v1/pinsets/{name}/preview", 422, "invalid", body=shared.draft())
    for path in ("", "/versions", "/versions/1"):
        refused("GET", f"/admin/v1/pinsets/{name}{path}", 404, "not-found")


@pytest.mark.parametrize("version", ["0", "01", "1.", ".1", "1.1.1", "latest", "-1", "1e3", "9" * 17, "%D9%A1", "9"])
def test_a_version_that_never_was_is_not_found(refused, version: str):
    refused("GET", f"{PAYMENTS}/versions/{version}", 404, "not-found")


def test_a_token_that_never_was_cannot_be_revoked(refused):
    document = refused("DELETE", f"{TOKENS}/0123456789abcdef", 404, "not-found")
    assert document["detail"] == (
        "no token '0123456789abcdef'. Nothing stored has changed. GET /admin/v1/tokens lists those that exist."
    )


def test_a_request_with_enormous_headers_is_judged_by_the_few_that_matter(shared):
    noise = {f"X_Noise_{number}": "x" * 8000 for number in range(50)}
    assert shared.ask("GET", PAYMENTS, **noise).status_code == 200


def test_the_largest_number_that_a_refusal_names_is_taken(shared):
    answer = shared.ask("GET", "/admin/v1/audit?after=9007199254740991")
    assert (answer.status_code, answer.json) == (200, {"rows": [], "next": 9007199254740991})
