"""
The conformance suite: any client that has the command line of docs/conformance.md, against a repository that lies.

It may import the product's test keys, and its command line as one client among others. A client is known by exit codes
and requests alone, and no test looks into its folder.

    pytest tests/conformance --client "my-client --quiet" --expected-failures my-client.txt
"""

import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.drivers import Command, Driver, MainFunction, OwnClient, Staying
from tests.conformance.life import Life
from tests.conformance.repository import Repository
from tests.conformance.simulator import Simulator

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
MARKS = (
    "strict_parser: binds clients with a strict parser only (docs/spec.md, P3)",
    "own: an attack on this protocol that no list of The Update Framework names",
    "as_process: run through the real command as well, when no --client is given",
)
# The clients that stand here, each with the tests that it is known to fail.
KNOWN = {
    "pinwarden": None,
    "plain": CLIENTS / "plain" / "expected_failures.txt",
    "pinwarden-process": None,
    "node": CLIENTS / "node" / "expected_failures.txt",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--client", metavar="COMMAND", help="the client to test; default: those that this project has")
    group.addoption("--stays", action="store_true", help="the client knows --stay: start it once, not per command")
    group.addoption("--expected-failures", metavar="FILE", help="tests that the client is known to fail, one a line")


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", mark)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver" not in metafunc.fixturenames:
        return
    if metafunc.config.getoption("--client", None):
        names = ["given"]
    else:
        names = ["pinwarden", "plain", "node"]
        if metafunc.definition.get_closest_marker("as_process"):
            names.append("pinwarden-process")
    metafunc.parametrize("driver", names, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    given = config.getoption("--expected-failures", None)
    lists = {"given": _listed(Path(given)) if given else set()}
    lists |= {name: _listed(file) if file else set() for name, file in KNOWN.items()}
    for item in items:
        driver = getattr(item, "callspec", None) and item.callspec.params.get("driver")
        if item.path.parent == HERE and driver and _name_without(driver, item) in lists[driver]:
            item.add_marker(pytest.mark.xfail(reason=f"{driver} is known to fail this", strict=True))


def _listed(file: Path) -> set[str]:
    lines = (line.partition(" #")[0].strip() for line in file.read_text("utf-8").splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def _name_without(driver: str, item: pytest.Item) -> str:
    """Return the name of a test as lists spell it, which says nothing of the client."""
    name, bracket, identifiers = item.name.partition("[")
    rest = identifiers.removesuffix("]").removeprefix(driver).removeprefix("-").removesuffix(driver).removesuffix("-")
    return f"{name}[{rest}]" if bracket and rest else name


@pytest.fixture(scope="session")
def staying() -> Iterator[Callable[..., Driver]]:
    """Return a function that starts a client once for all tests of this process."""
    started: dict[tuple[str, ...], Staying] = {}

    def start(*command: str) -> Driver:
        if command not in started:
            started[command] = Staying(command)
        return started[command]

    yield start
    for each in started.values():
        each.close()


@pytest.fixture
def driver(request: pytest.FixtureRequest, program: Callable[[str], Path], staying: Callable[..., Driver]) -> Driver:
    """How the client of this test is run."""
    match request.param:
        case "given":
            command = shlex.split(request.config.getoption("--client"))
            return staying(*command, "--stay") if request.config.getoption("--stays") else Command(command)
        case "pinwarden":
            return OwnClient()
        case "pinwarden-process":
            return Command([str(program("pinwarden"))])
        case "plain":
            return MainFunction(import_module("tests.conformance.clients.plain.client").main)
        case "node":
            return staying(str(program("node")), str(CLIENTS / "node" / "client.mjs"), "--stay")
    raise LookupError(request.param)


@pytest.fixture(scope="session")
def listening() -> Iterator[Simulator]:
    """The pin server of all tests of this process."""
    running = Simulator(Repository())
    yield running
    running.close()


@pytest.fixture
def simulator(listening: Simulator) -> Simulator:
    """A pin server with a new repository."""
    listening.repository, listening.requests = Repository(), []
    return listening


@pytest.fixture
def life(driver: Driver, simulator: Simulator, tmp_path: Path) -> Any:
    """A client that knows nothing yet, and its server."""
    return Life(driver, simulator, tmp_path)


@pytest.fixture
def simulator_elsewhere() -> Iterator[Simulator]:
    """Another pin server, which nobody should ask."""
    running = Simulator(Repository())
    yield running
    running.close()
