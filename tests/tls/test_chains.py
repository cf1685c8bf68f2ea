"""Which keys count: any of the verified chain, none of the chain as sent, and no pin outvotes a denied key."""

import ssl
from typing import Any

import pytest
from pinned_service import SECRET, WRONG, dial

from pinwarden import PinMismatchError, tls
from pinwarden.documents import Pin
from pinwarden.spki import pin_of

HOST = "api.example.com"
PLACES = ("leaf", "intermediate", "root")


def exchange(peer: Any, context: ssl.SSLContext, **arguments: Any) -> bytes:
    """Send the secret and return what comes back."""
    with context.wrap_socket(dial(peer), **{"server_hostname": HOST, **arguments}) as line:
        line.sendall(SECRET)
        return line.recv(len(SECRET))


@pytest.mark.parametrize("place", PLACES)
def test_a_pin_matches_anywhere_in_the_verified_chain(world: Any, serve: Any, pin: Any, place: str) -> None:
    peer = serve()  # which does not send its root
    assert exchange(peer, pin({HOST: [getattr(world, place).pin]}).context()) == SECRET
    assert peer.finish() == SECRET


def test_a_guard_is_shown_the_certificates_of_the_keys_that_it_judges(world: Any, serve: Any, pin: Any) -> None:
    ours = [world.leaf.der, world.intermediate.der, world.root.der]
    for changes, expected in (({}, ours), ({"check_hostname": False, "verify_mode": ssl.CERT_NONE}, ours[:1])):
        context = pin({HOST: [world.leaf.pin]}).context(**changes)
        with context.wrap_socket(dial(serve()), server_hostname=HOST) as line:
            shown = line._pw_read_chain()
            assert list(shown.certificates) == expected
            assert shown.pins == tuple(pin_of(one) for one in expected)
            assert [line._pw_read_key(depth) for depth in range(4)] == [*shown.pins, *[None] * (4 - len(expected))]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("chain", ["bought", "padded"])
def test_a_trusted_ca_does_not_help_an_attacker_not_even_with_the_pinned_certificates_as_extras(
    world: Any, serve: Any, pin: Any, place: str, chain: str
) -> None:
    pinned_one = getattr(world, place)
    peer = serve(getattr(world, chain))
    with world.client_context().wrap_socket(dial(peer), server_hostname=HOST) as line:  # ordinary checks are content
        sent = [one.public_bytes(tls.contexts.DER) for one in line._sslobj.get_unverified_chain()]
    assert (pinned_one.der in sent) == (chain == "padded")
    with pytest.raises(PinMismatchError) as refused:
        exchange(peer, pin({HOST: [pinned_one.pin]}).context())
    assert (refused.value.step, len(refused.value.presented)) == ("E2", 3)
    assert peer.finish() == b""


@pytest.mark.parametrize("denied", PLACES)
def test_a_denied_key_anywhere_in_the_chain_refuses_whatever_else_matches(
    world: Any, serve: Any, pin: Any, denied: str
) -> None:
    peer = serve()
    others = [getattr(world, place).pin for place in PLACES if place != denied]
    with pytest.raises(PinMismatchError) as refused:
        exchange(peer, pin({HOST: others}, deny=(getattr(world, denied).pin,)).context())
    assert refused.value.step == "E3"
    assert refused.value.denied == str(Pin(getattr(world, denied).pin))
    assert peer.finish() == b""


def test_a_backup_key_is_accepted_and_noticed(world: Any, serve: Any, pin: Any, caplog: Any) -> None:
    context = pin({HOST: [WRONG, world.leaf.pin]}).context()
    assert exchange(serve(), context) == exchange(serve(), context) == SECRET
    assert [record.getMessage() for record in caplog.records if "backup" in record.getMessage()] == [
        f"{HOST}: matched a backup pin ({Pin(world.leaf.pin)}); promote it"
    ]


def test_a_server_without_any_certificate_matches_nothing(world: Any, serve: Any, pin: Any) -> None:
    anonymous = "AECDH-AES128-SHA:@SECLEVEL=0"
    peer = serve(maximum_version=ssl.TLSVersion.TLSv1_2)
    peer.context.set_ciphers(anonymous)
    changes = {"check_hostname": False, "verify_mode": ssl.CERT_NONE, "maximum_version": ssl.TLSVersion.TLSv1_2}
    plain, context = world.client_context(**changes), pin({HOST: [world.leaf.pin]}).context(**changes)
    plain.set_ciphers(anonymous)
    context.set_ciphers(anonymous)
    assert exchange(peer, plain) == SECRET
    with pytest.raises(PinMismatchError, match="no verified key"):
        exchange(peer, context)
    assert peer.finish() == SECRET  # the plain one's


@pytest.mark.parametrize("chain", ["honest", "bought", "forged"])
def test_pins_never_replace_the_ordinary_checks(world: Any, serve: Any, pin: Any, chain: str) -> None:
    presented = getattr(world, chain)
    peer = serve(presented)
    context = pin({"other.example.com": [presented.leaf.pin]}).context()
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        exchange(peer, context, server_hostname="other.example.com")  # pinned, but not in the certificate
    assert peer.finish() == b""
