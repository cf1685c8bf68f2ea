"""The essential promises, on real worker processes."""

import json
import socket
import sys
from urllib.parse import urlsplit

import pytest

BODY_LIMIT = 2 * 1024 * 1024


def test_a_publication_is_served_by_every_worker_before_its_answer(server):
    etag = None
    for round_ in range(3):
        condition = {"If_Match": etag} if etag else {"If_None_Match": "*"}
        put = server.ask(
            "PUT", "/admin/v1/pinsets/everywhere", body=server.draft(f"key {round_}", "spare"), **condition
        )
        assert put.status in (200, 201), put.data
        etag, published = put.headers["ETag"], put.json()["version"]
        served = set()
        for worker in server.workers:
            with server.silenced(worker):
                for _ in range(25):
                    served.add(server.version_of(server.fetch("/v1/bundles/everywhere/1").data))
        assert served == {published}
    assert len(server.workers) == 2


def test_the_fast_path_and_flask_send_the_same_bytes_and_headers(start, tmp_path):
    fast = start()
    fast.ask("PUT", "/admin/v1/pinsets/payments", body=fast.draft(), If_None_Match="*")
    hooks, entry = "python:pinwarden_server.gunicorn_hooks", "pinwarden_server.wsgi:serve_without_fast_path()"
    command = [sys.executable, "-P", "-m", "gunicorn", "-c", hooks, entry]
    plain = start(command=command, PINWARDEN_SERVER_RUN_DIR=str(tmp_path / "other-run"))
    paths = [f"/v1/{end}" for end in ("bundles/payments/1", "roots/1", "pinsets/payments/timestamp")]
    paths.append("/v1/pinsets/payments/versions/1.1")
    for path in paths:
        etag = fast.fetch(path).headers["ETag"]
        for method in ("GET", "HEAD"):
            for condition in ("", f"If-None-Match: {etag}\r\n", 'If-None-Match: "other", W/"x"\r\n'):
                assert raw(plain.url, method, path, condition) == raw(fast.url, method, path, condition), (path, method)
    assert raw(fast.url, "GET", paths[0], "").startswith(b"HTTP/1.1 200 OK\r\n")
    assert raw(fast.url, "GET", "/v1/roots/9", "") == raw(plain.url, "GET", "/v1/roots/9", "")


def test_a_held_bundle_is_answered_with_304_until_it_changes(server):
    first = server.ask("PUT", "/admin/v1/pinsets/held", body=server.draft(), If_None_Match="*")
    etag = server.fetch("/v1/bundles/held/1").headers["ETag"]
    unchanged = server.fetch("/v1/bundles/held/1", If_None_Match=etag)
    weak = server.fetch("/v1/bundles/held/1", If_None_Match=f'"other", W/{etag}')
    assert (unchanged.status, unchanged.data, unchanged.headers["ETag"]) == (304, b"", etag)
    assert weak.status == 304
    server.ask("PUT", "/admin/v1/pinsets/held", body=server.draft("n", "m"), If_Match=first.headers["ETag"])
    changed = server.fetch("/v1/bundles/held/1", If_None_Match=etag)
    assert (changed.status, server.version_of(changed.data)) == (200, "1.2")


def test_of_two_changes_of_one_version_the_second_is_refused(server):
    created = server.ask("PUT", "/admin/v1/pinsets/contested", body=server.draft(), If_None_Match="*")
    again = server.ask("PUT", "/admin/v1/pinsets/contested", body=server.draft(), If_None_Match="*")
    first = server.ask(
        "PUT", "/admin/v1/pinsets/contested", body=server.draft("a", "b"), If_Match=created.headers["ETag"]
    )
    second = server.ask(
        "PUT", "/admin/v1/pinsets/contested", body=server.draft("c", "d"), If_Match=created.headers["ETag"]
    )
    unsaid = server.ask("PUT", "/admin/v1/pinsets/contested", body=server.draft("e", "f"))
    assert [answer.status for answer in (created, again, first, second, unsaid)] == [201, 412, 200, 412, 428]
    assert (second.json()["current"], second.headers["ETag"]) == ("1.2", '"1.2"')
    assert server.version_of(server.fetch("/v1/bundles/contested/1").data) == "1.2"


def test_an_oversize_body_is_refused_with_and_without_a_declared_length(server):
    declared = server.ask("PUT", "/admin/v1/pinsets/oversize", body=b" " * (BODY_LIMIT + 1), If_None_Match="*")
    headers = {"Authorization": f"Bearer {server.admin}", "If-None-Match": "*", "Content-Type": "application/json"}
    pieces = (b" " * 65536 for _ in range(40))
    chunked = server.http.request("PUT", f"{server.url}/admin/v1/pinsets/oversize", body=pieces, headers=headers)
    assert [declared.status, chunked.status] == [413, 413]
    assert declared.json()["type"] == chunked.json()["type"] == "urn:pinwarden:problem:too-large"
    assert server.fetch("/v1/bundles/oversize/1").status == 404


def test_a_revoked_token_fails_at_its_next_request(server):
    issued = server.ask("POST", "/admin/v1/tokens", body={"role": "reader", "lifetime_seconds": 3600}).json()
    before = [server.ask("GET", "/admin/v1/pinsets", token=issued["token"]).status for _ in range(4)]
    assert server.ask("DELETE", f"/admin/v1/tokens/{issued['id']}").status == 200
    after = [server.ask("GET", "/admin/v1/pinsets", token=issued["token"]).status for _ in range(8)]
    assert (before, after) == ([200] * 4, [401] * 8)


def test_reads_go_on_while_the_database_is_away_and_publishing_comes_back_with_it(start):
    server = start()
    etag = server.ask("PUT", "/admin/v1/pinsets/payments", body=server.draft(), If_None_Match="*").headers["ETag"]
    database = server.installation.folder / "pinwarden.db"
    away = database.with_name("away.db")
    database.rename(away)
    put = server.ask("PUT", "/admin/v1/pinsets/payments", body=server.draft("n", "m"), If_Match=etag)
    assert (put.status, put.json()["type"]) == (503, "urn:pinwarden:problem:store-unavailable")
    assert put.headers["Retry-After"] == "5"
    assert server.fetch("/v1/bundles/payments/1").status == 200
    server.wait_until(lambda: server.fetch("/readyz").json()["components"]["store"] == "away")
    ready = server.fetch("/readyz")
    assert (ready.status, ready.json()["ready"], ready.json()["publishing"]) == (200, True, False)
    away.rename(database)
    put = server.ask("PUT", "/admin/v1/pinsets/payments", body=server.draft("n", "m"), If_Match=etag)
    assert (put.status, put.headers["ETag"][:3]) == (200, '"1.')


def test_reads_start_while_the_database_is_away_and_the_rest_follows_when_it_comes(start):
    server = start()
    etag = server.ask("PUT", "/admin/v1/pinsets/payments", body=server.draft(), If_None_Match="*").headers["ETag"]
    bundle = server.fetch("/v1/bundles/payments/1").data
    assert server.stop() == 0
    database = server.installation.folder / "pinwarden.db"
    away = database.with_name("away.db")
    database.rename(away)
    server = start()
    assert server.fetch("/v1/bundles/payments/1").data == bundle
    components = server.fetch("/readyz").json()["components"]
    assert (components["reads"], components["store"], components["renewal"]) == ("ok", "away", "not running")
    assert server.ask("GET", "/admin/v1/pinsets").status == 503
    assert not database.exists()  # nobody may found an empty store in its place
    away.rename(database)
    put = server.ask("PUT", "/admin/v1/pinsets/payments", body=server.draft("n", "m"), If_Match=etag)
    assert put.status == 200, put.data
    server.wait_until(lambda: server.fetch("/readyz").json()["components"]["renewal"] == "ok")


def test_the_counters_of_all_workers_are_scraped_together(server):
    server.ask("PUT", "/admin/v1/pinsets/counted", body=server.draft(), If_None_Match="*")
    for worker in server.workers:
        with server.silenced(worker):
            for held in ("1.1", "1.1", "1.0", "nonsense"):
                server.fetch("/v1/bundles/counted/1", Pinwarden_Held=held)
    expected = {
        f'pinwarden_fetches_total{{held="{held}",name="counted"}} {number}'
        for held, number in (("current", 4.0), ("1", 2.0), ("other", 2.0))
    }
    # The worker that answers knows its own fetches; those of the others are a second behind.
    server.wait_until(lambda: expected <= set(server.ask("GET", "/metrics").data.decode().splitlines()))
    metrics = server.ask("GET", "/metrics").data.decode()
    assert 'pinwarden_publishes_total{outcome="published"}' in metrics
    assert 'pinwarden_pinset_version{name="counted"} 1.0' in metrics


def test_a_server_ends_cleanly_and_its_log_is_json_without_secrets(start):
    server = start()
    issued = server.ask("POST", "/admin/v1/tokens", body={"role": "editor", "lifetime_seconds": 60}).json()
    server.ask("PUT", f"/admin/v1/pinsets/{issued['token']}", token=issued["token"] + "x", body=b"{}")
    server.ask("PUT", f"/admin/v1/pinsets/payments?token={issued['token']}", token=issued["token"], body=b"{}")
    assert server.stop() == 0
    secret = issued["token"].split("_", 2)[2]  # which may hold more of them
    assert secret not in server.log
    assert server.admin not in server.log
    _first, *lines = server.log.splitlines()  # gunicorn's own first line comes before any configuration is read
    assert all(json.loads(line)["event"] for line in lines), lines
    assert not (server.run_dir / "addresses.json").exists()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"])
def test_an_address_beyond_this_machine_is_refused_unless_tls_is_promised(installation, command_line, address):
    done = command_line("run", PINWARDEN_SERVER_BIND=address)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("error: the server would listen beyond this machine without TLS")
    assert "hint: Put a TLS proxy in front" in done.stderr


def raw(url: str, method: str, path: str, headers: str) -> bytes:
    """Return every byte of one answer but the line with the date."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        request = f"{method} {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n{headers}\r\n"
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, separator, body = answer.partition(b"\r\n\r\n")
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Date:")) + separator + body
