"""A short soak of the cache in Redis, with every kind of fault; ``python -m tests.soak redis`` makes a long one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pinwarden.testing import ThrowawayAuthority
from pinwarden.testing.certificates import PrivateCA
from tests.sdk.conftest import PinServer
from tests.sdk.redis.conftest import find_redis
from tests.soak.redis_member import HOST, Member
from tests.soak.redis_run import run


@pytest.fixture
def redis_server(program: Callable[[str], Path]) -> Path:
    return find_redis() or program("redis-server")


def test_no_fault_of_redis_costs_a_fleet_of_processes_a_version_or_its_pins(redis_server: Path) -> None:
    done = run(redis_server, operations=260, members=2)
    assert (done.steps.total(), len(done.faults | done.missed)) == (260, 13)


class Watched:
    """A member without a Redis, and what decides what it is served."""

    def __init__(self, folder: Path, server: PinServer) -> None:
        self._authority, self._server = ThrowawayAuthority(), server
        self.good, self.wrong = PrivateCA(), PrivateCA()
        contents = (self._authority.root_json, self.good.certificate, self.wrong.certificate)
        for name, content in zip(("root.json", "good.der", "wrong.der"), contents, strict=True):
            (folder / name).write_bytes(content)
        self.publish(self.good.pin)
        self.member = Member(server.url, folder, "redis://127.0.0.1:1", 7)

    def refresh(self) -> None:
        self.member.refresh()
        self.member.judge("refresh")

    def publish(self, pin: bytes) -> None:
        self._authority.publish({HOST: [pin, b"2" * 32]})
        self._server.serve(self._authority)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    server = PinServer()
    made = Watched(tmp_path, server)
    made.refresh()
    yield made
    made.member.close()
    server.close()


def goes_back(watched: Watched) -> None:
    watched.member._floor += 1


def lags(watched: Watched) -> None:
    watched.member.served += 2


def loses_its_pins(watched: Watched) -> None:
    watched.publish(b"3" * 32)


def lets_anybody_in(watched: Watched) -> None:
    watched.publish(watched.wrong.pin)
    watched.member._good = watched.member._wrong


@pytest.mark.filterwarnings("ignore::pinwarden.testing.InsecureForProductionWarning")
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (goes_back, "after refresh: FRESH with version 1, had 2"),
        (lags, "the pin server has version 2, and a refresh ended with 1"),
        (loses_its_pins, "after refresh: the key that every version pins is refused"),
        (lets_anybody_in, "after refresh: a wrong key is let in"),
    ],
)
def test_the_oracle_sees_each_promise_that_is_broken(
    watched: Watched, fault: Callable[[Watched], None], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fault(watched)
    with pytest.raises(SystemExit):
        watched.refresh()
    assert capsys.readouterr().out == f'{{"broken": "{told}"}}\n'
