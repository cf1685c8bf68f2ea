"""
docs/frameworks.md: every example, run as it stands in a process of its own, with a right key and with a wrong one.

Only the address of the service is another one. What the example says and what the service received decide.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinwarden.testing import LocalServer, ThrowawayAuthority

PAGE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
WRONG = b"w" * 32

# How an example is called where it is no program by itself; each prints what the user would see.
DJANGO = """
import django
from django.conf import settings
from django.urls import path
settings.configure(INSTALLED_APPS=["shop.apps.ShopConfig"], ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
django.setup()
from shop.views import balance
urlpatterns = [path("balance", balance)]
from django.test import Client
print(Client().get("/balance").content.decode())
"""
FASTAPI = """
from fastapi.testclient import TestClient
from service import app
with TestClient(app) as client:
    print(client.get("/balance").json(), client.get("/ready").json()["state"])
"""
CELERY_CONFIG = """
broker_url = "filesystem://"
result_backend = "file://{folder}/results"
broker_transport_options = {{
    "data_folder_in": "{folder}/queue", "data_folder_out": "{folder}/queue", "control_folder": "{folder}/control",
}}
"""
ASK_CELERY = """
from tasks import balance
try:
    print(balance.delay().get(timeout=30))
except Exception as error:
    print(error)
"""
# name: (words, what it prints with the right key, what its output ends with when the key is wrong)
MISMATCH = "no key of localhost is pinned"
EXAMPLES = {
    "requests": (["with_requests.py"], "hello\n", MISMATCH),
    "httpx": (["with_httpx.py"], "hello\n", MISMATCH),
    "aiohttp": (["with_aiohttp.py"], "hello\n", MISMATCH),
    "boto3": (["with_boto3.py"], "0\n", MISMATCH),
    "Django": (["-c", DJANGO], "hello\n", MISMATCH),
    "FastAPI": (["-c", FASTAPI], "hello fresh\n", "{'detail': \"the bank's key is not pinned\"} fresh"),
}
BUCKETS = b"<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"


@pytest.fixture
def folder(tmp_path: Path, local_server: LocalServer) -> Path:
    """The examples as files, with the address of the server on this machine."""
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content.replace("https://api.example.com", local_server.url))
    (tmp_path / "celeryconfig.py").write_text(CELERY_CONFIG.format(folder=tmp_path))
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture(params=["right", "wrong"])
def key(request: pytest.FixtureRequest) -> str:
    """Which key is pinned."""
    return str(request.param)


@pytest.fixture
def environ(
    folder: Path, throwaway_authority: ThrowawayAuthority, local_server: LocalServer, key: str
) -> dict[str, str]:
    """Variables of a process that has its pins from a bundle, and trusts the server's CA whichever library asks."""
    throwaway_authority.publish({"localhost": [local_server.pin if key == "right" else WRONG]})
    (folder / "root.json").write_bytes(throwaway_authority.root_json)
    (folder / "bundle.json").write_bytes(throwaway_authority.bundle().to_bytes())
    trust = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"), str(local_server.ca_file))
    aws = {"AWS_ENDPOINT_URL": local_server.url, "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true"}
    aws |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "none") | {"AWS_DEFAULT_REGION": "eu-west-1"}
    pins = {
        "PINWARDEN_URL": "http://127.0.0.1:9",
        "PINWARDEN_PINSET": "app",
        "PINWARDEN_ROOT": "root.json",
        "PINWARDEN_BOOTSTRAP": "bundle.json",
        "PINWARDEN_CACHE": "cache",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "COVERAGE_PROCESS_START") if name in os.environ}
    return {**kept, **trust, **aws, **pins}


def test_every_block_of_the_page_is_a_file_of_an_example() -> None:
    assert len(FILES) == PAGE.count("```python") == 8


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works_with_the_right_key_and_sends_nothing_with_a_wrong_one(
    folder: Path, environ: dict[str, str], local_server: LocalServer, key: str, name: str
) -> None:
    words, answer, refusal = EXAMPLES[name]
    local_server.pages = {"/": BUCKETS if name == "boto3" else b"hello"}
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    if key == "right":
        assert (ended.stdout, ended.returncode) == (answer, 0), ended.stderr
        assert local_server.received().startswith(b"GET / HTTP/1.1\r\n")
    else:
        assert refusal in ended.stdout + ended.stderr
        assert (local_server.received(), local_server.connections > 0) == (b"", True)


@pytest.fixture
def worker(folder: Path, environ: dict[str, str]) -> Iterator[None]:
    """A Celery worker with one child."""
    program = str(Path(sys.executable).parent / "celery")
    words = [program, "-A", "tasks", "worker", "-P", "prefork", "-c", "1", "--without-gossip", "--without-mingle"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=folder, env=environ, stdout=log, stderr=log)
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


@pytest.mark.usefixtures("worker")
def test_a_celery_worker_is_pinned_and_whoever_sends_the_task_learns_why(
    folder: Path, environ: dict[str, str], local_server: LocalServer, key: str
) -> None:
    words: Any = [sys.executable, "-c", ASK_CELERY]
    asked = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert ("hello\n" if key == "right" else MISMATCH) in asked.stdout, (asked.stderr, (folder / "log").read_text())
    assert (local_server.received() != b"") == (key == "right")
