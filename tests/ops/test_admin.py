"""The admin client against a real server, a wrong one, and none."""

import json

import pytest

from pinwarden.errors import ConfigError
from pinwarden_ops.admin import AdminClient, Answer
from pinwarden_ops.errors import OpsConflict, OpsRefused, OpsUnavailable
from pinwarden_ops.settings import ops_settings
from tests.ops.conftest import TOKEN


def test_a_request_carries_the_token_and_the_answer_its_version(api, token_file):
    api.body, api.headers = b'{"name": "payments"}', {"ETag": '"1.2"'}
    answer = AdminClient(api.url, token_file=token_file).ask("PUT", "/x", body={"a": 1}, headers={"If-Match": '"1.1"'})
    [(method, path, headers, content)] = api.requests
    assert answer == Answer(200, {"name": "payments"}, '"1.2"')
    assert (method, path, json.loads(content)) == ("PUT", "/admin/v1/x", {"a": 1})
    assert (headers["Authorization"], headers["If-Match"]) == (f"Bearer {TOKEN}", '"1.1"')


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, OpsRefused) for status in (302, 400, 403, 422)),
        *((status, OpsConflict) for status in (409, 412)),
        *((status, OpsUnavailable) for status in (429, 500, 503)),
    ],
)
def test_each_refusal_is_a_typed_error_that_says_what_the_server_said(api, token_file, status, kind):
    problem = {"type": "urn:x", "title": "No", "status": status, "detail": "It is not so. Do this."}
    api.status, api.body, api.headers = status, json.dumps(problem).encode(), {"Location": "http://127.0.0.1:1/"}
    with pytest.raises(kind) as caught:
        AdminClient(api.url, token_file=token_file).ask("GET", "/x")
    assert (type(caught.value), caught.value.status, caught.value.problem) == (kind, status, problem)
    assert str(caught.value) == "It is not so. Do this."


def test_a_server_cannot_speak_to_the_terminal_through_its_refusals(api, token_file):
    api.status, api.body = 409, json.dumps({"detail": "\x1b[2Jno\r\nhint: yes\u202e\x9b" + "x" * 3000}).encode()
    with pytest.raises(OpsConflict) as caught:
        AdminClient(api.url, token_file=token_file).ask("GET", "/x")
    assert str(caught.value).startswith("?[2Jno??hint: yes??xxx")
    assert len(str(caught.value)) < 2010


def test_a_page_of_a_proxy_is_no_answer_of_ours(api, token_file):
    api.status, api.body = 502, b"<html>Bad gateway</html>"
    with pytest.raises(OpsUnavailable, match="GET /x was answered with 502"):
        AdminClient(api.url, token_file=token_file).ask("GET", "/x")


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b"null", b'{"a": 1, "a": 2}', b"x" * (9 << 20)])
def test_a_success_that_is_no_answer_of_the_api_is_not_taken_for_one(api, token_file, body):
    api.body = body
    with pytest.raises(
        OpsUnavailable, match="PUT /x was answered with 200 and something that is no answer of this API"
    ):
        AdminClient(api.url, token_file=token_file).ask("PUT", "/x", body={})


def test_a_server_that_is_away_is_unavailable_and_the_token_is_in_no_message(token_file):
    with pytest.raises(OpsUnavailable) as caught:
        AdminClient("http://127.0.0.1:1", token_file=token_file).ask("GET", "/x")
    assert caught.value.what == "http://127.0.0.1:1 cannot be asked: [Errno 111] Connection refused"
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_token_file_that_others_may_read_is_refused_before_anything_is_sent(api, token_file, mode):
    token_file.chmod(mode)
    with pytest.raises(ConfigError, match="open to others"):
        AdminClient(api.url, token_file=token_file).ask("GET", "/x")
    assert api.requests == []


def test_plain_http_beyond_this_machine_is_refused(token_file):
    with pytest.raises(ConfigError, match="plain http"):
        AdminClient("http://pins.example.com", token_file=token_file)


def test_settings_say_what_is_missing_and_unknown(token_file):
    with pytest.raises(ConfigError, match="Set PINWARDEN_OPS_URL and PINWARDEN_OPS_TOKEN_FILE, or give --server"):
        ops_settings({})
    with pytest.raises(ConfigError, match="Did you mean PINWARDEN_OPS_URL"):
        ops_settings({"PINWARDEN_OPS_URI": "x"})
    given = {"PINWARDEN_OPS_URL": "https://a.example", "PINWARDEN_OPS_TOKEN_FILE": str(token_file)}
    assert ops_settings(given)["token_file"] == token_file
