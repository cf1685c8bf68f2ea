"""nginx in front of gunicorn, both with the files that are shipped."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

import pinwarden
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden_server.fetch_counter import PERIOD_SECONDS

REPOSITORY = Path(__file__).parents[2]
CHANGING = "public, max-age=60, stale-while-revalidate=60, stale-if-error=300"
FOREVER = "public, max-age=31536000, immutable"
ENVELOPE, BUNDLE = "application/vnd.pinwarden.envelope.v1+json", "application/vnd.pinwarden.bundle.v1+json"
HISTORY = "application/vnd.pinwarden.history.v1+json"
PUBLISHED = {
    "/v1/bundles/payments/1": (BUNDLE, CHANGING),
    "/v1/pinsets/payments/timestamp": (ENVELOPE, CHANGING),
    "/v1/pinsets/payments/versions/1.1": (ENVELOPE, FOREVER),
    "/v1/roots/1": (ENVELOPE, FOREVER),
    "/v1/history/payments": (HISTORY, CHANGING),
    "/v1/audit/checkpoint": (ENVELOPE, CHANGING),
}
published = pytest.mark.parametrize("path", PUBLISHED)
# What only nginx sends with a file; docs/server.md names it.
NGINX_ALONE = {"Server"}
PROBLEM = "application/problem+json"


def draft(number: int) -> bytes:
    """Return a draft whose lifetime tells it from others."""
    body = {"host": "api.example.com"}
    pins = ("sVO4gX4o9WyqwTDq7FvJQ6SHoGlnqGo/4p1kVh8Vb3A=", "zKrtoZKKAlJJsVSuSAxqHIs1V7yWRLXWd7Q7SmqEqUc=")
    host = {**body, "pins": [{"sha256": pins[0]}], "backups": [{"sha256": pins[1]}]}
    return json.dumps({"hosts": [host], "lifetime_seconds": 100_000 + number}).encode()


def version_of(bundle: bytes) -> str:
    document = PinSet.parse(Bundle.parse(bundle).pinset.payload)
    return f"{document.epoch}.{document.version}"


def own_problem(answer: Any, status: int, title: str) -> dict[str, Any]:
    """Return the problem document that nginx itself made."""
    assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM), answer.data
    document: dict[str, Any] = json.loads(answer.data)
    assert (document["type"], document["title"], document["status"]) == ("about:blank", title, status)
    assert answer.headers["Cache-Control"] == "no-store"
    return document


def test_the_files_are_accepted_without_a_warning(deployment):
    checked = deployment.nginx_test()
    assert (checked.returncode, "warn" in checked.stderr, "syntax is ok" in checked.stderr) == (0, False, True)


def test_nothing_of_the_system_is_left_after_the_substitutions(deployment):
    for file in (deployment.base / "nginx.conf", deployment.base / "conf.d/pinwarden.conf"):
        code = re.sub(r"#.*", "", file.read_text()).replace(str(deployment.base), "BASE")
        assert set(re.findall(r"[ :]/(?:etc|var|run|dev|usr)/\S+", code)) == set()


@published
def test_a_published_file_is_the_same_from_nginx_and_from_gunicorn(deployment, path: str):
    ours, theirs = deployment.ask("GET", deployment.public + path), deployment.behind("GET", path)
    assert (ours.status, ours.data) == (200, theirs.data)
    assert (ours.headers["Content-Type"], ours.headers["Cache-Control"]) == PUBLISHED[path]
    compared = set(ours.headers) | set(theirs.headers)
    different = {name for name in compared if ours.headers.get(name) != theirs.headers.get(name)}
    assert different - {"Date", "Connection"} == NGINX_ALONE | {"ETag"}
    assert ours.headers["Server"] == "nginx"  # no version
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', ours.headers["ETag"])  # strong


@published
def test_head_and_conditions_are_answered_by_nginx(deployment, path: str):
    whole = deployment.ask("GET", deployment.public + path)
    head = deployment.ask("HEAD", deployment.public + path)
    assert (head.status, head.data, head.headers["Content-Length"]) == (200, b"", str(len(whole.data)))
    etag = whole.headers["ETag"]
    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        held = deployment.ask("GET", deployment.public + path, If_None_Match=condition)
        assert (held.status, held.data, held.headers["ETag"]) == (304, b"", etag)
        assert held.headers["Cache-Control"] == PUBLISHED[path][1]
    for header in ({"If_Modified_Since": "Mon, 01 Jan 2035 00:00:00 GMT"}, {"Range": "bytes=0-1"}):
        again = deployment.ask("GET", deployment.public + path, **header)
        assert (again.status, again.data, again.headers["ETag"]) == (200, whole.data, etag)
    theirs = deployment.behind("GET", path).headers["ETag"]
    assert deployment.ask("GET", deployment.public + path, If_None_Match=theirs).status == 200


def test_nginx_serves_the_files_as_another_user_of_the_group(deployment):
    """Not through gunicorn: what it counts as fetched did not grow."""
    authorization = {"Authorization": f"Bearer {deployment.token}"}

    def fetched() -> float:
        text = deployment.behind("GET", "/metrics", **authorization).data.decode()
        series = 'pinwarden_fetches_total{held="other",name="payments"} '
        return sum(float(line.removeprefix(series)) for line in text.splitlines() if line.startswith(series))

    # A label of its own: what others fetched, a worker may hand on while this test looks.
    odd, before, path = {"Pinwarden_Held": "nonsense"}, fetched(), "/v1/bundles/payments/1"
    assert deployment.ask("GET", deployment.public + path, **odd).status == 200
    for _ in range(3):
        assert deployment.behind("GET", path, **odd).status == 200
    time.sleep(PERIOD_SECONDS * 2)  # what would be counted wrongly must have had the time to appear
    assert fetched() == before + 3
    modes = {name: stat.S_IMODE((deployment.base / name).stat().st_mode) for name in ("state", "state/keys", "run")}
    assert modes == {"state": 0o710, "state/keys": 0o700, "run": 0o710}
    assert stat.S_IMODE((deployment.base / "state/pinwarden.db").stat().st_mode) == 0o600


def test_what_is_not_a_file_comes_from_the_memory_of_gunicorn(deploy):
    alone = deploy(PINWARDEN_SERVER_WORKERS="1")
    assert alone.publish(draft(1), If_None_Match="*").status == 201
    kept = {path: alone.behind("GET", path).data for path in PUBLISHED}
    for path in PUBLISHED:
        (alone.base / "state/published" / path[1:]).unlink()
    # On the disk alone, because they are much and asked for seldom.
    on_disk = {"/v1/pinsets/payments/versions/1.1", "/v1/history/payments", "/v1/audit/checkpoint"}
    for path in PUBLISHED.keys() - on_disk:
        answer = alone.ask("GET", alone.public + path)
        assert (answer.status, answer.data) == (200, kept[path])
        assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == PUBLISHED[path]
        assert answer.headers["ETag"] == alone.behind("GET", path).headers["ETag"]
    assert {alone.ask("GET", alone.public + path).status for path in on_disk} == {404}
    alone.stop()


@pytest.mark.parametrize(
    "path", ["/v1/bundles/orders/1", "/v1/roots/2", "/v1/bundles/payments/01", "/v1/", "/v1/pinsets/payments"]
)
def test_what_is_not_published_is_told_by_the_application(deployment, path: str):
    answer = deployment.ask("GET", deployment.public + path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, PROBLEM)
    assert json.loads(answer.data)["type"] == "urn:pinwarden:problem:not-found"
    assert answer.data == deployment.behind("GET", path).data


@pytest.mark.parametrize(
    "path",
    [
        "/admin/v1/pinsets",
        "/admin/v1/tokens",
        "/metrics",
        "/statusz",
        "/",
        "/server.toml",
        "/.work/locks/payments",
        "/v1/../../server.toml",
        "/v1/%2e%2e/%2e%2e/keys/passphrase",
        "/v1/bundles/../../../admin.token",
        "/V1/roots/1",
    ],
)
def test_the_public_side_has_nothing_but_the_public_api(deployment, path: str):
    answer = deployment.ask("GET", deployment.public + path, Authorization=f"Bearer {deployment.token}")
    assert answer.status in (400, 404)
    assert b"pw_" not in answer.data
    assert b"data_dir" not in answer.data
    if not path.startswith("/v1"):
        own_problem(answer, 404, "Not Found")


def test_the_admin_side_has_everything_for_those_who_have_a_token(deployment):
    authorization = {"Authorization": f"Bearer {deployment.token}"}
    listed = deployment.ask("GET", f"{deployment.admin}/admin/v1/pinsets", **authorization)
    assert [row["name"] for row in json.loads(listed.data)["pinsets"]] == ["payments"]
    assert deployment.ask("GET", f"{deployment.admin}/metrics", **authorization).status == 200
    assert deployment.ask("GET", f"{deployment.admin}/admin/v1/pinsets").status == 401
    assert deployment.ask("GET", f"{deployment.admin}/livez").status == 200
    assert deployment.ask("GET", f"{deployment.public}/readyz").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@published
def test_another_method_is_refused_in_the_words_of_the_application(deployment, path: str, method: str):
    answer = deployment.ask(method, deployment.public + path, body=b"{}")
    assert (answer.status, answer.headers["Content-Type"]) == (405, PROBLEM)
    document = json.loads(answer.data)
    assert (document["type"], document["got"]) == ("urn:pinwarden:problem:method-not-allowed", method)
    assert sorted(answer.headers["Allow"].split(", ")) == ["GET", "HEAD"]


def test_a_publication_is_visible_through_nginx_before_it_is_acknowledged(fresh):
    etag = '"1.1"'
    for number in range(12):
        answer = fresh.publish(draft(number), If_Match=etag)
        assert answer.status == 200, answer.data
        etag = answer.headers["ETag"]
        seen = {version_of(fresh.ask("GET", f"{fresh.public}/v1/bundles/payments/1").data) for _ in range(4)}
        assert {f'"{version}"' for version in seen} == {etag}


def test_published_documents_outlive_gunicorn_and_the_rest_says_when_to_come_back(fresh):
    before = {path: fresh.ask("GET", fresh.public + path).data for path in PUBLISHED}
    kill(fresh)
    assert {path: fresh.ask("GET", fresh.public + path).data for path in PUBLISHED} == before
    for path in ("/readyz", "/livez", "/v1/bundles/orders/1", "/v1/roots/2"):
        answer = fresh.ask("GET", fresh.public + path)
        document = own_problem(answer, 503, "Service Unavailable")
        assert "Published documents are served without it." in document["detail"]
        assert answer.headers["Retry-After"] == "30"
    put = fresh.publish(draft(1), If_Match='"1.1"')
    document = own_problem(put, 503, "Service Unavailable")
    assert "repeated with its Idempotency-Key" in document["detail"]
    fresh.gunicorn = fresh.start_gunicorn()
    assert fresh.publish(draft(1), If_Match='"1.1"').status == 200


def test_an_application_refreshes_through_nginx_over_tls_whether_or_not_gunicorn_lives(fresh, tmp_path):
    root = fresh.installation.root_json
    options = {"pinset": "payments", "root": str(root), "ca_file": str(fresh.ca_file)}
    with pinwarden.PinClient(fresh.public, cache=str(tmp_path / "cache"), **options) as client:
        assert (client.refresh().state, client.refresh().version) == ("fresh", 1)
        assert fresh.publish(draft(1), If_Match='"1.1"').status == 200
        assert client.refresh().version == 2
        kill(fresh)
        assert (client.refresh().state, client.refresh().version) == ("fresh", 2)
    with pinwarden.PinClient(fresh.public, cache=str(tmp_path / "another"), **options) as client:
        assert client.refresh().version == 2


def test_a_command_beside_the_service_rings_the_bell_of_its_workers(fresh):
    arguments = ["--config", str(fresh.installation.config), "publish-tree"]
    code = "from pinwarden_server.cli import server; server()"
    before = fresh.publish(draft(1), If_Match='"1.1"').headers["ETag"]
    bell = fresh.base / "state/run/bell"
    rung = int.from_bytes(bell.read_bytes()[:8], sys.byteorder)
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"7 files in {fresh.base}/state/published")
    assert int.from_bytes(bell.read_bytes()[:8], sys.byteorder) > rung
    assert fresh.publish(draft(2), If_Match=before).status == 200


def kill(deployment: Any) -> None:
    """End gunicorn and its workers at once, as a machine short of memory would."""
    children = Path(f"/proc/{deployment.gunicorn.pid}/task/{deployment.gunicorn.pid}/children").read_text().split()
    deployment.gunicorn.kill()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    deployment.gunicorn.wait()


def from_address(deployment: Any, address: str) -> urllib3.PoolManager:
    """Return a pool whose requests come from another loopback address: limits are kept for each."""
    context = deployment.http.connection_pool_kw["ssl_context"]
    options = {"retries": False, "timeout": 20, "maxsize": 8, "source_address": (address, 0)}
    return urllib3.PoolManager(ssl_context=context, **options)


@pytest.mark.parametrize(
    ("address", "side", "path", "most"),
    [("127.0.0.7", "public", "/v1/bundles/payments/1", 3000), ("127.0.0.8", "admin", "/admin/v1/pinsets", 400)],
)
def test_one_address_cannot_ask_without_end_and_others_are_not_disturbed(
    deployment, address: str, side: str, path: str, most: int
):
    url = getattr(deployment, side) + path
    headers = {"Authorization": f"Bearer {deployment.token}"}
    with from_address(deployment, address) as flood, ThreadPoolExecutor(4) as pool:
        refused = None
        for _ in range(most // 40):
            answers = list(pool.map(lambda _: flood.request("GET", url, headers=headers), range(40)))
            refused = next((answer for answer in answers if answer.status != 200), None)
            if refused is not None:
                break
    own_problem(refused, 429, "Too Many Requests")
    assert refused.headers["Retry-After"] == "1"
    assert deployment.ask("GET", url, **headers).status == 200


def test_bodies_are_refused_before_they_fill_anything(deployment):
    public = deployment.ask("POST", f"{deployment.public}/v1/bundles/payments/1", body=b" " * 70_000)
    own_problem(public, 413, "Content Too Large")
    own_problem(deployment.publish(b" " * 3_500_000, If_Match='"1.1"'), 413, "Content Too Large")
    told = deployment.publish(b" " * 2_500_000, If_Match='"1.1"')
    assert (told.status, json.loads(told.data)["type"]) == (413, "urn:pinwarden:problem:too-large")


def test_headers_without_end_are_refused(deployment):
    for side in (deployment.public, deployment.admin):
        answer = deployment.ask("GET", f"{side}/livez", X_Noise="x" * 20_000)
        assert answer.status == 400
        assert deployment.ask("GET", f"{side}/livez?{'x' * 20_000}").status == 414


def test_access_logs_are_json_and_name_neither_tokens_nor_queries(fresh):
    secret = fresh.token
    fresh.ask("GET", f"{fresh.admin}/admin/v1/pinsets?token={secret}", Authorization=f"Bearer {secret}")
    fresh.ask("GET", f"{fresh.public}/v1/bundles/payments/1?key={secret}", Pinwarden_Held='1.1" \\ é'.encode())
    fresh.stop()
    logs = fresh.log("pinwarden.log") + fresh.log("pinwarden-admin.log")
    lines = [json.loads(line) for line in logs.splitlines()]
    assert {(line["path"], line["status"]) for line in lines} == {
        ("/v1/bundles/payments/1", 200),
        ("/admin/v1/pinsets", 400),
        ("/admin/v1/pinsets/payments", 201),
    }
    for name in ("pinwarden.log", "pinwarden-admin.log", "gunicorn.log", "nginx.log"):
        assert secret not in fresh.log(name)


def test_the_log_of_gunicorn_names_the_client_that_nginx_saw_and_no_other(fresh):
    authorization = {"Authorization": f"Bearer {fresh.token}", "X_Forwarded_For": "198.51.100.7"}
    with from_address(fresh, "127.0.0.6") as other:
        headers = {name.replace("_", "-"): value for name, value in authorization.items()}
        assert other.request("GET", f"{fresh.admin}/admin/v1/roots", headers=headers).status == 200
    fresh.stop()
    lines = [json.loads(line) for line in fresh.log("gunicorn.log").splitlines() if line.startswith("{")]
    remotes = {line["path"]: line["remote"] for line in lines if line["event"] == "admin request"}
    assert remotes == {"/admin/v1/pinsets/payments": "127.0.0.1", "/admin/v1/roots": "127.0.0.6"}


def test_the_shipped_configuration_of_gunicorn_is_in_force(deployment):
    socket_mode = deployment.socket.stat().st_mode
    assert (stat.S_ISSOCK(socket_mode), stat.S_IMODE(socket_mode)) == (True, 0o660)
    addresses = json.loads((deployment.base / "state/run/addresses.json").read_text())
    assert addresses == [f"unix:{deployment.socket}"]
    environ = {**os.environ, "PINWARDEN_SERVER_CONFIG": str(deployment.installation.config)}
    command = ["-m", "gunicorn", "--print-config", "--config", str(REPOSITORY / "deploy/gunicorn.conf.py"), "x:y"]
    printed = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=environ).stdout
    values = dict(re.findall(r"^(\w+)\s+= (.*)$", printed, re.MULTILINE))
    wanted = {"max_requests": "1000000", "max_requests_jitter": "100000", "worker_class": "gthread"}
    wanted |= {"preload_app": "False", "control_socket_disable": "True", "limit_request_line": "2048"}
    assert {name: values.get(name) for name in wanted} == wanted
