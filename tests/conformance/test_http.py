"""What a server may do to a connection (section 4, P1)."""

import json

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE
from tests.conformance.life import Life
from tests.conformance.repository import Answer, Repository
from tests.conformance.simulator import Simulator

MIB = 1024 * 1024


def answering(change):
    """Return an attack that changes every honest answer."""

    def tamper(_, __, answer):
        change(answer)
        return answer

    return lambda repository: setattr(repository, "tamper", tamper)


NO_ANSWERS = {
    "404": lambda answer: answer.__dict__.update(status=404, body=b"{}"),
    "403": lambda answer: answer.__dict__.update(status=403),
    "410": lambda answer: answer.__dict__.update(status=410),
    "429 with Retry-After": lambda answer: answer.__dict__.update(status=429, headers={"Retry-After": "60"}),
    "500": lambda answer: answer.__dict__.update(status=500),
    "503 with the bundle as body": lambda answer: answer.__dict__.update(status=503),
    "204": lambda answer: answer.__dict__.update(status=204, body=b""),
    "206": lambda answer: answer.__dict__.update(status=206),
    "304 to a question without ETag": lambda answer: answer.__dict__.update(status=304, body=b""),
    "a web page": lambda answer: answer.__dict__.update(content_type="text/html; charset=utf-8"),
    "a redirect to the same server": lambda answer: answer.__dict__.update(
        status=302, headers={"Location": "/v1/bundles/app/1"}
    ),
    "a body that was cut": lambda answer: answer.__dict__.update(cut=10),
}


@pytest.mark.parametrize("change", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_without_a_usable_answer_what_was_trusted_stays(life, change):
    def attack(repository):
        repository.publish()
        answering(change)(repository)

    life.start()
    life.refuses(attack, UNAVAILABLE)


@pytest.mark.own
def test_no_redirect_leads_to_another_server(life, simulator_elsewhere):
    life.start()
    location = {"Location": f"{simulator_elsewhere.url}/v1/bundles/app/1"}
    life.refuses(answering(lambda answer: answer.__dict__.update(status=307, headers=location)), UNAVAILABLE)
    assert simulator_elsewhere.requests == []


@pytest.mark.own
@pytest.mark.as_process
def test_a_server_that_is_not_there_is_unavailable(driver, tmp_path):
    simulator = Simulator(Repository())
    life = Life(driver, simulator, tmp_path)
    life.start()
    simulator.close()
    assert (life.refresh(), life.check(life.repository.label)) == (UNAVAILABLE, ACCEPTED)


def test_a_name_that_the_server_does_not_know_is_unavailable(life):
    life.init(pinset="unknown")
    life.expects(UNAVAILABLE)
    assert life.asked == ["/v1/bundles/unknown/1", "/v1/roots/2"]
    life.trusts_nothing()


def oversize(answer):
    """Well-formed JSON beyond the limit of a bundle."""
    answer.body = answer.body[:-1] + b',"more":"' + b"x" * (2 * MIB) + b'"}'


SIZES = {
    "plain": oversize,
    "compressed": lambda answer: (oversize(answer), answer.__dict__.update(headers={"Content-Encoding": "gzip"})),
    "white space": lambda answer: answer.__dict__.update(body=answer.body + b" " * (2 * MIB)),
}


@pytest.mark.parametrize("change", SIZES.values(), ids=SIZES)
def test_a_bundle_beyond_its_limit_is_refused(life, change):
    life.start()
    life.refuses(answering(change))


@pytest.mark.own
def test_a_bundle_at_its_limit_is_accepted(life):
    def pad(answer):
        answer.body += b" " * (2 * MIB - len(answer.body))

    answering(pad)(life.repository)
    life.start()


@pytest.mark.own
def test_a_root_alone_beyond_its_limit_is_refused(life):
    for _ in range(10):
        life.repository.publish_root()
    life.repository.publish()

    def pad(path, _, answer):
        if "/roots/" in path:
            answer.body += b" " * (38_230 - len(answer.body))
        return answer

    life.repository.tamper = pad
    life.init()
    life.expects(REFUSED)
    life.repository.tamper = None
    life.accepts()


@pytest.mark.own
def test_a_compressed_bundle_is_read_as_what_it_contains(life):
    answering(lambda answer: answer.__dict__.update(headers={"Content-Encoding": "gzip"}))(life.repository)
    life.start()


@pytest.mark.own
def test_a_body_that_drips_has_ten_seconds_in_all(life):
    """It would be complete, and good, after twelve."""

    def drip(answer):
        answer.pieces, answer.pause_seconds = 48, 0.25

    life.init()
    life.refuses(answering(drip), UNAVAILABLE)


def test_only_one_request_is_made_per_refresh_when_all_is_well(life):
    life.start()
    for _ in range(3):
        life.repository.publish()
        life.accepts()
    assert life.asked == ["/v1/bundles/app/1"] * 4


@pytest.mark.own
def test_no_query_cookie_or_name_of_a_host_is_ever_sent(life):
    seen = []

    def note(path, headers, answer):
        seen.append((path, {name.lower() for name in headers}))
        return answer

    life.repository.tamper = note
    life.start()
    life.accepts()
    assert {path for path, _ in seen} == {"/v1/bundles/app/1"}
    assert not any({"cookie", "authorization", "referer"} & names for _, names in seen)


@pytest.mark.own
def test_an_answer_that_a_client_did_not_ask_for_is_not_kept(life):
    """A bundle for another root has roots that this client holds already, or misses."""
    life.start()
    life.repository.publish_root()
    life.repository.publish_root()
    life.repository.publish()
    life.accepts()

    def for_another_root(path, _, answer):
        return Answer(200, json.dumps(life.repository.bundle(1)).encode())

    life.refuses(lambda repository: (repository.publish(), setattr(repository, "tamper", for_another_root)))
