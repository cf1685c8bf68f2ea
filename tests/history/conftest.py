"""A founded server on loopback whose clock, line and thieves belong to the test (tests/rotation/stage.py)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pinwarden.history import Segment
from tests.rotation.conftest import a_house
from tests.rotation.line import BEGIN
from tests.rotation.stage import House


@pytest.fixture
def founded(tmp_path: Path) -> Iterator[House]:
    """A server with root 1 and no pin set."""
    with a_house(tmp_path / "server", BEGIN) as house:
        yield house


@pytest.fixture
def house(founded: House) -> House:
    """The server with the pin set ``payments`` 1.1."""
    founded.publish()
    return founded


def served_history(house: House, name: str = "payments") -> Segment:
    """Return the newest segment as workers serve it, once it hangs together."""
    assert house.node is not None
    entry = house.node.table.get(f"/v1/history/{name}")
    assert entry is not None
    return Segment.parse(entry.body)
