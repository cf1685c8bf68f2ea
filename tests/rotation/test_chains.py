"""Root chains that are long, cut short, lost or past their end, and clients that come back late."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from pinwarden.errors import ExpiredError, FetchError
from pinwarden.update import MAX_ROOT_WALK
from pinwarden_keys.ceremony import assemble, next_root, roles_of, sign_draft
from pinwarden_keys.ceremony_files import RootDraft
from pinwarden_keys.errors import MissingSignaturesError
from pinwarden_server.founding import reconcile
from pinwarden_server.root_offers import RootOffer
from pinwarden_server.root_publishing import publish_root
from pinwarden_server.site import Act
from tests.rotation.stage import House, looks, new_signer, verdict

ROOTS = 300
KILLED_AT = 20
# A client in a process of its own, to be killed; the clock stands where the house's stands.
CLIENT = """
import datetime, sys
from pinwarden import PinClient

url, root, cache, now = sys.argv[1:]
clock = datetime.datetime.fromisoformat(now)
PinClient(url, pinset="payments", root=root, cache=cache, clock=lambda: clock).refresh()
"""


def test_an_old_application_catches_up_through_roots_that_each_replaced_every_key(house: House) -> None:
    installed = house.client()
    installed.refresh()
    for number in range(2, 13):
        keys = {"timestamp": [house.add_key(f"timestamp-{number}")], "pinset": [house.add_key(f"pinset-{number}")]}
        house.rotate(**keys, root=[new_signer() for _ in range(3)], timestamp_epoch=number, pinset_epoch=number)
    folder = house.installation.folder / "published/v1/bundles/payments"
    assert {path.name for path in folder.iterdir()} == {str(number) for number in range(4, 13)}
    (folder / "1").write_bytes((folder / "4").read_bytes())  # what a server left that died before it cleared up
    assert house.node is not None
    reconcile(house.node.site)
    assert not (folder / "1").exists()
    for client in (installed, house.client("cache of a fresh install"), house.client("other", embedded=5)):
        client.refresh()
        assert (looks(client), verdict(client, "live")) == (("fresh", 12, 12, 12), "accepted")
    walked = [path for path in house.line.paths if path.startswith("/v1/roots/")]
    assert walked == [f"/v1/roots/{number}" for number in range(2, 14)] * 2  # not the one that a bundle reaches


def test_three_hundred_roots_are_walked_and_a_client_killed_on_the_way_resumes(founded: House) -> None:
    _publish_roots(founded, ROOTS)
    founded.publish()
    victim = _start_client(founded)
    founded.line.before[f"/v1/roots/{KILLED_AT}"] = lambda: os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait(60) == -signal.SIGKILL
    founded.line.before.clear()
    founded.line.paths.clear()
    survivor = founded.client("cache of the victim")
    assert looks(survivor) == ("empty", KILLED_AT - 1, None, None)
    with pytest.raises(FetchError):  # 256 roots at most in one refresh; what was walked is kept
        survivor.refresh()
    assert looks(survivor) == ("empty", KILLED_AT - 1 + MAX_ROOT_WALK, None, None)
    survivor.refresh()
    assert (looks(survivor), verdict(survivor, "live")) == (("fresh", ROOTS, 1, 1), "accepted")
    walked = [path for path in founded.line.paths if path.startswith("/v1/roots/")]
    assert walked == [f"/v1/roots/{number}" for number in range(KILLED_AT, ROOTS + 2)]
    assert looks(founded.client("cache of the victim")) == ("fresh", ROOTS, 1, 1)


def test_lost_root_keys_leave_everything_working_until_the_root_ends_and_no_longer(house: House) -> None:
    client = house.client()
    client.refresh()
    following = next_root(house.root, roles_of(house.root), now=house.clock(), lifetime=timedelta(days=365))
    draft = RootDraft(following.encode(), house.roots[-1], {})
    with pytest.raises(MissingSignaturesError, match=r"old root 1 of 2: missing .* new root 1 of 2: missing"):
        assemble(draft, [sign_draft(draft, house.root_keys[0])])
    for _ in range(24):
        house.clock.advance(days=15)
        house.renew()
    house.clock.advance(days=4)
    house.publish(word="next")
    client.refresh()
    assert (looks(client)[0], verdict(client, "next")) == ("fresh", "accepted")
    house.clock.advance(days=1)
    answer = house.ask("GET", "/pinsets/payments")
    refused = house.ask("PUT", "/pinsets/payments", answer.json()["content"], If_Match=answer.headers["ETag"])
    assert refused.status == 500
    assert "root 1 is past its end and no newer one was delivered" in refused.json()["detail"]
    client.refresh()  # 304: nothing newer, and nothing is extended by it
    assert (looks(client)[0], verdict(client, "next")) == ("fresh", "accepted")
    fresh_install = house.client("cache of a fresh install")
    with pytest.raises(ExpiredError) as caught:
        fresh_install.refresh()
    assert (caught.value.step, caught.value.hint) == ("V4", "The authority must publish a new root.")
    house.clock.advance(days=3)
    client.refresh()
    assert (looks(client)[0], verdict(client, "next")) == ("stale", "accepted")
    house.clock.advance(days=30)
    assert (looks(client)[0], verdict(client, "next")) == ("expired", "no pins")


def test_an_expired_root_leaves_the_pins_in_force_and_a_new_root_mends_it(house: House) -> None:
    client = house.client()
    client.refresh()
    house.rotate(days=40)
    house.clock.advance(days=15)
    house.renew()
    house.clock.advance(days=14)
    house.renew()
    client.refresh()
    before = looks(client)
    assert before[0] == "fresh"
    house.clock.advance(days=11, seconds=1)
    assert house.node is not None
    assert "root 2 is past its end" in house.node.renewer.tick().failed["payments"]
    with pytest.raises(ExpiredError):
        client.refresh()
    assert (looks(client), verdict(client, "live")) == (("stale", *before[1:]), "accepted")
    fresh_install = house.client("cache of a fresh install")
    with pytest.raises(ExpiredError):
        fresh_install.refresh()
    assert looks(fresh_install) == ("empty", 2, None, None)
    house.rotate()
    for each in (client, fresh_install):
        each.refresh()
        assert (looks(each)[:2], verdict(each, "live")) == (("fresh", 3), "accepted")


def test_a_root_that_is_past_its_end_already_is_refused(house: House) -> None:
    root = house.draft(days=40)
    house.clock.advance(days=40)
    assert house.ask("GET", "/roots").status == 200  # the last use of the token is recorded now, not below
    before = house.stored()
    answer = house.offer(root, force=["ROOT011"], reason="it cannot help")
    assert (answer.status, answer.json()["violations"][0]["message"]) == (422, "the root is past its end already")
    assert house.stored() == before


def _publish_roots(house: House, newest: int) -> None:
    """Publish roots up to version *newest*, in this process: HTTP takes nothing away from them."""
    assert house.node is not None
    for _ in range(len(house.roots), newest):
        root = house.draft()
        publish_root(house.node.site, RootOffer(root), Act("tester", house.clock()))
        house.roots.append(root)


def _start_client(house: House) -> "subprocess.Popen[bytes]":
    folder = house.installation.folder.parent
    arguments = [house.line.url, str(house.installation.root_json), str(folder / "cache of the victim")]
    return subprocess.Popen([sys.executable, "-c", CLIENT, *arguments, house.clock().isoformat()])
