"""The parts that the demo measures with: were they wrong, its facts would be."""

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from pinwarden import MalformedError, SignatureError
from pinwarden.bundle import Bundle
from pinwarden.documents import PinSet
from pinwarden.spki import pin_of
from pinwarden.testing import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.testing.certificates import PrivateCA, new_key, pin_of_key
from pinwarden.trust import advance_bundle, begin
from pinwarden_demo.hostile import of_a_foreign_authority, with_one_bit_flipped
from pinwarden_demo.libraries import LIBRARIES, Result, call, every_library, play_round
from pinwarden_demo.load import SteadyLoad
from pinwarden_demo.names import names_on_loopback
from pinwarden_demo.peers import Interceptor, Service
from pinwarden_demo.sabotage import credulous_verifier
from pinwarden_demo.wire import Wire

NAME = "api.demo.test"


class Scene:
    """One service behind a wire, an interceptor of it, and a context that trusts the CAs of both."""

    def __init__(self) -> None:
        self.ca, other = PrivateCA("one"), PrivateCA("other")
        self.service = Service(self.ca.issue(NAME))
        self.context = ssl.create_default_context(cadata=(self.ca.pem + other.pem).decode())
        trust = ssl.create_default_context(cadata=self.ca.pem.decode())
        self.interceptor = Interceptor(other.issue(NAME), NAME, self.service, trust)
        self.wire = Wire(self.service)
        self.url = f"https://{NAME}:{self.wire.port}/"


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene inside the zone of the demo's names."""
    made = Scene()
    with names_on_loopback():
        yield made
    made.wire.close()


@pytest.fixture
def authority() -> ThrowawayAuthority:
    """An authority that published one host."""
    with pytest.warns(InsecureForProductionWarning):
        made = ThrowawayAuthority("shop")
    made.publish({NAME: [b"1" * 32, b"2" * 32]})
    return made


def test_names_of_the_zone_are_this_machine_and_only_inside_the_block():
    with names_on_loopback():
        assert {found[4][0] for found in socket.getaddrinfo(NAME, 443)} == {"127.0.0.1"}
        assert {found[4][0] for found in socket.getaddrinfo(NAME.encode(), 443)} == {"127.0.0.1"}
        assert {found[4][0] for found in socket.getaddrinfo("127.0.0.2", 443)} == {"127.0.0.2"}
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo(NAME, 443)


def test_a_pin_is_the_same_before_and_after_the_certificate_exists():
    key = new_key()
    identity = PrivateCA("one").issue(NAME, key=key)
    assert pin_of_key(key) == identity.pin == pin_of(identity.certificate)


def test_certificates_pass_the_strict_checks_of_newer_pythons(scene):
    scene.context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    with scene.wire.connected() as line, scene.context.wrap_socket(line, server_hostname=NAME) as secured:
        assert secured.getpeercert(True) == scene.service.identity.certificate


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_interceptor_counts_what_it_reads_and_nobody_notices(scene, library):
    direct = call(library, scene.url, scene.context)
    with scene.wire.leading_to(scene.interceptor):
        intercepted = call(library, scene.url, scene.context)
    assert intercepted == direct
    assert (direct.status, direct.error) == (200, None)
    scene.interceptor.settle()
    scene.service.settle()
    assert (scene.interceptor.connections, scene.service.connections) == (1, 2)
    assert scene.service.bytes_read == 2 * scene.interceptor.bytes_read > 0


def test_a_round_counts_bytes_connections_and_errors_by_their_names(scene):
    good = play_round(every_library(scene.context, scene.url), scene.service)
    assert (good.sent, good.through, good.errors, good.met) == (4, 4, {}, 4)
    assert good.bytes_read == scene.service.bytes_read
    expired = scene.ca.issue(NAME, key=scene.service.identity.key, expired=True)
    with scene.service.presenting(expired):
        bad = play_round(every_library(scene.context, scene.url), scene.service)
    assert (bad.through, bad.errors, bad.bytes_read, bad.met) == (0, {"SSLCertVerificationError": 4}, 0, 4)
    scene.wire.close()
    gone = play_round(every_library(scene.context, scene.url), scene.service)
    assert (gone.through, sum(gone.errors.values()), gone.bytes_read, gone.met) == (0, 4, 0, 0)


def test_a_steady_load_keeps_every_failure_by_its_name():
    broken = threading.Event()

    def answer() -> Result:
        return Result(None, "ConnectError", "") if broken.is_set() else Result(200, None, "")

    with SteadyLoad({"one": answer, "other": lambda: Result(200, None, "")}) as load:
        load.wait_for(3)
        assert load.failed == {}
        broken.set()
        load.wait_for(3)
    assert load.sent >= 12
    assert set(load.failed) == {"ConnectError"}
    assert 3 <= load.failed["ConnectError"] < load.sent


def test_a_flipped_bit_is_one_bit_of_one_pin_and_breaks_the_signature(authority):
    genuine = authority.bundle()
    tampered = Bundle.parse(with_one_bit_flipped(genuine.to_bytes(), NAME))
    assert (tampered.roots, tampered.timestamp) == (genuine.roots, genuine.timestamp)
    assert tampered.pinset.signatures == genuine.pinset.signatures
    assert len(tampered.pinset.payload) == len(genuine.pinset.payload)
    before, after = (PinSet.parse(one.pinset.payload).hosts[0] for one in (genuine, tampered))
    difference = int.from_bytes(before.pins[0].sha256) ^ int.from_bytes(after.pins[0].sha256)
    assert difference.bit_count() == 1
    assert before.backups == after.backups
    with pytest.raises(SignatureError):
        advance_bundle(begin(authority.root_json, name="shop"), tampered, now=authority.now)


def test_the_foreign_pin_set_is_flawless_for_its_own_root_and_refused_for_any_other(authority):
    foreign = Bundle.parse(of_a_foreign_authority("shop", {NAME: b"9" * 32}))
    own = begin(authority.root_json, name="shop")  # the attacker's keys come from the same default seed
    accepted = advance_bundle(own, foreign, now=authority.now)
    assert [host.host for host in accepted.pinset.hosts] == [NAME]
    with pytest.warns(InsecureForProductionWarning):
        other = ThrowawayAuthority("shop", seed="another")
    with pytest.raises(SignatureError):
        advance_bundle(begin(other.root_json, name="shop"), foreign, now=authority.now)


def test_the_credulous_verifier_lasts_as_long_as_its_block_and_still_needs_a_document(authority):
    from pinwarden import update

    trusting = update.advance_bundle
    with credulous_verifier():
        assert update.advance_bundle is not trusting
        with pytest.raises(MalformedError):
            Bundle.parse(b"{}")
    assert update.advance_bundle is trusting
