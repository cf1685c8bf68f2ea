"""
What every room shares: nothing is skipped where NO_SKIP=1 says so, how many examples a property test tries, and the
programs that tests start.

Fixtures here know no room. A program is taken from PATH, then from a wheel in this environment, else its tests are
skipped by name.
"""

import os
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.postgres import Postgres

# PINWARDEN_EXAMPLES=100000 makes the property tests as long as one likes; the same number gives the same examples.
# Loaded here and not by a fixture, because a test takes its settings when its module is imported. Nothing may fail
# because a machine is busy.
settings.register_profile(
    "pinwarden",
    max_examples=int(os.environ.get("PINWARDEN_EXAMPLES", "400")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pinwarden")

# Debian keeps servers where the PATH of ordinary users does not lead.
ELSEWHERE = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/systemd")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "where_available: needs what no package brings; skipped by name even in CI")
    if os.environ.get("NO_SKIP") == "1":
        config.pluginmanager.register(NothingSkipped(), "nothing-skipped")


class NothingSkipped:
    """Turns what was skipped into failures that name it; xfail, and what only some machines have, stay as they are."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("where_available"):
            report.outcome = "failed"
            report.longrepr = self._told(item.nodeid, report.longrepr)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.skipped:
            report.outcome = "failed"
            report.longrepr = self._told(collector.nodeid, report.longrepr)
        return report

    @staticmethod
    def _told(nodeid: str, longrepr: object) -> str:
        reason = longrepr[2] if isinstance(longrepr, tuple) else longrepr
        return f"{nodeid} may not be skipped, because NO_SKIP=1 is set. {reason}"


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """Return a function that finds a program by its name, or skips the test and names what is missing."""

    def find(name: str) -> Path:
        in_wheel = Path(sys.executable).parent
        found = shutil.which(name) or shutil.which(name, path=os.pathsep.join((str(in_wheel), *ELSEWHERE)))
        if found is None:
            pytest.skip(f"{name} is neither on PATH nor in this environment")
        return Path(found)

    return find


@pytest.fixture(scope="session")
def postgres() -> "Generator[Postgres, None, None]":
    """A PostgreSQL for the tests of one process, each of which has a database of its own."""
    from tests.postgres import Postgres, folder_of_programs  # here: few rooms need its library

    programs = folder_of_programs()
    if programs is None:
        pytest.skip("initdb is neither on PATH, nor in /usr/lib/postgresql, nor in this environment")
    with Postgres(programs) as server:
        yield server
