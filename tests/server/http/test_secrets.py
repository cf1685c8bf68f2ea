"""
Secrets stay where they were given: canaries go into every input of a real server, and are searched everywhere else.
"""

import base64
import json
import socket
from urllib.parse import quote, urlsplit

import pytest

CANARY = "canary4f1c9a"
METRICS_TOKEN = f"{CANARY}-metrics"


@pytest.fixture
def loud(start, installation):
    """A server that logs all it can, with a metrics token."""
    file = installation.folder / "metrics.token"
    file.write_text(METRICS_TOKEN + "\n")
    file.chmod(0o600)
    settings = {"PINWARDEN_SERVER_LOG_LEVEL": "debug", "PINWARDEN_SERVER_METRICS_TOKEN_FILE": str(file)}
    return start(**settings)


def test_no_secret_reaches_a_log_a_metric_an_answer_or_the_audit(loud):
    token = loud.ask("POST", "/admin/v1/tokens", body={"role": "admin", "lifetime_seconds": 600}).json()["token"]
    secret = token.split("_", 2)[2]
    forged = f"pw_0123456789abcdef_{CANARY}{'A' * 31}"
    basic = "Basic " + base64.b64encode(f"admin:{CANARY}".encode()).decode()
    answers = [
        loud.ask("GET", "/admin/v1/pinsets", token=forged, X_Forwarded_For=f"{CANARY}.example"),
        loud.ask("GET", "/admin/v1/pinsets", Authorization=basic),
        loud.ask("GET", f"/admin/v1/pinsets/{forged}", token=forged),
        loud.ask("GET", f"/admin/v1/pinsets?access_token={token}", token=token),
        loud.ask("GET", f"/admin/v1/{quote(f'Bearer {token}')}", token=token),
        loud.ask("PUT", "/admin/v1/pinsets/payments", token=token, body=b"{", Cookie=f"session={CANARY}"),
        loud.ask("DELETE", f"/admin/v1/tokens/{token}", token=token),
        loud.ask("GET", "/metrics", token=METRICS_TOKEN),
        loud.ask("GET", "/statusz", token=METRICS_TOKEN),
        loud.ask("GET", "/metrics", token=METRICS_TOKEN + "x"),
        loud.ask("GET", "/admin/v1/audit", token=token),
        loud.ask("GET", "/admin/v1/tokens", token=token),
        loud.ask("GET", f"/v1/bundles/{CANARY}/1", X_Api_Key=CANARY, Pinwarden_Held=CANARY),
    ]
    assert [answer.status for answer in answers] == [401, 401, 401, 400, 404, 428, 404, 200, 200, 401, 200, 200, 404]
    raw(loud.url, f"GET /{CANARY} HTTP/9.9\r\nAuthorization: Bearer {token}\r\n\r\n")
    raw(loud.url, f"GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}{'A' * 9000}\r\n\r\n")
    made = loud.installation
    passphrase, first = made.passphrase.read_text().strip(), loud.admin.split("_", 2)[2]
    assert loud.stop() == 0
    everything = {
        "log": loud.log.replace(f"/v1/bundles/{CANARY}", "").replace(f"/{CANARY}", ""),  # an address is no secret
        "metrics": answers[7].data.decode(),
        "audit": json.dumps(loud.rows("SELECT * FROM audit"), default=repr),
    }
    for place, text in everything.items():
        for kept in (secret, first, passphrase, CANARY, METRICS_TOKEN, basic.split()[1]):
            assert kept not in text, place
    for answer in (answers[index] for index in (0, 1, 2, 3, 5, 8, 9, 10, 11)):
        assert secret.encode() not in answer.data
        assert passphrase.encode() not in answer.data
    assert (made.folder / "pinwarden.db").read_bytes().find(secret.encode()) == -1


def raw(url: str, request: str) -> bytes:
    """Send bytes that are no good request, and return what comes back."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /livez HTTP/1.1\r\nHost: x\r\nX-Noise: " + "x" * 5000 + "\r\n\r\n", b"431"),
        ("GET /livez?" + "x" * 3000 + " HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(60)) + "\r\n", b"431"),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", b"400"),
        ("GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", b"400"),
        ("nonsense\r\n\r\n", b"400"),
    ],
    ids=["a long header", "a long line", "many headers", "two lengths", "two framings", "a space", "no request"],
)
def test_what_is_no_request_never_reaches_the_application(server, request_: str, status: bytes):
    answer = raw(server.url, request_)
    assert answer.split(b" ", 2)[1] == status, answer[:200]
    assert b"Traceback" not in answer
    assert server.fetch("/livez").status == 200
