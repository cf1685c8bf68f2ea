"""Whose documents they are: authority, name, and the grant that covers it (V5, V7)."""

from base64 import b64encode

import pytest

from tests.conformance.drivers import ACCEPTED, REFUSED, UNAVAILABLE
from tests.conformance.repository import HOST, key

SPLICES = {
    "another authority's timestamp": ("timestamp", {"authority": "someone-0123456789abcdef"}),
    "another authority's pin set": ("pinset", {"authority": "someone-0123456789abcdef"}),
    "another name's timestamp": ("timestamp", {"name": "other"}),
    "another name's pin set": ("pinset", {"name": "other"}),
    "a name that only begins alike": ("pinset", {"name": "app2"}),
}


@pytest.mark.own
@pytest.mark.parametrize(("kind", "changes"), SPLICES.values(), ids=SPLICES)
def test_documents_of_others_are_refused_even_when_one_key_signs_for_all(life, kind, changes):
    def attack(repository):
        getattr(repository, kind).update(changes)
        repository.publish()

    life.start()
    life.refuses(attack)


GRANTS = {
    "exact": (["app"], ACCEPTED),
    "a beginning": (["a*"], ACCEPTED),
    "everything": (["*"], ACCEPTED),
    "one of several": (["web", "app"], ACCEPTED),
    "the name as a beginning": (["app*"], ACCEPTED),
    "another name": (["web"], REFUSED),
    "a longer beginning": (["app.*"], REFUSED),
    "nothing": ([], REFUSED),
    "a star in the middle": (["a*p"], REFUSED),
    "two stars": (["a**"], REFUSED),
}


@pytest.mark.parametrize(("names", "code"), GRANTS.values(), ids=GRANTS)
def test_a_grant_must_cover_the_name(life, names, code):
    life.repository.role("pinset")["names"] = names
    life.repository.publish_root()
    life.repository.publish()
    life.init()
    life.expects(code)
    if code == REFUSED:
        life.trusts_nothing()


def test_the_first_grant_that_covers_the_name_decides_alone(life):
    life.start()
    repository = life.repository
    later, own = repository.role("pinset"), [key("own")]
    first = {**later, "names": ["app"], "keyids": [own[0].keyid]}
    repository.root["roles"]["pinset"] = [{**later, "names": ["web"]}, first, later]
    repository.root["keys"][own[0].keyid] = {**repository.root["keys"][later["keyids"][0]], "public": spelt(own[0])}
    repository.publish_root()
    repository.publish()
    life.expects(REFUSED)
    repository.signers["pinset"] = own
    repository.publish()
    life.accepts()


def spelt(signer):
    """Return a public key as roots spell it."""
    return b64encode(signer.public).decode()


def test_a_name_that_lost_its_grant_has_no_pins_in_force(life):
    life.start()
    life.repository.role("pinset")["names"] = ["web"]
    life.repository.publish_root()
    life.expects(REFUSED)
    assert life.check(life.repository.label, host=HOST) == UNAVAILABLE


def test_a_pinset_role_may_be_empty_and_then_no_name_is_covered(life):
    life.repository.root["roles"]["pinset"] = []
    life.repository.roots = {1: life.repository.roots[1]}
    life.repository.publish_root()
    life.init()
    life.expects(REFUSED)
    life.trusts_nothing()
