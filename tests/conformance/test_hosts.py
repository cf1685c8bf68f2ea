"""Which host entry decides, and what a chain must hold (section 3, E2, E3, E9)."""

import pytest

from tests.conformance.certificates import pin
from tests.conformance.drivers import ACCEPTED, REFUSED
from tests.conformance.repository import pinned

# Each pattern pins a key of its own, so the key that is let through tells which pattern decided.
PATTERNS = (
    "example.org",
    "api.example.org",
    "*.example.org",
    "**.example.org",
    "**.deep.example.org",
    "*.net.example.org",
    "xn--bcher-kva.example",
    "192.0.2.1",
    "2001:db8::1",
    "::ffff:192.0.2.7",
)
WINNERS = {
    "example.org": "example.org",
    "api.example.org": "api.example.org",
    "www.example.org": "*.example.org",
    "a.b.example.org": "**.example.org",
    "deep.example.org": "*.example.org",
    "a.deep.example.org": "**.deep.example.org",
    "a.b.deep.example.org": "**.deep.example.org",
    "a.net.example.org": "*.net.example.org",
    "a.b.net.example.org": "**.example.org",
    "API.Example.ORG": "api.example.org",
    "api.example.org.": "api.example.org",
    "bücher.example": "xn--bcher-kva.example",
    "192.0.2.1": "192.0.2.1",
    "2001:db8:0:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "::ffff:c000:207": "::ffff:192.0.2.7",
    "notexample.org": None,
    "example.org.evil.net": None,
    "192.0.2.2": None,
    "org": None,
}


@pytest.mark.parametrize(("host", "winner"), WINNERS.items(), ids=WINNERS)
def test_the_nearest_pattern_decides_alone(life, host, winner):
    life.repository.publish(hosts=[pinned(pattern, host=pattern) for pattern in PATTERNS])
    life.init()
    life.expects(ACCEPTED)
    if winner is None:
        assert life.check("any", host=host) == ACCEPTED
        return
    others = [pattern for pattern in ("example.org", "*.example.org", "**.example.org") if pattern != winner]
    assert (life.check(winner, host=host), life.check(*others, host=host)) == (ACCEPTED, REFUSED)


CHAINS = {
    "the leaf": (("leaf", "other"), ACCEPTED),
    "an issuer": (("other", "issuer"), ACCEPTED),
    "the last": (("a", "b", "c", "issuer"), ACCEPTED),
    "a backup": (("kept in a safe",), ACCEPTED),
    "nothing": (("other",), REFUSED),
    "a denied leaf": (("stolen", "issuer"), REFUSED),
    "a denied issuer": (("leaf", "stolen"), REFUSED),
}


@pytest.mark.parametrize(("labels", "code"), CHAINS.values(), ids=CHAINS)
def test_a_chain_is_let_through_for_any_allowed_key_and_no_denied_one(life, labels, code):
    life.repository.publish(hosts=[pinned("leaf", "issuer")], deny=[pin("stolen")])
    life.init()
    assert (life.refresh(), life.check(*labels)) == (ACCEPTED, code)


@pytest.mark.own
def test_the_kind_of_a_pin_changes_no_verdict(life):
    host = pinned("leaf")
    host["pins"] = [{"sha256": pin("leaf"), "kind": "ca"}]
    life.repository.publish(hosts=[host])
    life.init()
    assert (life.refresh(), life.check("leaf"), life.check("other")) == (ACCEPTED, ACCEPTED, REFUSED)
