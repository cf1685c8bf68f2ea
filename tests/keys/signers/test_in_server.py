"""A server whose keys lie in an HSM, in AWS KMS and in Vault, from the root that names them to a client."""

import os
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pinwarden import trust
from pinwarden.bundle import Bundle
from pinwarden.documents import Grant, Role, TimestampRole
from pinwarden.testing import pinned
from pinwarden_keys.ceremony import Roles, assemble, first_root, keyed, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.errors import SignerError
from pinwarden_server import node as node_room
from pinwarden_server.bell import Bell
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import SignerUnavailable
from pinwarden_server.founding import found
from pinwarden_server.installation import init_development
from pinwarden_server.node import open_node
from pinwarden_server.public_table import PublicTable
from pinwarden_server.published_tree import PublishedTree
from pinwarden_server.publishing import publish
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act, Policy, Site
from pinwarden_server.store import migrate, open_store
from tests.keys.signers.softhsm import PIN
from tests.keys.signers.vault import TransitKey
from tests.waiting import until

BACKUP = bytes(range(32))  # in each draft, so that none locks out who holds another
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = 24 * 3600


@pytest.fixture
def root_json(people, kms, vault, pkcs11_keeper):
    """A root of one person whose timestamp key is in KMS, and whose pin sets need the HSM's key and Vault's."""
    vault.keys["pinset"] = TransitKey([people.seed("bob")])
    owner = people.signer("owner")
    owners, stamps, pins = (
        keyed(publics)
        for publics in ([owner.public], people.publics("alice"), [pkcs11_keeper.public, *people.publics("bob")])
    )
    roles = Roles(
        Role(tuple(owners), 1, owners),
        TimestampRole(tuple(stamps), 1, stamps, 1, 7 * DAY),
        (Grant(tuple(pins), 2, pins, 1, 90 * DAY, ("*",)),),
    )
    root = first_root("example-00c0ffee00c0ffee", roles, now=NOW, lifetime=timedelta(days=365))
    draft = RootDraft(root.encode(), None, {})
    return assemble(draft, [sign_draft(draft, owner)]).to_bytes()


@pytest.fixture
def site(root_json, vault, awskms_keeper, pkcs11_keeper, tmp_path):
    url = f"sqlite:///{tmp_path}/store/pinwarden.db"
    migrate(url)
    signers = Signers.open([awskms_keeper.uri, pkcs11_keeper.uri, vault.uri("transit/pinset")])
    store, tree = open_store(url), PublishedTree(tmp_path / "tree")
    with closing(signers), closing(store), closing(Bell.open(tmp_path / "run/bell")) as bell:
        site = Site(store, tree, bell, signers, Policy())
        found(site, root_json, Act("setup", NOW))
        yield site


def change(site, *, hosts=1):
    draft = Draft(tuple(pinned(f"api{number}.example.com", os.urandom(32), BACKUP) for number in range(hosts)))
    current = site.store.reader.find_current("payments")
    return publish(site, "payments", draft, current.tag if current else None, Act("tester", NOW))


def served(site):
    return PublicTable(site.tree, site.bell).get("/v1/bundles/payments/1").body


def test_a_client_believes_what_three_keepers_signed_together(site, root_json):
    change(site, hosts=40)
    state = trust.begin(root_json, name="payments")
    state = trust.advance_bundle(state, Bundle.parse(served(site)), now=NOW)
    assert len(state.pinset.hosts) == 40


@pytest.mark.parametrize("absent", ["awskms_keeper", "pkcs11_keeper", "vault"])
def test_a_keeper_that_is_away_changes_nothing_and_the_next_publication_needs_no_restart(site, request, absent):
    first = change(site)
    before = served(site)
    with request.getfixturevalue(absent).away(), pytest.raises(SignerUnavailable) as refusal:
        change(site)
    assert refusal.value.hint
    assert served(site) == before
    assert site.store.reader.find_current("payments").tag == first.tag
    assert change(site).tag > first.tag
    assert served(site) != before


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a worker's node with these signers, which looks again every few milliseconds."""
    monkeypatch.setattr(node_room, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(node_room, "LAST_RETRY_SECONDS", 0.02)
    settings = init_development(tmp_path / "server", bind=None, label="test", now=datetime.now(UTC)).settings()
    started = []

    def start(*uris):
        node = open_node(replace(settings, signers=uris))
        node.start()
        started.append(node)
        return node

    yield start
    for node in started:
        node.stop()
        node.site.bell.close()


def test_a_worker_that_starts_while_vault_is_sealed_signs_once_it_is_not(start, vault, people):
    with vault.away():
        node = start(vault.uri())
        assert node.site.signers.keyids == frozenset()
        until(lambda: len(vault.web.requests) > 3)
    until(lambda: node.site.signers.keyids)
    assert node.site.signers.keyids == {people.keyid("alice")}


def test_a_worker_whose_pin_is_wrong_does_not_try_it_again(start, softhsm, caplog):
    softhsm.make_key("pinwarden", "timestamp", b"\x01")
    with softhsm.away():
        node = start(softhsm.uri())
        softhsm.write_pin("canary-wrong-pin")
    until(lambda: "that is not tried again" in caplog.text)
    softhsm.write_pin(PIN)  # were it tried again, it would succeed now
    assert not any(thread.name == "open-signers" and thread.is_alive() for thread in threading.enumerate())
    assert node.site.signers.keyids == frozenset()
    assert "the PIN is wrong" in caplog.text
    assert "canary" not in caplog.text


def test_a_worker_that_is_stopped_while_it_looks_for_its_keeper_keeps_no_key_open(start, vault):
    with vault.away():
        node = start(vault.uri())
        node.stop()
    signers = Signers.open([vault.uri()])
    node.site.signers.take_over(signers)
    with pytest.raises(SignerError, match="is closed"):
        next(iter(signers._signers.values())).sign(b"m")
