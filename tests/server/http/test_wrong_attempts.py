"""Wrong tokens over HTTP: who is told to wait, and that a valid one never has to."""

import json
from typing import TYPE_CHECKING

import pytest

from pinwarden_keys import write_passphrase_file

if TYPE_CHECKING:
    from tests.server.http.conftest import Service

WRONG = f"pw_0123456789abcdef_{'A' * 43}"
STRANGER = {"REMOTE_ADDR": "192.0.2.7"}


@pytest.fixture
def strict(installation, serve):
    """A service where an address may be wrong ten times a minute, under a metrics token."""
    write_passphrase_file(installation.folder / "metrics", b"scraper-secret")
    return serve(installation, wrong_attempts_per_minute=10, metrics_token_file=installation.folder / "metrics")


def statuses(service: "Service", tries: int, path: str = "/admin/v1/pinsets", token: str = WRONG) -> list[int]:
    found = [service.client.get(path, headers={"Authorization": f"Bearer {token}"}) for _ in range(tries)]
    return [answer.status_code for answer in found]


def test_an_address_that_is_wrong_too_often_has_to_wait_and_is_told_how_long(strict):
    before = strict.stored()
    assert statuses(strict, 13) == [401] * 10 + [429] * 3
    answer = strict.ask("GET", "/admin/v1/pinsets", token=WRONG)
    document = strict.problem(answer, 429, "too-many-attempts")
    assert answer.headers["Retry-After"] == "6"
    assert "Nothing stored has changed." in document["detail"]
    assert strict.stored() == before


def test_a_valid_token_is_taken_while_its_address_has_to_wait(strict):
    reader = strict.token("reader")
    statuses(strict, 20)
    assert statuses(strict, 1) == [429]
    assert statuses(strict, 30, token=reader) == [200] * 30
    assert statuses(strict, 1) == [429]


def test_requests_that_are_right_spend_nothing_and_write_nothing(strict):
    reader = strict.token("reader")
    statuses(strict, 1, token=reader)  # the last use is recorded once a minute
    file = strict.node.settings.run_dir / "limits"
    before = strict.stored(), file.read_bytes()
    assert statuses(strict, 30, token=reader) == [200] * 30
    assert (strict.stored(), file.read_bytes()) == before
    assert statuses(strict, 11) == [401] * 10 + [429]


def test_another_address_is_not_made_to_wait(strict):
    statuses(strict, 20)
    answer = strict.client.get("/admin/v1/pinsets", headers={"Authorization": f"Bearer {WRONG}"}, environ_base=STRANGER)
    assert answer.status_code == 401


def test_no_header_chooses_another_budget_over_tcp(strict):
    found = []
    for number in range(12):
        headers = {"Authorization": f"Bearer {WRONG}", "X-Forwarded-For": f"192.0.2.{number}"}
        found.append(strict.client.get("/admin/v1/pinsets", headers=headers).status_code)
    assert found == [401] * 10 + [429] * 2


@pytest.mark.parametrize("claimed", ["", "203.0.113.9, ", "203.0.113.9,198.51.100.4,"])
def test_behind_the_unix_socket_the_last_entry_of_the_web_server_decides(strict, claimed: str):
    def ask(address: str) -> int:
        headers = {"Authorization": f"Bearer {WRONG}", "X-Forwarded-For": address}
        return strict.client.get("/admin/v1/pinsets", headers=headers, environ_base={"REMOTE_ADDR": ""}).status_code

    assert [ask(f"{claimed}192.0.2.1") for _ in range(11)] == [401] * 10 + [429]
    assert ask(f"192.0.2.1, {claimed}192.0.2.2") == 401


def test_guessing_the_metrics_token_is_counted_and_the_right_one_is_taken(strict):
    assert statuses(strict, 12, path="/metrics", token="guess") == [401] * 10 + [429] * 2
    assert statuses(strict, 3, path="/metrics", token="scraper-secret") == [200] * 3
    text = strict.client.get("/metrics", headers={"Authorization": "Bearer scraper-secret"}).text
    assert 'pinwarden_wrong_attempts_total{way="token"}' in text


def test_an_attempt_is_refused_alike_whether_the_id_exists_or_not(strict):
    known = f"{strict.token('reader')[:-43]}{'B' * 43}"
    answers = {strict.ask("GET", "/admin/v1/pinsets", token=token).data for token in (WRONG, known, "nonsense")}
    assert len(answers) == 1


def test_the_workers_of_a_server_share_the_budget_and_the_log_says_it_once_without_the_token(start):
    running = start(PINWARDEN_SERVER_WRONG_ATTEMPTS_PER_MINUTE="10", PINWARDEN_SERVER_WORKERS="2")
    found = [running.fetch("/admin/v1/pinsets", Authorization=f"Bearer {WRONG}").status for _ in range(30)]
    assert (found.count(401) <= 12, found[-1]) == (True, 429)  # a token may come back meanwhile
    assert running.ask("GET", "/admin/v1/pinsets").status == 200
    assert running.stop() == 0
    lines = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["event"] == "wrong attempts are answered with 429 for now"]
    assert [(line["level"], line["remote"], line["way"]) for line in told] == [("warning", "127.0.0.1", "token")]
    assert "A" * 43 not in running.log
