"""Long random histories of one authority, replayed by number: whatever came before, honest news always arrives."""

import random
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from pinwarden import PinClient
from pinwarden.bundle import Bundle
from pinwarden.errors import FetchError, UntrustedError
from tests.rotation.stage import House, looks, new_signer, verdict

STEPS = 30


@dataclass
class History:
    """A server and three clients, the third of which is seldom awake; *replays* is everything that was ever served."""

    house: House
    chance: random.Random
    word: str = "live"
    clients: list[PinClient] = field(default_factory=list)
    floors: dict[int, tuple[int, int]] = field(default_factory=dict)
    replays: dict[int, set[bytes]] = field(default_factory=dict)

    def publish(self) -> None:
        self.word = f"word {self.chance.randrange(6)}"
        self.house.publish(word=self.word)

    def renew(self) -> None:
        self.house.clock.advance(hours=self.chance.randrange(1, 48))
        self.house.renew()

    def rotate(self) -> None:
        house, changes = self.house, {}
        for role, epoch in (("timestamp", house.root.timestamp.epoch), ("pinset", house.root.pinset[0].epoch)):
            if self.chance.random() < 0.5:
                changes[role] = [house.add_key(f"{role}-{len(house.roots) + 1}")]
            changes[f"{role}_epoch"] = epoch + self.chance.randrange(2)
        if self.chance.random() < 0.3:
            changes["root"] = [*house.root_keys[1:], new_signer()]
        house.rotate(**changes)

    def restart_server(self) -> None:
        self.house.restart()

    def restart_client(self) -> None:
        number = self.chance.randrange(len(self.clients))
        before = looks(self.clients[number])
        self.clients[number] = self.house.client(f"cache {number}")
        assert looks(self.clients[number]) == before

    def replay(self) -> None:
        """Let someone on the line answer a client with anything that was served before, to whomever."""
        number = self.chance.randrange(len(self.clients))
        client = self.clients[number]
        old = [body for bodies in self.replays.values() for body in sorted(bodies)]
        if not old:
            return
        root = looks(client)[1]
        self.house.line.answers[f"/v1/bundles/payments/{root}"] = self.chance.choice(old)
        with suppress(UntrustedError, FetchError):
            client.refresh()
        self.house.release()
        self.check_floor(number)

    def refresh(self) -> None:
        number = self.chance.choice([0, 0, 0, 1, 1, 2])
        client = self.clients[number]
        client.refresh()
        server = self.house.ask("GET", "/pinsets/payments").json()
        state, root, epoch, version = looks(client)
        assert (state, root, f"{epoch}.{version}") == ("fresh", len(self.house.roots), server["version"])
        assert verdict(client, self.word) == "accepted"
        self.check_floor(number)

    def check_floor(self, number: int) -> None:
        """No client ever goes back, except to having no pins at all."""
        _, _, epoch, version = looks(self.clients[number])
        if epoch is not None and version is not None:
            assert (epoch, version) >= self.floors.get(number, (0, 0))
            self.floors[number] = (epoch, version)

    def record(self) -> None:
        newest = len(self.house.roots)
        for held in range(max(1, newest - 8), newest + 1):
            bundle = self.house.served(held)
            assert len(bundle.roots) == newest - held
            self.replays.setdefault(held, set()).add(bundle.to_bytes())
            assert Bundle.parse(bundle.to_bytes()) == bundle


@pytest.mark.parametrize("number", range(6))
def test_honest_news_arrives_after_whatever_happened_before(house: House, number: int) -> None:
    history = History(house, random.Random(number))
    history.clients = [house.client(f"cache {each}") for each in range(3)]
    for client in history.clients:
        client.refresh()
    steps = {"publish": 5, "renew": 4, "rotate": 5, "refresh": 8, "replay": 6, "restart_server": 1, "restart_client": 2}
    for step in history.chance.choices(list(steps), list(steps.values()), k=STEPS):
        getattr(history, step)()
        history.record()
    for _ in range(12):
        history.refresh()
