"""
Fixtures for pytest; a project opts in with ``pytest_plugins = ["pinwarden.testing.plugin"]`` in its top conftest.py.

It may import pytest and this package. No entry point loads it: a test run without that line never sees it.
"""

import warnings
from collections.abc import Callable, Iterator

import pytest

from pinwarden import tls
from pinwarden.client import PinClient
from pinwarden.testing.authority import InsecureForProductionWarning, ThrowawayAuthority
from pinwarden.testing.pins import ThrowawayPins
from pinwarden.testing.server import LocalServer

__all__ = ["enforce_pins", "local_server", "throwaway_authority", "throwaway_pins"]


@pytest.fixture
def throwaway_authority() -> ThrowawayAuthority:
    """An authority that has published nothing yet."""
    with warnings.catch_warnings():
        # A fixture is a test's by its nature, and some projects turn every warning into a failure.
        warnings.simplefilter("ignore", InsecureForProductionWarning)
        return ThrowawayAuthority()


@pytest.fixture
def throwaway_pins(throwaway_authority: ThrowawayAuthority) -> Iterator[ThrowawayPins]:
    """A client that trusts that authority and has no pins yet: publish() gives it some."""
    pins = ThrowawayPins(authority=throwaway_authority)
    yield pins
    pins.close()


@pytest.fixture
def local_server() -> Iterator[LocalServer]:
    """An HTTPS server on loopback that keeps what reaches it."""
    with LocalServer() as server:
        yield server


@pytest.fixture
def enforce_pins() -> Iterator[Callable[[PinClient], None]]:
    """Return a function that has a client judge every connection of the process, until the test ends."""
    yield lambda pins: pins.enforce()
    tls.lift_process()
