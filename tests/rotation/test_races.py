"""What happens to a root, and to a pin set, when the other is published between look and commit."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from threading import Thread
from typing import Any

import pytest

from pinwarden.testing import pinned
from pinwarden_keys import Signer
from pinwarden_server.drafts import Draft
from pinwarden_server.errors import Conflict, StaleVersion
from pinwarden_server.founding import reconcile
from pinwarden_server.publishing import publish, renew_timestamp
from pinwarden_server.root_offers import RootOffer
from pinwarden_server.root_publishing import publish_root
from pinwarden_server.signers import Signers
from pinwarden_server.site import Act, Site
from pinwarden_server.store import Current, Reader, open_store
from tests.interrupted_signer import InterruptedSigner
from tests.rotation.stage import House, looks, pin, verdict


def interrupted(house: House, interrupt: Callable[[int], object]) -> Site:
    """Return the house's site, in whose timestamp signatures *interrupt* is called with their number."""
    signers = [numbered(house.timestamp_key, interrupt), house.pinset_key]
    return replace(site_of(house), signers=Signers(signers))


def numbered(signer: Signer, interrupt: Callable[[int], object]) -> InterruptedSigner:
    numbers = count(1)
    return InterruptedSigner(signer, lambda _: interrupt(next(numbers)))


def site_of(house: House) -> Site:
    assert house.node is not None
    return house.node.site


def act(house: House) -> Act:
    return Act("tester", house.clock())


def draft(word: str) -> Draft:
    return Draft((pinned("api.example.com", pin(word), pin("backup of all")),))


def once(action: Callable[[], object]) -> Callable[[int], object]:
    return lambda number: action() if number == 1 else None


@pytest.mark.parametrize("what", ["publication", "creation", "renewal"])
def test_a_root_takes_in_what_was_published_while_its_documents_were_signed(house: House, what: str) -> None:
    def meanwhile() -> None:
        if what == "publication":
            publish(site_of(house), "payments", draft("next"), (1, 1), act(house))
        elif what == "creation":
            publish(site_of(house), "orders", draft("orders"), None, act(house))
        else:
            renew_timestamp(site_of(house), "payments", house.clock())

    root = house.draft()
    published = publish_root(interrupted(house, once(meanwhile)), RootOffer(root), act(house))
    expected = {
        "publication": [("payments", (1, 2), 4)],
        "creation": [("orders", (1, 1), 2), ("payments", (1, 1), 3)],
        "renewal": [("payments", (1, 1), 4)],
    }
    assert [(each.name, each.tag, each.timestamp_version) for each in published.renewed] == expected[what]
    client = house.client()
    client.refresh()
    assert looks(client)[:2] == ("fresh", 2)
    assert verdict(client, "next") == ("accepted" if what == "publication" else "refused")


@pytest.mark.parametrize(("name", "expected"), [("payments", (1, 1)), ("orders", None)])
def test_a_publication_that_a_root_overtook_is_signed_again_under_it(
    house: House, name: str, expected: tuple[int, int] | None
) -> None:
    key = house.add_key("pinset-2")
    root = house.draft(pinset=[key])
    meanwhile = once(lambda: publish_root(site_of(house), RootOffer(root), act(house)))
    signers = Signers([numbered(house.timestamp_key, meanwhile), house.pinset_key, key])
    site = replace(site_of(house), signers=signers)
    if expected is None:
        assert publish(site, name, draft("next"), expected, act(house)).tag == (1, 2)
    else:  # the root had this pin set signed again: whoever changes the one before must look first
        with pytest.raises(StaleVersion, match="is not at the expected version"):
            publish(site, name, draft("next"), expected, act(house))
    signed = {row.name: row.pinset.signatures[0].keyid for row in site.store.reader.all_current()}
    assert set(signed.values()) == {key.keyid}
    client = house.client()
    client.refresh()
    assert looks(client)[:3] == ("fresh", 2, 1)


def test_two_people_publish_the_same_root_and_one_of_them_did(house: House) -> None:
    root = house.draft()
    other = []
    meanwhile = once(lambda: other.append(publish_root(site_of(house), RootOffer(root), act(house))))
    mine = publish_root(interrupted(house, meanwhile), RootOffer(root), act(house))
    assert (other[0].created, mine.created) == (True, False)
    assert len(site_of(house).store.reader.roots()) == 2


def test_two_people_publish_two_roots_of_one_version_and_one_is_refused(house: House) -> None:
    root, rival = house.draft(), house.draft(days=300)
    meanwhile = once(lambda: publish_root(site_of(house), RootOffer(rival), act(house)))
    with pytest.raises(Conflict, match="root version 2 is published already, with another content"):
        publish_root(interrupted(house, meanwhile), RootOffer(root), act(house))
    assert site_of(house).store.reader.roots()[1].payload == rival.payload


def test_a_root_that_others_overtake_again_and_again_makes_them_wait_at_last(house: House) -> None:
    overtaken: list[int] = []

    def meanwhile(number: int) -> None:
        if number <= 3:
            overtaken.append(number)
            renew_timestamp(site_of(house), "payments", house.clock())
            return
        latecomer = Thread(target=renew_timestamp, args=(site_of(house), "payments", house.clock()))
        latecomer.start()
        latecomer.join(0.2)
        assert latecomer.is_alive()  # until the root is in force
        waiting.append(latecomer)

    waiting: list[Thread] = []
    published = publish_root(interrupted(house, meanwhile), RootOffer(house.draft()), act(house))
    assert (published.created, overtaken, len(waiting)) == (True, [1, 2, 3], 1)
    waiting[0].join()
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)


@dataclass
class InterruptedReader:
    """The store's reader; *interrupt* is called when it was asked for the roots and has not answered for pin sets."""

    reader: Reader
    interrupt: Callable[[], object]

    def all_current(self) -> Iterator[Current]:
        self.interrupt()
        yield from self.reader.all_current()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)


def test_a_tree_that_is_mended_while_a_root_is_published_never_shows_bundles_without_it(house: House) -> None:
    """A worker reads the roots, another one publishes the next and dies before its files have their names."""
    site = site_of(house)

    def meanwhile() -> None:
        publish_root(site, RootOffer(house.draft()), act(house))
        for file in ("roots/2", "bundles/payments/1", "bundles/payments/2", "pinsets/payments/timestamp"):
            (site.tree.folder / "v1" / file).unlink()

    store = open_store(site.store.url)
    store.reader = InterruptedReader(store.reader, meanwhile)  # type: ignore[assignment]
    reconcile(replace(site, store=store))
    store.close()
    assert (site.tree.folder / "v1/roots/2").is_file()
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 2, 1, 1)


def test_counters_that_fell_behind_what_clients_hold_publish_no_root(house: House) -> None:
    """A copy of the database was put back, and nobody raised its counters."""
    house.publish(word="next")
    key = house.add_key("timestamp-2")
    database = house.installation.folder / "pinwarden.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE reservations SET timestamp_version = 0")
    # To new clients the new key's timestamp is the first of its kind; those that hold the former root would refuse it.
    answer = house.offer(house.draft(timestamp=[key]))
    assert (answer.status, answer.json()["type"]) == (500, "urn:pinwarden:problem:publication-refused")
    assert (
        "clients of 'payments' that hold root 1 would refuse: timestamp of 'payments' is older"
        in answer.json()["detail"]
    )
    assert len(site_of(house).store.reader.roots()) == 1
    client = house.client()
    client.refresh()
    assert looks(client) == ("fresh", 1, 1, 2)
