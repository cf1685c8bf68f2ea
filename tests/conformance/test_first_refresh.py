"""A client begins with one root and asks for all the rest."""

import json
from base64 import b64decode, b64encode

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE
from tests.conformance.repository import HOST, key, pinned, sign, to_bytes


@pytest.mark.as_process
def test_a_first_refresh_asks_for_one_bundle(life):
    life.init()
    assert (life.asked, life.refresh(), life.asked) == ([], ACCEPTED, ["/v1/bundles/app/1"])


@pytest.mark.as_process
def test_a_first_refresh_puts_the_published_pins_in_force(life):
    life.start()
    assert (life.check(life.repository.label), life.check("another key")) == (ACCEPTED, REFUSED)


@pytest.mark.as_process
def test_nothing_is_in_force_before_the_first_refresh_and_a_check_asks_nobody(life):
    life.init()
    life.trusts_nothing()
    assert life.asked == []


def test_a_folder_that_was_not_founded_is_no_client(life):
    assert (life.refresh() != ACCEPTED, life.check("any") != ACCEPTED, life.asked) == (True, True, [])


def initial(change):
    """Return a maker of an initial root that is changed before or after it is signed."""

    def make(repository):
        document = json.loads(b64decode(repository.roots[1]["payload"]))
        envelope = sign("root", document, repository.signers["root"])
        return change(document, envelope, repository)

    return make


def resigned(document, repository):
    """Return the envelope of a changed root."""
    return to_bytes(sign("root", document, repository.signers["root"]))


BAD_INITIAL_ROOTS = {
    "without a version": initial(
        lambda root, _, repository: resigned({k: v for k, v in root.items() if k != "version"}, repository)
    ),
    "without signatures": initial(lambda _, envelope, __: to_bytes({**envelope, "signatures": []})),
    "signed by strangers": initial(lambda root, *_: to_bytes(sign("root", root, [key("a"), key("b")]))),
    "one signature short": initial(
        lambda _, envelope, __: to_bytes({**envelope, "signatures": envelope["signatures"][:1]})
    ),
    "a signature of other bytes": initial(
        lambda root, envelope, _: to_bytes(
            {**envelope, "payload": b64encode(json.dumps({**root, "more": 1}).encode()).decode()}
        )
    ),
    "a timestamp": initial(lambda _, __, repository: to_bytes(repository.stamped)),
    "not JSON": initial(lambda *_: b"\x80 no root"),
    "empty": initial(lambda *_: b""),
}


@pytest.mark.parametrize("make", BAD_INITIAL_ROOTS.values(), ids=BAD_INITIAL_ROOTS)
def test_an_initial_root_that_cannot_be_trusted_is_never_used(life, make):
    founded = life.init(make(life.repository))
    assert (founded, life.refresh() != ACCEPTED, life.asked) == (REFUSED, True, [])
    assert life.check(life.repository.label) != ACCEPTED


@pytest.mark.own
def test_any_version_of_a_root_may_be_the_initial_one(life):
    for _ in range(3):
        life.repository.publish_root()
    life.repository.publish()
    life.init(to_bytes(life.repository.roots[3]))
    life.accepts()
    assert life.asked == ["/v1/bundles/app/3"]


@pytest.mark.own
def test_an_initial_root_of_another_authority_gets_no_documents_of_this_one(life):
    other = {**json.loads(b64decode(life.repository.roots[1]["payload"])), "authority": "someone-0123456789abcdef"}
    life.init(resigned(other, life.repository))
    life.expects(REFUSED)
    life.trusts_nothing()


def test_a_refresh_without_news_is_accepted_and_changes_nothing(life):
    life.start()
    life.accepts()
    assert life.asked == ["/v1/bundles/app/1"] * 2


def test_each_publication_replaces_the_one_before(life):
    life.start()
    for _ in range(5):
        before = life.repository.label
        life.repository.publish()
        life.accepts()
        assert life.check(before) == REFUSED


@pytest.mark.own
def test_a_renewed_timestamp_alone_keeps_the_pins(life):
    life.start()
    life.repository.publish_timestamp()
    life.accepts()


def test_the_bytes_that_were_signed_count_however_they_are_spelt(life):
    repository = life.repository
    pinset = json.dumps(dict(reversed(repository.pinset.items())), indent=3).encode() + b"\n"
    repository.pinned = sign("pinset", pinset, repository.signers["pinset"])
    repository.publish_timestamp()
    timestamp = json.dumps(dict(reversed(repository.timestamp.items())), indent=1).encode() + b"\r\n"
    repository.stamped = sign("timestamp", timestamp, repository.signers["timestamp"])
    life.start()
    life.repository.publish()
    life.accepts()


@pytest.mark.own
def test_the_frame_may_be_written_anew(life):
    def indented(_, __, answer):
        answer.body = json.dumps(json.loads(answer.body), indent=2).encode()
        return answer

    life.repository.tamper = indented
    life.start()


@pytest.mark.as_process
def test_the_clock_is_the_one_that_is_given(life):
    life.init()
    life.pass_time(days=4)
    life.expects(REFUSED)
    life.repository.publish()
    life.accepts()


# Names that a client must neither quote, nor cut, nor take for a path.
UNUSUAL_NAMES = ("a", "0", "a.b", "a_b-c.d", "..".join("ab"), "z" * 64, "0" * 64)


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_unusual_names_of_pin_sets_are_asked_for_as_they_are(life, name):
    repository = life.repository
    repository.name = name
    for document in (repository.timestamp, repository.pinset):
        document["name"] = name
    repository.publish()
    life.init(pinset=name)
    life.accepts()
    assert life.asked == [f"/v1/bundles/{name}/1"]


@pytest.mark.own
def test_a_withdrawal_lets_every_host_through_and_can_be_undone(life):
    life.start()
    life.repository.publish(hosts=[])
    assert (life.refresh(), life.check("any")) == (ACCEPTED, ACCEPTED)
    life.repository.publish()
    life.accepts()
    assert life.check("any") == REFUSED


@pytest.mark.own
def test_a_backup_is_let_through_as_well(life):
    life.repository.publish(hosts=[pinned("in service")])
    life.init()
    assert (life.refresh(), life.check("kept in a safe"), life.check("other", host=HOST)) == (
        ACCEPTED,
        ACCEPTED,
        REFUSED,
    )


@pytest.mark.own
def test_a_client_that_trusts_nothing_lets_nothing_through(life):
    life.init()
    assert [life.check("any", host=host) for host in (HOST, "elsewhere.example.net")] == [UNAVAILABLE] * 2
