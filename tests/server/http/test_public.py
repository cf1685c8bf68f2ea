"""What applications read, under Flask: the bytes as signed, the headers of the protocol, and honest refusals."""

from typing import Any

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.envelope import PINSET_TYPE, ROOT_TYPE, TIMESTAMP_TYPE, Envelope

CHANGING = "public, max-age=60, stale-while-revalidate=60, stale-if-error=300"
FOREVER = "public, max-age=31536000, immutable"
ENVELOPE, BUNDLE = "application/vnd.pinwarden.envelope.v1+json", "application/vnd.pinwarden.bundle.v1+json"
HISTORY = "application/vnd.pinwarden.history.v1+json"
PUBLIC = {
    "/v1/bundles/payments/1": (BUNDLE, CHANGING),
    "/v1/pinsets/payments/timestamp": (ENVELOPE, CHANGING),
    "/v1/pinsets/payments/versions/1.1": (ENVELOPE, FOREVER),
    "/v1/roots/1": (ENVELOPE, FOREVER),
    "/v1/history/payments": (HISTORY, CHANGING),
}
public = pytest.mark.parametrize(("path", "media_type", "caching"), [(path, *row) for path, row in PUBLIC.items()])
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}


def get(shared: Any, path: str, method: str = "GET", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return shared.client.open(path, method=method, headers=named)


@public
def test_a_published_file_is_answered_with_exactly_the_headers_of_the_protocol(shared, path, media_type, caching):
    answer = get(shared, path)
    assert answer.data == (shared.installation.folder / "published" / path[1:]).read_bytes()
    etag = answer.headers["ETag"]
    assert dict(answer.headers) == {
        "Content-Type": media_type,
        "Content-Length": str(len(answer.data)),
        "ETag": etag,
        "Cache-Control": caching,
    }
    assert (etag[0], etag[-1], len(etag)) == ('"', '"', 34)


@public
def test_head_says_what_get_would(shared, path, media_type, caching):
    head, whole = get(shared, path, "HEAD"), get(shared, path)
    assert (head.status_code, head.data, list(head.headers)) == (200, b"", list(whole.headers))


@public
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_a_cache_holds_already_is_not_sent_again(shared, path, media_type, caching, method):
    etag = get(shared, path).headers["ETag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', f'"a","b" , W/{etag}', "*"):
        answer = get(shared, path, method, If_None_Match=condition)
        assert (answer.status_code, answer.data) == (304, b"")
        assert dict(answer.headers) == {"ETag": etag, "Cache-Control": caching}


@public
@pytest.mark.parametrize("condition", ['"other"', "", "other", 'W/"', '"1.1"', ","])
def test_a_cache_that_holds_something_else_gets_the_whole(shared, path, media_type, caching, condition):
    assert get(shared, path, If_None_Match=condition).status_code == 200


@public
def test_other_conditions_ranges_and_queries_change_nothing(shared, path, media_type, caching):
    whole = get(shared, path)
    headers = {
        "If_Match": '"other"',
        "If_Modified_Since": "Mon, 01 Jan 2035 00:00:00 GMT",
        "Range": "bytes=0-1",
        "Accept": "text/html",
    }
    for answer in (
        get(shared, path, **headers),
        get(shared, f"{path}?x=1"),
    ):
        assert (answer.status_code, answer.data, list(answer.headers)) == (200, whole.data, list(whole.headers))


def test_a_client_trusts_what_it_reads_here(shared):
    root = (shared.installation.folder / "root.json").read_bytes()
    state = trust.advance_bundle(
        trust.begin(root, name="payments"), Bundle.parse(get(shared, "/v1/bundles/payments/1").data), now=shared.clock()
    )
    assert (state.pinset.version, state.pinset.name) == (1, "payments")
    assert get(shared, "/v1/roots/1").data == Envelope.parse(root, expect=ROOT_TYPE).to_bytes()
    timestamp = Envelope.parse(get(shared, "/v1/pinsets/payments/timestamp").data, expect=TIMESTAMP_TYPE)
    version = Envelope.parse(get(shared, "/v1/pinsets/payments/versions/1.1").data, expect=PINSET_TYPE)
    assert Bundle.parse(get(shared, "/v1/bundles/payments/1").data) == Bundle((), timestamp, version)


def test_a_new_version_changes_the_bundle_and_its_tag_and_keeps_the_old_version(service):
    service.create()
    before = {path: get(service, path) for path in PUBLIC}
    etag = service.ask("PUT", "/admin/v1/pinsets/payments", body=service.draft("n", "m"), If_Match='"1.1"')
    after = {path: get(service, path) for path in PUBLIC}
    changed = {path for path in PUBLIC if after[path].headers["ETag"] != before[path].headers["ETag"]}
    assert etag.headers["ETag"] == '"1.2"'
    assert changed == {"/v1/bundles/payments/1", "/v1/pinsets/payments/timestamp", "/v1/history/payments"}
    assert {path for path in PUBLIC if after[path].data != before[path].data} == changed
    assert get(service, "/v1/pinsets/payments/versions/1.2").status_code == 200
    held = before["/v1/bundles/payments/1"].headers["ETag"]
    assert get(service, "/v1/bundles/payments/1", If_None_Match=held).status_code == 200


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/bundles/orders/1", "no bundle of pin set 'orders' for root '1'"),
        ("/v1/bundles/payments/2", "no bundle of pin set 'payments' for root '2'"),
        ("/v1/roots/2", "no root '2' is published"),
        ("/v1/pinsets/payments/versions/1.2", "no version '1.2' of pin set 'payments' is published"),
        ("/v1/pinsets/orders/timestamp", "no pin set 'orders' is published"),
        (f"/v1/pinsets/{'x' * 900}/timestamp", f"no pin set '{'x' * 80}' is published"),
    ],
)
def test_what_is_not_published_is_said_to_be_missing_with_a_way_on(shared, path: str, detail: str):
    answer = get(shared, path)
    document = shared.problem(answer, 404, "not-found")
    assert document["detail"].startswith(f"{detail}. What is published is served on. ")
    assert len(document["detail"]) > len(detail) + len(". What is published is served on. ")
    assert {name: answer.headers[name] for name in PRIVATE} == PRIVATE
    assert "ETag" not in answer.headers


def test_reads_need_neither_the_database_nor_a_signer(service):
    service.create()
    before = {path: get(service, path).data for path in PUBLIC}
    database = service.installation.folder / "pinwarden.db"
    database.rename(database.with_suffix(".away"))
    service.node.site.signers.close()
    assert {path: get(service, path).data for path in PUBLIC} == before
    assert get(service, "/readyz").status_code == 200
    assert service.ask("GET", "/admin/v1/pinsets").status_code == 503
    database.with_suffix(".away").rename(database)


def test_everything_but_the_published_files_is_kept_by_nobody_and_framed_by_nobody(shared):
    wanted = PRIVATE | {
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
    for path in (
        "/admin/v1/pinsets",
        "/admin/v1/audit",
        "/livez",
        "/readyz",
        "/metrics",
        "/statusz",
        "/nowhere",
        "/v1/x",
    ):
        headers = shared.ask("GET", path).headers
        assert {name: headers[name] for name in wanted} == wanted, path
        assert "Set-Cookie" not in headers
        assert "Access-Control-Allow-Origin" not in headers
